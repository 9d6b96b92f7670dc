"""The super-baseline: plain SFT, for each metric at its own best learning rate and sampler.

Every point of the grid is generated and measured; `tables.py` chooses. It chooses on the texts it is judged by, which
favours the baseline.
"""

from __future__ import annotations

import itertools
import time

from benchmarks.effect.measure import Measures
from benchmarks.effect.result_files import run_path, save
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, sft_model

PREFIX = "super_lr"


def grid(task: Task) -> list[tuple[float, SamplerBlock]]:
    """(learning rate, sampler) of every point, those of one model side by side."""
    block = task.scenario.super_baseline
    rates = block.learning_rates or [task.scenario.learning_rate]
    samplers = [SamplerBlock(temperature=t, top_p=p) for t, p in itertools.product(block.temperatures, block.top_ps)]
    return list(itertools.product(rates, samplers))


def run(task: Task, measures: Measures, seed: int) -> None:
    """Measures every point that has no result yet."""
    started, done = time.perf_counter(), 0
    trained: Trained | None = None
    of_rate = 0.0
    for rate, sampler in grid(task):
        path = run_path(task.folder, f"{PREFIX}{rate:g}", seed, sampler.key)
        if path.exists():
            continue
        if trained is None or rate != of_rate:
            trained, of_rate = sft_model(task, seed, rate), rate
        texts = measures.generate(trained.model, sampler, seed)
        found = {"arm": f"{PREFIX}{rate:g}", "seed": seed, "sampler": sampler.model_dump()}
        found |= measures.of_texts(texts, "measured", task.scenario.super_baseline.resamples)
        found["perplexity"] = measures.perplexity(trained.model, sampler)
        save(path, {**found, "cost": trained.cost, "notes": {}})
        done += 1
    print(f"super_baseline seed {seed}: {done} points in {time.perf_counter() - started:.0f} s", flush=True)
