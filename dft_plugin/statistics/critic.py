"""A small classifier that learns, step by step, to tell generated hidden states from human ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam (Kingma & Ba 2015)."""


def logits(weights: Tensor, points: Tensor, units: int) -> Tensor:
    """The log-odds of `generated`: v . tanh(W x + b) + c, or v . x + c for 0 units.

    Args:
        weights: flat: W (units, D), b (units,), v (units,), c (1,); or v (D,), c (1,).
        points: (N, D).
        units: of the hidden layer.

    Returns:
        (N,).
    """
    size = points.shape[1]
    if units:
        matrix, offset, weights = weights.split([units * size, units, units + 1])
        points = torch.tanh(points @ matrix.view(units, size).T + offset)
    return points @ weights[:-1] + weights[-1]


def logistic_loss(human: Tensor, generated: Tensor, counts: tuple[float, float]) -> Tensor:
    """Half the sum over human rows of log(1 + e^l) / N, plus that over generated ones of log(1 + e^-l) / M.

    Args:
        human, generated: log-odds of this rank's rows.
        counts: N and M, over all ranks.
    """
    return (softplus(human).sum() / counts[0] + softplus(-generated).sum() / counts[1]) / 2


class Critic:
    """Log-odds of `generated`, counted from the mean of human rows in their standard deviations.

    On that scale the human side stays where it is, whatever the critic has learned, so scores by critics of
    different steps can be averaged, and a floor measured at the beginning keeps its meaning. The rows are always the
    same: where each step had its own, their noise would count as a distance.

    Args:
        human: (R, D), never learned from.
        units: of the hidden layer; 0 is logistic regression.
        steps: of Adam at each call of `learn`.
        learning_rate: of Adam.
    """

    def __init__(self, human: Tensor, units: int, steps: int, learning_rate: float) -> None:
        self.human, self.units, self.steps, self.learning_rate = human, units, steps, learning_rate
        size, device = human.shape[1], human.device
        generator = torch.Generator().manual_seed(units)
        parts = [torch.randn(units, size, generator=generator).flatten() / size**0.5, torch.zeros(units)]
        width = units or size
        parts += [torch.randn(width, generator=generator) / width**0.5, torch.zeros(1)]
        self.weights = torch.cat(parts).to(device)
        self.first, self.second = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.taken = torch.zeros((), dtype=torch.float64)
        self._standardise()

    def __call__(self, points: Tensor) -> Tensor:
        """(N, D) to (N, 1): (log-odds - human mean) / human standard deviation."""
        return ((logits(self.weights.to(points.dtype), points, self.units) - self.centre) / self.spread)[:, None]

    def learn(self, human: Tensor, generated: Tensor, reduce: Callable[[Tensor], Tensor]) -> None:
        """Some steps of Adam on the logistic loss, human rows weighing as much as generated ones in sum.

        Args:
            human: (N, D) of this rank.
            generated: (M, D) of this rank.
            reduce: sums over ranks; the critic stays the same on all of them.
        """
        sizes = torch.tensor([float(len(human)), float(len(generated))], device=human.device)
        both, (rows, others) = torch.cat([human, generated]), reduce(sizes).tolist()
        for _ in range(self.steps):
            with torch.enable_grad():
                weights = self.weights.detach().requires_grad_()
                odds = logits(weights, both, self.units)
                loss = logistic_loss(odds[: len(human)], odds[len(human) :], (rows, others))
                (gradient,) = torch.autograd.grad(loss, weights)
            self._adam(reduce(gradient))
        self._standardise()

    def _standardise(self) -> None:
        odds = logits(self.weights, self.human, self.units)
        self.centre, self.spread = odds.mean(), odds.std(correction=0).clamp(min=1e-6)

    def _adam(self, gradient: Tensor) -> None:
        self.taken += 1
        count = float(self.taken)
        self.first = FIRST_DECAY * self.first + (1 - FIRST_DECAY) * gradient
        self.second = SECOND_DECAY * self.second + (1 - SECOND_DECAY) * gradient.square()
        root = (self.second / (1 - SECOND_DECAY**count)).sqrt() + EPSILON
        self.weights = self.weights - self.learning_rate * self.first / (1 - FIRST_DECAY**count) / root

    def state_dict(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in ("human", "weights", "first", "second", "taken")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, own in self.state_dict().items():
            setattr(self, name, state[name].to(own.device, copy=True))
        self._standardise()
