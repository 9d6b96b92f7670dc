"""Gathers the runs of scenarios into benchmarks/effect/results/SCENARIO.json.

python benchmarks/effect/collect.py benchmarks/effect/scenarios/a.yaml ... [--runs runs/effect]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect import scenario as scenarios
from benchmarks.effect.results import save
from benchmarks.effect.scenario import Scenario

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
    for run in runs:
        run.get("notes", {}).pop("log", None)
    path = results / f"{scenario.name}.json"
    save(path, {"scenario": scenario.model_dump(mode="json"), "runs": runs})
    return path


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
