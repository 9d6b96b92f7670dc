"""All texts of a comparison, read once into integers: measured texts first, human texts after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.words import word_starts
from dft_plugin.reference.word_scan import Scan, scan

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grams:
    """How often each n-gram occurs in each text: entries sorted by text, then by n-gram.

    Attributes:
        gram: (E,) an entry's n-gram, 0 to types - 1; one numbering for all texts of the pool.
        count: (E,) how often the text has it.
        start: (T + 1,) where the entries of each text begin.
        types: number of different n-grams.
        first: (types,) the item at which each occurs first, to spell it out.
    """

    gram: Ints
    count: Ints
    start: Ints
    types: int
    first: Ints


def count_grams(items: Ints, start: Ints, n: int) -> Grams:
    """n-grams of items (words or tokens, numbered from 0) inside each text; text i is items[start[i]:start[i+1]]."""
    texts = len(start) - 1
    owner = np.repeat(np.arange(texts), np.diff(start))
    code, kinds = items, int(items.max(initial=0)) + 1
    for place in range(1, n):
        joined = code[: max(0, len(items) - place)] * kinds + items[place:]
        # Numbered anew at each length, so that a code of two numbers fits 64 bits.
        code = np.unique(joined, return_inverse=True)[1].astype(np.int64)
    within = np.flatnonzero(owner[: len(code)] == owner[n - 1 :])
    names, first, gram = np.unique(code[within], return_index=True, return_inverse=True)
    types = max(1, len(names))
    pair, count = np.unique(owner[within] * types + gram, return_counts=True)
    begins = np.searchsorted(pair // types, np.arange(texts + 1))
    return Grams(pair % types, count, begins, len(names), within[first])


@dataclass(frozen=True)
class Pool:
    """The texts of both sides, each cut to its first words.

    Attributes:
        texts: measured texts, then human texts.
        measured: how many of them are measured.
        limit: words each text was cut to.
        clipped: their text within the limit.
        word_starts: where words begin in it, as lengths count them.
        cut: (T,) whether a text goes on after that.
        length: (T,) words of the whole text.
        scan: the compared words of the clipped texts, and where sentences open.
        items: (N,) these words, numbered: equal words, equal numbers.
        start: (T + 1,) where each text's items begin.
        token_items: the same for the tokenizer's tokens, if there is one; else the words.
        token_start: (T + 1,).
    """

    texts: Sequence[Text]
    measured: int
    limit: int
    clipped: Sequence[str]
    word_starts: Sequence[Sequence[int]]
    cut: npt.NDArray[np.bool_]
    length: Ints
    scan: Scan
    items: Ints
    start: Ints
    token_items: Ints
    token_start: Ints
    _grams: dict[tuple[str, int], Grams] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def human(self) -> Ints:
        """Indexes of the human texts."""
        return np.arange(self.measured, len(self))

    @property
    def own(self) -> Ints:
        """Indexes of the measured texts."""
        return np.arange(self.measured)

    @cached_property
    def words(self) -> Ints:
        """(T,) compared words of each clipped text."""
        return np.diff(self.start)

    def grams(self, n: int, unit: str = "words") -> Grams:
        """n-grams of "words" or of "tokens", counted once."""
        key = (unit, n)
        if key not in self._grams:
            items, start = (self.items, self.start) if unit == "words" else (self.token_items, self.token_start)
            self._grams[key] = count_grams(items, start, n)
        return self._grams[key]

    def spelled(self, n: int, grams: Ints) -> list[str]:
        """The words of n-grams."""
        return self.scan.phrases(self.grams(n).first[grams], n)

    def view(self, index: Ints) -> View:
        """The texts of an index as one sample."""
        return View(self, index)


@dataclass(frozen=True)
class View:
    """A sample of a pool's texts; what it counts is counted once."""

    pool: Pool
    index: Ints
    _counts: dict[tuple[str, int], Ints] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    def total(self, rows: npt.NDArray[Any]) -> Floats:
        """Sum of per-text rows (T, ...) over the sample."""
        summed: Floats = rows[self.index].sum(0, dtype=np.float64)
        return summed

    def entries(self, n: int, unit: str = "words") -> Ints:
        """Indexes of the entries of `pool.grams(n)` that belong to the sample, in the sample's order."""
        start = self.pool.grams(n, unit).start
        begin, length = start[self.index], start[self.index + 1] - start[self.index]
        within = np.arange(int(length.sum())) - np.repeat(length.cumsum() - length, length)
        found: Ints = np.repeat(begin, length) + within
        return found

    def counts(self, n: int, unit: str = "words") -> Ints:
        """(types,) how often each n-gram of the pool occurs in the sample."""
        key = (unit, n)
        if key not in self._counts:
            grams, entries = self.pool.grams(n, unit), self.entries(n, unit)
            weighed = np.bincount(grams.gram[entries], grams.count[entries], minlength=grams.types)
            self._counts[key] = weighed.astype(np.int64)
        return self._counts[key]


def make_pool(measured: Sequence[Text], human: Sequence[Text], limit: int, tokenizer: Any = None) -> Pool:
    """Reads the texts of both sides.

    Args:
        measured: the texts to measure.
        human: the human texts.
        limit: each text is cut to its first so many words.
        tokenizer: for laws of tokens; None: of words.
    """
    texts = [*measured, *human]
    # White space at a text's ends tells tokenizers apart, not writers.
    stripped = [text.text.strip() for text in texts]
    starts = [word_starts(text) for text in stripped]
    clipped = [
        text if len(begins) <= limit else text[: begins[limit]].rstrip()
        for text, begins in zip(stripped, starts, strict=True)
    ]
    length = np.array([len(begins) for begins in starts], dtype=np.int64)
    scanned = scan(clipped)
    items = np.unique(scanned.hash, return_inverse=True)[1].astype(np.int64)
    start = np.searchsorted(scanned.document, np.arange(len(texts) + 1))
    tokens, token_start = (items, start) if tokenizer is None else _tokens(clipped, tokenizer)
    return Pool(
        texts,
        len(measured),
        limit,
        clipped,
        [begins[:limit] for begins in starts],
        length > limit,
        length,
        scanned,
        items,
        start,
        tokens,
        token_start,
    )


def _tokens(texts: Sequence[str], tokenizer: Any) -> tuple[Ints, Ints]:
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    start = np.cumsum([0, *map(len, encoded)])
    return np.fromiter((token for row in encoded for token in row), dtype=np.int64, count=int(start[-1])), start
