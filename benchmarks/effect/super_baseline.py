"""The super-baseline: plain SFT, for each metric at its own best learning rate and sampler.

Every point of the grid is generated and measured; `tables.py` chooses. It chooses on the texts it is judged by, which
favours the baseline.
"""

from __future__ import annotations

import itertools
import time

from benchmarks.effect.measure import Measures
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, sft_model
from benchmarks.effect.written import finish, written

PREFIX = "super_lr"


def grid(task: Task) -> list[tuple[float, SamplerBlock]]:
    """(learning rate, sampler) of every point, those of one model side by side."""
    block = task.scenario.super_baseline
    rates = block.learning_rates or [task.scenario.learning_rate]
    samplers = [SamplerBlock(temperature=t, top_p=p) for t, p in itertools.product(block.temperatures, block.top_ps)]
    return list(itertools.product(rates, samplers))


def run(measures: Measures, seed: int, *, measure: bool = True) -> None:
    """Every point that has no result yet, nor texts that wait to be measured."""
    task, started, done = measures.task, time.perf_counter(), 0
    trained: Trained | None = None
    of_rate = 0.0
    for rate, sampler in grid(task):
        name = f"{PREFIX}{rate:g}"
        if not task.lacks(name, seed, sampler):
            continue
        if trained is None or rate != of_rate:
            trained, of_rate = sft_model(task, seed, rate), rate
        resamples = task.scenario.super_baseline.resamples
        record = written(measures, trained.model, name, seed, sampler, resamples, cost=trained.cost, notes={})
        finish(measures, record, measure=measure)
        done += 1
    print(f"super_baseline seed {seed}: {done} points in {time.perf_counter() - started:.0f} s", flush=True)
