"""How long texts are."""

from __future__ import annotations

import numpy as np
import torch

from dft_plugin.distances import wasserstein
from dft_plugin.evaluation.pool import Ints, Pool, View
from dft_plugin.evaluation.specification import Distances, Figures, Specification


def empirical_wasserstein(first: Ints, second: Ints) -> float:
    """Wasserstein-1 distance of two samples of whole numbers."""
    places, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    if len(places) < 2:
        return 0.0
    laws = [
        torch.from_numpy(np.bincount(part, minlength=len(places)) / len(part))
        for part in (index[: len(first)], index[len(first) :])
    ]
    return float(wasserstein(laws[0], laws[1], torch.from_numpy(places)))


def text_length(pool: Pool) -> tuple[Figures, Distances]:
    """Mean words per text and the Wasserstein distance of their law: of whole texts, however long."""

    def figures(view: View) -> dict[str, float]:
        return {"text length, mean": float(pool.length[view.index].mean())}

    def distance(view: View, human: View) -> dict[str, float]:
        return {"text length": empirical_wasserstein(pool.length[view.index], pool.length[human.index])}

    mean = Specification("text", "text length, mean", "words per text", unit="words")
    law = Specification(
        "text", "text length, law", "Wasserstein distance of words per text", "distance", "words", "lower"
    )
    return Figures({"text length, mean": mean}, figures), Distances({"text length": law}, distance)
