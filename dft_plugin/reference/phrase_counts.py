"""Counts of phrases in bounded memory: exact while there are few, then a count sketch, whatever the order.

Up to `capacity` types, each has its exact count. Beyond, counts go into a count sketch (Charikar, Chen &
Farach-Colton 2002): each type adds its count, with a random sign, to one of `WIDTH` cells in each of three rows,
and the median of its three cells is an unbiased estimate. Sketches are sums, so those of parts add up to that of
the whole. Names are kept of the `capacity` types with the smallest keys, where

    key(g) = min over the documents d that hold g of  hash(g) XOR hash(d),

the smallest of as many uniform numbers as documents hold g: one in D of P pairs of type and document is kept with
probability about 1 - exp(-capacity D / P). A minimum, too, is the same however parts are put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dft_plugin.reference.arrays import (
    Hashes,
    Integers,
    Names,
    narrow,
    packed_names,
    runs,
    smallest,
    sums,
    unpacked_names,
    wide,
)
from dft_plugin.reference.word_scan import hashes_of

HASH_BITS = 48
"""Bits that tell types apart: among a billion, a named one has a double with probability 4e-6."""
ROWS, CELL_BITS = 3, 16  # of the bits of a cell the lowest is the sign; ROWS * CELL_BITS = HASH_BITS
WIDTH = 1 << (CELL_BITS - 1)
_SPARE = np.uint64(64 - HASH_BITS)
_NONE = np.zeros(0, dtype=np.int64)


_ROLL = np.uint64(0x9E3779B97F4A7C15)


def roll(phrase: Hashes, word: Hashes) -> Hashes:
    """The hash of a phrase and one word more."""
    return phrase * _ROLL + word


def _cells(hashes: Hashes) -> Integers:
    """(ROWS, T): where types count; even cells count up, odd ones down."""
    shifts = np.arange(0, HASH_BITS, CELL_BITS, dtype=np.uint64)[:, None]
    return ((hashes >> shifts) & np.uint64((1 << CELL_BITS) - 1)).astype(np.int64)


def _sketch(hashes: Hashes, weights: Integers | None = None) -> Integers:
    """(ROWS, WIDTH): the sketch of types with these counts, default one each."""
    raw = np.stack([np.bincount(row, weights, 2 * WIDTH) for row in _cells(hashes)])  # exact below 2^53
    return (raw[:, ::2] - raw[:, 1::2]).astype(np.int64)


@dataclass(frozen=True)
class PhraseCounts:
    """Counts of T named types.

    Attributes:
        capacity: most types that are named.
        hash: (T,) ascending, HASH_BITS bits.
        key: (T,) HASH_BITS bits.
        names: (T,) strings, or where they can be found.
        count, documents: (T,) occurrences, and documents that hold the type, while `sketch` is None.
        sketch: (2, ROWS, WIDTH) of occurrences and of documents, when there were more than `capacity` types.
    """

    capacity: int
    hash: Hashes
    key: Hashes
    names: Names
    count: Integers
    documents: Integers
    sketch: Integers | None = None

    @classmethod
    def of(cls, capacity: int, hashes: Hashes, document: Hashes, key: Hashes, names: Names) -> PhraseCounts:
        """Counts T tokens of a batch of documents.

        Args:
            capacity: most types that are named.
            hashes: (T,) 64 bits, of which the first HASH_BITS tell types apart.
            document: (T,) number of the document, below 2^(64 - HASH_BITS).
            key: (T,) 64 bits, the document's.
            names: (T,)
        """
        packed = hashes >> _SPARE << _SPARE | document
        order = np.argsort(packed)
        packed = packed[order]
        pair, start = runs(packed), runs(packed >> _SPARE)
        part = cls(
            capacity,
            packed[start] >> _SPARE,
            smallest(((hashes ^ key) >> _SPARE)[order], start),
            names[order[start]],
            np.diff(start, append=len(packed)),
            np.diff(np.searchsorted(pair, start), append=len(pair)),
        )
        return cls.merge([part])

    @classmethod
    def merge(cls, parts: Sequence[PhraseCounts]) -> PhraseCounts:
        """The counts of all documents of all parts."""
        capacity = parts[0].capacity
        sketches = [part.sketch for part in parts if part.sketch is not None]
        hashes, key, names = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("hash", "key", "names")
        )
        if sketches:
            # Where a part names `capacity` types, none with a greater key than these can be named in the whole.
            limits = [part.key.max() for part in parts if part.sketch is not None and len(part.key) == capacity]
            kept = np.flatnonzero(key <= min(limits)) if limits else np.arange(len(key))
            hashes, key, names = hashes[kept], key[kept], names[kept]
        order = np.argsort(hashes, kind="stable")
        start = runs(hashes[order])
        distinct = hashes[order][start]
        names = names[order[start]]
        key = smallest(key[order], start)
        if not sketches:
            count, documents = (
                sums(np.concatenate([getattr(part, name) for part in parts])[order], start)
                for name in ("count", "documents")
            )
            if len(distinct) <= capacity:
                return cls(capacity, distinct, key, names, count, documents)
        sketches += [
            np.stack([_sketch(part.hash, part.count), _sketch(part.hash, part.documents)])
            for part in parts
            if part.sketch is None
        ]
        named = np.sort(np.lexsort((distinct, key))[:capacity])
        total = np.sum(sketches, axis=0)
        return cls(capacity, distinct[named], key[named], names[named], _NONE, _NONE, total)

    def totals(self) -> tuple[Integers, Integers]:
        """(T,) occurrences of each type and documents that hold it: exact, or the sketch's estimates."""
        if self.sketch is None:
            return self.count, self.documents
        cells = _cells(self.hash)
        sign = 1 - 2 * (cells & 1)
        rows = np.arange(ROWS)[:, None]
        occurrences, documents = (np.median(sign * table[rows, cells >> 1], axis=0) for table in self.sketch)
        return occurrences.astype(np.int64), documents.astype(np.int64)

    @property
    def error(self) -> float:
        """The standard error of a count: 0 while counts are exact. It is read off the sketch: most cells hold no
        frequent type, and show how far the others reach; the median of three has 0.67 of one cell's error."""
        return 0.0 if self.sketch is None else 0.67 * 1.4826 * float(np.median(np.abs(self.sketch[0])))

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a file."""
        tensors = {"names": packed_names(self.names), "key": torch.from_numpy(self.key.astype(np.int64))}
        if self.sketch is not None:
            return {**tensors, "sketch": narrow(self.sketch)}
        return {**tensors, "count": narrow(self.count), "documents": narrow(self.documents)}

    @classmethod
    def from_tensors(cls, capacity: int, tensors: Mapping[str, Tensor]) -> PhraseCounts:
        """What `tensors` gave."""
        names = unpacked_names(tensors["names"])
        rolled = np.zeros(0, dtype=np.uint64)
        for hashes in hashes_of(names.tolist()):
            rolled = roll(rolled, hashes) if len(rolled) else hashes
        key = wide(tensors["key"]).astype(np.uint64)
        sketch = wide(tensors["sketch"]) if "sketch" in tensors else None
        count, documents = (wide(tensors[name]) if sketch is None else _NONE for name in ("count", "documents"))
        return cls(capacity, rolled >> _SPARE, key, names, count, documents, sketch)


class PhraseCounter:
    """Counts phrases batch by batch; they are named at the end, when it is known which."""

    def __init__(self, capacity: int) -> None:
        none = np.zeros(0, dtype=np.uint64)
        self.counts = PhraseCounts.of(capacity, none, none, none, _NONE)
        self.hash: list[Hashes] = []
        self.key: list[Hashes] = []
        self.place: list[Integers] = []

    def add(self, hashes: Hashes, document: Hashes, key: Hashes, place: Integers) -> None:
        """Counts T phrases of a batch of whole documents: arguments as those of `PhraseCounts.of`."""
        self.hash.append(hashes >> _SPARE)
        self.key.append((hashes ^ key) >> _SPARE)
        self.place.append(place)
        if self.counts.sketch is None:
            part = PhraseCounts.of(self.counts.capacity, hashes, document, key, place)
            self.counts = PhraseCounts.merge([self.counts, part])
        else:
            packed = np.sort(hashes >> _SPARE << _SPARE | document)
            self.counts.sketch[0] += _sketch(self.hash[-1])
            self.counts.sketch[1] += _sketch(packed[runs(packed)] >> _SPARE)

    def finish(self) -> PhraseCounts:
        """The counts, with places for names."""
        if self.counts.sketch is None:
            return self.counts
        capacity = self.counts.capacity
        hashes, key, place = np.concatenate(self.hash), np.concatenate(self.key), np.concatenate(self.place)
        size = 2 * capacity
        while True:  # until enough of the smallest keys are looked at to hold `capacity` types
            limit = np.partition(key, size)[size] if size < len(key) else key.max()
            at = np.flatnonzero(key <= limit)
            at = at[np.lexsort((key[at], hashes[at]))]
            at = at[runs(hashes[at])]
            if len(at) >= capacity or size >= len(key):
                break
            size *= 2
        at = at[np.sort(np.lexsort((hashes[at], key[at]))[:capacity])]
        return replace(self.counts, hash=hashes[at], key=key[at], names=place[at])
