"""Words that no training text has: misspellings, fragments and other garbage, and new names, which people use too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"[^\W\d_]+")
RESAMPLES = 200


def words_of(text: str) -> list[str]:
    """Runs of letters, in lower case."""
    return WORD.findall(text.lower())


def lexicon(texts: Iterable[str]) -> frozenset[str]:
    """Every word of the texts."""
    return frozenset(word for text in texts for word in words_of(text))


def counted(texts: Sequence[str], known: frozenset[str], limit: int) -> npt.NDArray[np.float64]:
    """(T, 2): of each text's first `limit` words, those not known and all."""
    rows = [[word not in known for word in words_of(text)[:limit]] for text in texts]
    return np.array([[sum(row), len(row)] for row in rows], dtype=np.float64).reshape(-1, 2)


def share(rows: npt.NDArray[np.float64]) -> float:
    """Percent of all words that are not known; NaN where there is none."""
    unknown, words = rows.sum(0)
    return float(100 * unknown / words) if words else float("nan")


def measured(own: npt.NDArray[np.float64], human: npt.NDArray[np.float64], seed: int = 0) -> dict[str, Any]:
    """The share, in the form of the other measures.

    Args:
        own: (T, 2) of the measured texts, from `counted`.
        human: (H, 2) of human texts.
        seed: of the resamples behind the 95 % interval (texts drawn with replacement) and the floor: the mean
            difference of two human samples without a text in common, of as many texts as are measured or half of the
            human ones.
    """
    draw = np.random.default_rng(seed)
    drawn = [share(own[draw.integers(len(own), size=len(own))]) for _ in range(RESAMPLES)]
    size = min(len(own), len(human) // 2)
    orders = [draw.permutation(len(human)) for _ in range(RESAMPLES)]
    floor = np.mean([abs(share(human[one[:size]]) - share(human[one[size : 2 * size]])) for one in orders])
    gap = abs(share(own) - share(human))
    return {
        "label": "words no training text has",
        "value": share(own),
        "human": share(human),
        "interval": np.nanpercentile(drawn, [2.5, 97.5]).tolist(),
        "gap": gap,
        "floor": float(floor),
        **({"floor_ratio": float(gap / floor)} if floor else {}),
    }
