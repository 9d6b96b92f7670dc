"""The SFT model's own continuations of training contexts, beside the human ones."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.effect import corpora
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import sft_model
from dft_plugin.human_windows import cut_windows
from dft_plugin.rollout import TransformersEngine, seed_of
from dft_plugin.texts import Window
from dft_plugin.vocabulary import end_of_text_ids

AT_A_TIME = 64


def own_texts(task: Task, seed: int, sampler: SamplerBlock, count: int) -> tuple[list[Window], list[list[int]]]:
    """Human windows of the training texts and, for each, what the SFT model continues its context with."""
    config = task.config(sampler, seed, reference_windows=max(32, count))
    windows = cut_windows(
        config, corpora.documents(task.train, task.tokenizer), from_start=False, name="the training set"
    )[:count]
    model = sft_model(task, seed).model.eval()
    ends = end_of_text_ids(task.tokenizer, model)
    own: list[list[int]] = []
    for start in range(0, len(windows), AT_A_TIME):
        contexts: Sequence[Sequence[int]] = [w.tokens[: w.first] for w in windows[start : start + AT_A_TIME]]
        length = task.scenario.rollouts.max_new_tokens
        drawn = seed_of(seed, start, 2)
        own += TransformersEngine().generate(model, contexts, sampler.sampler(), length, ends, drawn)
    return windows, own
