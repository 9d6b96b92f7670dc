"""A teacher-forced loss that keeps entropy: GEM in the place of cross-entropy."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.effect.arms import dft
from benchmarks.effect.arms.losses import LossTrainer, gem
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    return _with_beta(task, fine_tune(task, seed, **_loss(task)))


def train_with_dft(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """GEM in the place of cross-entropy and DFT beside it: the callback does not care whose loss the trainer has."""
    return _with_beta(task, dft.run(task, seed, task.config(sampler, seed), **_loss(task)))


def _beta(task: Task) -> float:
    return float(task.scenario.options.get("entropy", {}).get("beta", 0.7))


def _loss(task: Task) -> dict[str, Any]:
    return {"trainer_class": LossTrainer, "token_loss": partial(gem, beta=_beta(task))}


def _with_beta(task: Task, trained: Trained) -> Trained:
    trained.notes["beta"] = _beta(task)
    return trained
