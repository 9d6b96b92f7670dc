"""Gathers the runs of scenarios into benchmarks/effect/results/SCENARIO.json.

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
from benchmarks.effect.result_files import save
from benchmarks.effect.scenario import Scenario
from benchmarks.effect.super_baseline import PREFIX

RESULTS = Path(__file__).resolve().parent / "results"


def collect(scenario: Scenario, folder: Path, results: Path = RESULTS) -> Path:
    """Writes {"scenario": ..., "runs": [...]} of every run in a folder; returns its path.

    Raises:
        FileNotFoundError: when there is no run.
    """
    paths = sorted(folder.glob("*-s*-t*-p*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no run; benchmarks/effect/run.py writes them")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    path = results / f"{scenario.name}.json"
    save(path, {"scenario": scenario.model_dump(mode="json"), "runs": [slim(run) for run in runs]}, indent=None)
    return path


def slim(run: dict[str, Any]) -> dict[str, Any]:
    """Without training logs and what a Result's label says; of the grid's many points only what tables read."""
    point = run["arm"].startswith(PREFIX)
    keys = ("value", "gap") if point else ("value", "human", "interval", "gap", "floor", "floor_ratio")
    kept = {key: value for key, value in run.items() if not (point and key in ("notes", "cost"))}
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
