"""Training on the human reference beside the task's texts, alone and with DFT where the task's own contexts are.

What one can do where the reference's text is at hand and may be learned, not only matched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from benchmarks.effect import corpora
from benchmarks.effect.arms import dft
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune


def rows(task: Task, share: float) -> list[list[int]]:
    """The task's rows and of the reference's so many that they are `share` of all, from the first again if need be.

    Raises:
        ValueError: where the reference is the training text itself.
    """
    if task.reference is None:
        raise ValueError("a mixture is the human reference beside the task's texts: here they are the same")
    human = corpora.rows(task.reference, task.tokenizer, task.scenario.max_length)
    count = round(len(task.rows) * share / (1 - share))
    return [*task.rows, *itertools.islice(itertools.cycle(human), count)]


def sft(share: float) -> Callable[[Task, int, SamplerBlock], Trained]:
    """SFT on the mixture."""

    def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
        return fine_tune(task, seed, rows=rows(task, share))

    return train


def with_dft(share: float, *, both_contexts: bool = False) -> Callable[[Task, int, SamplerBlock], Trained]:
    """The same with DFT at its default options, whose rollouts continue the task's texts, or these and the reference's.

    Args:
        share: of the rows, the reference's.
        both_contexts: whether rollouts continue the reference's texts too, in turn with the task's.
    """

    def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
        others = [dft.human_contexts(task, sampler, seed)] if both_contexts else []
        config = task.config(sampler, seed, rollout={"prompts": [task.own_texts(), *others]})
        return dft.run(task, seed, config, rows=rows(task, share))

    return train
