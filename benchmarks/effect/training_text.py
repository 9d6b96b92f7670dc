"""People's own training text in the place of generated text: what a method that met its target would write.

A floor is the distance of two samples of the same documents. Other documents by other people are farther away, so
held-out text can be farther from the training text (or the reference) than the bar allows of a model that is matched to
it. A guide, not a bound: a model also reads the held-out contexts that it continues.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from benchmarks.effect.measure import Measures
from benchmarks.effect.result_files import run_path, save
from benchmarks.effect.task import Task
from dft_plugin.texts import Window, stack

NAME = "training_text"


def windows(task: Task, seed: int) -> Sequence[Window]:
    """As many windows of the reference (of the training text, where it is matched) as contexts are continued."""
    texts = task.train if task.reference is None else task.reference
    found = task.cut(texts, task.scenario.measuring.human_windows)
    return random.Random(seed).sample(found, min(len(found), task.scenario.measuring.texts))


def run(task: Task, measures: Measures, seed: int) -> None:
    """Measures another draw of windows for each seed; the same for every sampler."""
    samplers = task.missing(NAME, seed)
    if not samplers:
        return
    started = time.perf_counter()
    found = measures.of_texts(stack(windows(task, seed)), "measured", task.scenario.measuring.resamples)
    del found["measures"]["unknown words"]  # the words that are known are those of these very texts
    for sampler in samplers:
        content = {"arm": NAME, "seed": seed, "sampler": sampler.model_dump(), **found, "notes": {}}
        save(run_path(task.folder, NAME, seed, sampler.key), content)
    print(f"{NAME} seed {seed}: measured in {time.perf_counter() - started:.0f} s", flush=True)
