"""Statistics and a human reference in; the distance, its derivative and the surrogate loss out.

The estimator of DESIGN section 1. With accumulators a = E[sum_t f_t], summary g and distance D,

    grad D(g(a)) = sum_t E[grad sum_v p(v | x_<t) <D', f_t(v)>]            pathwise
                 + sum_t E[grad log p(x_t | x_<t) (G_t - b_t)]             reward-to-go
    G_t = sum_{s>t} gamma^(s-t-1) r_s,   r_s = sum_v p(v | x_<s) <D', f_s(v)>

D' is taken, for each text, at accumulators that leave this text out, so that its own sampling noise is not
penalised (the U-statistic of MMD, for every distance).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation, Plan
from dft_plugin.decaying_sum import DecayingSum
from dft_plugin.latest_texts import LatestTexts
from dft_plugin.law import Law
from dft_plugin.layout import rewards
from dft_plugin.sharing import Reduce
from dft_plugin.statistics.base import Statistic

DistanceFunction = Callable[[Tensor, Tensor], Tensor]
"""(p (..., S), q (S,)) -> (...)."""

LATEST = "latest_"
"""Of the names in a checkpoint."""


@dataclass(frozen=True)
class Matched:
    """A statistic together with the distance it is matched by and its share of the objective.

    Attributes:
        derivative_clip: see `clipped`; None is off.
    """

    statistic: Statistic
    distance: DistanceFunction
    weight: float = 1.0
    derivative_clip: float | None = None

    @property
    def name(self) -> str:
        return self.statistic.name


Floors = Mapping[str, Mapping[str, float]]
"""statistic -> component -> human-versus-human distance at the present sample size."""


@dataclass(frozen=True)
class Distances:
    """Distances of each component of each statistic, and the objective they make up.

    Attributes:
        raw: statistic -> component -> (...) distance.
        loss: (...) sum_k weight_k mean_c log(1 + distance_kc / floor_kc) / sum_k weight_k: far from the floor each
            statistic's gradient is relative to its own distance, so none swamps the rest; at the floor it fades.
    """

    raw: Mapping[str, Mapping[str, Tensor]]
    loss: Tensor


def component_distances(
    accumulation: Accumulation, matched: Sequence[Matched], accumulators: Tensor, human: Tensor, floors: Floors
) -> dict[str, dict[str, Tensor]]:
    """statistic -> component -> distance (...) of accumulators (..., A) from human ones (A,).

    A component without a floor carries no information on the human side and is left out.
    """
    raw = {}
    for entry in matched:
        summary = accumulation.summarize(entry.statistic, accumulators)
        target = accumulation.summarize(entry.statistic, human)
        raw[entry.name] = {
            component: entry.distance(summary[component], target[component]) for component in floors[entry.name]
        }
    return raw


class Means(NamedTuple):
    """Accumulators of a step's texts together with those before.

    Attributes:
        without: (B, A) over the latest texts, mean per text, without each of this rank's.
        mean: (A,) over the window, with all.
        latest: (A,) over the latest texts, with all.
        total: (A,) sum over this step's texts, of all ranks.
        texts: how many these are.
    """

    without: Tensor
    mean: Tensor
    latest: Tensor
    total: Tensor
    texts: int


class Objective:
    """The distance between generated text and the human reference, with running windows of accumulators.

    How far text is from human, which is how strong the term is, wants many texts; where the derivative is taken has to
    be where the model is, for one that follows it late overshoots.

    Args:
        matched: the statistics with their distances and weights.
        accumulation: of exactly these statistics.
        window: over how many texts distances run.
        reduce: sums over ranks.
        derivative_window: over how many of the latest, at most, what the derivative is taken at; None: as `window`.
        window_growth: over which share of all texts distances run, once that is more than `window`.
    """

    def __init__(
        self,
        matched: Sequence[Matched],
        accumulation: Accumulation,
        window: int,
        reduce: Reduce = lambda tensor: tensor,
        derivative_window: int | None = None,
        window_growth: float = 0.0,
    ) -> None:
        self.matched = tuple(matched)
        self.accumulation = accumulation
        self.window = DecayingSum(window, window_growth)
        self.latest = LatestTexts(min(window, derivative_window or window))
        self.reduce = reduce

    def another(self) -> Objective:
        """The same with windows of its own, still empty."""
        made = copy(self)
        made.window, made.latest = self.window.empty(), self.latest.empty()
        return made

    def sample_size(self, texts: int) -> float:
        """Effective number of texts behind the distances once `texts` more arrive."""
        return self.window.sample_size(texts)

    @property
    def looks_ahead(self) -> bool:
        """Whether the latest texts are fewer than those distances run over, so that they tell where the model goes."""
        return self.latest.size < self.window.size

    @property
    def shortening(self) -> float:
        """How far the latest texts are ahead of the window as it was set, over how far they are ahead of it as grown.

        A lead of so many steps is that much less in multiples of the latter.
        """
        grown = self.window.reach - self.latest.size
        return (self.window.size - self.latest.size) / grown if grown > 0 else 1.0

    def leave_one_out(self, own: Tensor) -> Means:
        """Mean accumulators without each text of this rank, and with all.

        Args:
            own: (B, A), accumulators of this rank's texts.

        Raises:
            ValueError: when there is no text to be left.
        """
        total = self.reduce(own.sum(0))
        count = int(self.reduce(torch.tensor(float(len(own)), device=own.device, dtype=own.dtype)))
        everything, weight = self.window.joined(total, count)
        latest, latest_weight = self.latest.joined(total, count)
        if latest_weight <= 1:
            raise ValueError("the term needs at least 2 texts per step, over all processes")
        without = (latest - own) / (latest_weight - 1)
        return Means(without, everything / weight, latest / latest_weight, total, count)

    def remember(self, total: Tensor, count: int) -> None:
        """Moves the windows on by a step's texts: the sum of their accumulators (A,), and how many they are."""
        self.window.add(total, count)
        self.latest.add(total, count)

    def distances(self, accumulators: Tensor, human: Tensor, floors: Floors) -> Distances:
        """Distances of mean accumulators (..., A) from the human ones (A,), differentiable in the former."""
        raw = component_distances(self.accumulation, self.matched, accumulators, human, floors)
        loss = accumulators.new_zeros(accumulators.shape[:-1])
        scale = sum(entry.weight for entry in self.matched)
        for entry in self.matched:
            of_floor = [torch.log1p(value / floors[entry.name][key]) for key, value in raw[entry.name].items()]
            loss = loss + entry.weight / scale * torch.stack(of_floor).mean(0)
        return Distances(raw, loss)

    def derivative(self, leave_one_out: Tensor, human: Tensor, floors: Floors) -> Tensor:
        """D' for each text: (B, A), the derivative of the loss at its leave-one-out accumulators, clipped if wanted."""
        with torch.enable_grad():
            at = leave_one_out.detach().requires_grad_()
            loss = self.distances(at, human, floors).loss
            (derivative,) = torch.autograd.grad(loss.sum(), at)
        for entry in self.matched:
            if entry.derivative_clip is not None:
                part = self.accumulation.part(entry.statistic)
                derivative[:, part] = clipped(derivative[:, part], entry.derivative_clip)
        return derivative

    def state_dict(self) -> dict[str, Tensor]:
        return {**self.window.state_dict(), **self.latest.state_dict(LATEST)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.window.load_state_dict(state)
        self.latest.load_state_dict(state, LATEST)


def clipped(derivative: Tensor, limit: float) -> Tensor:
    """Each entry held within +-limit * r_b, r_b the root mean square of its text's entries that are not 0.

    One statistic's part of D' (B, A): a token that human text hardly has, or an age that few intervals reach, has a
    derivative far above the rest, and would be worth gaming. Signs stay, so D' still leads downhill.
    """
    used = (derivative != 0).sum(-1, keepdim=True).clamp(min=1)
    bound = limit * (derivative.square().sum(-1, keepdim=True) / used).sqrt()
    return derivative.clamp(-bound, bound)


def surrogate(
    plan: Plan,
    law: Law,
    derivative: Tensor,
    advantage: Tensor | None,
    texts: int,
    within: slice = slice(0, None),
) -> Tensor:
    """The linear surrogate <D', a> of one micro-batch, whose gradient is the estimator's.

    Args:
        plan, law: of the micro-batch; the law differentiable, with the witnesses of `derivative`.
        derivative: (B, A).
        advantage: (N,) G_t - b_t at the micro-batch's rows, or None for the pathwise part alone.
        texts: the number of texts this rank averages over.
        within: only the accumulators that stand here among the A; the advantage is then theirs too.

    Returns:
        The scalar (1 / texts) sum_n [r_n + log p(x_n) advantage_n].
    """
    total = rewards(law, plan.layout, plan.texts, derivative, within).sum()
    if advantage is not None:
        total = total + (law.log_probability * advantage.to(law.log_probability.dtype)).sum()
    return total / texts


def mean_distance(raw: Mapping[str, Tensor]) -> float:
    """The number reported for a statistic: the mean over its components."""
    return float(torch.stack([value.detach().double().mean() for value in raw.values()]).mean())


def floor_ratios(raw: Mapping[str, Tensor], floors: Mapping[str, float]) -> dict[str, float]:
    """component -> distance / human-versus-human floor; 1 = as close as another human sample, of counts.

    Expectations under the model vary less than counts: during a run text that is people's own shows about 0.5 in words,
    n-grams and openings.
    """
    return {key: float(value.detach().mean()) / floors[key] for key, value in raw.items()}


def mean_floor_ratio(raw: Mapping[str, Tensor], floors: Mapping[str, float]) -> float:
    """Mean of `floor_ratios` over components."""
    return fmean(floor_ratios(raw, floors).values())
