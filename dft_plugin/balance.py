"""How much of the term's gradient each statistic gets, for `weight: auto`.

The gradient of sum_k w_k log(1 + distance_k / floor_k) is no fair sum: a rate of rare events (an opening repeated, a
4-gram repeated) has a gradient ten times that of the token frequencies, most of it noise. So each statistic's
gradient is divided by its norm and multiplied by its share, a mean over its components c of a function of how far
above the human floor they are:

    D'_k <- w_k share_k mean_j ||g_j|| / ||g_k|| D'_k,    share_k = mean_c share(distance_kc / floor_kc)

(Chen et al. 2018, GradNorm, takes norms at the last shared layer for the same reason.) The option `balance` says which
norm and which share: see `HIDDEN_STATES` and `PARAMETERS`. A component's share falls, and turns round, as its
distance is about to vanish (`outlook`). A statistic without a gradient is left out.

How far from human the texts are on the whole is the mean strength, with strength(ratio) = max(0, 1 - 1 / ratio): 1 far
from human text, 0 where it cannot be told apart. The whole gradient has `gradient_fraction` strength^`fade` of
cross-entropy's norm (`backward`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.gradient_size import of_linear_map
from dft_plugin.objective import Distances, Floors, Matched, floor_ratios
from dft_plugin.outlook import Outlook


@dataclass(frozen=True)
class Balance:
    """One way to bring the statistics' gradients to one size.

    Attributes:
        gathered: what is added up over micro-batches and processes, of the gradients (N, D) at hidden states (N, D).
        squared_norm: of that, stacked over K statistics, the squared norms (K,).
        share: of a floor ratio, the share of the gradient.
    """

    gathered: Callable[[Tensor, Tensor], Tensor]
    squared_norm: Callable[[Tensor], Tensor]
    share: Callable[[float], float]


def strength(ratio: float) -> float:
    """max(0, 1 - 1 / floor ratio): the share of a distance that lies above the human floor."""
    return 1 - 1 / max(1.0, ratio)


def log_ratio(ratio: float) -> float:
    """log max(1, floor ratio): how many e-folds a distance lies above the human floor."""
    return math.log(max(1.0, ratio))


HIDDEN_STATES = Balance(lambda gradient, hidden: gradient.double().square().sum(), lambda total: total, strength)
"""Norms at the hidden states that the head reads, times the strength."""

PARAMETERS = Balance(of_linear_map, lambda total: total.square().sum((1, 2)), log_ratio)
"""Norms as they are in the parameters (`gradient_size`), times the logarithm of the floor ratio."""

BALANCES: Mapping[str, Balance] = {"hidden_states": HIDDEN_STATES, "parameters": PARAMETERS}


Ratios = Mapping[str, Sequence[float]]
"""statistic -> the floor ratio of each of its components."""


def ratios_of(distances: Distances, floors: Floors) -> Ratios:
    """Read once a step: on a GPU each number is waited for."""
    return {name: list(floor_ratios(raw, floors[name]).values()) for name, raw in distances.raw.items()}


def over_components(share: Callable[[float], float], ratios: Ratios) -> dict[str, float]:
    """statistic -> mean over its components of a function of the floor ratio.

    Not the function of a mean ratio: a mark that people hardly ever set stays 50 floors away, and would hold the
    statistic's share up when all other marks are where people's are.
    """
    return {name: fmean(map(share, listed)) for name, listed in ratios.items()}


def shares(balance: Balance, ratios: Ratios, outlook: Outlook | None = None) -> dict[str, float]:
    """statistic -> its share: the mean over its components, each times its factor where an outlook is given."""
    if outlook is None:
        return over_components(balance.share, ratios)
    return {
        name: fmean(balance.share(ratio) * factor for ratio, factor in zip(listed, outlook[name], strict=True))
        for name, listed in ratios.items()
    }


def mean_strength(matched: Sequence[Matched], ratios: Ratios) -> float:
    """sum_k w_k strength_k / sum_k w_k: how far from human the texts are on the whole, 0 to 1."""
    found = over_components(strength, ratios)
    return sum(entry.weight * found[entry.name] for entry in matched) / sum(entry.weight for entry in matched)


def factors(
    matched: Sequence[Matched],
    accumulation: Accumulation,
    share: Mapping[str, float],
    squared_norms: Tensor,
) -> Tensor:
    """(A,) float64: what each accumulator's derivative is multiplied by.

    Args:
        matched: K statistics; the derivative they belong to holds their weights already.
        accumulation: where their accumulators stand.
        share: statistic -> its share.
        squared_norms: (K,) squared norm of each statistic's gradient, weight included, over all processes.
    """
    norms = squared_norms.double().sqrt()
    acting = norms > 0
    mean = norms[acting].mean() if bool(acting.any()) else norms.new_zeros(())
    factor = torch.zeros(accumulation.size, dtype=torch.float64, device=norms.device)
    for number, entry in enumerate(matched):
        if acting[number]:
            part = accumulation.part(entry.statistic)
            factor[part] = entry.weight * share[entry.name] * mean / norms[number]
    return factor
