"""Additive counts of human text: what workers make of their share of a corpus, and what a reference holds.

The built-in statistics gain whole numbers, so that sums are exact: counts of parts add up to the count of the whole
to the last bit, however the corpus is cut, ordered and shared out. (A third party's statistic that gains fractions
adds up to rounding.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dft_plugin.accumulation import Accumulation
from dft_plugin.document_windows import Span, spans
from dft_plugin.documents import Document, counted_from_start
from dft_plugin.reference import word_counts
from dft_plugin.reference.human_side import window_rows
from dft_plugin.reference.tokenized import HumanText
from dft_plugin.reference.window_sample import LARGEST, Drawn, WindowSample, limit_of
from dft_plugin.reference.word_counts import WordCounts
from dft_plugin.written import Integers, Written

Tokens = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.float64]
TOKENS_AT_A_TIME = 1 << 16
LENGTHS = 40
"""Documents are sorted by the power of two in their number of tokens."""


@dataclass(frozen=True)
class Limits:
    """What a count need not look at, as it will be added to one that is known to be within these limits.

    Attributes:
        key: the greatest key of a window that can still be among the smallest.
        words: `WordCounts.limits` of the other count.
    """

    key: int = LARGEST
    words: word_counts.Limits | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Count:
    """The accumulators of some human text, and what else is known of it.

    Attributes:
        totals: statistic -> (A_k,), summed over windows.
        tokens: (V,), how often each token was counted.
        sample: windows by themselves, still to be counted while a build goes on.
        words: words, phrases and sentence openings.
        lengths: (LENGTHS,) documents with 2^i to 2^(i+1) - 1 tokens.
        windows, documents, bad_lines, empty_documents: how many.
        counted_words: words begun at counted positions; `words` has those of whole documents.
        content: the sum of all documents' digests, modulo 2^128.
    """

    totals: Mapping[str, Numbers]
    tokens: Numbers
    sample: WindowSample | Drawn
    words: WordCounts
    lengths: Integers
    windows: int
    counted_words: int
    documents: int
    bad_lines: int
    empty_documents: int
    content: int

    @property
    def limits(self) -> Limits:
        """What counts that will be added to this one need not look at."""
        return Limits(limit_of(self.sample.keys), self.words.limits)

    def __add__(self, other: Count) -> Count:
        return Count(
            {name: own + other.totals[name] for name, own in self.totals.items()},
            self.tokens + other.tokens,
            _joined(self.sample, other.sample),
            self.words + other.words,
            self.lengths + other.lengths,
            self.windows + other.windows,
            self.counted_words + other.counted_words,
            self.documents + other.documents,
            self.bad_lines + other.bad_lines,
            self.empty_documents + other.empty_documents,
            (self.content + other.content) % (1 << 128),
        )


@dataclass(frozen=True)
class Cutting:
    """How documents are cut into windows: see `document_windows.spans`; `seed` chooses where each begins.

    With `from_start` plain texts begin at their first token: see `documents.counted_from_start`.
    """

    context_tokens: int
    max_new_tokens: int
    from_start: bool
    seed: int


@dataclass(frozen=True)
class Counter:
    """Counts tokenized texts for an accumulation's statistics.

    Attributes:
        accumulation: of statistics that need no model.
        cutting: how documents become windows.
    """

    accumulation: Accumulation
    cutting: Cutting

    def count(
        self,
        texts: Sequence[HumanText],
        *,
        bad_lines: int = 0,
        empty_documents: int = 0,
        limits: Limits = NO_LIMITS,
    ) -> Count:
        """Counts texts.

        Args:
            texts: human texts.
            bad_lines, empty_documents: skipped on the way; added to the count.
            limits: of a count that this one will be added to; they change no sum and save time.
        """
        if self.cutting.from_start:
            texts = [replace(text, document=counted_from_start(text.document)) for text in texts]
        arrays = [np.asarray(text.document.tokens, dtype=np.int32) for text in texts]
        digests = [_digest(text.document, own, self.cutting.seed) for text, own in zip(texts, arrays, strict=True)]
        size = self.accumulation.vocabulary_size
        total, tokens = np.zeros(self.accumulation.size), np.zeros(size)
        windows = counted_words = 0
        none = np.zeros(0, dtype=np.int64)
        drawn = Drawn(none, Written(none, none, none, none, none.astype(bool)))
        for written, own in self._batches([text.document for text in texts], arrays, digests):
            total += self.accumulation.count(written, np.zeros(len(written), dtype=np.int64), 1)[0]
            tokens += np.bincount(written.drawn, minlength=size)
            low = np.flatnonzero(own <= min(limits.key, limit_of(drawn.keys)))
            if len(low):
                drawn += Drawn(own[low], written.select(low))
            windows += len(written)
            counted_words += self._words(written)
        lengths = np.array([text.document.stop - text.document.start for text in texts], dtype=np.float64)
        powers = np.log2(np.maximum(lengths, 1)).astype(np.int64)
        return Count(
            self._by_statistic(total),
            tokens,
            drawn,
            WordCounts.of([text.text for text in texts], [digest >> 64 for digest in digests], limits.words),
            np.bincount(powers, minlength=LENGTHS),
            windows,
            counted_words,
            len(texts),
            bad_lines,
            empty_documents,
            sum(digests) % (1 << 128),
        )

    def _words(self, written: Written) -> int:
        words, window = written.words(self.accumulation.statistics[0].vocabulary), np.arange(len(written))
        return int((words.before(window, written.end) - words.before(window, written.first)).sum())

    def _batches(
        self, documents: Sequence[Document], arrays: Sequence[Tokens], digests: Sequence[int]
    ) -> Iterator[tuple[Written, Integers]]:
        """The windows of documents and their keys, about as many tokens at a time as fit a processor's cache."""
        cutting = self.cutting
        cut: list[Span] = []
        tokens: list[Tokens] = []
        keys: list[npt.NDArray[np.uint64]] = []
        offset = 0
        for number, (document, own, digest) in enumerate(zip(documents, arrays, digests, strict=True), start=1):
            found = spans(document, cutting.context_tokens, cutting.max_new_tokens, digest % 2**32)
            cut.append(found.shifted(offset))
            tokens.append(own)
            keys.append(_mixed(np.uint64(digest >> 64) + np.arange(len(found.first), dtype=np.uint64)))
            offset += len(document.tokens)
            if offset >= TOKENS_AT_A_TIME or number == len(documents):
                written = Written(np.concatenate(tokens).astype(np.int64), *Span.joined(cut))
                yield written, (np.concatenate(keys) >> np.uint64(1)).astype(np.int64)
                cut, tokens, keys, offset = [], [], [], 0

    def _by_statistic(self, accumulators: Numbers) -> dict[str, Numbers]:
        return {
            statistic.name: accumulators[..., self.accumulation.part(statistic)]
            for statistic in self.accumulation.statistics
        }


def counted(drawn: Drawn, accumulation: Accumulation) -> WindowSample:
    """The accumulators of each window drawn."""
    rows = window_rows(accumulation, drawn.windows)
    return WindowSample(
        drawn.keys, {each.name: rows.columns(accumulation.part(each)) for each in accumulation.statistics}
    )


def _joined(one: WindowSample | Drawn, other: WindowSample | Drawn) -> WindowSample | Drawn:
    if isinstance(one, Drawn) and isinstance(other, Drawn):
        return one + other
    assert isinstance(one, WindowSample)
    assert isinstance(other, WindowSample)
    return one + other


def _digest(document: Document, tokens: Tokens, seed: int) -> int:
    """128 bits of what a document says, and of where its text begins and ends."""
    place = f"{seed} {document.start} {document.stop} {document.prompted}".encode()
    return int.from_bytes(hashlib.blake2b(tokens.tobytes(), digest_size=16, key=place).digest(), "big")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spreads neighbouring numbers over 64 bits (the finalizer of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
