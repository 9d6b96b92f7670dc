"""How surely and how much one side uses something more often than the other."""

from __future__ import annotations

import numpy as np

from dft_plugin.evaluation.pool import Floats, Ints


def log_likelihood_ratio(first: Ints, first_total: int, second: Ints, second_total: int) -> Floats:
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


def _term(observed: Ints, expected: Floats) -> Floats:
    positive = (observed > 0) & (expected > 0)
    ratio = np.divide(observed, expected, out=np.ones(len(observed)), where=positive)
    found: Floats = observed * np.log(ratio)
    return found


def smoothed_ratio(first: Ints, first_total: int, second: Ints, second_total: int) -> Floats:
    """((first + 1/2) / first_total) / ((second + 1/2) / second_total): finite where a side has none."""
    ratio: Floats = ((first + 0.5) / max(1, first_total)) / ((second + 0.5) / max(1, second_total))
    return ratio
