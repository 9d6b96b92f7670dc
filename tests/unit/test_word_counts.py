"""Words and phrases: found as a plain definition finds them, counted exactly while few, the same in any order."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft_plugin.reference import phrase_counts, word_counts
from dft_plugin.reference.arrays import packed, unpacked
from dft_plugin.reference.phrase_counts import PhraseCounts
from dft_plugin.reference.sampled_counts import SampledCounts, level_of
from dft_plugin.reference.word_counts import Limits, WordCounts
from dft_plugin.reference.word_scan import LONGEST, mixed, scan
from tests.tiny import paragraphs

HAN_OR_KANA = "\u3005-\u30ff\u31f0-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
ALPHABET = "abAB éÉ'’-.!?\"。今かदि्दी\n\t3_,\u2014\ud800\U0001f600"


def key_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def count(texts: Sequence[str], limits: Limits | None = None) -> WordCounts:
    return WordCounts.of(texts, [key_of(text) for text in texts], limits)


def assert_same(one: WordCounts, other: WordCounts) -> None:
    first, second = one.tensors(), other.tensors()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert tensor.shape == second[name].shape, name
        assert tensor.numpy().tobytes() == second[name].numpy().tobytes(), name


VARIATION_SELECTOR = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
"""Says how the character before it is drawn, an emoji or an ideograph: no vowel sign or accent."""


def plain_words(text: str) -> list[str]:
    """The same words by a regular expression over characters put in classes."""
    classes = ""
    for character in text:
        if character.isalnum() or "\U00020000" <= character < "\U00040000":  # some not known to this Python yet
            classes += "i" if re.match(f"[{HAN_OR_KANA}]", character) else "a"
        elif unicodedata.category(character) in ("Mn", "Mc") and not re.match(VARIATION_SELECTOR, character):
            classes += "a"
        else:
            classes += "j" if character in "'’-\u2010\u2011" else " "
    found = [text[m.start() : m.end()] for m in re.finditer("i|a(?:j?a)*", classes)]
    return ["".join(fold(character) for character in word[:LONGEST]) for word in found]


def fold(character: str) -> str:
    folded = character.casefold()
    return "'" if character == "’" else folded if len(folded) == 1 else character


def plain_phrases(texts: Sequence[str], n: int) -> tuple[Counter[str], Counter[str]]:
    occurrences: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for text in texts:
        words = plain_words(text)
        phrases = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        occurrences.update(phrases)
        documents.update(set(phrases))
    return occurrences, documents


@given(st.lists(st.one_of(st.text(ALPHABET), st.text()), max_size=5))
def test_words_are_those_of_the_plain_definition(texts: list[str]) -> None:
    found = scan(texts, size=8)
    everywhere = found.phrases(np.arange(len(found.start)))
    assert everywhere == [word for text in texts for word in plain_words(text)]
    assert found.document.tolist() == [number for number, text in enumerate(texts) for _ in plain_words(text)]
    # Equal words have equal hashes, others have others.
    pairs = set(zip(everywhere, found.hash.tolist(), strict=True))
    assert len(pairs) == len({word for word, _ in pairs}) == len({value for _, value in pairs})


def test_what_a_word_is() -> None:
    text = (
        "Don’t stop—WELL-known «Straße», 3.14% of naïve_users! हिन्दी भाषा。今日はok Привет I\u0301a ❤️ -x- rock'n'roll"
    )
    found = scan([text])
    words = "don't stop well-known straße 3 14 of naïve users हिन्दी भाषा 今 日 は ok привет i\u0301a x rock'n'roll"
    assert " ".join(found.phrases(np.arange(len(found.start)))) == words


def test_a_variant_of_an_ideograph_is_that_ideograph() -> None:
    found = scan(["葛\U000e0100城, \U000e0101"])
    assert found.phrases(np.arange(len(found.start))) == ["葛", "城"]


def test_long_words_count_by_their_first_characters() -> None:
    texts = ["a" * 200_000 + " b", "a" * 70]
    found = scan(texts)
    assert found.phrases(np.arange(3)) == ["a" * LONGEST, "b", "a" * LONGEST]
    assert found.hash[0] == found.hash[2] != found.hash[1]


def test_sentences_open_after_a_stop_and_at_the_beginning() -> None:
    text = 'He said "Yes." Then e.g. 3.14 came! "Who?" asked he… Well. (so) ok। अब է։ Մենք ነው። ወደ 今日は。明日。'
    found = scan([text, "", "  second document: no stop"])
    assert found.phrases(found.openings) == [
        "he",
        "then",
        "3",
        "who",
        "asked",
        "well",
        "so",
        "अब",
        "մենք",
        "ወደ",
        "明",
        "second",
    ]


@given(st.lists(st.text("ab .", max_size=40), max_size=8))
def test_few_types_are_counted_exactly(texts: list[str]) -> None:
    counts = count(texts)
    assert counts.documents == len(texts)
    assert counts.total == sum(len(plain_words(text)) for text in texts)
    assert counts.share == (1.0 if counts.total else 0.0)
    for n in (1, 2, 3, 4):
        occurrences, documents = plain_phrases(texts, n)
        assert counts.phrases(n) == {phrase: (c, documents[phrase]) for phrase, c in occurrences.items()}
        assert [c for c, _ in counts.phrases(n).values()] == sorted(occurrences.values(), reverse=True)


def test_real_text_is_counted_exactly() -> None:
    texts = paragraphs()
    counts = count(texts)
    for n in (1, 2, 3, 4):
        occurrences, documents = plain_phrases(texts, n)
        assert len(occurrences) < word_counts.PHRASES
        assert counts.phrases(n) == {phrase: (c, documents[phrase]) for phrase, c in occurrences.items()}
    assert_same(WordCounts.from_tensors(counts.tensors()), counts)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a few lines of text pass."""
    for name, value in {"WORDS": 12, "PHRASES": 8, "OPENINGS": 4, "BATCH_WORDS": 10, "MOST_DOCUMENTS": 3}.items():
        monkeypatch.setattr(word_counts, name, value)


documents = st.lists(st.text("abcdef .\n", max_size=30), max_size=12)


@given(documents, st.randoms(use_true_random=False))
@settings(max_examples=60)
@pytest.mark.usefixtures("little_room")
def test_parts_in_any_order_and_grouping_add_up_to_the_whole(texts: list[str], order: random.Random) -> None:
    whole = count(texts)
    shuffled = order.sample(texts, len(texts))
    cuts = sorted(order.choices(range(len(texts) + 1), k=3))
    parts = [count(shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, len(texts)], strict=True)]
    assert_same(WordCounts.merge(parts), whole)
    assert_same(parts[0] + (parts[1] + (parts[2] + parts[3])), whole)
    order.shuffle(parts)
    assert_same(reduce(add, parts), whole)
    through_files = [WordCounts.from_tensors(part.tensors()) for part in parts]
    assert_same(WordCounts.merge(through_files), whole)
    assert_same(whole + count([]), whole)


@given(documents, st.integers(1, 5))
@settings(max_examples=40)
@pytest.mark.usefixtures("little_room")
def test_limits_already_known_change_nothing(texts: list[str], size: int) -> None:
    total = count(texts[:size])
    for start in range(size, len(texts), size):
        total += count(texts[start : start + size], total.limits)
    assert_same(total, count(texts))


@pytest.mark.usefixtures("little_room")
def test_documents_met_again_count_again_and_change_no_name() -> None:
    texts = list(paragraphs()[:6])
    once, twice = count(texts), count(texts) + count(texts)
    assert_same(twice, count(texts + texts))
    assert twice.words.hash.tolist() == once.words.hash.tolist()
    assert twice.words.totals()[0].tolist() == [2 * c for c in once.words.totals()[0].tolist()]
    for n, phrases in once.phrases_of.items():
        assert twice.phrases_of[n].names.tolist() == phrases.names.tolist()
        assert phrases.sketches is not None
        assert np.array_equal(twice.phrases_of[n].sketches[0], 2 * phrases.sketches[0])


@pytest.mark.usefixtures("little_room")
def test_many_words_are_exact_on_the_largest_sample_that_fits() -> None:
    texts = paragraphs()[:40]
    counts = count(texts)
    level = level_of(mixed(np.array([key_of(text) for text in texts], dtype=np.uint64)))
    for least in range(64):
        sample = [text for text, own in zip(texts, level.tolist(), strict=True) if own >= least]
        occurrences, holding = plain_phrases(sample, 1)
        if len(occurrences) <= word_counts.WORDS:
            break
    assert counts.words.level == least
    found = dict(
        zip(counts.words.names, zip(*(x.tolist() for x in counts.words.totals()[:2]), strict=True), strict=True)
    )
    assert found == {word: (c, holding[word]) for word, c in occurrences.items()}
    assert counts.share == pytest.approx(sum(occurrences.values()) / counts.total)
    scaled = {word: round(c / counts.share) for word, c in occurrences.items()}
    assert {word: c for word, (c, _) in counts.phrases(1).items()} == scaled


def test_levels_halve_the_documents() -> None:
    keys = np.array([0, 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert level_of(keys).tolist() == [63, 63, 1, 1, 0, 0]
    assert level_of(mixed(np.arange(4096, dtype=np.uint64))).mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("little_room")
def test_phrases_are_named_by_their_smallest_key() -> None:
    texts = paragraphs()[:20]
    counts = count(texts).phrases_of[2]
    smallest: dict[str, int] = {}
    for text in texts:
        found = scan([text])
        rolled = phrase_counts.roll(found.hash[:-1], found.hash[1:])
        key = rolled ^ mixed(np.array([key_of(text)], dtype=np.uint64))
        for name, value in zip(found.phrases(np.arange(len(rolled)), 2), (key >> np.uint64(13)).tolist(), strict=True):
            smallest[name] = min(smallest.get(name, value), value)
    named = sorted(smallest, key=lambda name: smallest[name])[: word_counts.PHRASES]
    assert sorted(counts.names) == sorted(named)
    assert dict(zip(counts.names, counts.key.tolist(), strict=True)) == {name: smallest[name] for name in named}


def zipf_texts(documents: int, words: int, types: int, seed: int = 0) -> list[str]:
    """Documents of independent words, of which the r-th most frequent has probability proportional to 1 / r."""
    generator = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, types + 1)
    drawn = generator.choice(types, size=(documents, words), p=frequency / frequency.sum())
    return [" ".join(f"w{word}" for word in row) for row in drawn.tolist()]


def test_many_phrases_are_estimated_within_their_error() -> None:
    texts = zipf_texts(documents=400, words=1000, types=3000)
    counts = count(texts)
    for n in (2, 3):
        occurrences, holding = plain_phrases(texts, n)
        assert len(occurrences) > word_counts.PHRASES
        found = counts.phrases(n)
        error = counts.phrases_of[n].totals()[2]
        assert 0 < error < 0.02 * max(occurrences.values())
        wrong = np.array([c - occurrences[phrase] for phrase, (c, _) in found.items()])
        assert np.sqrt((wrong**2).mean()) < 1.5 * error
        assert np.abs(wrong).max() < 8 * error
        assert all(occurrences[phrase] > 0 for phrase in found)
        documents_wrong = np.array([d - holding[phrase] for phrase, (_, d) in found.items()])
        assert np.abs(documents_wrong).max() < 10 * error
        # What is frequent and widespread is named, and in its place.
        top = [phrase for phrase, _ in occurrences.most_common(30)]
        assert sum(phrase in found for phrase in top) >= 29
        assert set(list(found)[:10]) <= set(top)


def test_what_refrains_of_single_documents_collide_with_is_not_listed() -> None:
    """Every document repeats a sentence of its own 80 times: frequent phrases without a name, by far beyond what a
    normal error leads to expect."""
    texts = [
        text + f" v{document}a v{document}b v{document}c v{document}d" * 80
        for document, text in enumerate(zipf_texts(documents=600, words=400, types=3000))
    ]
    counts = count(texts)
    occurrences, _ = plain_phrases(texts, 2)
    error = counts.phrases_of[2].totals()[2]
    listed = {phrase: found for phrase, (found, _) in counts.phrases(2).items()}
    assert sum(2 * occurrences[phrase] < found for phrase, found in listed.items()) <= 1
    surely = [phrase for phrase in counts.phrases_of[2].names if occurrences[phrase] >= 8 * error]
    assert len(surely) > 200
    assert sum(phrase in listed for phrase in surely) > 0.95 * len(surely)


def test_a_file_is_bounded() -> None:
    def size(counts: WordCounts) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in counts.tensors().values())

    assert size(count([])) < 2_000
    assert size(count([paragraphs()[0]])) < 10_000
    texts = [" ".join(map(str, row)) for row in np.random.default_rng(0).integers(0, 10**9, (300, 1000)).tolist()]
    many = count(texts)
    assert 0.2 < many.share < 0.5  # 300,000 different words, 100,000 at most
    assert size(many) < 9_000_000


def test_numbers_survive_being_packed() -> None:
    values = np.array([0, 1, -1, 63, 64, -64, -65, 127, 128, 2**31, -(2**40), 2**62, -(2**62)])
    assert unpacked(packed(values)).tolist() == values.tolist()
    assert packed(values[:6]).tolist() == [0, 2, 1, 126, 128, 1, 127]
    assert unpacked(packed(values[:0])).tolist() == []


def test_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="phrases of 5 words are not counted"):
        count(["a b"]).phrases(5)


def test_nothing_is_counted_in_no_text() -> None:
    counts = count(["", " \n", "...!?"])
    assert (counts.total, counts.documents) == (0, 3)
    assert counts.openings() == {}
    assert all(counts.phrases(n) == {} for n in (1, 2, 3, 4))
    assert isinstance(counts.words, SampledCounts)
    assert isinstance(counts.phrases_of[2], PhraseCounts)


def test_any_phrase_is_found_listed_or_not() -> None:
    texts = paragraphs()
    counts = count(texts)
    for n in (1, 2, 4):
        occurrences, _ = plain_phrases(texts, n)
        asked = [*list(occurrences)[:50], " ".join(["zzz"] * n)]
        assert counts.find(asked, n) == ([occurrences[phrase] for phrase in asked], 0.0)
    assert counts.find([], 2) == ([], 0.0)
    assert count([]).find(["a b"], 2) == ([0], 0.0)


def test_phrases_without_a_name_are_found_in_the_sketch() -> None:
    texts = zipf_texts(documents=400, words=1000, types=3000)
    counts = count(texts)
    occurrences, _ = plain_phrases(texts, 3)
    named = set(counts.phrases_of[3].names)
    unnamed = [phrase for phrase in occurrences if phrase not in named][:2000]
    found, error = counts.find(unnamed, 3)
    wrong = np.array(found) - np.array([occurrences[phrase] for phrase in unnamed])
    assert np.sqrt((wrong**2).mean()) < 1.5 * error
    assert counts.find(list(counts.phrases(3)), 3)[0] == [c for c, _ in counts.phrases(3).values()]
