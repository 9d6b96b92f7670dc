"""What the model makes of its own text as a whole: its hidden states on generated prefixes and on human ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.prefixed import under
from dft_plugin.statistics.base import Counted, Statistic, ratio
from dft_plugin.statistics.critic import Critic
from dft_plugin.terms import Counts, Prefix, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers, Written, size_of

COMPARED = 512
"""Human rows whose distances to each other give the median, and from which a critic's scores are counted."""
LEAST_SPREAD = 1e-3
"""Of the median standard deviation: coordinates that hardly vary must not be blown up."""

OF_FORM = {
    "linear": frozenset[str](),
    "random_fourier": frozenset({"features", "bandwidth"}),
    "critic": frozenset({"critic_units", "critic_steps", "critic_learning_rate"}),
}


class HiddenStateOptions(Block):
    """Options of `hidden_state`."""

    model_config = ConfigDict(extra="forbid")
    form: Literal["linear", "random_fourier", "critic"] = Field(
        default="random_fourier",
        description="linear: mean hidden state; random_fourier: all of their distribution, by a Gaussian kernel; "
        "critic: the score of a small classifier that learns to tell generated from human",
    )
    features: int = Field(
        default=256, ge=2, le=8192, multiple_of=2, description="random_fourier: number of cosines and sines"
    )
    bandwidth: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="random_fourier: the kernel's, in median distances of human hidden states",
    )
    critic_units: int = Field(
        default=64, ge=0, le=4096, description="critic: units of its hidden layer; 0 is logistic regression"
    )
    critic_steps: int = Field(default=4, ge=1, le=1000, description="critic: steps of Adam per acting step")
    critic_learning_rate: float = Field(default=1e-3, gt=0, le=1, description="critic: learning rate of Adam")

    @model_validator(mode="after")
    def _of_this_form(self) -> HiddenStateOptions:
        of_others = frozenset[str]().union(*OF_FORM.values()) - OF_FORM[self.form]
        given = {name for name in of_others if getattr(self, name) != type(self).model_fields[name].default}
        if stray := sorted(given):
            needed = next(form for form, names in OF_FORM.items() if stray[0] in names)
            raise ValueError(
                f"{', '.join(stray)} has no effect with form {self.form}: set form: {needed}, or leave it out"
            )
        return self


def evenly_spread(points: Tensor) -> Tensor:
    """At most `COMPARED` of the rows of points (N, D), at equal steps."""
    chosen = torch.linspace(0, len(points) - 1, min(len(points), COMPARED)).round().long()
    return points[chosen.to(points.device)]


def median_distance(points: Tensor) -> float:
    """The median Euclidean distance between `COMPARED` of the points (N, D); 1 where that is 0."""
    distances = torch.pdist(evenly_spread(points).float())
    return float(distances.median()) or 1.0


def random_fourier(points: Tensor, frequencies: Tensor) -> Tensor:
    """Random Fourier features z(x) = sqrt(2 / K) [cos(x W), sin(x W)], of length 1.

    With the columns of W drawn from N(0, I / h^2), E <z(x), z(y)> = exp(-||x - y||^2 / (2 h^2)), so the squared l2
    distance of two mean features is an unbiased estimate of the Gaussian kernel's MMD^2 between the two samples
    (Rahimi & Recht 2007; Sutherland & Schneider 2015).

    Args:
        points: (N, D).
        frequencies: W (D, K / 2).

    Returns:
        (N, K).
    """
    angles = points @ frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1) / frequencies.shape[1] ** 0.5


class HiddenState(Statistic[HiddenStateOptions]):
    """The model's last hidden states on generated prefixes, against those on human prefixes; needs `credit`.

    s = mean_n phi(h_n): h_n is the hidden state that predicts the token of row n, without gradient, and each of its
    coordinates is standardised by human mean and deviation, as they were when the term first acted. phi is the identity
    (`linear`), random Fourier features of a Gaussian kernel (`random_fourier`, where the squared l2 distance
    estimates MMD^2), or the score of a small critic (`critic`, where it is the squared difference of mean log-odds in
    units of the human standard deviation: an MMD whose one feature is learned, 0 where the critic finds nothing).

    phi does not depend on the next token, so it has a gradient through reward-to-go alone: none at `credit: 0`.

    Human side: the windows that `entropy` scores under the live model, in the same forward pass. They have the
    prefix lengths of rollouts, which the rows of a training batch have not. The critic learns from windows that are
    never scored, and from each batch of rollouts after it has been scored: it scores no text it has learned from.
    """

    name = "hidden_state"
    support = "vector"
    distance = "l2"
    needs_model = True
    needs_hidden = True
    needs_credit = True
    Options = HiddenStateOptions

    def __init__(self, vocabulary: Vocabulary, options: HiddenStateOptions) -> None:
        super().__init__(vocabulary, options)
        self.learns = options.form == "critic"
        self._device = vocabulary.words_outside.device
        self._mean = self._spread = torch.zeros(0)
        self._bandwidth = torch.zeros(())
        self._frequencies = torch.zeros(0)
        self._critic: Critic | None = None

    @property
    def size(self) -> int:
        """K, the number of features."""
        if self.options.form == "random_fourier":
            return self.options.features
        if self.options.form == "critic":
            return 1
        if self.vocabulary.hidden_size is None:
            raise ValueError("hidden_state: form linear has as many features as the model's head has columns: give one")
        return self.vocabulary.hidden_size

    def terms(self, texts: Texts) -> Sequence[Term]:
        row = torch.arange(texts.rows, device=texts.tokens.device)
        return [Prefix(self.features, self.size), Counts(row, torch.zeros_like(row), 1)]

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        return [np.zeros((groups, self.size)), size_of(group[written.window], groups)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        total, count = accumulators
        return {"hidden": ratio(total, count)}

    def features(self, hidden: Tensor) -> Tensor:
        """phi of hidden states: (N, D) to (N, K)."""
        points = self._standardised(hidden)
        if self._critic is not None:
            return self._critic(points)
        if self.options.form == "random_fourier":
            return random_fourier(points, self._frequencies.to(points.dtype))
        return points

    def _standardised(self, hidden: Tensor) -> Tensor:
        if self._mean.shape != hidden.shape[1:]:
            raise ValueError(
                f"hidden_state: hidden states of {hidden.shape[1]} coordinates, and standardised for "
                f"{len(self._mean)}: call `begin` first, with human hidden states of the same model"
            )
        return (hidden - self._mean) / self._spread

    @torch.no_grad()
    def begin(self, human: Tensor) -> None:
        wide = human.to(self._device).double()
        spread = wide.std(0, correction=0)
        spread = spread.clamp(min=LEAST_SPREAD * float(spread.median()))
        self._mean, self._spread = wide.mean(0).float(), torch.where(spread > 0, spread, 1.0).float()
        points = self._standardised(human.to(self._device).float())
        if self.options.form == "random_fourier":
            self._bandwidth = torch.tensor(self.options.bandwidth * median_distance(points))
            self._draw_frequencies()
        elif self.options.form == "critic":
            options = self.options
            self._critic = Critic(
                evenly_spread(points), options.critic_units, options.critic_steps, options.critic_learning_rate
            )

    def _draw_frequencies(self) -> None:
        generator = torch.Generator().manual_seed(self.options.features)
        normal = torch.randn(len(self._mean), self.options.features // 2, generator=generator)
        self._frequencies = (normal / self._bandwidth).to(self._device)

    @torch.no_grad()
    def learn(self, human: Tensor, generated: Tensor, reduce: Callable[[Tensor], Tensor]) -> None:
        if self._critic is not None:
            own, other = (self._standardised(hidden.to(self._device).float()) for hidden in (human, generated))
            self._critic.learn(own, other, reduce)

    def state_dict(self) -> Mapping[str, Tensor]:
        state = {"mean": self._mean, "deviation": self._spread, "bandwidth": self._bandwidth}
        critic = {} if self._critic is None else self._critic.state_dict()
        return {**state, **{f"critic/{name}": tensor for name, tensor in critic.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._mean, self._spread = state["mean"].to(self._device), state["deviation"].to(self._device)
        self._bandwidth = state["bandwidth"]
        if self._critic is not None:
            self._critic.load_state_dict(under("critic/", state))
        elif self.options.form == "random_fourier":
            self._draw_frequencies()
