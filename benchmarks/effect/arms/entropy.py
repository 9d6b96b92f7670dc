"""A teacher-forced loss that keeps entropy: GEM in the place of cross-entropy."""

from __future__ import annotations

from functools import partial

from benchmarks.effect.arms.losses import LossTrainer, gem
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    beta = float(task.scenario.options.get("entropy", {}).get("beta", 0.7))
    trained = fine_tune(task, seed, trainer_class=LossTrainer, token_loss=partial(gem, beta=beta))
    trained.notes["beta"] = beta
    return trained
