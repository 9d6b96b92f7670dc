"""Continuations of many contexts, some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.rollout import TransformersEngine, seed_of
from dft_plugin.texts import Window

AT_A_TIME, AT_A_TIME_ON_GPU = 64, 512
"""Texts drawn at once: a GPU takes as long for many as for few."""


def continuations(
    task: Task, model: Any, windows: Sequence[Window], sampler: SamplerBlock, seed: int, purpose: int
) -> list[list[int]]:
    """What a model continues each window's context with; equal seeds and purposes draw equal texts."""
    model.eval()
    ends = end_of_text_ids(task.tokenizer, model)
    length = task.scenario.rollouts.max_new_tokens
    found: list[list[int]] = []
    size = AT_A_TIME_ON_GPU if model.device.type == "cuda" else AT_A_TIME
    for start in range(0, len(windows), size):
        contexts = [window.tokens[: window.first] for window in windows[start : start + size]]
        drawn = seed_of(seed, start, purpose)
        found += TransformersEngine().generate(model, contexts, sampler.sampler(), length, ends, drawn)
    return found
