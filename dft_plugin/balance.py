"""How much of the term's gradient each statistic gets, for `weight: auto`.

The gradient of sum_k w_k log(1 + distance_k / floor_k) is no fair sum: a rate of rare events (an opening repeated, a
4-gram repeated) has a gradient ten times that of the token frequencies, most of it noise. So each statistic's
gradient is divided by its norm, measured at the hidden states that the head reads, and multiplied by its strength,
the share of its distance that lies above the human floor, a mean over its components c:

    strength_k = mean_c max(0, 1 - floor_kc / distance_kc)    1 far from human text, 0 where it cannot be told apart
    D'_k       <- w_k strength_k mean_j ||g_j|| / ||g_k|| D'_k,   g_k = d surrogate_k / d hidden states

(Chen et al. 2018, GradNorm, takes norms at the last shared layer for the same reason.) A statistic without a gradient
is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import Distances, Floors, Matched, floor_ratios


def strengths(matched: Sequence[Matched], distances: Distances, floors: Floors) -> dict[str, float]:
    """statistic -> mean over its components of max(0, 1 - 1 / floor ratio); between 0 and 1.

    Of strengths, not the strength of a mean ratio: a mark that people hardly ever set stays 50 floors away, and would
    hold the statistic at full strength when all other marks are where people's are.
    """
    found = {}
    for entry in matched:
        ratios = floor_ratios(distances.raw[entry.name], floors[entry.name]).values()
        found[entry.name] = fmean(1 - 1 / max(1.0, ratio) for ratio in ratios)
    return found


def mean_strength(matched: Sequence[Matched], strength: Mapping[str, float]) -> float:
    """sum_k w_k strength_k / sum_k w_k: how far from human the texts are on the whole, 0 to 1."""
    return sum(entry.weight * strength[entry.name] for entry in matched) / sum(entry.weight for entry in matched)


def factors(
    matched: Sequence[Matched],
    accumulation: Accumulation,
    strength: Mapping[str, float],
    squared_norms: Tensor,
) -> Tensor:
    """(A,) float64: what each accumulator's derivative is multiplied by.

    Args:
        matched: K statistics; the derivative they belong to holds their weights already.
        accumulation: where their accumulators stand.
        strength: statistic -> its strength.
        squared_norms: (K,) squared norm of each statistic's gradient, weight included, over all processes.
    """
    norms = squared_norms.double().sqrt()
    acting = norms > 0
    mean = norms[acting].mean() if bool(acting.any()) else norms.new_zeros(())
    factor = torch.zeros(accumulation.size, dtype=torch.float64, device=norms.device)
    for number, entry in enumerate(matched):
        if acting[number]:
            part = accumulation.part(entry.statistic)
            factor[part] = entry.weight * strength[entry.name] * mean / norms[number]
    return factor
