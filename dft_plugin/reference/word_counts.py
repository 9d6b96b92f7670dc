"""Bounded counts of words, phrases and sentence openings that add up exactly.

The counts of the parts of a corpus, added in any order and grouping, are byte for byte those of the whole. Words and
openings are exact on a sample of documents (all of them up to 100,000 types: `sampled_counts`), phrases exact up to
50,000 types of a length, then estimated (`phrase_counts`). In a file all of it takes at most 8 MB, and less for
less text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dft_plugin.prefixed import under
from dft_plugin.reference.arrays import Integers
from dft_plugin.reference.phrase_counts import PhraseCounter, PhraseCounts, roll
from dft_plugin.reference.sampled_counts import LEVELS, MOST_DOCUMENTS, SampledCounts, level_of
from dft_plugin.reference.word_scan import Scan, mixed, scan

LENGTHS = (2, 3, 4)
"""Words in a phrase."""
WORDS, PHRASES, OPENINGS = 100_000, 50_000, 10_000
"""Most types of each kind."""
STANDS_OUT = 5.0
"""Standard errors above which an estimated count is listed, where its cells agree: the 50,000 names then hold hardly a
false one."""
BATCH_WORDS = 1 << 16
"""Words counted at a time: what fits a processor's cache."""


@dataclass(frozen=True)
class Limits:
    """What counts need not look at, as they will be added to others that are known to be above these limits.

    Attributes:
        words, openings: the least level of a document whose words, whose openings count.
        phrases: number of words -> the greatest key of a phrase that is named, or None.
    """

    words: int = 0
    openings: int = 0
    phrases: Mapping[int, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class WordCounts:
    """How often words, phrases and sentence openings occur, and in how many documents.

    Attributes:
        words_by_level, documents_by_level: (LEVELS,) all words and documents, by the documents' level.
        words, opening_words: of words, and of the first words of sentences.
        phrases_of: number of words -> of phrases.
    """

    words_by_level: Integers
    documents_by_level: Integers
    words: SampledCounts
    opening_words: SampledCounts
    phrases_of: Mapping[int, PhraseCounts]

    @classmethod
    def of(cls, texts: Sequence[str], keys: Sequence[int], limits: Limits | None = None) -> WordCounts:
        """Counts documents.

        Args:
            texts: the documents.
            keys: a hash of each one's content, of which the last 64 bits count: equal documents, equal keys.
            limits: `limits` of other counts that these will be added to. They save a third of the time, and do
                not change the sum.
        """
        limits = limits or Limits()
        scanned = scan(texts)
        key = mixed(np.array([key & (1 << 64) - 1 for key in keys], dtype=np.uint64))
        level = level_of(key)
        words, openings = [SampledCounts.none(WORDS)], [SampledCounts.none(OPENINGS)]
        phrases = {n: PhraseCounter(PHRASES, limits.phrases.get(n)) for n in LENGTHS}
        for first, low, high in _batches(scanned):
            hashes, place = scanned.hash[low:high], np.arange(low, high)
            document = scanned.document[low:high]
            own = document - first
            opens = scanned.openings[slice(*np.searchsorted(scanned.openings, (low, high)))] - low
            for parts, least, at in ((words, limits.words, place - low), (openings, limits.openings, opens)):
                at = at[level[document[at]] >= least] if least else at
                found = SampledCounts.of(parts[0].capacity, hashes[at], level[document[at]], own[at], place[at], least)
                parts.append(found)
            rolled, numbers, of_document = hashes, own.astype(np.uint64), key[document]
            for n, counter in phrases.items():
                rolled = roll(rolled[:-1], hashes[n - 1 :])
                kept = np.flatnonzero(document[n - 1 :] == document[: -n + 1])
                counter.add(rolled[kept], numbers[kept], of_document[kept], place[kept])
        return cls(
            np.bincount(level[scanned.document], minlength=LEVELS),
            np.bincount(level, minlength=LEVELS),
            _named(SampledCounts.merge(words), scanned),
            _named(SampledCounts.merge(openings), scanned),
            {n: _named(counter.finish(), scanned, n) for n, counter in phrases.items()},
        )

    @property
    def limits(self) -> Limits:
        """What counts that will be added to these need not look at."""
        phrases = {n: counts.limit for n, counts in self.phrases_of.items()}
        return Limits(self.words.level, self.opening_words.level, phrases)

    @classmethod
    def merge(cls, parts: Sequence[WordCounts]) -> WordCounts:
        """The counts of all documents of all parts."""
        if not parts:
            return cls.of([], [])
        return cls(
            np.sum([part.words_by_level for part in parts], axis=0),
            np.sum([part.documents_by_level for part in parts], axis=0),
            SampledCounts.merge([part.words for part in parts]),
            SampledCounts.merge([part.opening_words for part in parts]),
            {n: PhraseCounts.merge([part.phrases_of[n] for part in parts]) for n in LENGTHS},
        )

    def __add__(self, other: WordCounts) -> WordCounts:
        return self.merge([self, other])

    @property
    def total(self) -> int:
        """Words of all documents."""
        return int(self.words_by_level.sum())

    @property
    def documents(self) -> int:
        """All documents."""
        return int(self.documents_by_level.sum())

    @property
    def share(self) -> float:
        """The share of all words that stand in the documents whose words were counted one by one: 1 up to WORDS
        types."""
        return float(self.words_by_level[self.words.level :].sum() / max(self.total, 1))

    def phrases(self, n: int) -> dict[str, tuple[int, int]]:
        """Phrases of n words, the most frequent first: (count, documents it occurs in).

        Words are scaled up from the documents that were counted to all. Of phrases with estimated counts
        those are listed that are frequent enough to tell: `STANDS_OUT` standard errors or more, all cells agreeing.

        Raises:
            ValueError: when n is not 1 to 4.
        """
        counts = self._counts(n)
        return _sorted(counts, self.documents, self._scale(counts))

    def find(self, phrases: Sequence[str], n: int) -> tuple[list[int], float]:
        """The counts of any phrases of n words, case-folded, whether `phrases` lists them or not; and their standard
        error, which is 0 where they are exact or those of words."""
        counts = self._counts(n)
        found, error = counts.find(phrases)
        return np.rint(found * self._scale(counts)).astype(np.int64).tolist(), error

    def _counts(self, n: int) -> SampledCounts | PhraseCounts:
        counts: dict[int, SampledCounts | PhraseCounts] = {1: self.words, **self.phrases_of}
        if n not in counts:
            raise ValueError(f"phrases of {n} words are not counted, only of {', '.join(map(str, counts))}")
        return counts[n]

    def openings(self) -> dict[str, int]:
        """First words of sentences, the most frequent first: count, scaled up to all documents."""
        found = _sorted(self.opening_words, self.documents, self._scale(self.opening_words))
        return {name: count for name, (count, _) in found.items()}

    def _scale(self, counts: SampledCounts | PhraseCounts) -> float:
        """From the documents that were counted to all."""
        if isinstance(counts, PhraseCounts):
            return 1.0
        return self.total / max(int(self.words_by_level[counts.level :].sum()), 1)

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a file: equal counts give equal bytes."""
        parts: dict[str, SampledCounts | PhraseCounts] = {"words": self.words, "openings": self.opening_words}
        parts |= {f"phrases-{n}": counts for n, counts in self.phrases_of.items()}
        tensors = {f"{name}/{key}": value for name, part in parts.items() for key, value in part.tensors().items()}
        by_level = torch.from_numpy(np.stack([self.words_by_level, self.documents_by_level]))
        return {"by_level": by_level, **tensors}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> WordCounts:
        """What `tensors` gave."""
        words, documents = tensors["by_level"].numpy()
        return cls(
            words,
            documents,
            SampledCounts.from_tensors(WORDS, under("words/", tensors)),
            SampledCounts.from_tensors(OPENINGS, under("openings/", tensors)),
            {n: PhraseCounts.from_tensors(PHRASES, under(f"phrases-{n}/", tensors)) for n in LENGTHS},
        )


def _sorted(counts: SampledCounts | PhraseCounts, most: int, scale: float) -> dict[str, tuple[int, int]]:
    """Names by count; `most` is how many documents there are."""
    occurrences, holding, error = counts.totals()
    count, documents = (np.rint(found * scale).astype(np.int64) for found in (occurrences, holding))
    documents = documents.clip(1, np.minimum(count, most))  # estimates may be beyond
    kept = np.flatnonzero(count >= max(1.0, STANDS_OUT * error))
    rows = zip(counts.names[kept].tolist(), count[kept].tolist(), documents[kept].tolist(), strict=True)
    listed = ((name, (c, d)) for name, c, d in rows)
    return dict(sorted(listed, key=lambda item: (-item[1][0], item[0])))


def _named(counts: Any, scanned: Scan, n: int = 1) -> Any:
    """The same counts, with strings for the places where they can be found."""
    names = np.empty(len(counts.names), dtype=object)
    names[:] = scanned.phrases(counts.names, n)
    return replace(counts, names=names)


def _batches(scanned: Scan) -> Iterator[tuple[int, int, int]]:
    """Runs of whole documents: the first document, its first word, and the word after the last."""
    begin = np.searchsorted(scanned.document, np.arange(scanned.documents + 1))
    first = 0
    while first < scanned.documents:
        full = int(np.searchsorted(begin, begin[first] + BATCH_WORDS))
        last = max(first + 1, min(full, first + MOST_DOCUMENTS, scanned.documents))
        yield first, int(begin[first]), int(begin[last])
        first = last
