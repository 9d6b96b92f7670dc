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
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation, Plan
from dft_plugin.law import Law
from dft_plugin.layout import rewards
from dft_plugin.statistics.base import Statistic

DistanceFunction = Callable[[Tensor, Tensor], Tensor]
"""(p (..., S), q (S,)) -> (...)."""

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all ranks."""


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


class Objective:
    """The distance between generated text and the human reference, with a running window of accumulators.

    Args:
        matched: the statistics with their distances and weights.
        accumulation: of exactly these statistics.
        window: over how many texts the accumulators run: what came before a batch of n texts (of all ranks) counts
            1 - n / window after it, and nothing where the batch alone has as many. Not a number of batches: the
            human floors, and with them how strong the term is, are those of the texts in the window.
        reduce: sums over ranks.
    """

    def __init__(
        self,
        matched: Sequence[Matched],
        accumulation: Accumulation,
        window: int,
        reduce: Reduce = lambda tensor: tensor,
    ) -> None:
        self.matched = tuple(matched)
        self.accumulation = accumulation
        self.window = window
        self.reduce = reduce
        self.past: Tensor | None = None
        self.past_texts = 0.0
        self.past_squared = 0.0

    def sample_size(self, texts: int) -> float:
        """Effective number of texts behind the accumulators once `texts` more arrive: (sum w)^2 / sum w^2."""
        return (self.past_texts + texts) ** 2 / (self.past_squared + texts)

    def leave_one_out(self, own: Tensor) -> tuple[Tensor, Tensor, int]:
        """Mean accumulators without each text of this rank, and with all.

        Args:
            own: (B, A), accumulators of this rank's texts.

        Returns:
            (B, A) mean per text over the window and all ranks' texts but one; (A,) over all; the number of
            texts in this batch over all ranks.

        Raises:
            ValueError: when there is no text to be left.
        """
        total = self.reduce(own.sum(0))
        count = int(self.reduce(torch.tensor(float(len(own)), device=own.device, dtype=own.dtype)))
        past = torch.zeros_like(total) if self.past is None else self.past.to(own.device)
        everything, weight = past + total, self.past_texts + count
        if weight <= 1:
            raise ValueError("the term needs at least 2 texts per step, over all processes")
        return (everything - own) / (weight - 1), everything / weight, count

    def remember(self, mean: Tensor, count: int) -> None:
        """Moves the window on: all that was seen, of which this batch has `count` texts, counts less from now on."""
        decay, weight = max(0.0, 1.0 - count / self.window), self.past_texts + count
        self.past = mean.detach() * weight * decay
        self.past_squared = (self.past_squared + count) * decay**2
        self.past_texts = weight * decay

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
        past = torch.zeros(0, dtype=torch.float64) if self.past is None else self.past.cpu()
        counts = torch.tensor([self.past_texts, self.past_squared], dtype=torch.float64)
        return {"past": past, "counts": counts}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.past = state["past"] if state["past"].numel() else None
        self.past_texts, self.past_squared = state["counts"].tolist()


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
) -> tuple[Tensor, Tensor]:
    """The linear surrogate <D', a> of one micro-batch, whose gradient is the estimator's.

    Args:
        plan, law: of the micro-batch; the law differentiable, with the witnesses of `derivative`.
        derivative: (B, A).
        advantage: (N,) G_t - b_t at the micro-batch's rows, or None for the pathwise part alone.
        texts: the number of texts this rank averages over.
        within: only the accumulators that stand here among the A; the advantage is then theirs too.

    Returns:
        The scalar (1 / texts) sum_n [r_n + log p(x_n) advantage_n], and the rewards r_n (N,).
    """
    earned = rewards(law, plan.layout, plan.texts, derivative, within)
    total = earned.sum()
    if advantage is not None:
        total = total + (law.log_probability * advantage.to(law.log_probability.dtype)).sum()
    return total / texts, earned.detach()


def mean_distance(raw: Mapping[str, Tensor]) -> float:
    """The number reported for a statistic: the mean over its components."""
    return float(torch.stack([value.detach().double().mean() for value in raw.values()]).mean())


def floor_ratios(raw: Mapping[str, Tensor], floors: Mapping[str, float]) -> dict[str, float]:
    """component -> distance / human-versus-human floor; 1 = as close as another human sample."""
    return {key: float(value.detach().mean()) / floors[key] for key, value in raw.items()}


def mean_floor_ratio(raw: Mapping[str, Tensor], floors: Mapping[str, float]) -> float:
    """Mean of `floor_ratios` over components."""
    return fmean(floor_ratios(raw, floors).values())
