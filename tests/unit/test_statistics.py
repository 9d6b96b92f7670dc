"""Each statistic against plain Python: over decoded text for human text, by dense loops for soft laws."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.distances import l2
from dft_plugin.document_windows import WindowSampler
from dft_plugin.documents import Document
from dft_plugin.law import observed_law
from dft_plugin.layout import rewards, witnesses
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.frequency import NgramFrequency, NgramOptions
from dft_plugin.texts import Texts, Window, stack
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Written
from tests import tiny
from tests.chain import TOKENS, Chain
from tests.chain import vocabulary as chain_vocabulary

# Each mark spelled over whole texts, by a pattern of its own.
MARKS = {
    "sentence_end": "[.!?…]",
    "comma": ",",
    "dash": r"—|--| -(?!\w)",
    "colon_semicolon": "[:;]",
    "quote": '[“”"]',
    "question_exclamation": "[?!]",
    "ellipsis": r"…|\.\.\.",
    "parenthesis": "[()]",
    "newline": "\n",
}
KINDS = ("bytes", "metaspace")
# Llama 3's and Qwen's split; it puts a mark and the word after it into one token where no space is before.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# SentencePiece's, by script: letters, digits and marks in separate pieces, each with the space before it.
BY_SCRIPT = r"▁?\p{L}+|▁?\p{N}+|\n+|▁?[^\p{L}\p{N}▁\n]+|▁+"


@cache
def prose(count: int = 80) -> tuple[str, ...]:
    """Texts of paragraphs, with marks of every kind between words that people wrote."""
    generator = random.Random(0)
    words = sorted({word for text in tiny.paragraphs() for word in text.split() if word.isalpha()})[:400]

    def some(least: int, most: int) -> str:
        return " ".join(generator.choice(words) for _ in range(generator.randint(least, most)))

    shapes = [
        lambda: f"{some(1, 12).capitalize()}.",
        lambda: f'"The {some(1, 5)} is," {some(1, 3)}.',
        lambda: f"(The {some(1, 5)}, {some(1, 5)}.)",
        lambda: f"{some(2, 6).capitalize()}, {some(1, 9)}.",
        lambda: f"“{some(1, 7).capitalize()},” {some(1, 3)}, “{some(2, 5)}!”",
        lambda: f'{some(1, 4).capitalize()}: "{some(1, 8)}?"',
        lambda: f"{some(3, 9).capitalize()} — {some(1, 5)} — {some(1, 4)}; {some(1, 4)}.",
        lambda: f"{some(1, 6).capitalize()} ({some(1, 4)}) {some(1, 4)} ... {some(1, 6)}.",
        lambda: f"{some(1, 6).capitalize()} -- {some(1, 4)} - {some(1, 6)}!",
        lambda: f"In {generator.randint(1, 2000)} {some(1, 3)} didn't well-known {some(1, 5)}…",
    ]
    texts = []
    for _ in range(count):
        paragraphs = [
            " ".join(generator.choice(shapes)() for _ in range(generator.randint(1, 5)))
            for _ in range(generator.randint(1, 4))
        ]
        texts.append("\n\n".join(paragraphs))
    return tuple(texts)


@cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=kind == "metaspace"))
    special = ["</s>", "<unk>"]
    if kind == "bytes":
        split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=900,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    else:
        split = pre_tokenizers.Split(Regex(BY_SCRIPT), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), split])
        backend.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    backend.train_from_iterator([*prose(), *prose()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def statistic(name: str, vocabulary: Vocabulary, **options: Any) -> Statistic:
    kind = plugins.statistic(name)
    return kind(vocabulary, kind.Options.model_validate(options))


def summary(made: Statistic, windows: Sequence[Window] | Texts, law: Any = observed_law) -> dict[str, Tensor]:
    texts = windows if isinstance(windows, Texts) else stack(windows)
    accumulation = Accumulation([made], made.vocabulary.size)
    plan = accumulation.plan(texts)
    own = accumulation.accumulate(plan, law(texts, plan.request))
    return dict(accumulation.summarize(made, own.sum(0)))


def same(found: Tensor, expected: Sequence[float]) -> None:
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-7)


@dataclass(frozen=True)
class Corpus:
    """Human documents as windows from their start, with the text that each stands for.

    Attributes:
        kind: of tokenizer.
        longest: tokens kept; a longer document is cut.
        prompt: text before each document, which does not belong to it.
    """

    kind: str
    longest: int = 10_000
    prompt: str = ""

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        return tokenizer(self.kind)

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_tokenizer(self.tokenizer)

    def tokens(self) -> list[list[int]]:
        end = self.tokenizer.eos_token_id
        return [[*self.tokenizer(text)["input_ids"], end][: self.longest] for text in prose()]

    def windows(self) -> list[Window]:
        before = self.tokenizer(self.prompt)["input_ids"] if self.prompt else []
        first = len(before) or 1
        return [Window((*before, *tokens), len(before), first, True) for tokens in self.tokens()]

    def read(self) -> Iterator[tuple[str, str]]:
        """The text of each document, and the text before its last token."""
        for tokens in self.tokens():
            yield tuple(self.tokenizer.decode(kept, skip_special_tokens=True) for kept in (tokens, tokens[:-1]))


CORPORA = [
    pytest.param(corpus, id=name)
    for name, corpus in {
        "bytes": Corpus("bytes"),
        "metaspace": Corpus("metaspace"),
        "bytes-cut": Corpus("bytes", longest=37),
        "metaspace-cut": Corpus("metaspace", longest=23),
        "bytes-prompted": Corpus("bytes", prompt='He said: "no, (never)!'),
        "metaspace-prompted-cut": Corpus("metaspace", longest=31, prompt="It is, was, and - once more - will be."),
    }.items()
]
every_corpus = pytest.mark.parametrize("corpus", CORPORA)


def word_places(text: str) -> list[int]:
    """Where each word's first letter or digit stands; a word is what stands between white space."""
    places = []
    for chunk in re.finditer(r"\S+", text):
        first = next((index for index, character in enumerate(chunk[0]) if character.isalnum()), None)
        if first is not None:
            places.append(chunk.start() + first)
    return places


def intervals(text: str, before_last: str, mark: str) -> tuple[list[int], int]:
    """Words in each interval that a mark ends, and in the last one, which the text's end cuts off.

    What the last token begins is not followed by a position at which it could have ended.
    """
    marks = [found.end() - 1 for found in re.finditer(mark, text)]
    words = word_places(text)
    edges = [-1, *marks]
    lengths = [sum(start < word < stop for word in words) for start, stop in pairwise(edges)]
    tail = sum(word > edges[-1] for word in word_places(before_last))
    return lengths, tail


def kaplan_meier(ended: Sequence[int], cut: Sequence[int], bins: int) -> list[float]:
    """The law of bins 0 .. bins - 1 and beyond, in plain Python."""
    law, survival = [], 1.0
    for age in range(bins):
        at_risk = sum(length >= age for length in [*ended, *cut])
        hazard = sum(length == age for length in ended) / at_risk if at_risk else 0.0
        law.append(survival * hazard)
        survival *= 1 - hazard
    return [*law, survival]


def expected_intervals(corpus: Corpus, mark: str, longest: int, width: int = 1) -> list[float]:
    ended, cut = [], []
    for text, before_last in corpus.read():
        lengths, tail = intervals(text, before_last, mark)
        # Two marks without a word between are one; bin i holds lengths 1 + i * width and the width - 1 after.
        ended += [(length - 1) // width for length in lengths if length]
        cut += [(tail - 1) // width] if tail else []
    assert ended
    return kaplan_meier(ended, cut, -(-longest // width))


def test_the_prose_shows_every_mark_as_one_token() -> None:
    """Marks split over tokens are not seen (vocabulary.py says so); here the tokenizers have learned them all.

    One has also learned what Llama 3's has: a mark and the word after it in one token.
    """
    vocabulary = Corpus("bytes").vocabulary
    tokens = torch.tensor([token for row in Corpus("bytes").tokens() for token in row])
    assert int((vocabulary.events["quote"] & (vocabulary.words_outside > 0))[tokens].sum()) > 5
    for kind in KINDS:
        vocabulary = Corpus(kind).vocabulary
        tokens = torch.tensor([token for row in Corpus(kind).tokens() for token in row])
        for name, mark in MARKS.items():
            written = sum(len(re.findall(mark, text)) for text, _ in Corpus(kind).read())
            assert written > 20
            assert int(vocabulary.events[name][tokens].sum()) >= 0.5 * written  # one token may hold two


@every_corpus
@pytest.mark.parametrize(("longest", "width"), [(64, 1), (10, 1), (20, 3)])
def test_sentence_length(corpus: Corpus, longest: int, width: int) -> None:
    found = summary(statistic("sentence_length", corpus.vocabulary, longest=longest, width=width), corpus.windows())
    same(found["sentence_end"], expected_intervals(corpus, MARKS["sentence_end"], longest, width))


@every_corpus
def test_punctuation_rhythm(corpus: Corpus) -> None:
    found = summary(statistic("punctuation_rhythm", corpus.vocabulary, longest=30), corpus.windows())
    assert set(found) == set(MARKS) - {"sentence_end", "newline"}
    for kind, law in found.items():
        same(law, expected_intervals(corpus, MARKS[kind], 30))


def written_of(corpus: Corpus, token: int) -> str:
    """What one token writes, the space before it included."""
    if corpus.kind == "metaspace":
        return str(corpus.tokenizer.convert_ids_to_tokens(token)).replace("▁", " ")
    return corpus.tokenizer.decode([token])


@every_corpus
def test_punctuation_frequency(corpus: Corpus) -> None:
    kinds = [kind for kind in MARKS if kind not in ("sentence_end", "newline")]
    counts: Counter[str] = Counter()
    for tokens in corpus.tokens():
        for token in tokens if corpus.prompt else tokens[1:]:  # without a prompt the first is a context's
            carried = [kind for kind in kinds if re.search(MARKS[kind], written_of(corpus, token))]
            counts.update(carried or ["none"])
    assert all(counts[kind] for kind in kinds)
    found = summary(statistic("punctuation_frequency", corpus.vocabulary), corpus.windows())
    same(found["mark"], [counts[kind] / counts.total() for kind in ["none", *kinds]])


def test_punctuation_frequency_needs_marks() -> None:
    letters = chain_vocabulary((None, b"a", b" b", b" c", b"d", b"e"))
    with pytest.raises(ValueError, match=r"punctuation_frequency.*comma"):
        statistic("punctuation_frequency", letters)


@every_corpus
def test_paragraph_length(corpus: Corpus) -> None:
    found = summary(statistic("paragraph_length", corpus.vocabulary, longest=60, width=8), corpus.windows())
    same(found["newline"], expected_intervals(corpus, MARKS["newline"], 60, 8))


@every_corpus
@pytest.mark.parametrize("width", [1, 16])
def test_text_length(corpus: Corpus, width: int) -> None:
    """Tokens before the end-of-text token; the first one is a context's unless there is a prompt."""
    ended, cut = [], []
    for tokens in corpus.tokens():
        whole = tokens[-1] == corpus.tokenizer.eos_token_id
        (ended if whole else cut).append((len(tokens) - 1) // width)
    expected = kaplan_meier(ended, cut, -(-200 // width))
    found = summary(statistic("text_length", corpus.vocabulary, longest=200, width=width), corpus.windows())
    same(found["text"], expected)


@pytest.mark.parametrize("width", [1, 4, 16])
def test_text_length_of_short_texts(width: int) -> None:
    """Texts shorter than one bin count as well, whether continued from a prompt or from their first token."""
    made = statistic("text_length", chain_vocabulary(), longest=32, width=width)
    lengths = [1, 1, 2, 3, 9, 20]
    plain = [Window((*[3] * length, 0), 0, 1, True) for length in lengths]
    prompted = [Window((2, *[3] * length, 0), 1, 1, True) for length in lengths]
    expected = kaplan_meier([length // width for length in lengths], [], -(-32 // width))
    same(summary(made, plain)["text"], expected)
    same(summary(made, prompted)["text"], expected)
    # An empty completion is one too.
    empty = summary(made, [Window((2, 0), 1, 1, True), Window((2, *[3] * 20, 0), 1, 1, True)])["text"]
    assert float(empty[0]) == pytest.approx(0.5)


@every_corpus
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_novelty(corpus: Corpus, n: int) -> None:
    """rep-n: one minus distinct over all n-grams, both less the first, which nothing can precede."""
    repeated = counted = 0
    for tokens in corpus.tokens():
        grams = [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
        repeated += len(grams) - len(set(grams)) if grams else 0
        counted += max(0, len(grams) - 1)
    assert repeated > 0 or n == 4
    found = summary(statistic("novelty", corpus.vocabulary, n=(n,), reach=4096), corpus.windows())
    same(found[f"rep-{n}"], [repeated / counted, 1 - repeated / counted])


@pytest.mark.parametrize("reach", [2, 5, 17])
def test_novelty_within_reach(reach: int) -> None:
    corpus = Corpus("bytes")
    for n in (1, 2):
        repeated = counted = 0
        for tokens in corpus.tokens():
            grams = [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
            repeated += sum(gram in grams[max(0, at - reach) : at] for at, gram in enumerate(grams))
            counted += max(0, len(grams) - 1)
        found = summary(statistic("novelty", corpus.vocabulary, n=(n,), reach=reach), corpus.windows())
        same(found[f"rep-{n}"], [repeated / counted, 1 - repeated / counted])


@every_corpus
def test_sentence_opening(corpus: Corpus) -> None:
    """The token with the first letter or digit of each sentence, found in the text by its characters."""
    opened: Counter[int] = Counter()
    repeats = pairs = 0
    for tokens in corpus.tokens():
        starts, at = [], 0  # where each token's text begins
        for number in range(len(tokens)):
            starts.append(at)
            at = len(corpus.tokenizer.decode(tokens[: number + 1], skip_special_tokens=True))
        text = corpus.tokenizer.decode(tokens, skip_special_tokens=True)
        opener: int | None = None
        for sentence in re.finditer("[^.!?…]+", text):
            words = word_places(sentence[0])
            if not words:
                continue
            place = sentence.start() + words[0]
            index = max(number for number, start in enumerate(starts) if start <= place)
            if index == 0 and not corpus.prompt:  # a context's token, not counted
                opener = tokens[0]
                continue
            opened[tokens[index]] += 1
            if opener is not None:
                pairs += 1
                repeats += tokens[index] == opener
            opener = tokens[index]
    found = summary(statistic("sentence_opening", corpus.vocabulary), corpus.windows())
    total = sum(opened.values())
    same(found["opening"], [opened[token] / total for token in range(corpus.vocabulary.size)])
    same(found["repeated"], [repeats / pairs, 1 - repeats / pairs])


@every_corpus
def test_token_frequency(corpus: Corpus) -> None:
    skip = 0 if corpus.prompt else 1
    counts = Counter(token for tokens in corpus.tokens() for token in tokens[skip:])
    total = sum(counts.values())
    found = summary(statistic("token_frequency", corpus.vocabulary), corpus.windows())
    same(found["token"], [counts[token] / total for token in range(corpus.vocabulary.size)])


def test_entropy_of_human_text_is_its_mean_surprisal() -> None:
    corpus = Corpus("bytes", longest=20)
    texts = stack(corpus.windows())
    surprisal = torch.rand(texts.rows, generator=torch.Generator().manual_seed(0))
    made = statistic("entropy", corpus.vocabulary)
    found = summary(made, texts, lambda given, request: observed_law(given, request, surprisal))
    same(found["entropy"], [float(surprisal.mean())])


# N-gram sketches.


def grams(tokens: Sequence[Sequence[int]], n: int) -> dict[tuple[int, ...], float]:
    counts = Counter(tuple(row[at : at + n]) for row in tokens for at in range(len(row) - n + 1))
    total = sum(counts.values())
    return {gram: count / total for gram, count in counts.items()}


def exact_l2(first: dict[tuple[int, ...], float], second: dict[tuple[int, ...], float], weight: Any) -> float:
    total = 0.0
    for gram in {*first, *second}:
        factor = 1.0
        for token in gram:
            factor *= weight(token)
        total += (factor * (first.get(gram, 0.0) - second.get(gram, 0.0))) ** 2
    return total


class Reseeded(NgramFrequency):
    """The same statistic with signs of another seed."""

    seed = 0

    def _signs(self, back: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + back)
        bits = torch.randint(0, 2, (self.vocabulary.size, self.options.size), generator=generator)
        return bits.float() * 2 - 1


@pytest.mark.parametrize("weighting", ["none", "inverse_root_frequency"])
def test_sketches_estimate_the_l2_of_ngram_laws(weighting: str) -> None:
    corpus = Corpus("metaspace", longest=60)
    halves = [corpus.tokens()[:40], corpus.tokens()[40:]]
    counts = Counter(token for half in halves for row in half for token in row)
    total = sum(counts.values())
    frequency = torch.tensor([counts[token] / total for token in range(corpus.vocabulary.size)], dtype=torch.float64)
    vocabulary = replace(corpus.vocabulary, human_frequency=frequency)
    scale = sum(max(float(f), 1 / total) ** -0.5 * float(f) for f in frequency)

    def weight(token: int) -> float:
        return 1.0 if weighting == "none" else max(float(frequency[token]), 1 / total) ** -0.5 / scale

    # The first token is a context's, so an n-gram's last token is the second or a later one.
    windows = [[Window(tuple(row), 0, 1, True) for row in half] for half in halves]
    estimates: dict[int, list[float]] = {2: [], 3: [], 4: []}
    for seed in range(30):
        made = Reseeded.__new__(Reseeded)
        made.seed = seed  # before the signs are drawn
        made.__init__(vocabulary, NgramOptions(size=128, weighting=weighting))  # type: ignore[misc]
        found = [summary(made, half) for half in windows]
        for n in estimates:
            estimates[n].append(float(l2(found[0][f"{n}-gram"], found[1][f"{n}-gram"])))
    for n, values in estimates.items():
        exact = exact_l2(*(grams(half, n) for half in halves), weight)
        mean = sum(values) / len(values)
        error = (sum((value - mean) ** 2 for value in values) / len(values) / len(values)) ** 0.5
        assert error < 0.1 * exact
        assert abs(mean - exact) < 4 * error
    # The plugin's own signs, in one large sketch.
    made = NgramFrequency(vocabulary, NgramOptions(size=4096, weighting=weighting))
    found = [summary(made, half) for half in windows]
    for n in estimates:
        exact = exact_l2(*(grams(half, n) for half in halves), weight)
        assert float(l2(found[0][f"{n}-gram"], found[1][f"{n}-gram"])) == pytest.approx(exact, rel=0.12)


def test_sketches_tell_the_order_of_tokens() -> None:
    """The signs of a token differ from place to place: a text and the same one backwards share no n-gram."""
    made = NgramFrequency(chain_vocabulary(), NgramOptions(size=4096))
    one, other = (summary(made, [Window(tokens, 0, 1, True)]) for tokens in ((2, 3, 4, 5), (5, 4, 3, 2)))
    for n, exact in ((2, 6 / 9), (3, 4 / 4), (4, 2.0)):
        assert float(l2(one[f"{n}-gram"], other[f"{n}-gram"])) == pytest.approx(exact, rel=0.1)


def test_sketches_leave_the_prompt_out() -> None:
    corpus = Corpus("bytes", longest=20)
    tables = corpus.vocabulary
    made = NgramFrequency(tables, NgramOptions(n=(2, 3), size=64))
    plain = [Window(tuple(row), 0, 1, True) for row in corpus.tokens()]
    # The same texts after a prompt, their first token counted: no n-gram ends there.
    prompted = [Window((7, 8, 9, *row), 3, 3, True) for row in corpus.tokens()]
    for n in (2, 3):
        torch.testing.assert_close(summary(made, plain)[f"{n}-gram"], summary(made, prompted)[f"{n}-gram"])


def test_weighting_without_a_reference_says_so() -> None:
    with pytest.raises(ValueError, match="use `train` or a corpus as `reference`, or leave `weighting` out"):
        NgramFrequency(chain_vocabulary(), NgramOptions(weighting="inverse_root_frequency"))


# Intervals: windows cut anywhere, and soft laws.


def simulated(count: int, seed: int) -> tuple[list[list[int]], list[float]]:
    """Long documents of independent sentences, of a law with two modes: token 3 is a word, 1 ends a sentence."""
    law = [0.05, 0.2, 0.1, 0.05, 0.05, 0.05, 0.1, 0.2, 0.1, 0.05, 0.03, 0.02]
    generator = random.Random(seed)
    documents = []
    for _ in range(count):
        tokens: list[int] = []
        while len(tokens) < 300:
            tokens += [3] * generator.choices(range(1, 13), law)[0] + [1]
        documents.append(tokens[:300])
    return documents, law


@pytest.mark.parametrize("width", [1, 2])
def test_windows_cut_anywhere_are_unbiased(width: int) -> None:
    """Left truncation and censoring: windows of 12 tokens out of sentences of up to 13 give the sentences' law."""
    documents, law = simulated(500, 0)
    sampler = WindowSampler([Document(tuple(row), 0, len(row), False) for row in documents], 9, 12)
    windows = sampler.sample(12_000, torch.Generator().manual_seed(0))
    assert sum(window.starts_at_begin for window in windows) < 0.2 * len(windows)
    found = summary(statistic("sentence_length", chain_vocabulary(), longest=12, width=width), windows)["sentence_end"]
    binned = [sum(law[at : at + width]) for at in range(0, 12, width)]
    distance = sum(abs(float(a) - b) for a, b in zip(found, [*binned, 0.0], strict=True))
    assert distance < 0.05
    if width == 1:  # counting the sentences that a window holds whole, one would see the short ones
        whole: Counter[int] = Counter()
        for window in windows:
            ends = [at for at, token in enumerate(window.tokens) if token == 1 and at >= window.first]
            whole.update(stop - start - 1 for start, stop in pairwise(ends))
        total = sum(whole.values())
        assert sum(abs(whole[length] / total - law[length - 1]) for length in range(1, 13)) > 0.3


def dense_intervals(
    vocabulary: Vocabulary, texts: Texts, law: Tensor, kind: str, bins: int, width: int
) -> tuple[list[float], list[float]]:
    """Expected events and intervals at risk by bin, one position after the other; law (N, V)."""
    events, risk = [0.0] * bins, [0.0] * bins
    column = vocabulary.events[kind].double()
    row = 0
    for number in range(len(texts)):
        tokens = texts.tokens[number].tolist()
        begin, first, end = (int(value[number]) for value in (texts.begin, texts.first, texts.end))
        inside, age = False, 0
        known = bool(texts.starts_at_begin[number])
        entered: set[int] = set()  # bins of the present interval that were reached at or after `first`
        reached = -1  # the furthest bin of the present interval
        for position in range(begin, end):
            here = (age - 1) // width if age else -1
            passed = list(range(reached + 1, here + 1))
            reached = max(reached, here)
            if position >= first:
                if known:
                    entered.update(passed)
                    for bin_ in passed:
                        if bin_ < bins:
                            risk[bin_] += 1
                    if here in entered and here < bins:
                        events[here] += float(law[row] @ column)
                row += 1
            token = tokens[position]
            age += int((vocabulary.words_inside if inside else vocabulary.words_outside)[token])
            after = int(vocabulary.state_after[token])
            inside = inside if after < 0 else bool(after)
            if bool(vocabulary.events[kind][token]):
                age, known, reached, entered = 0, True, -1, set()
    assert row == texts.rows
    return events, risk


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(("name", "kind"), [("sentence_length", "sentence_end"), ("paragraph_length", "newline")])
def test_hazards_under_a_soft_law(name: str, kind: str, width: int) -> None:
    """On every text of a chain whose tokens are of two words, of half a word, of two events, after prompts and cuts."""
    chain = Chain.random(5)
    tables, texts = chain_vocabulary(), chain.enumerate()
    made = statistic(name, tables, longest=5, width=width)
    accumulation = Accumulation([made], len(TOKENS))
    plan = accumulation.plan(texts)
    law = chain.law(texts, plan.request)
    own = accumulation.accumulate(plan, law).sum(0)
    dense = chain.table()[texts.tokens[texts.text, texts.position - 1]]
    bins = -(-5 // width)
    events, risk = dense_intervals(tables, texts, dense, kind, bins, width)
    same(own, [*events, *risk])
    assert min(risk) > 0


def test_hand_counted_intervals() -> None:
    """By hand, in words; tokens: 1 ".", 2 two words, 3 one word, 4 a piece of a word, 5 comma and newline."""
    tables = chain_vocabulary()
    made = statistic("sentence_length", tables, longest=4)
    accumulation = Accumulation([made], len(TOKENS))

    def counts(*tokens: int, begin: int = 0, first: int = 1, known: bool = True) -> tuple[list[float], list[float]]:
        plan = accumulation.plan(stack([Window(tokens, begin, first, known)]))
        own = accumulation.accumulate(plan, observed_law(plan.texts, plan.request))[0]
        return own[:4].tolist(), own[4:].tolist()

    assert counts(3, 3, 1) == ([0, 1, 0, 0], [1, 1, 0, 0])
    assert counts(3, 1, 1, 1, 3, 1) == ([2, 0, 0, 0], [2, 0, 0, 0])  # marks in a row are one
    assert counts(3, 2, 1) == ([0, 0, 1, 0], [1, 1, 1, 0])  # a token of two words passes two ages
    assert counts(2, 1) == ([0, 1, 0, 0], [1, 1, 0, 0])
    assert counts(3, 4, 4, 1) == ([1, 0, 0, 0], [1, 0, 0, 0])  # pieces of one word
    assert counts(3, 2, 2, 1) == ([0, 0, 0, 0], [1, 1, 1, 1])  # five words: beyond the last bin
    assert counts(3, 3, 3) == ([0, 0, 0, 0], [1, 1, 0, 0])  # cut off before the third word could be followed
    assert counts(3, 1, 3, 1, known=False) == ([1, 0, 0, 0], [1, 0, 0, 0])  # only the second has a known start
    assert counts(1, 3, 3, 1, first=2, known=False) == ([0, 1, 0, 0], [1, 1, 0, 0])  # an event in the context
    assert counts(1, 3, 3, 4, 1, first=3, known=False) == ([0, 1, 0, 0], [0, 1, 0, 0])  # joins when it enters age 2
    assert counts(1, 3, 3, 4, 1, first=4, known=False) == ([0, 0, 0, 0], [0, 0, 0, 0])  # was at age 2 before
    assert counts(3, 3, 3, 1, begin=2, first=2) == ([1, 0, 0, 0], [1, 0, 0, 0])  # the prompt's words are not its own
    assert counts(3, 1, 3, 1, begin=2, first=2, known=False) == ([0, 0, 0, 0], [0, 0, 0, 0])  # nor are its marks
    assert counts(3, 5, 3, 4, 1) == ([0, 1, 0, 0], [1, 1, 0, 0])  # a comma ends no sentence
    assert counts(3, 1, 1, 3, 1, begin=2, first=2) == ([1, 0, 0, 0], [1, 0, 0, 0])


def test_a_mark_and_a_word_in_one_token() -> None:
    """The word counts for the interval after the mark: '"Hello' begins what is quoted."""
    tables = chain_vocabulary((None, b'"c', b" a b", b" c", b'"', b"."))
    made = statistic("punctuation_rhythm", tables, longest=4)
    assert made.present[0] == "quote"

    def counts(*tokens: int) -> list[float]:
        accumulation = Accumulation([made], len(TOKENS))
        plan = accumulation.plan(stack([Window(tokens, 0, 1, True)]))
        return accumulation.accumulate(plan, observed_law(plan.texts, plan.request))[0, :8].tolist()

    assert counts(1, 4) == [1, 0, 0, 0, 1, 0, 0, 0]
    assert counts(1, 3, 4) == [0, 1, 0, 0, 1, 1, 0, 0]
    # After a letter the mark is inside a word, and so is what follows it.
    assert counts(3, 1, 3, 4) == [2, 0, 0, 0, 2, 0, 0, 0]
    # In the context: the interval that the mark begins is known.
    assert counts(4, 3, 4) == [1, 0, 0, 0, 1, 0, 0, 0]


def test_a_word_that_ends_a_sentence_opens_none() -> None:
    """As "etc." in one token, 1 here, beside words (2, 3) and a full stop (4): what comes after it opens the next."""
    made = statistic("sentence_opening", chain_vocabulary((None, b" etc.", b" a", b" b", b".", b"c")))
    windows = [Window((3, 4, 2, 1, 3, 2, 4, 1, 3), 0, 1, True)]
    counted = made.count(Written.of(windows), np.zeros(1, dtype=np.int64), 1)
    for found in (summary(made, windows), made.summarize([torch.from_numpy(part[0]) for part in counted])):
        # Sentences: 3 4 (its first token is a context), 2 1, 3 2 4, 1 alone, and 3.
        same(found["opening"], [0, 0.25, 0.25, 0.5, 0, 0])


# ---- rarity -------------------------------------------------------------------------------------------------


def kinds_by_hand(
    known: Sequence[Sequence[int]], texts: Sequence[Sequence[int]], n: int, classes: int
) -> tuple[list[float], int]:
    """Shares of the kinds never, once, 2 to 3 ... over places whose prefix is known; how many places there are.

    Plain Python on whole texts; the first token of a text is a context.
    """
    counts = Counter(tuple(tokens[end - n + 1 : end + 1]) for tokens in known for end in range(n - 1, len(tokens)))
    prefixes = {gram[:-1] for gram in counts}
    found = []
    for tokens in texts:
        for end in range(n - 1, len(tokens)):
            gram = tuple(tokens[end - n + 1 : end + 1])
            if gram[:-1] in prefixes:
                found.append(min(counts[gram].bit_length(), classes))
    return [found.count(kind) / len(found) for kind in range(classes + 1)], len(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 3, 8])
def test_ngram_rarity(kind: str, classes: int) -> None:
    corpus = Corpus(kind)
    known, others = corpus.windows()[:50], corpus.windows()[50:]
    made = statistic("ngram_rarity", replace(corpus.vocabulary, human_text=Written.of(known)), classes=classes)
    found = summary(made, others)
    assert list(found) == ["2-gram", "3-gram", "4-gram"]
    for n in (2, 3, 4):
        wanted, places = kinds_by_hand([w.tokens for w in known], [w.tokens for w in others], n, classes)
        assert places > 100
        same(found[f"{n}-gram"], wanted)
    if classes == 8:  # the cases differ: every kind of 2-gram occurs but, in a text so short, the commonest
        assert int((found["2-gram"] > 0).sum()) > 5


def test_ngram_rarity_leaves_prompts_and_unknown_prefixes_out() -> None:
    text = Written.of([Window((2, 3, 4, 3, 4, 3, 5), 1, 2, True)])
    made = statistic("ngram_rarity", replace(chain_vocabulary(), human_text=text), n=(2,), classes=4)
    # Counted there: 34, 43, 34, 43, 35; the prompt's 2 is no prefix.
    texts = [Window((3, 4, 3, 5, 5, 3), 0, 1, True), Window((3, 4, 4), 2, 2, True)]
    # 34 (twice), 43 (twice), 35 (once), 55 and 53 (no prefix); the second text's 44 has its prefix in the prompt.
    same(summary(made, texts)["2-gram"], [0, 1 / 3, 2 / 3, 0, 0])
    same(summary(made, [Window((3, 3), 0, 1, True)])["2-gram"], [1, 0, 0, 0, 0])


def test_ngram_rarity_under_a_soft_law() -> None:
    """P(kind) by a dense loop over the vocabulary at every position."""
    size, generator = len(TOKENS), torch.Generator().manual_seed(3)
    drawn = torch.randint(0, size, (30, 12), generator=generator).tolist()
    known = Written.of([Window(tuple(tokens), 0, 1, True) for tokens in drawn])
    made = statistic("ngram_rarity", replace(chain_vocabulary(), human_text=known), n=(3,), classes=3)
    chain = Chain.random(0)
    texts = chain.sample(20, torch.Generator().manual_seed(0))
    found = summary(made, texts, chain.law)["3-gram"]
    counts = Counter(tuple(tokens[end - 2 : end + 1]) for tokens in drawn for end in range(2, len(tokens)))
    wanted, places = [0.0] * 4, 0
    law = chain.logits.softmax(-1)
    for b, t in zip(texts.text.tolist(), texts.position.tolist(), strict=True):
        before = tuple(texts.tokens[b, t - 2 : t].tolist())
        if t - 2 < int(texts.begin[b]) or not any((*before, v) in counts for v in range(size)):
            continue
        places += 1
        for v in range(size):
            wanted[min(counts[(*before, v)].bit_length(), 3)] += float(law[before[-1], v])
    assert places > 40
    same(found, [share / places for share in wanted])


def test_ngram_rarity_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="use `train` or a corpus as `reference`, or leave it out"):
        statistic("ngram_rarity", chain_vocabulary())
    with pytest.raises(ValueError, match=r"n is \[5\]; it takes one or more of 2, 3, 4"):
        statistic("ngram_rarity", replace(chain_vocabulary(), human_text=Written.of([])), n=(5,))


def with_human_side(tables: Vocabulary) -> Vocabulary:
    """The chain's vocabulary with what statistics may need of human text."""
    size = len(TOKENS)
    text = Written.of([Window((3, 1, 2, 2, 5, 4, 1, 0), 0, 1, True)])
    return replace(tables, human_frequency=torch.ones(size) / size, human_text=text)


def test_padding_is_never_read() -> None:
    """A text alone and beside a longer one, padded with a token that ends sentences, give the same."""
    names = [name for name in plugins.statistics() if not plugins.statistic(name).needs_model]
    made = [statistic(name, with_human_side(chain_vocabulary())) for name in names]
    texts = Chain.random(0).sample(30, torch.Generator().manual_seed(0))

    def accumulated(given: Texts) -> Tensor:
        accumulation = Accumulation(made, len(TOKENS))
        plan = accumulation.plan(given)
        return accumulation.accumulate(plan, observed_law(given, plan.request))

    together = accumulated(texts)
    alone = torch.cat([accumulated(texts.select(slice(at, at + 1))) for at in range(30)])
    torch.testing.assert_close(together, alone)


def test_statistics_never_look_ahead() -> None:
    """What a row earns depends on its prefix alone, or credit would go to tokens for what came before them."""
    made = [statistic(name, with_human_side(chain_vocabulary())) for name in plugins.statistics()]
    chain = Chain.random(0)
    texts = chain.sample(60, torch.Generator().manual_seed(0))
    for entry in made:
        entry.begin(chain.hidden(texts))
    weights: list[Tensor] = []

    def earned(given: Texts) -> Tensor:
        accumulation = Accumulation(made, len(TOKENS))
        plan = accumulation.plan(given)
        if not weights:
            generator = torch.Generator().manual_seed(1)
            weights.append(torch.randn(plan.layout.part[-1].stop, generator=generator, dtype=torch.float64))
        derivative = weights[0].expand(len(given), -1)
        law = chain.law(given, replace(plan.request, witness=witnesses(plan.layout, derivative)))
        return given.by_step(rewards(law, plan.layout, given, derivative))

    for steps in (1, 2, 4):
        shorter = replace(texts, end=torch.minimum(texts.end, texts.first + steps))
        torch.testing.assert_close(earned(texts)[:, :steps], earned(shorter))
    # Nor on the token drawn at the row itself.
    other = texts.tokens.clone()
    other[torch.arange(60), texts.end - 1] = 3
    last = texts.end - texts.first - 1
    changed = replace(texts, tokens=other)
    rows = torch.arange(60)
    torch.testing.assert_close(earned(texts)[rows, last], earned(changed)[rows, last])
