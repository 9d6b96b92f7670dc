"""How much of a distance is left where the model is heading, for `weight: auto`.

How far a statistic is from human is measured over texts of many steps, for few cannot tell a small distance from
chance. When those have arrived, the model is past: the derivative follows it sooner, but the optimizer's momentum goes
on for some ten steps, and the statistic swings around people's. So its share of the gradient (`balance`) is multiplied
by what is left of the distance. With s the summary over the window, s' over the latest texts and h the human one,

    rho  = <dD(s)/ds, s' - h> / <dD(s)/ds, s - h>      1: the latest are as far, 0: they have arrived, below 0: past
    left = (1 + lead) rho - lead                       the same, `lead` times as far ahead as s' is of s

the lead compensator of control theory (a proportional and derivative controller). rho is linear in s', and one
projection of it: far less noisy than the distance of so few texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import DistanceFunction, Floors, Matched, Means

LIMIT = 2.0
"""A share is multiplied by -LIMIT to LIMIT: of a small distance the quotient is mostly noise."""

Outlook = Mapping[str, Sequence[float]]
"""statistic -> what each of its components' share is multiplied by."""


def remaining(distance: DistanceFunction, window: Tensor, latest: Tensor, human: Tensor) -> Tensor:
    """rho, a scalar, of one component's summaries (S,); 1 where the distance does not grow away from the human one."""
    with torch.enable_grad():
        at = window.detach().double().requires_grad_()
        (slope,) = torch.autograd.grad(distance(at, human.double()), at)
    whole = (slope * (window - human)).sum()
    return torch.where(whole > 0, (slope * (latest - human)).sum() / whole, torch.ones_like(whole))


def factor(rho: float, lead: float) -> float:
    """What a share is multiplied by, -LIMIT to LIMIT.

    Below 0 it brakes: the derivative, taken at the latest texts, still leads on. Where these are past (rho < 0) it
    leads back by itself, hence the sign.
    """
    left = (1 + lead) * rho - lead
    return max(-LIMIT, min(LIMIT, left)) * (1 if rho >= 0 else -1)


def outlook(
    accumulation: Accumulation, matched: Sequence[Matched], means: Means, human: Tensor, floors: Floors, lead: float
) -> Outlook:
    """The factor of each component that has a floor, in the order of the floors.

    Args:
        accumulation: where each statistic's accumulators stand among the A.
        matched: the statistics with their distances.
        means: of the window and of the latest texts.
        human: (A,) accumulators.
        floors: of the components there are.
        lead: how far ahead, in multiples of how far the latest texts are ahead of the window.
    """
    found: list[Tensor] = []
    for entry in matched:
        sides = [accumulation.summarize(entry.statistic, side) for side in (means.mean, means.latest, human)]
        found += [remaining(entry.distance, *(side[key] for side in sides)) for key in floors[entry.name]]
    rho = iter(torch.stack(found).tolist())  # read once a step: on a GPU each number is waited for
    return {entry.name: [factor(next(rho), lead) for _ in floors[entry.name]] for entry in matched}
