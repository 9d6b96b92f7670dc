"""Additive counts of human text: what workers make of their share of a corpus, and what a reference holds.

The built-in statistics gain whole numbers, so that sums are exact: counts of parts add up to the count of the whole
to the last bit, however the corpus is cut, ordered and shared out. (A third party's statistic that gains fractions
adds up to rounding.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dft_plugin.documents import Document, Span, spans
from dft_plugin.objective import Accumulation
from dft_plugin.reference.human_side import window_rows
from dft_plugin.reference.tokenized import HumanText
from dft_plugin.reference.window_sample import SAMPLE, Rows, WindowSample
from dft_plugin.reference.word_counts import WordCounts
from dft_plugin.written import Integers, Written

Numbers = npt.NDArray[np.float64]
LENGTHS = 40
"""Documents are sorted by the power of two in their number of tokens."""


@dataclass(frozen=True)
class Count:
    """The accumulators of some human text, and what else is known of it.

    Attributes:
        totals: statistic -> (A_k,), summed over windows.
        tokens: (V,), how often each token was counted.
        sample: windows by themselves.
        words: words, phrases and sentence openings.
        lengths: (LENGTHS,) documents with 2^i to 2^(i+1) - 1 tokens.
        windows, documents, bad_lines, empty_documents: how many.
        content: the sum of all documents' digests, modulo 2^128.
    """

    totals: Mapping[str, Numbers]
    tokens: Numbers
    sample: WindowSample
    words: WordCounts
    lengths: Integers
    windows: int
    documents: int
    bad_lines: int
    empty_documents: int
    content: int

    def __add__(self, other: Count) -> Count:
        return Count(
            {name: own + other.totals[name] for name, own in self.totals.items()},
            self.tokens + other.tokens,
            self.sample + other.sample,
            self.words + other.words,
            self.lengths + other.lengths,
            self.windows + other.windows,
            self.documents + other.documents,
            self.bad_lines + other.bad_lines,
            self.empty_documents + other.empty_documents,
            (self.content + other.content) % (1 << 128),
        )


@dataclass(frozen=True)
class Cutting:
    """How documents are cut into windows: see `documents.spans`; `seed` chooses where each begins."""

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
        self, texts: Sequence[HumanText], *, bad_lines: int = 0, empty_documents: int = 0, limit: int | None = None
    ) -> Count:
        """Counts texts.

        Args:
            texts: human texts.
            bad_lines, empty_documents: skipped on the way; added to the count.
            limit: leaves windows with a greater key out of the sample, where it is known that they cannot be
                among the smallest of the whole corpus.
        """
        digests = [_digest(text.document, self.cutting.seed) for text in texts]
        written, keys = self._windows([text.document for text in texts], digests)
        total = self.accumulation.count(written, np.zeros(len(written), dtype=np.int64), 1)[0]
        lengths = np.array([text.document.stop - text.document.start for text in texts], dtype=np.float64)
        powers = np.log2(np.maximum(lengths, 1)).astype(np.int64)
        return Count(
            self._by_statistic(total),
            np.bincount(written.drawn, minlength=self.accumulation.vocabulary_size).astype(np.float64),
            self._sample(written, keys, limit),
            WordCounts.of([text.text for text in texts], [digest >> 64 for digest in digests]),
            np.bincount(powers, minlength=LENGTHS),
            len(written),
            len(texts),
            bad_lines,
            empty_documents,
            sum(digests) % (1 << 128),
        )

    def _windows(self, documents: Sequence[Document], digests: Sequence[int]) -> tuple[Written, Integers]:
        """The windows of documents, and their keys."""
        cutting = self.cutting
        cut: list[Span] = []
        keys = [np.zeros(0, dtype=np.uint64)]
        offset = 0
        for document, digest in zip(documents, digests, strict=True):
            found = spans(document, cutting.context_tokens, cutting.max_new_tokens, cutting.from_start, digest % 2**32)
            cut += [found.shifted(offset)]
            keys.append(_mixed(np.uint64(digest >> 64) + np.arange(len(found.first), dtype=np.uint64)))
            offset += len(document.tokens)
        tokens = np.concatenate(
            [np.zeros(0, dtype=np.int64), *(np.asarray(d.tokens, dtype=np.int64) for d in documents)]
        )
        return Written(tokens, *Span.joined(cut)), (np.concatenate(keys) >> np.uint64(1)).astype(np.int64)

    def _sample(self, written: Written, keys: Integers, limit: int | None) -> WindowSample:
        order = np.argsort(keys, kind="stable")[:SAMPLE]
        if limit is not None:
            order = order[keys[order] <= limit]
        return WindowSample(keys[order], self.rows(written, order))

    def rows(self, written: Written, windows: Integers) -> dict[str, Rows]:
        """statistic -> the accumulators of each of these windows."""
        together = window_rows(self.accumulation, written.select(windows).windows())
        return {
            statistic.name: together.columns(self.accumulation.part(statistic))
            for statistic in self.accumulation.statistics
        }

    def _by_statistic(self, accumulators: Numbers) -> dict[str, Numbers]:
        return {
            statistic.name: accumulators[..., self.accumulation.part(statistic)]
            for statistic in self.accumulation.statistics
        }


def _digest(document: Document, seed: int) -> int:
    """128 bits of what a document says, and of where its text begins and ends."""
    place = f"{seed} {document.start} {document.stop} {document.prompted}".encode()
    content = np.asarray(document.tokens, dtype=np.int32).tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=16, key=place).digest(), "big")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spreads neighbouring numbers over 64 bits (the finalizer of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
