"""Trains and measures the arms of a scenario.

python benchmarks/effect/run.py benchmarks/effect/scenarios/a.yaml --corpora DIR --models DIR --arms sft,dft --seeds 0

Each (arm, seed, sampler) is one JSON file in OUTPUT/SCENARIO; what is there already is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# All three are read when the libraries below are imported.
warnings.filterwarnings("ignore", category=FutureWarning)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# ruff: noqa: E402
from datasets.utils.logging import disable_progress_bar
from transformers.utils import logging as transformers_logging

from benchmarks.effect import scenario as scenarios
from benchmarks.effect import super_baseline, training_text
from benchmarks.effect.arms import ARMS, Arm
from benchmarks.effect.measure import Measures
from benchmarks.effect.preference import KEY, Judge
from benchmarks.effect.probe import Probe
from benchmarks.effect.result_files import run_path, save
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained
from dft_plugin.plugins import nearest

WITHOUT_TRAINING = {"super_baseline": super_baseline.run, training_text.NAME: training_text.run}
"""What stands among the arms and trains nothing of its own."""


def run(task: Task, measures: Measures, probe: Probe, name: str, arm: Arm, seed: int) -> None:
    """One arm and seed under every sampler that has no result yet."""
    trained: Trained | None = None
    for sampler in task.missing(name, seed):
        started = time.perf_counter()
        if trained is None or arm.per_sampler:
            trained = arm.train(task, seed, sampler)
        took = time.perf_counter() - started
        found: dict[str, Any] = {"arm": name, "seed": seed, "sampler": sampler.model_dump()}
        found |= measures.all(trained.model, sampler, seed)
        found["probe"] = probe.of(trained.model)
        save(run_path(task.folder, name, seed, sampler.key), {**found, "cost": trained.cost, "notes": trained.notes})
        total = time.perf_counter() - started
        print(f"{name} seed {seed} {sampler.key}: trained {took:.0f} s, measured {total - took:.0f} s", flush=True)


def chosen(given: str | None, default: Sequence[str]) -> list[str]:
    """The arms asked for.

    Raises:
        SystemExit: for one that does not exist, naming the nearest that does.
    """
    names = given.split(",") if given else list(default)
    known = [*ARMS, *WITHOUT_TRAINING]
    for name in names:
        if name not in known:
            raise SystemExit(f"arm {name!r} does not exist.{nearest(name, known)} There are: {', '.join(known)}")
    return names


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", help="a YAML file of benchmarks/effect/scenarios")
    parser.add_argument("--corpora", required=True, help="folder of {fiction,children,...}.jsonl.gz")
    parser.add_argument("--models", help="folder of model folders")
    parser.add_argument("--arms", help="comma-separated; default: the scenario's")
    parser.add_argument("--seeds", help="comma-separated; default: the scenario's")
    parser.add_argument("--output", default="runs/effect", help="folder for the JSON files and saved models")
    parser.add_argument("--judge", help=f"base URL of an OpenAI-compatible endpoint, its key in {KEY}: win rates")
    parser.add_argument("--judge-model", help="the judge's model name")
    parser.add_argument("--judge-pairs", type=int, default=200, help="contexts the judge is asked about, each twice")
    parser.add_argument("--collect", action="store_true", help="gather what is there into benchmarks/effect/results")
    given = parser.parse_args(arguments)
    disable_progress_bar()
    transformers_logging.set_verbosity_error()
    scenario = scenarios.load(given.scenario)
    folder = Path(given.output) / scenario.name
    task = Task.prepare(scenario, folder, given.corpora, given.models)
    seeds = [int(seed) for seed in given.seeds.split(",")] if given.seeds else scenario.seeds
    print(
        f"{scenario.name}: {len(task.train)} training texts, {len(task.human)} held-out human texts "
        f"({len(task.windows)} windows)",
        flush=True,
    )
    judge = Judge.at(given.judge, given.judge_model, given.judge_pairs, folder)
    measures, probe = Measures(task, judge), Probe(task)
    for seed in seeds:
        for name in chosen(given.arms, scenario.arms):
            if name in WITHOUT_TRAINING:
                WITHOUT_TRAINING[name](task, measures, seed)
            else:
                run(task, measures, probe, name, ARMS[name], seed)
    if given.collect:
        from benchmarks.effect.collect import collect

        print(collect(scenario, folder))


if __name__ == "__main__":
    main()
