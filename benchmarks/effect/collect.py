"""Gathers the runs of scenarios into benchmarks/effect/results/SCENARIO.json, beside those that are there.

python benchmarks/effect/collect.py benchmarks/effect/scenarios/a.yaml ... [--runs runs/effect]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect import scenario as scenarios
from benchmarks.effect.figures import sampler_key
from benchmarks.effect.result_files import plain, save
from benchmarks.effect.scenario import Scenario
from benchmarks.effect.super_baseline import PREFIX

RESULTS = Path(__file__).resolve().parent / "results"
DESCRIPTIVE = ("title", "arms", "seeds", "samplers")
"""Keys of a scenario that change nothing of a run."""


def collect(scenario: Scenario, folder: Path, results: Path = RESULTS) -> Path:
    """Writes {"scenario": ..., "runs": [...]} of every run in a folder, and of those collected before; its path.

    Raises:
        FileNotFoundError: when there is no run.
        ValueError: when those collected before were made with other settings.
    """
    paths = sorted(folder.glob("*-s*-t*-p*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no run; benchmarks/effect/run.py writes them")
    path = results / f"{scenario.name}.json"
    settings = scenario.model_dump(mode="json")
    runs = _collected(path, settings)
    for one in paths:
        run = slim(json.loads(one.read_text(encoding="utf-8")))
        runs[_key(run)] = run
    save(path, {"scenario": settings, "runs": [runs[key] for key in sorted(runs)]}, indent=None)
    return path


def _key(run: dict[str, Any]) -> tuple[str, int, str]:
    return run["arm"], run["seed"], sampler_key(run["sampler"])


def _collected(path: Path, settings: dict[str, Any]) -> dict[tuple[str, int, str], dict[str, Any]]:
    """The runs that an earlier collection wrote, where it was of the same settings."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text(encoding="utf-8"))
    other = [key for key in settings if key not in DESCRIPTIVE and before["scenario"].get(key) != plain(settings[key])]
    if other:
        raise ValueError(f"{path} holds runs with other {', '.join(other)}: delete it, or run them again")
    return {_key(run): run for run in before["runs"]}


def slim(run: dict[str, Any]) -> dict[str, Any]:
    """Without training logs, sample texts (they go on with a corpus's) and what a Result's label says; of the grid's
    many points only what tables read."""
    point = run["arm"].startswith(PREFIX)
    keys = ("value", "gap") if point else ("value", "human", "interval", "gap", "floor", "floor_ratio")
    left_out = ("samples", *(("notes", "cost", "components") if point else ()))
    kept = {key: value for key, value in run.items() if key not in left_out}
    kept["measures"] = {
        name: {key: one[key] for key in keys if key in one} for name, one in run["measures"].items() if "value" in one
    }
    if not point:
        kept["notes"] = {key: value for key, value in run["notes"].items() if key != "log"}
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+")
    parser.add_argument("--runs", default="runs/effect", help="run.py's --output")
    given = parser.parse_args(arguments)
    for path in given.scenarios:
        scenario = scenarios.load(path)
        print(collect(scenario, Path(given.runs) / scenario.name))


if __name__ == "__main__":
    main()
