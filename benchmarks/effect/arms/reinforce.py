"""Sequence-level REINFORCE, leave-one-out, on DFT's own statistics: what GRPO with this reward would do.

The reward of a text is R = -<D', a>: `a` its realized accumulators (what it counts, not what it was expected to), D'
the derivative of DFT's own objective at accumulators that leave it out. The gradient is

    -1/B sum_b grad log p(text_b) (R_b - mean of the other texts' R)

under the law of the deployment sampler. Rollouts, windows, floors, balance and the rule of `gradient_fraction` are
those of `dft_equal_rollouts`, or of `dft` (`train_at_defaults`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.effect.arms.dft import human_contexts, run
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained
from dft_plugin import DFTCallback
from dft_plugin.language_model import deterministic
from dft_plugin.law import observed_law
from dft_plugin.rollout_states import by_rows
from dft_plugin.term import DistributionTerm, Evaluation


def leave_one_out(rewards: Tensor) -> Tensor:
    """(B,) R_b minus the mean of the other texts' rewards."""
    return (rewards - rewards.mean()) * len(rewards) / (len(rewards) - 1)


class ReinforceTerm(DistributionTerm):
    """A distribution term whose gradient is the score function's of whole texts."""

    @classmethod
    def over(cls, term: DistributionTerm) -> ReinforceTerm:
        """The same objective, reference and rollouts."""
        made = cls.__new__(cls)
        made.__dict__.update(term.__dict__)
        return made

    def rewards(self, evaluation: Evaluation) -> Tensor:
        """(B,) -<D', a> of the texts as they were written."""
        earned = []
        for rows, plan in by_rows(evaluation.plans):
            with self.live.read():
                law = self.live.law(plan, self.live.hidden(plan.texts))
            written = observed_law(plan.texts, plan.request, surprisal=-law.log_probability)
            realized = self.objective.accumulation.accumulate(plan, written)
            earned.append(-(evaluation.derivative[rows] * realized).sum(-1))
        return torch.cat(earned)

    def surrogates(self, evaluation: Evaluation, *, recompute: bool = True) -> Iterator[Tensor]:
        advantage = leave_one_out(self.rewards(evaluation))
        for rows, plan in by_rows(evaluation.plans):
            with deterministic(self.live.module, recompute=recompute):
                with self.live.autocast(), torch.enable_grad():
                    law = self.live.law(plan, self.live.hidden(plan.texts), evaluation.derivative[rows])
                    weight = advantage[rows][plan.texts.text].to(law.log_probability.dtype)
                    loss = -(law.log_probability * weight).sum() / len(evaluation.texts)
                yield loss


class ReinforceCallback(DFTCallback):
    """DFTCallback with `ReinforceTerm` in the place of its term."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        assert self.term is not None  # the benchmark's data sets can be read twice
        self.term = ReinforceTerm.over(self.term)


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """What a reward function gives: next-token prediction stays at temperature 1."""
    return _train(task, seed, sampler, calibration=0.0)


def train_calibrated(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """With calibration beside it: only the estimator of the gradient differs from that of `dft_equal_rollouts`."""
    return _train(task, seed, sampler)


def train_at_defaults(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """At DFT's default options and rollouts, next-token prediction at temperature 1."""
    return _at_defaults(task, seed, sampler, calibration=0.0)


def train_at_defaults_calibrated(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """With DFT's calibration as well: only the estimator of the gradient differs from that of `dft`."""
    return _at_defaults(task, seed, sampler)


def train_on_human_contexts(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The same with the rollouts of `dft_human_contexts`."""
    rollout = {"prompts": human_contexts(task, sampler, seed)}
    return _at_defaults(task, seed, sampler, calibration=0.0, rollout=rollout)


def _at_defaults(task: Task, seed: int, sampler: SamplerBlock, **fixed: Any) -> Trained:
    options = {**task.scenario.options.get("dft", {}), **fixed, "credit": 0.0}
    return run(task, seed, task.config(sampler, seed, **options), ReinforceCallback)


def _train(task: Task, seed: int, sampler: SamplerBlock, **fixed: float) -> Trained:
    # No credit: the reward-to-go advantages are DFT's and would be computed for nothing.
    options = {**fixed, **task.scenario.options.get("reinforce", {}), "credit": 0.0}
    return run(task, seed, task.equal_config(sampler, seed, **options), ReinforceCallback)
