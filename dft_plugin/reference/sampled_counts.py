"""Exact counts of words on a sample of documents that shrinks as a corpus grows, whatever its order.

A document's level is the number of zeros its key begins with: half of all documents have level 0, a quarter level
1, and so on. Counts are kept by level, and documents of the lowest level are left out once there are more than
`capacity` types. The level in force, min {l: documents of level >= l hold at most `capacity` types}, depends on
the set of documents alone, so counts of parts add up to the count of the whole, byte for byte (adaptive sampling,
Flajolet 1990). Up to `capacity` types every document counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dft_plugin.reference.arrays import (
    Hashes,
    Integers,
    Names,
    packed,
    packed_names,
    runs,
    sums,
    unpacked,
    unpacked_names,
)
from dft_plugin.reference.word_scan import hashes_of

LEVEL_BITS = 6
LEVELS = 1 << LEVEL_BITS
HASH_BITS = 48  # bits that tell types apart
DOCUMENT_BITS = 64 - HASH_BITS - LEVEL_BITS
MOST_DOCUMENTS = 1 << DOCUMENT_BITS
_SPARE = np.uint64(64 - HASH_BITS)
_LEVEL = np.uint64(LEVELS - 1)
_LEVEL_BITS = np.uint64(LEVEL_BITS)


def level_of(keys: Hashes) -> Integers:
    """Zeros that 64-bit keys begin with, at most LEVELS - 1."""
    powers = np.uint64(1) << np.arange(LEVELS, dtype=np.uint64)  # key < 2^i has at least 64 - i zeros
    return np.minimum(LEVELS - np.searchsorted(powers, keys, side="right"), LEVELS - 1)


@dataclass(frozen=True)
class SampledCounts:
    """Counts of T types in the documents of a level or higher, by level: R rows.

    Attributes:
        capacity: most types.
        level: the lowest that counts.
        hash: (T,) ascending, HASH_BITS bits.
        names: (T,) strings, or where they can be found.
        row: (R,) hash and level, ascending: hash << LEVEL_BITS | level.
        count, documents: (R,) occurrences of the type in documents of that level, and these documents.
    """

    capacity: int
    level: int
    hash: Hashes
    names: Names
    row: Hashes
    count: Integers
    documents: Integers

    @classmethod
    def none(cls, capacity: int) -> SampledCounts:
        """The counts of no documents."""
        none = np.zeros(0, dtype=np.int64)
        return cls(capacity, 0, none.astype(np.uint64), none, none.astype(np.uint64), none, none)

    @classmethod
    def of(
        cls, capacity: int, hashes: Hashes, level: Integers, document: Integers, names: Names, least: int = 0
    ) -> SampledCounts:
        """Counts T tokens of a batch of documents, however many types they are of: see `merge`.

        Args:
            capacity: most types.
            hashes: (T,) 64 bits, of which the first HASH_BITS tell types apart.
            level: (T,) the document's.
            document: (T,) its number, below MOST_DOCUMENTS.
            names: (T,)
            least: documents of a lower level were left out.
        """
        tag = (level << DOCUMENT_BITS | document).astype(np.uint64)
        tagged = hashes >> _SPARE << _SPARE | tag
        order = np.argsort(tagged)
        tagged = tagged[order]
        row = tagged >> np.uint64(DOCUMENT_BITS)
        start, pair = runs(row), runs(tagged)
        at = runs(row[start] >> _LEVEL_BITS)
        return cls(
            capacity,
            least,
            row[start][at] >> _LEVEL_BITS,
            names[order[start[at]]],
            row[start],
            np.diff(start, append=len(row)),
            np.diff(np.searchsorted(pair, start), append=len(pair)),
        )

    @classmethod
    def merge(cls, parts: Sequence[SampledCounts]) -> SampledCounts:
        """The counts of all documents of all parts."""
        capacity, level = parts[0].capacity, max(part.level for part in parts)
        row = np.concatenate([part.row for part in parts])
        kept = np.flatnonzero((row & _LEVEL) >= np.uint64(level))
        order = kept[np.argsort(row[kept])]
        row = row[order]
        start = runs(row)
        count, documents = (
            sums(np.concatenate([getattr(part, name) for part in parts])[order], start)
            for name in ("count", "documents")
        )
        row = row[start]
        types = runs(row >> _LEVEL_BITS)
        highest = (row[np.append(types[1:], len(row)) - 1] & _LEVEL).astype(np.int64) if len(row) else types
        # types_from[l]: how many types documents of level l or higher hold.
        types_from = np.bincount(highest, minlength=LEVELS)[::-1].cumsum()[::-1]
        level = max(level, int((types_from > capacity).sum()))
        kept = np.flatnonzero((row & _LEVEL) >= np.uint64(level)) if level < LEVELS else np.zeros(0, dtype=np.int64)
        row = row[kept]
        hashes = row[runs(row >> _LEVEL_BITS)] >> _LEVEL_BITS
        known = np.concatenate([part.hash for part in parts])
        order = np.argsort(known)
        names = np.concatenate([part.names for part in parts])[order[np.searchsorted(known, hashes, sorter=order)]]
        return cls(capacity, level, hashes, names, row, count[kept], documents[kept])

    def totals(self) -> tuple[Integers, Integers, float]:
        """(T,) occurrences of each type in the documents that count, (T,) how many of them hold it, and the
        occurrences' standard error: 0."""
        start = runs(self.row >> _LEVEL_BITS)
        return sums(self.count, start), sums(self.documents, start), 0.0

    def find(self, names: Sequence[str]) -> tuple[Integers, float]:
        """Occurrences of any types in the documents that count, and their standard error: 0."""
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes_of(names)]) >> _SPARE
        at = np.searchsorted(self.hash, hashes)
        known = np.append(self.hash, ~np.uint64(0))[at] == hashes
        return np.where(known, np.append(self.totals()[0], 0)[at], 0), 0.0

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a file."""
        return {
            "level": torch.tensor(self.level),
            "names": packed_names(self.names),
            "rows": packed(np.diff(runs(self.row >> _LEVEL_BITS), append=len(self.row))),
            "levels": packed((self.row & _LEVEL).astype(np.int64)),
            "count": packed(self.count),
            "documents": packed(self.documents),
        }

    @classmethod
    def from_tensors(cls, capacity: int, tensors: Mapping[str, Tensor]) -> SampledCounts:
        """What `tensors` gave."""
        names = unpacked_names(tensors["names"])
        hashes = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes_of(names.tolist())]) >> _SPARE
        row = np.repeat(hashes, unpacked(tensors["rows"])) << _LEVEL_BITS | unpacked(tensors["levels"]).astype(
            np.uint64
        )
        level = int(tensors["level"])
        return cls(capacity, level, hashes, names, row, unpacked(tensors["count"]), unpacked(tensors["documents"]))
