"""The SFT model's own continuations of training contexts, beside the human ones."""

from __future__ import annotations

from benchmarks.effect import corpora
from benchmarks.effect.generation import continuations
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import sft_model
from dft_plugin.human_windows import cut_windows
from dft_plugin.texts import Window


def own_texts(task: Task, seed: int, sampler: SamplerBlock, count: int) -> tuple[list[Window], list[list[int]]]:
    """Human windows of the training texts and, for each, what the SFT model continues its context with."""
    config = task.config(sampler, seed, reference_windows=max(32, count))
    windows = cut_windows(
        config, corpora.documents(task.train, task.tokenizer), from_start=False, name="the training set"
    )[:count]
    return windows, continuations(task, sft_model(task, seed).model, windows, sampler, seed, purpose=2)
