"""Vocabulary and repetition: distinct-n, MATTR, Zipf and Heaps exponents, rep-n and diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dft_plugin.evaluation.pool import Floats, Ints, Pool, View
from dft_plugin.evaluation.specification import Figures, Specification

WINDOW = 50
"""Words of a MATTR window; where texts are cut to fewer, two thirds of those."""
ZIPF_RANKS = (10, 1000)
LEAST_TYPES = 50
"""Fewer word types above the first ten give no slope worth the name."""


def expected_types(counts: Ints, size: float) -> float:
    """Expected number of types in a random part of a sample.

    Each item is kept with probability r = size / N, N = sum of counts (r at most 1), so that

        E V = sum over types i of 1 - (1 - r)^counts_i

    This is binomial interpolation of the vocabulary growth curve (Baayen, Word Frequency Distributions, 2001,
    section 2.5); at size N it is the number of types. It makes samples of different sizes comparable.
    """
    of_count = np.bincount(counts)  # how many types occur c times
    occurs = np.flatnonzero(of_count)[1:] if len(of_count) and of_count[0] else np.flatnonzero(of_count)
    total = float((of_count * np.arange(len(of_count))).sum())
    if total == 0:
        return 0.0
    kept = min(1.0, size / total)
    return float((of_count[occurs] * (1 - (1 - kept) ** occurs)).sum())


def distinct(counts: Ints, size: float) -> float:
    """distinct-n (Li et al. 2016): different n-grams over n-grams, among `size` drawn from the sample."""
    drawn = min(size, float(counts.sum()))
    return expected_types(counts, size) / drawn if drawn else math.nan


def zipf_exponent(counts: Ints) -> float:
    """a in frequency ~ rank^-a: least squares of log count on log rank over ranks 10 to 1000, at most all."""
    first, last = ZIPF_RANKS
    ordered = np.sort(counts[counts > 0])[::-1][:last]
    if len(ordered) < first + LEAST_TYPES:
        return math.nan
    ranks = np.arange(first, len(ordered) + 1)
    return -float(np.polyfit(np.log(ranks), np.log(ordered[first - 1 :]), 1)[0])


def heaps_exponent(counts: Ints, size: float) -> float:
    """b in types ~ words^b: least squares over 8 sizes from size / 32 to `size` on the expected growth curve."""
    if counts.sum() < 2 * WINDOW:
        return math.nan
    sizes = np.geomspace(size / 32, size, 8)
    grown = [expected_types(counts, part) for part in sizes]
    return float(np.polyfit(np.log(sizes), np.log(grown), 1)[0])


def moving_type_token_ratio(items: Ints, start: Ints, window: int) -> Floats:
    """(T, 2): for each text the sum, over its windows of so many items, of types over items; and its windows.

    MATTR (Covington & McFall 2010) is the ratio of the two columns' sums. Counted in closed form: an item is a new
    type in the windows that hold it but not its previous occurrence.
    """
    texts = len(start) - 1
    owner = np.repeat(np.arange(texts), np.diff(start))
    code = owner * (int(items.max(initial=0)) + 1) + items
    order = np.argsort(code, kind="stable")
    previous = np.full(len(items), -1)
    same = code[order[1:]] == code[order[:-1]]
    previous[order[1:][same]] = order[:-1][same]
    position = np.arange(len(items))
    lowest = np.maximum(np.maximum(previous + 1, position - window + 1), start[owner])
    highest = np.minimum(position, start[owner + 1] - window)
    windows_with = np.maximum(0, highest - lowest + 1)
    types = np.bincount(owner, windows_with, minlength=texts) / window
    return np.stack([types, np.maximum(0, np.diff(start) - window + 1)], axis=1).astype(np.float64)


def vocabulary(pool: Pool, sizes: Mapping[int, int]) -> Figures:
    """distinct-1 to -3, MATTR, Zipf and Heaps exponents.

    Args:
        pool: the texts.
        sizes: n -> number of n-grams at which samples are compared.
    """
    window = WINDOW if pool.limit >= WINDOW else max(1, 2 * pool.limit // 3)
    ratios = moving_type_token_ratio(pool.items, pool.start, window)

    def compute(view: View) -> dict[str, float]:
        found = {f"distinct-{n}": distinct(view.counts(n), sizes[n]) for n in (1, 2, 3)}
        types, windows = view.total(ratios)
        return {
            **found,
            "mattr": float(types / windows) if windows else math.nan,
            "zipf": zipf_exponent(view.counts(1)),
            "heaps": heaps_exponent(view.counts(1), sizes[1]),
        }

    specifications = {
        f"distinct-{n}": Specification(
            "vocabulary",
            f"distinct-{n}",
            f"different {'words' if n == 1 else f'{n}-word phrases'} over all of them",
            basis=f"{sizes[n]:,} n-grams",
        )
        for n in (1, 2, 3)
    }
    specifications["mattr"] = Specification(
        "vocabulary", f"MATTR, {window} words", f"different words over words, in a moving window of {window} words"
    )
    specifications["zipf"] = Specification(
        "vocabulary", "Zipf exponent", "how fast word frequency falls with rank, ranks 10 to 1,000"
    )
    specifications["heaps"] = Specification(
        "vocabulary",
        "Heaps exponent",
        "how fast the vocabulary grows with the number of words",
        basis=f"{sizes[1]:,} words",
    )
    return Figures(specifications, compute, sized=True)


def repetition(pool: Pool) -> Figures:
    """rep-1 to rep-4 and n-gram diversity.

    rep-n = 1 - different n-grams / n-grams, both counted within each text (Welleck et al. 2020) and summed over
    texts; diversity = (1 - rep-2)(1 - rep-3)(1 - rep-4) (Su et al. 2022).
    """
    lengths = (1, 2, 3, 4)
    total = np.stack([np.maximum(0, pool.words - n + 1) for n in lengths], axis=1)
    different = np.stack([np.diff(pool.grams(n).start) for n in lengths], axis=1)

    def compute(view: View) -> dict[str, float]:
        with np.errstate(invalid="ignore"):
            rates = 1 - view.total(different) / view.total(total)
        found = {f"rep-{n}": float(rate) for n, rate in zip(lengths, rates, strict=True)}
        return {**found, "diversity": float(np.prod(1 - rates[1:]))}

    specifications = {
        f"rep-{n}": Specification(
            "repetition",
            f"rep-{n}",
            f"share of {'words' if n == 1 else f'{n}-word phrases'} that stood in the same text before",
        )
        for n in lengths
    }
    specifications["diversity"] = Specification(
        "repetition", "n-gram diversity", "(1 - rep-2)(1 - rep-3)(1 - rep-4): 1 when no text repeats a phrase"
    )
    return Figures(specifications, compute)
