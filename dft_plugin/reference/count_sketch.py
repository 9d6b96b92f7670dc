"""A count sketch: counts of any number of types in a table of fixed size (Charikar, Chen & Farach-Colton 2002).

Each type adds its count, with a random sign, to one cell in each of three rows; the median of its three cells is an
unbiased estimate. Sketches are sums, so those of parts add up to that of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dft_plugin.reference.arrays import Hashes, Integers
from dft_plugin.written import Booleans

ROWS, CELL_BITS = 3, 17
HASH_BITS = ROWS * CELL_BITS  # of each row's bits the first is the sign, the others are the cell
WIDTH = 1 << (CELL_BITS - 1)
MEDIAN_OF_THREE = 0.67
"""The standard error of the median of three normal variables, in theirs."""


def add_counts(cells: Integers, hashes: Hashes, weights: Integers | int = 1) -> Integers:
    """Adds counts of types to (ROWS, 2 WIDTH) cells: one half counts up, the other down."""
    for row in range(ROWS):
        at = (hashes >> np.uint64(row * CELL_BITS)) & np.uint64(2 * WIDTH - 1)
        np.add.at(cells[row], at.view(np.int64), weights)
    return cells


def signed(cells: Integers, width: int = WIDTH) -> Integers:
    """(ROWS, width): what counts up less what counts down."""
    difference = cells[:, :WIDTH] - cells[:, WIDTH:]
    return difference.reshape(ROWS, -1, width).sum(1)


def no_cells() -> Integers:
    return np.zeros((ROWS, 2 * WIDTH), dtype=np.int64)


@dataclass(frozen=True)
class Decoded:
    """What a sketch says of named types and of others.

    Attributes:
        hash: (T,) ascending, of the named types.
        count: (T,) estimates of their counts.
        least: (T,) the smallest of the three cells that each estimate is the median of.
        left: the sketch without those of them that are sure.
        error: the standard error of a count.
    """

    hash: Hashes
    count: Integers
    least: Integers
    left: Integers
    error: float

    @classmethod
    def of(cls, sketch: Integers, hashes: Hashes) -> Decoded:
        """Decodes a sketch.

        What is sure is taken out, so that named types do not disturb each other (iterative hard thresholding);
        what is left, of types without a name, is the error.
        """
        count, left, error = np.zeros(len(hashes), dtype=np.int64), sketch, 0.0
        for _ in range(6):
            error = MEDIAN_OF_THREE * float(np.sqrt(np.median((left.astype(np.float64) ** 2).mean(1))))
            estimate = count + _median(_cells(left, hashes))
            count = np.where(estimate > 4 * error, estimate, 0)
            left = sketch - signed(add_counts(no_cells(), hashes, count), sketch.shape[1])
        cells = _cells(left, hashes)
        return cls(hashes, count + _median(cells), count + cells.min(axis=0), left, error)

    @property
    def agreed(self) -> Booleans:
        """(T,) whether all cells say about the same: none less than half of the median.

        Collisions are not normal but heavy-tailed: a frequent type without a name adds all of its count. Two such in
        the cells of a rare type make a median far beyond any standard error, and leave the third cell small.
        """
        return 2 * self.least >= self.count

    def find(self, hashes: Hashes) -> Integers:
        """Estimates of the counts of any types, named or not."""
        at = np.minimum(np.searchsorted(self.hash, hashes), len(self.hash) - 1)
        return np.where(self.hash[at] == hashes, self.count[at], _median(_cells(self.left, hashes)))


def _cells(sketch: Integers, hashes: Hashes) -> Integers:
    """(ROWS, T) what each type's cells say of its count."""
    rows = np.arange(ROWS, dtype=np.uint64)[:, None]
    bits = (hashes >> rows * np.uint64(CELL_BITS)).astype(np.int64)
    sign = 1 - 2 * ((bits >> (CELL_BITS - 1)) & 1)
    cells = sketch[np.arange(ROWS)[:, None], bits & (sketch.shape[1] - 1)]
    return sign * cells


def _median(cells: Integers) -> Integers:
    return np.rint(np.median(cells, axis=0)).astype(np.int64)
