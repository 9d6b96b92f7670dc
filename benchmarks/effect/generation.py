"""Continuations of many contexts, some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from dft_plugin.rollout import TransformersEngine, seed_of
from dft_plugin.texts import Window
from dft_plugin.vocabulary import end_of_text_ids

AT_A_TIME = 64


def continuations(
    task: Task, model: Any, windows: Sequence[Window], sampler: SamplerBlock, seed: int, purpose: int
) -> list[list[int]]:
    """What a model continues each window's context with; equal seeds and purposes draw equal texts."""
    model.eval()
    ends = end_of_text_ids(task.tokenizer, model)
    length = task.scenario.rollouts.max_new_tokens
    found: list[list[int]] = []
    for start in range(0, len(windows), AT_A_TIME):
        contexts = [window.tokens[: window.first] for window in windows[start : start + AT_A_TIME]]
        drawn = seed_of(seed, start, purpose)
        found += TransformersEngine().generate(model, contexts, sampler.sampler(), length, ends, drawn)
    return found
