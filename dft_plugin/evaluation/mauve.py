"""MAUVE, by the package mauve-text where the user has installed it (GPL: never a dependency)."""

from __future__ import annotations

import numpy as np

from dft_plugin.evaluation.features import Vectors
from dft_plugin.evaluation.pool import Ints
from dft_plugin.evaluation.resampling import Replicates, splits
from dft_plugin.evaluation.texts import TextsError

SPLITS = 5


def mauve_of(first: Vectors, second: Vectors, seed: int) -> float:
    """MAUVE of two samples of vectors: 1 for equal distributions, towards 0 the farther they are apart.

    Source: Pillutla et al., MAUVE, NeurIPS 2021, on the vectors given here instead of GPT-2's.

    Raises:
        TextsError: when mauve-text is not installed.
    """
    try:
        import mauve  # type: ignore[import-untyped, import-not-found]
    except ImportError as error:
        raise TextsError("--mauve needs mauve-text (GPL): pip install mauve-text") from error
    found = mauve.compute_mauve(p_features=first, q_features=second, seed=seed, verbose=False)
    return float(found.mauve)


def mauve_replicates(vectors: Vectors, measured: Ints, human: Ints, seed: int) -> Replicates:
    """1 - MAUVE of a few resamples against their human samples: a distance."""
    drawn = splits(measured, human, SPLITS, seed)
    pairs = [
        [1 - mauve_of(vectors[side], vectors[split.human], seed) for side in (split.texts, split.stand_in)]
        for split in drawn
    ]
    texts, stand_in = np.array(pairs).T
    return Replicates(texts, stand_in)
