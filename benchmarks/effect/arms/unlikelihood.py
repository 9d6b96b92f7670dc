"""Cross-entropy and unlikelihood of the tokens that the SFT model produces too often.

The token set is taken once, before training: the SFT model of this seed continues training contexts under the
deployment sampler, and its token frequencies are compared with the human continuations' of the same contexts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.effect.arms.losses import LossTrainer, unlikelihood
from benchmarks.effect.arms.own_texts import own_texts
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune

DEVIATIONS = 3.0
"""Standard errors by which a token must be over-produced beyond the ratio."""


def over_produced(own: Tensor, human: Tensor, ratio: float) -> Tensor:
    """(V,) bool: tokens whose share in own text is significantly above `ratio` times their share in human text.

    With counts a of A own tokens and h of H human ones: a/A - ratio h/H > 3 sqrt(a/A^2 + ratio^2 h/H^2), the
    counts being Poisson.

    Args:
        own, human: (V,) counts.
        ratio: over-production tolerated, at least 1.
    """
    own, human = own.double(), human.double()
    own_total, human_total = own.sum(), human.sum()
    excess = own / own_total - ratio * human / human_total
    error = (own / own_total**2 + ratio**2 * human / human_total**2).sqrt()
    return excess > DEVIATIONS * error


def train(task: Task, seed: int, sampler: SamplerBlock, **own: float) -> Trained:
    """At the scenario's options, but those given."""
    options = {"texts": 1024, "ratio": 1.1, "alpha": 1.0, **task.scenario.options.get("unlikelihood", {}), **own}
    windows, own = own_texts(task, seed, sampler, int(options["texts"]))
    size = task.vocabulary_size
    produced = torch.bincount(torch.tensor([token for text in own for token in text]), minlength=size)
    human = [token for window in windows for token in window.tokens[window.first :]]
    candidates = over_produced(produced, torch.bincount(torch.tensor(human), minlength=size), options["ratio"])
    loss = partial(unlikelihood, candidates=candidates.to(_device()), alpha=options["alpha"])
    trained = fine_tune(task, seed, trainer_class=LossTrainer, token_loss=loss)
    trained.notes.update(options, over_produced=int(candidates.sum()))
    return trained


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
