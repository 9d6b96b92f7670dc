"""A random sample of human windows, each with its own accumulators: what floors are measured on.

Which windows are kept depends only on their keys, hashes of their content: the `SAMPLE` smallest of all. Keys of a
union are the union of keys, so the sample of merged counts is the sample of one count, in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dft_plugin.written import Integers, Written, expand

SAMPLE = 1024
REPEATED = (0.01, 0.1)
"""Shares of windows that occur more than once from which on that is a note, a problem."""


@dataclass(frozen=True)
class Rows:
    """K sparse rows of `size` numbers.

    Attributes:
        offset: (K + 1,) where each row's entries begin.
        index: (nonzero,) column of each entry.
        value: (nonzero,) float64.
        size: number of columns.
    """

    offset: Integers
    index: Integers
    value: npt.NDArray[np.float64]
    size: int

    def __len__(self) -> int:
        return len(self.offset) - 1

    @classmethod
    def of(cls, dense: npt.NDArray[np.float64]) -> Rows:
        """The nonzero entries of (K, size)."""
        rows, size = dense.shape
        cell = np.flatnonzero(dense.ravel() != 0)
        offset = np.searchsorted(cell, np.arange(rows + 1) * size)
        return cls(offset, cell % max(1, size), dense.ravel()[cell], size)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Rows one below the other."""
        lengths = np.concatenate([np.diff(part.offset) for part in parts])
        offset = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        index = np.concatenate([part.index for part in parts])
        return cls(offset, index, np.concatenate([part.value for part in parts]), parts[0].size)

    def columns(self, part: slice) -> Rows:
        """Some columns of every row."""
        used = (self.index >= part.start) & (self.index < part.stop)
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(used)])
        return Rows(before[self.offset], self.index[used] - part.start, self.value[used], part.stop - part.start)

    def take(self, rows: Integers) -> Rows:
        """The rows of these numbers."""
        start, stop = self.offset[rows], self.offset[rows + 1]
        entry = expand(start, stop)
        offset = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stop - start)])
        return Rows(offset, self.index[entry], self.value[entry], self.size)

    def summed(self, group: Integers, groups: int) -> npt.NDArray[np.float64]:
        """(groups, size): the sums of the rows of each group; group: (K,), -1 leaves a row out."""
        of = np.repeat(group, np.diff(self.offset))
        used = of >= 0
        cell = of[used] * self.size + self.index[used]
        total = np.bincount(cell, weights=self.value[used], minlength=groups * self.size).astype(np.float64)
        return total.reshape(groups, self.size)


LARGEST = np.iinfo(np.int64).max


def limit_of(keys: Integers) -> int:
    """The greatest key that can still join a sample with these keys."""
    return int(keys[-1]) if len(keys) == SAMPLE else int(LARGEST)


def smallest(keys: Integers) -> Integers:
    """The places of the `SAMPLE` smallest keys, in ascending order of the keys."""
    return np.argsort(keys, kind="stable")[:SAMPLE]


@dataclass(frozen=True)
class Drawn:
    """Windows that a count has drawn and not yet counted by themselves: most make way for smaller keys.

    Attributes:
        keys: (K,) in ascending order, 0 <= key < 2^63.
        windows: K.
    """

    keys: Integers
    windows: Written

    @classmethod
    def of(cls, keys: Integers, windows: Written) -> Drawn:
        """The smallest of some windows."""
        kept = smallest(keys)
        return cls(keys[kept], windows.select(kept).compact())

    def __len__(self) -> int:
        return len(self.keys)

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn.of(np.concatenate([self.keys, other.keys]), Written.joined([self.windows, other.windows]))


@dataclass(frozen=True)
class WindowSample:
    """The accumulators of K windows.

    Attributes:
        keys: (K,) in ascending order, 0 <= key < 2^63.
        rows: statistic -> K rows of its accumulators.
    """

    keys: Integers
    rows: Mapping[str, Rows]

    def __len__(self) -> int:
        return len(self.keys)

    def __add__(self, other: WindowSample) -> WindowSample:
        keys = np.concatenate([self.keys, other.keys])
        kept = smallest(keys)
        rows = {name: Rows.joined([own, other.rows[name]]).take(kept) for name, own in self.rows.items()}
        return WindowSample(keys[kept], rows)


def repeated(keys: Integers) -> float:
    """The share of windows whose content is in a sample more than once."""
    _, counts = np.unique(keys, return_counts=True)
    return float(counts[counts > 1].sum() / max(1, len(keys)))
