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
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained
from benchmarks.effect.written import finish, measure_kept, written
from dft_plugin.plugins import nearest
from dft_plugin.sampling import Sampler

WITHOUT_TRAINING = ("super_baseline", training_text.NAME)
"""What stands among the arms and trains nothing of its own."""


def run(measures: Measures, probe: Probe, name: str, arm: Arm, seed: int, measure: bool) -> None:
    """One arm and seed under every sampler that has no result yet."""
    task = measures.task
    trained: Trained | None = None
    law: Sampler | None = None
    for sampler in task.missing(name, seed):
        started = time.perf_counter()
        if trained is None or (arm.per_sampler and sampler.sampler() != law):
            trained, law = arm.train(task, seed, sampler), sampler.sampler()
        took = time.perf_counter() - started
        record = written(
            measures,
            trained.model,
            name,
            seed,
            sampler,
            task.scenario.measuring.resamples,
            probe=probe.of(trained.model),
            cost=trained.cost,
            notes=trained.notes,
        )
        finish(measures, record, measure=measure)
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
    parser.add_argument(
        "--write-only",
        action="store_true",
        help="train, and keep what the models write in OUTPUT/SCENARIO/written; a run without this option measures it",
    )
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
    if not given.write_only:
        measure_kept(measures)
    for seed in seeds:
        for name in chosen(given.arms, scenario.arms):
            if name == "super_baseline":
                super_baseline.run(measures, seed, measure=not given.write_only)
            elif name != training_text.NAME:
                run(measures, probe, name, ARMS[name], seed, measure=not given.write_only)
            elif not given.write_only:
                training_text.run(task, measures, seed)
    if given.collect:
        from benchmarks.effect.collect import collect

        print(collect(scenario, folder))


if __name__ == "__main__":
    main()
