"""Punctuation: how often each mark occurs, and the rhythm it comes in."""

from __future__ import annotations

import math

import numpy as np
import torch

from dft_plugin.distances import wasserstein
from dft_plugin.evaluation.intervals import interval_rows, law
from dft_plugin.evaluation.pool import Pool, View
from dft_plugin.evaluation.specification import Distances, Figures, Specification
from dft_plugin.evaluation.words import marks
from dft_plugin.vocabulary import MARKS

LONGEST = 64
"""Words of the longest interval told apart, as in the statistic `punctuation_rhythm`."""
LABELS = {
    "comma": "commas",
    "dash": "dashes",
    "colon_semicolon": "colons, semicolons",
    "quote": "quotation marks",
    "question_exclamation": "question, exclamation marks",
    "ellipsis": "ellipses",
    "parenthesis": "parentheses",
    "newline": "line breaks",
}


def rates(pool: Pool) -> Figures:
    """Marks per 1,000 words."""
    counts = np.array([[len(marks(text, kind)) for kind in LABELS] for text in pool.clipped], dtype=np.float64)
    rows = np.column_stack([np.minimum(pool.length, pool.limit), counts])

    def compute(view: View) -> dict[str, float]:
        words, *found = view.total(rows)
        return {
            kind: float(1000 * count / words) if words else math.nan for kind, count in zip(LABELS, found, strict=True)
        }

    return Figures(
        {
            kind: Specification("punctuation", label, f"{label} per 1,000 words", unit="per 1,000 words")
            for kind, label in LABELS.items()
        },
        compute,
    )


def rhythm(pool: Pool) -> Distances:
    """Wasserstein distance of words between marks of a kind.

    The mean over the kinds, each weighed by how many such intervals the human sample has.
    """
    rows = np.stack([interval_rows(pool, kind, min(LONGEST, pool.limit)) for kind in MARKS], axis=1)

    def distance(view: View, human: View) -> dict[str, float]:
        own, other = view.total(rows), human.total(rows)
        weight = other[:, 0].sum(-1)
        # A kind that one side never uses is a law with all its mass beyond the longest interval.
        if not weight.any() or not own[:, 1].any():
            return {"punctuation rhythm": math.nan}
        gaps = wasserstein(torch.from_numpy(law(own)), torch.from_numpy(law(other))).numpy()
        return {"punctuation rhythm": float(gaps @ weight / weight.sum())}

    specification = Specification(
        "punctuation",
        "punctuation, rhythm",
        "Wasserstein distance of the laws of words between marks of the same kind, mean over kinds",
        "distance",
        "words",
        "lower",
    )
    return Distances({"punctuation rhythm": specification}, distance)
