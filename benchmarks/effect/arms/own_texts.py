"""The SFT model's own continuations of contexts from the human reference, beside the human ones."""

from __future__ import annotations

from benchmarks.effect import corpora
from benchmarks.effect.generation import continuations
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import sft_model
from dft_plugin.human_windows import cut_windows
from dft_plugin.texts import Window


def own_texts(task: Task, seed: int, sampler: SamplerBlock, count: int) -> tuple[list[Window], list[list[int]]]:
    """Human windows of the reference (the training texts, where there is no other), and for each window what the SFT
    model continues its context with.
    """
    human = task.train if task.reference is None else task.reference
    config = task.config(sampler, seed, reference_windows=max(32, count))
    documents = corpora.documents(human, task.tokenizer)
    windows = cut_windows(config, documents, from_start=False, name="the human reference")[:count]
    return windows, continuations(task, sft_model(task, seed).model, windows, sampler, seed, purpose=2)
