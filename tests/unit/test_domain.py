"""Domains: what is counted, what is kept out, the file, and the files that are shipped."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dft_plugin.reference.domain import KIND, Domain, binned, shipped
from dft_plugin.reference.domain_count import count_domain, length_classes
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.letters import LetterChain
from dft_plugin.reference.marks import CONTEXTS, CUTS, WIDTHS, WINDOWS, MarkedText
from dft_plugin.reference.packing import pack_integers, pack_names, unpack_integers, unpack_names
from dft_plugin.reference.pieces import chunks, core, cut, fragments, written
from tests import tiny

NAMES = ("academic", "children", "fiction", "legal", "news")


@cache
def documents(paragraphs: int = 3) -> tuple[str, ...]:
    """Documents of a few paragraphs of prose each."""
    found = tiny.paragraphs()
    return tuple(
        "\n\n".join(found[start : start + paragraphs]) for start in range(0, len(found) - paragraphs, paragraphs)
    )


@cache
def domain() -> Domain:
    return count_domain(documents(), {"name": "topics"})


def test_pieces_give_the_text_back():
    text = '  He said: "Yes,"  then\tleft --\r\nat 3.14\n \n\nand\x00 (so) on.\n'
    found = list(chunks(text))
    assert "".join(map(written, found)) == 'He said: "Yes," then left --\nat 3.14\n\nand (so) on.'
    assert [core(piece) for piece in found] == text.replace("\x00", "").split()
    for piece in found:
        assert "".join(map(written, fragments(piece))) == written(piece)
        assert "".join(map(written, cut(piece, lambda _: False))) == written(piece)


def test_rare_chunks_are_cut_as_pre_tokenizers_cut():
    (piece,) = chunks('"Well-known,"12345')
    assert [core(part) for part in fragments(piece)] == ['"Well', "-known", ',"', "123", "45"]
    assert [core(part) for part in cut(piece, {'"', "Well", "-known", ',"', "123", "45"}.__contains__)] == [
        '"',
        "Well",
        "-known",
        ',"',
        "123",
        "45",
    ]
    assert cut(piece, {'"Well-known,"12345'}.__contains__) == [piece]


def test_counts_of_chunks_and_documents_are_those_of_plain_python():
    count, spread = Counter[str](), Counter[str]()
    for text in documents():
        count.update(text.split())
        spread.update({*text.split(), *(core(part) for piece in chunks(text) for part in fragments(piece))})
    pieces = domain().pieces
    found = Counter[str]()
    for name, occurrences, parts in zip(pieces.names, pieces.count.tolist(), pieces.parts.tolist(), strict=True):
        found[core(name)] += occurrences - parts
    assert sum(found.values()) > 0.5 * sum(count.values())
    assert all(found[text] == count[text] for text in found if found[text])
    # What is missing stands in fewer than 5 documents, or looks like a number of something.
    assert all(spread[text] < 5 or re.search(r"\d{5}|@", text) for text in count if not found[text])
    assert pieces.documents.min() >= 5
    marked = dict(zip(pieces.names, pieces.documents.tolist(), strict=True))
    assert marked[" the\x04"] == sum(
        re.search(r"(?<![^\W\d_])the(?![^\W\d_])", text) is not None for text in documents()
    )


def test_phrases_are_those_of_plain_python_in_at_least_five_documents():
    names, spread, count = domain().pieces.names, Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    known = {core(name) for name in names}
    for text in documents():
        pieces = [part for piece in chunks(text) for part in cut(piece, known.__contains__)]
        for n in (2, 3, 4):
            runs = [tuple(pieces[start : start + n]) for start in range(len(pieces) - n + 1)]
            count.update(runs)
            spread.update(set(runs))
    expected = {
        run: (count[run], spread[run])
        for run in count
        if spread[run] >= 5 and all(core(piece) in known for piece in run)
    }
    found = {
        tuple(names[piece] for piece in row): (times, documents_with)
        for phrases in domain().phrases.values()
        for row, times, documents_with in zip(
            phrases.pieces.tolist(), phrases.count.tolist(), phrases.documents.tolist(), strict=True
        )
    }
    assert found == expected
    assert len(found) > 500


def test_the_most_frequent_phrases_are_kept_with_all_that_they_begin_with():
    few = count_domain(documents(), {}, most_phrases=200)
    kept = {n: {tuple(row) for row in phrases.pieces.tolist()} for n, phrases in few.phrases.items()}
    assert 100 < sum(map(len, kept.values())) <= 200
    assert all(row[:-1] in kept[n - 1] for n in (3, 4) for row in kept[n])
    least = min(int(phrases.count.min()) for phrases in few.phrases.values() if len(phrases.count))
    most_left_out = max(
        int(count)
        for n, phrases in domain().phrases.items()
        for row, count in zip(phrases.pieces.tolist(), phrases.count.tolist(), strict=True)
        if tuple(row) not in kept[n]
    )
    assert most_left_out < least


def test_mail_addresses_and_long_numbers_are_never_stored():
    texts = [
        f"Write to jane.doe@example.org or call +1 (555) 010-9999, account 1234567890. Number {i}." for i in range(9)
    ]
    names = [core(name) for name in count_domain(texts, {}).pieces.names]
    assert "Write" in names
    assert not any("@" in name and "." in name for name in names)
    assert not any(re.search(r"\d{4}", name) for name in names)


def test_events_and_words_are_the_projects_own():
    text = 'He left -- at 3.14 p.m. "No," she said... (Really?) Yes!'
    names = tuple(chunks(text))
    marked = MarkedText.of(names, np.arange(len(names)), np.array([0, len(names)]))
    events = {kind: int(marked.events(kind).sum()) for kind in ("sentence_end", "comma", "dash", "quote", "ellipsis")}
    # "3.14" has a dot, "p.m." two, "..." is one token; the closing bracket and "!" make the rest.
    assert events == {"sentence_end": 6, "comma": 1, "dash": 1, "quote": 2, "ellipsis": 1}
    assert marked.words() == len([chunk for chunk in text.split() if any(map(str.isalnum, chunk))])


def test_intervals_are_as_long_as_the_sentences():
    lengths = [4, 7, 2, 7, 1]
    text = " ".join(" ".join(["word"] * length) + "." for length in lengths)
    names = tuple(chunks(text))
    marked = MarkedText.of(names, np.arange(len(names)), np.array([0, len(names)]))
    events, at_risk = marked.intervals()[1]["sentence_end"][-1, -1] / CUTS
    # Windows begin anywhere in so short a text, so not every sentence is counted each time.
    assert events.sum() <= len(lengths)
    assert set(np.flatnonzero(events) + 1) <= set(lengths)
    assert all(at_risk[age - 1] >= events[age - 1 :].sum() - 1e-9 for age in range(1, 9))
    assert {width: found["comma"].shape for width, found in marked.intervals().items()} == {
        width: (len(WINDOWS), len(CONTEXTS), 2, 256 // width) for width in WIDTHS
    }


def test_bins_are_sums_of_ages():
    counted = np.stack([np.arange(1, 257), np.arange(256, 0, -1)])
    events, at_risk = binned(counted, 1, 64, 8)
    assert events.tolist() == [sum(range(1 + start, 9 + start)) for start in range(0, 64, 8)]
    assert at_risk.tolist() == [256 - start for start in range(0, 64, 8)]
    events, at_risk = binned(counted, 1, 10, 3)
    assert len(events) == 4
    assert events[3] == 10 + 11 + 12
    assert binned(counted[:, :4], 8, 64, 8)[0].tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


def test_laws_of_sentences_are_of_the_order_of_plain_counts():
    law = domain().laws["sentence_length"]["sentence_end"]
    assert float(law.sum()) == pytest.approx(1)
    sentences = [
        len(sentence.split())
        for text in documents()
        for sentence in re.split(r"(?<=[.!?])[)\"']*\s", text)
        if sentence.split()
    ]
    mean = float((law[:-1] * torch.arange(1, 65)).sum() / law[:-1].sum())
    assert mean == pytest.approx(sum(sentences) / len(sentences), rel=0.25)


def test_words_and_phrases_as_a_reader_lists_them():
    words = domain().words
    count = Counter(word.casefold() for text in documents() for word in re.findall(r"[^\W_]+(?:['-][^\W_]+)*", text))
    listed = words.phrases(1)
    assert next(iter(listed)) == count.most_common(1)[0][0]
    assert listed["the"][0] == pytest.approx(count["the"], rel=0.02)
    assert words.documents == len(documents())
    assert words.total == pytest.approx(sum(count.values()), rel=0.1)
    assert all(5 <= spread <= words.documents for _, spread in words.phrases(3).values())
    assert sorted(words.openings().values(), reverse=True) == list(words.openings().values())
    assert "the" in list(words.openings())[:5]
    with pytest.raises(ValueError, match="only of 1 to 4"):
        words.phrases(5)


WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def trade() -> list[str]:
    """Documents with pieces of several words."""
    return [
        f"The U.S. sold 155,221 tonnes and (the EC said) 2.5 pct of U.S. wheat{mark} A well-known firm{mark} off."
        for mark in (".", ",", "!", "?", ";", ":") * 2
        for _ in range(5)
    ]


def plainly(texts: list[str] | tuple[str, ...], n: int) -> Counter[str]:
    found = Counter[str]()
    for text in texts:
        words = [word.casefold().replace("’", "'") for word in WORD.findall(text)]
        found.update(" ".join(words[start : start + n]) for start in range(len(words) - n + 1))
    return found


@pytest.mark.parametrize("texts", [trade(), documents()], ids=["trade", "manual"])
def test_every_word_of_a_piece_counts(texts):
    """Against plain counts over the chunks that are stored whole."""
    counted = count_domain(texts, {"name": "any"})
    pieces = counted.pieces
    whole = {
        core(name) for name, count, parts in zip(pieces.names, pieces.count, pieces.parts, strict=True) if count > parts
    }
    stored = [chunk for text in texts for chunk in text.split() if chunk in whole]
    found = {word: count for word, (count, _) in counted.words.phrases(1).items()}
    assert found == plainly(stored, 1)
    assert len(stored) > 0.5 * sum(len(text.split()) for text in texts)


def test_words_of_a_piece_stand_in_the_documents_of_the_piece():
    listed = count_domain(trade(), {"name": "trade"}).words.phrases(1)
    assert listed["u"] == listed["s"] == (120, 60)
    assert listed["155"] == listed["5"] == (60, 60)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_where_everything_is_stored_phrases_are_those_of_the_texts(n):
    texts = trade()
    counted = count_domain(texts, {"name": "trade"}, least_documents=1).words
    found = {phrase: count for phrase, (count, _) in counted.phrases(n).items()}
    assert found == plainly(texts, n)
    low, high = counted.between(list(found), n)
    assert low.tolist() == list(found.values())
    assert (high >= low).all()


def test_what_fragments_hide_is_between_the_fewest_and_the_most():
    """Chunks that differ in each document are stored in fragments: their words are not listed, and not denied."""
    texts = [f'It rose to {100 + i},221 tonnes, "ago{"abcdefghij"[i % 10]}{i}"half-known" he said.' for i in range(40)]
    counted = count_domain(texts, {"name": "trade"}).words
    for n in (1, 2, 3):
        true = plainly(texts, n)
        frequent = [phrase for phrase, count in true.items() if count == 40]
        low, high = counted.between(frequent, n)
        assert (low <= 40).all(), n
        assert (high >= 40).all(), [(p, h) for p, h in zip(frequent, high, strict=True) if h < 40]
    assert "221" not in counted.phrases(1)


def test_letters_go_on_as_they_do_in_the_words_they_stand_for():
    texts = [{" abab\x04": 1, " ab\x04": 1}] * 5 + [{" zq\x04": 3}]
    chain = LetterChain.of(texts, 5)
    assert chain.words == 13
    assert not any("z" in sequence for sequence in chain.sequences)
    assert max(map(len, chain.sequences)) == 5
    sampled = chain.sample(4000)
    assert sum(sampled.values()) == pytest.approx(13)
    # Of the words that are known half are "ab"; those whose letters are not kept are drawn from the letters there are.
    assert sampled[" ab\x04"] / sampled[" abab\x04"] == pytest.approx(1, rel=0.2)
    assert chain.sample(100) == chain.sample(100)
    assert LetterChain.of([], 5).sample(10) == {}


def test_packing_keeps_everything():
    names = sorted({"", "a", "ab", "abé", "b\x04", "漢字"})
    assert unpack_names(pack_names(names)) == tuple(names)
    assert unpack_names(pack_names([])) == ()
    values = np.array([0, 1, -5, 127, 128, 1 << 40])
    assert unpack_integers(pack_integers(values)).tolist() == values.tolist()


def test_a_file_holds_all_of_it_and_is_the_same_each_time(tmp_path: Path):
    path, again = tmp_path / "topics.safetensors", tmp_path / "again.safetensors"
    domain().save(path)
    loaded = Domain.load(path)
    loaded.save(again)
    assert path.read_bytes() == again.read_bytes()
    assert loaded.pieces.names == domain().pieces.names
    for column in ("count", "parts", "documents", "opening", "starts"):
        assert np.array_equal(getattr(loaded.pieces, column), getattr(domain().pieces, column))
    assert loaded.words.phrases(4) == domain().words.phrases(4)
    assert loaded.openings == domain().openings
    assert loaded.metadata == domain().metadata
    assert loaded.letters.sequences == domain().letters.sequences
    assert all(
        np.array_equal(loaded.intervals[width][kind], counted)
        for width, by_kind in domain().intervals.items()
        for kind, counted in by_kind.items()
    )
    assert list(tmp_path.glob("*.partial")) == []


def test_files_that_cannot_be_used_say_so(tmp_path: Path):
    path = tmp_path / "topics.safetensors"
    domain().save(path)
    content = path.read_bytes()
    with pytest.raises(HumanReferenceError, match="no such file"):
        Domain.load(tmp_path / "none.safetensors")
    path.write_bytes(b"")
    with pytest.raises(HumanReferenceError, match="empty"):
        Domain.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(HumanReferenceError, match="truncated"):
        Domain.load(path)
    changed = bytearray(content)
    changed[-10] ^= 1
    path.write_bytes(changed)
    with pytest.raises(HumanReferenceError, match="altered"):
        Domain.load(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(HumanReferenceError, match=f"no {KIND.name}"):
        Domain.load(path)


def test_no_text_is_an_error():
    with pytest.raises(HumanReferenceError, match="nothing to count"):
        count_domain(["", " \n"], {})


def test_lengths_fall_into_eight_classes_to_a_doubling():
    assert np.flatnonzero(length_classes(np.array([1, 2, 4, 4]))).tolist() == [0, 8, 16]


def test_five_domains_are_shipped_in_under_four_megabytes():
    assert tuple(shipped()) == NAMES
    assert sum(path.stat().st_size for path in shipped().values()) < 4_000_000


@pytest.mark.parametrize("name", NAMES)
def test_nothing_can_be_read_out_of_a_shipped_domain(name: str):
    found = Domain.load(shipped()[name])
    assert found.metadata["least_documents"] >= 5
    assert {"name", "provenance", "terms", "corpus", "tool", "documents", "words", "content"} <= set(found.metadata)
    assert found.pieces.documents.min() >= 5
    assert set(found.phrases) == {2, 3, 4}
    for n, phrases in found.phrases.items():
        assert phrases.pieces.shape[1] == n
        assert phrases.documents.min() >= 5
        assert (phrases.count >= phrases.documents).all()
    for text in map(core, found.pieces.names):
        assert not re.search(r"\s", text)
        assert not re.search(r"\S@\S+\.\S", text), text
        assert not re.search(r"\d{5}", text), text
        assert sum(map(str.isdigit, text)) < 7, text
    assert max(map(len, found.letters.sequences)) <= 5
    assert found.laws["sentence_length"]["sentence_end"].sum() == pytest.approx(1)
