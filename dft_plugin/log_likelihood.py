"""How surely and how much one side uses something more often than the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def log_likelihood_ratio(first: Integers, first_total: int, second: Integers, second_total: int) -> Floats:
    """G2 of each count against the other side's.

        G2 = 2 sum over the four cells of observed ln(observed / expected)

    with the cells (count, total - count) of each side and what is expected if the rates are equal. Under that
    hypothesis it is chi-squared with one degree of freedom.

    Source: Dunning, Accurate Methods for the Statistics of Surprise and Coincidence, Computational Linguistics 19,
    1993.
    """
    share = (first + second) / max(1, first_total + second_total)
    found = np.zeros(len(first))
    for count, total in ((first, first_total), (second, second_total)):
        found += _term(count, total * share) + _term(total - count, total * (1 - share))
    return 2 * found


def _term(observed: Integers, expected: Floats) -> Floats:
    positive = (observed > 0) & (expected > 0)
    ratio = np.divide(observed, expected, out=np.ones(len(expected)), where=positive)
    return np.asarray(observed * np.log(ratio), dtype=np.float64)


def smoothed_ratio(first: Integers, first_total: int, second: Integers, second_total: int) -> Floats:
    """The ratio of the two rates, finite where a side has none: one occurrence is added, split between the sides in
    proportion to their totals, so that 0 against 0 gives 1."""
    both = max(1, first_total + second_total)
    ratio: Floats = (first / max(1, first_total) + 1 / both) / (second / max(1, second_total) + 1 / both)
    return ratio
