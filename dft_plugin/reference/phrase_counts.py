"""Counts of phrases in bounded memory: exact while there are few, then a count sketch, whatever the order.

Up to `capacity` types, each has its exact count. Beyond, counts are in a `count_sketch`. Names are kept of the
`capacity` types with the smallest keys, where

    key(g) = min over the documents d that hold g of  hash(g) XOR hash(d),

the smallest of as many uniform numbers as documents hold g: a type in D of P pairs of type and document is named
with probability about 1 - exp(-capacity D / P). A minimum, too, is the same however parts are put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from torch import Tensor

from dft_plugin.reference.arrays import (
    Hashes,
    Integers,
    Names,
    begins_run,
    packed,
    packed_names,
    runs,
    smallest,
    sums,
    unpacked,
    unpacked_names,
)
from dft_plugin.reference.count_sketch import HASH_BITS, ROWS, WIDTH, Decoded, add_counts, no_cells, signed
from dft_plugin.reference.word_scan import hashes_of

DOCUMENT_WIDTH = WIDTH // 2
"""Cells of the sketch of documents."""
_SPARE = np.uint64(64 - HASH_BITS)
_NONE = np.zeros(0, dtype=np.int64)
_ROLL = np.uint64(0x9E3779B97F4A7C15)


def roll(phrase: Hashes, word: Hashes) -> Hashes:
    """The hash of a phrase and one word more."""
    return phrase * _ROLL + word


def _hashes_of(names: Sequence[str]) -> Hashes:
    """The hashes of phrases of as many words each."""
    return reduce(roll, hashes_of(names), np.zeros(len(names), dtype=np.uint64)) >> _SPARE


@dataclass(frozen=True)
class PhraseCounts:
    """Counts of T named types.

    Attributes:
        capacity: most types that are named.
        hash: (T,) ascending, HASH_BITS bits.
        key: (T,) HASH_BITS bits.
        names: (T,) strings, or where they can be found.
        count, documents: (T,) occurrences, and documents that hold the type, while there is no sketch.
        sketches: of occurrences and of documents, when there were more than `capacity` types.
    """

    capacity: int
    hash: Hashes
    key: Hashes
    names: Names
    count: Integers
    documents: Integers
    sketches: tuple[Integers, Integers] | None = None

    @property
    def limit(self) -> int | None:
        """The greatest key that a type may have to be named in a whole that these counts are a part of."""
        return int(self.key.max()) if self.sketches and len(self.key) == self.capacity else None

    @classmethod
    def merge(cls, parts: Sequence[PhraseCounts]) -> PhraseCounts:
        """The counts of all documents of all parts."""
        capacity = parts[0].capacity
        hashes, key, names = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("hash", "key", "names")
        )
        if limits := [part.limit for part in parts if part.limit is not None]:
            kept = np.flatnonzero(key <= np.uint64(min(limits)))
            hashes, key, names = hashes[kept], key[kept], names[kept]
        order = np.argsort(hashes)
        start = runs(hashes[order])
        hashes, names, key = hashes[order[start]], names[order[start]], smallest(key[order], start)
        if len(hashes) <= capacity and not any(part.sketches for part in parts):
            count, documents = (
                sums(np.concatenate([getattr(part, name) for part in parts])[order], start)
                for name in ("count", "documents")
            )
            return cls(capacity, hashes, key, names, count, documents)
        named = np.sort(np.lexsort((hashes, key))[:capacity])
        sketches = [part._sketched() for part in parts]
        one, other = (np.sum(tables, axis=0) for tables in zip(*sketches, strict=True))
        return cls(capacity, hashes[named], key[named], names[named], _NONE, _NONE, (one, other))

    def _sketched(self) -> tuple[Integers, Integers]:
        return self.sketches or (
            signed(add_counts(no_cells(), self.hash, self.count)),
            signed(add_counts(no_cells(), self.hash, self.documents), DOCUMENT_WIDTH),
        )

    @cached_property
    def decoded(self) -> tuple[Decoded, Decoded]:
        """Occurrences and documents: exact, or the sketches' estimates."""
        if self.sketches is None:
            none = np.zeros((ROWS, 1), dtype=np.int64)
            one, other = (Decoded(self.hash, exact, exact, none, 0.0) for exact in (self.count, self.documents))
            return one, other
        one, other = (Decoded.of(sketch, self.hash) for sketch in self.sketches)
        return one, other

    def totals(self) -> tuple[Integers, Integers, float]:
        """(T,) occurrences of each type, (T,) documents that hold it, and the occurrences' standard error; occurrences
        are 0 where the cells of an estimate do not agree."""
        occurrences, documents = self.decoded
        return np.where(occurrences.agreed, occurrences.count, 0), documents.count, occurrences.error

    def find(self, names: Sequence[str]) -> tuple[Integers, float]:
        """Occurrences of any types, named or not, none below 0; and their standard error."""
        occurrences = self.decoded[0]
        if not names or not len(self.hash):
            return np.zeros(len(names), dtype=np.int64), occurrences.error
        return np.maximum(occurrences.find(_hashes_of(names)), 0), occurrences.error

    def tensors(self) -> dict[str, Tensor]:
        """All of it, for a file."""
        tensors = {"names": packed_names(self.names), "key": torch.from_numpy(self.key.astype(np.int64))}
        if self.sketches is None:
            return {**tensors, "count": packed(self.count), "documents": packed(self.documents)}
        one, other = self.sketches
        return {**tensors, "occurrence_sketch": packed(one), "document_sketch": packed(other)}

    @classmethod
    def from_tensors(cls, capacity: int, tensors: Mapping[str, Tensor]) -> PhraseCounts:
        """What `tensors` gave."""
        names = unpacked_names(tensors["names"])
        own = _hashes_of(names.tolist()), tensors["key"].numpy().astype(np.uint64), names
        if "count" in tensors:
            return cls(capacity, *own, unpacked(tensors["count"]), unpacked(tensors["documents"]))
        one, other = (unpacked(tensors[f"{name}_sketch"]).reshape(ROWS, -1) for name in ("occurrence", "document"))
        return cls(capacity, *own, _NONE, _NONE, (one, other))


class PhraseCounter:
    """Counts phrases batch by batch; which are named is known at the end only.

    Args:
        capacity: most types that are named.
        limit: names no types with a greater key, where that of other counts these will be added to is known.
    """

    def __init__(self, capacity: int, limit: int | None = None) -> None:
        self.capacity, self.limit = capacity, limit
        self.first, self.again = no_cells(), no_cells()  # occurrences, by whether they are a document's first
        none = np.zeros(0, dtype=np.uint64)
        self.hash, self.key, self.place = [none], [none], [_NONE]  # of what may be named
        self.types = none if limit is None else None  # all there are, up to `capacity`
        self.pair = [none]  # the type of each pair of type and document, as long

    def add(self, hashes: Hashes, document: Hashes, key: Hashes, place: Integers) -> None:
        """Counts T phrases of a batch of whole documents.

        Args:
            hashes: (T,) 64 bits, of which the first HASH_BITS tell phrases apart.
            document: (T,) number of the document in its batch, below 2^(64 - HASH_BITS).
            key: (T,) 64 bits, the document's.
            place: (T,) where the phrase stands.
        """
        tagged = np.sort(hashes >> _SPARE << _SPARE | document)
        new = begins_run(tagged)
        tagged >>= _SPARE
        pair = tagged[new]
        add_counts(self.first, pair)
        add_counts(self.again, tagged[~new])
        key, hashes = (hashes ^ key) >> _SPARE, hashes >> _SPARE
        if self.types is not None:
            self.pair.append(pair)
            self.types = np.unique(np.concatenate([self.types, pair]))
            if len(self.types) > self.capacity:
                self.types = None
        if self.limit is not None:
            kept = np.flatnonzero(key <= np.uint64(self.limit))
            key, hashes, place = key[kept], hashes[kept], place[kept]
        self.hash.append(hashes)
        self.key.append(key)
        self.place.append(place)

    def finish(self) -> PhraseCounts:
        """The counts, with places for names."""
        hashes, key, place = np.concatenate(self.hash), np.concatenate(self.key), np.concatenate(self.place)
        if self.types is not None:
            at = _first(hashes, key, np.arange(len(hashes)))
            count, documents = (
                np.bincount(np.searchsorted(self.types, of), minlength=len(at))
                for of in (hashes, np.concatenate(self.pair))
            )
            return PhraseCounts(self.capacity, hashes[at], key[at], place[at], count, documents)
        at = self._named(hashes, key)
        sketches = signed(self.first + self.again), signed(self.first, DOCUMENT_WIDTH)
        return PhraseCounts(self.capacity, hashes[at], key[at], place[at], _NONE, _NONE, sketches)

    def _named(self, hashes: Hashes, key: Hashes) -> Integers:
        """Indexes of the `capacity` types with the smallest keys, by hash."""
        size = self.capacity if self.limit is None else len(key)
        while True:  # until enough of the smallest keys are looked at to hold `capacity` types
            size = min(2 * size, len(key))
            near = key <= np.partition(key, size - 1)[size - 1] if size < len(key) else np.ones(size, dtype=bool)
            at = _first(hashes, key, np.flatnonzero(near))
            if len(at) >= self.capacity or size == len(key):
                return at[np.sort(np.lexsort((hashes[at], key[at]))[: self.capacity])]


def _first(hashes: Hashes, key: Hashes, at: Integers) -> Integers:
    """Of each type at these indexes, the index with the smallest key; by hash."""
    at = at[np.lexsort((key[at], hashes[at]))]
    return at[runs(hashes[at])]
