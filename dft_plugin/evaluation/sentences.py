"""Sentences: the law of their length, and how they open."""

from __future__ import annotations

import math

import numpy as np
import torch

from dft_plugin.distances import jensen_shannon, wasserstein
from dft_plugin.evaluation.intervals import interval_rows, law, starts_afresh
from dft_plugin.evaluation.pool import Floats, Ints, Pool, View
from dft_plugin.evaluation.specification import Distances, Figures, Specification

LONGEST = 128
"""Words of the longest sentence told apart."""


def mean_and_variance(length_law: Floats) -> tuple[float, float]:
    """Of a law over 1 to S words, what is longer counted as S."""
    lengths = np.arange(1, len(length_law) + 1)
    mean = float(length_law @ lengths)
    return mean, float(length_law @ (lengths - mean) ** 2)


def lengths(pool: Pool) -> tuple[Figures, Distances]:
    """Mean, variance and Wasserstein distance of words per sentence."""
    # Nothing is seen beyond the limit: what is longer counts as one word more than that.
    rows = interval_rows(pool, "sentence_end", min(LONGEST, pool.limit))

    def figures(view: View) -> dict[str, float]:
        summed = view.total(rows)
        if not summed[0].any():
            return {"sentence length, mean": math.nan, "sentence length, variance": math.nan}
        mean, variance = mean_and_variance(law(summed))
        return {"sentence length, mean": mean, "sentence length, variance": variance}

    def distance(view: View, human: View) -> dict[str, float]:
        sums = [view.total(rows), human.total(rows)]
        if not all(summed[0].any() for summed in sums):
            return {"sentence length": math.nan}
        p, q = (torch.from_numpy(law(summed)) for summed in sums)
        return {"sentence length": float(wasserstein(p, q))}

    group, unit = "sentences", "words"
    named = {
        "sentence length, mean": Specification(group, "sentence length, mean", "words per sentence", unit=unit),
        "sentence length, variance": Specification(
            group, "sentence length, variance", "variance of words per sentence", unit="words²"
        ),
    }
    law_distance = Specification(
        group,
        "sentence length, law",
        "Wasserstein distance of the laws of words per sentence (Kaplan-Meier: sentences cut off count)",
        "distance",
        unit,
        "lower",
    )
    return Figures(named, figures), Distances({"sentence length": law_distance}, distance)


def opening_words(pool: Pool) -> Ints:
    """Indexes into the pool's items of the words that open a sentence; not a text's first if it continues a
    sentence of its prompt."""
    openings = pool.scan.openings
    continues = np.array([not starts_afresh(text, "sentence_end") for text in pool.texts], dtype=bool)
    text = pool.scan.document[openings]
    return openings[~(continues[text] & (openings == pool.start[text]))]


def openings(pool: Pool) -> tuple[Figures, Distances]:
    """Sentences that open like the two before them, and the law of first words."""
    at = opening_words(pool)
    text, word = pool.scan.document[at], pool.items[at]
    rows = np.zeros((len(pool), 4))  # pairs, alike; threes, alike
    for column, back in ((0, 1), (2, 2)):
        same_text = text[back:] == text[: len(text) - back]
        alike = same_text.copy()
        for step in range(1, back + 1):
            alike &= word[back:] == word[back - step : len(word) - step]
        rows[:, column] = np.bincount(text[back:][same_text], minlength=len(pool))
        rows[:, column + 1] = np.bincount(text[back:][alike], minlength=len(pool))
    begins = np.searchsorted(text, np.arange(len(pool) + 1))
    kinds, opener = np.unique(word, return_inverse=True)

    def figures(view: View) -> dict[str, float]:
        pairs, pairs_alike, threes, threes_alike = view.total(rows)
        return {
            "openings, two alike": float(100 * pairs_alike / pairs) if pairs else math.nan,
            "openings, three alike": float(100 * threes_alike / threes) if threes else math.nan,
        }

    def counted(view: View) -> torch.Tensor:
        found = np.concatenate([opener[begins[i] : begins[i + 1]] for i in view.index] or [opener[:0]])
        return torch.from_numpy(np.bincount(found, minlength=len(kinds)).astype(np.float64))

    def distance(view: View, human: View) -> dict[str, float]:
        p, q = counted(view), counted(human)
        if not p.sum() or not q.sum():
            return {"openings": math.nan}
        return {"openings": float(jensen_shannon(p / p.sum(), q / q.sum()))}

    group, unit = "sentences", "per 100"
    named = {
        "openings, two alike": Specification(
            group, "two in a row open alike", "sentences with the first word of the one before", unit=unit
        ),
        "openings, three alike": Specification(
            group, "three in a row open alike", "sentences with the first word of the two before", unit=unit
        ),
    }
    law_distance = Specification(
        group, "opening words, law", "Jensen-Shannon divergence of sentences' first words", "distance", "nats", "lower"
    )
    return Figures(named, figures), Distances({"openings": law_distance}, distance)
