"""Collected runs as figures by arm: what tables, the bar and the plot read."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.effect.scenario import SamplerBlock, Scenario
from benchmarks.effect.super_baseline import PREFIX
from dft_plugin.config import DFTConfig

Run = Mapping[str, Any]

DFT, EQUAL = "dft", "dft_equal_rollouts"
"""DFT at its default options, and with as many texts a step as REINFORCE, drawn at each."""
HUMAN_CONTEXTS = "dft_human_contexts"
"""DFT with rollouts on the reference's contexts."""
BOTH_CONTEXTS = "dft_both_contexts"
"""DFT with rollouts on the reference's contexts and on the training set's, in turn."""
MIXED = "dft_mixed_eighth_both_contexts"
"""The same where an eighth of the training rows are the reference's."""
GROWING = "_growing_window"
"""Behind an arm's name: the same with distances over a share of all texts, `window_growth`."""
LATER = ("mattr", "unknown words")
"""Measures that runs of earlier versions lack: sums of runs are compared without them."""
MATCHED = tuple(entry.name for entry in DFTConfig().statistics)
"""The statistics whose distances are taken together: those matched by default."""


def sampler_key(sampler: Mapping[str, Any]) -> str:
    return SamplerBlock.model_validate(sampler).key


def _contexts(sampler: Mapping[str, Any]) -> str:
    return SamplerBlock.model_validate(sampler).contexts


@dataclass(frozen=True)
class Collected:
    """The runs of one scenario."""

    scenario: Mapping[str, Any]
    runs: Sequence[Run]

    @classmethod
    def load(cls, path: Path) -> Collected:
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["scenario"], content["runs"])

    @property
    def model(self) -> str:
        """The name of the model that training begins with."""
        return Path(self.scenario["model"]).name

    @cached_property
    def human_corpus(self) -> str:
        """The corpus of the held-out human texts."""
        return Scenario.model_validate(self.scenario).human_corpus

    @cached_property
    def samplers(self) -> list[str]:
        return [sampler_key(sampler) for sampler in self.scenario["samplers"]]

    def contexts(self, sampler: str) -> str:
        """What is continued under a sampler, `human` or `task`."""
        (found,) = (_contexts(given) for given in self.scenario["samplers"] if sampler_key(given) == sampler)
        return found

    def arms(self, sampler: str) -> list[str]:
        """Arms with a run under this sampler, in the scenario's order, then others; the grid's points left out."""
        there = {run["arm"] for run in self.runs if sampler_key(run["sampler"]) == sampler}
        known = [arm for arm in self.scenario["arms"] if arm in there]
        return known + sorted(arm for arm in there if arm not in known and not arm.startswith(PREFIX))

    def of(self, arm: str, sampler: str) -> list[Run]:
        """An arm's runs under a sampler, one a seed."""
        found = [run for run in self.runs if run["arm"] == arm and sampler_key(run["sampler"]) == sampler]
        return sorted(found, key=lambda run: run["seed"])

    def dft_arm(self, sampler: str) -> str:
        """The arm that stands for DFT: at its defaults or, where that was not run, with equal rollouts."""
        return DFT if self.of(DFT, sampler) else EQUAL

    def overview_arms(self, sampler: str) -> list[str]:
        """DFT's arms that overviews show: at its defaults; with rollouts on the reference's contexts, where texts
        continue these; with rollouts on both kinds; each with a growing window too; and, rollouts on both kinds, with
        some of the reference's text trained on.
        """
        kinds = [HUMAN_CONTEXTS, BOTH_CONTEXTS] if self.contexts(sampler) == "human" else [BOTH_CONTEXTS]
        default, *others = (arm + window for arm in [self.dft_arm(sampler), *kinds] for window in ("", GROWING))
        return [default, *(arm for arm in [*others, MIXED] if self.of(arm, sampler))]

    def grid(self, sampler: str) -> dict[tuple[str, str], list[Run]]:
        """(learning rate, sampler) -> runs of each point of the super-baseline, on the contexts of `sampler`."""
        contexts = self.contexts(sampler)
        points: dict[tuple[str, str], list[Run]] = {}
        for run in self.runs:
            if run["arm"].startswith(PREFIX) and _contexts(run["sampler"]) == contexts:
                points.setdefault((run["arm"].removeprefix(PREFIX), sampler_key(run["sampler"])), []).append(run)
        return points


def load_all(results: Path) -> dict[str, Collected]:
    """Scenario -> its collected runs, by name."""
    paths = sorted(results.glob("*.json"), key=lambda path: path.stem)
    return {path.stem: Collected.load(path) for path in paths}


def values(runs: Sequence[Run], get: Callable[[Run], float | None]) -> list[float]:
    """What each run has of a figure, runs without it left out."""
    found = []
    for run in runs:
        try:
            value = get(run)
        except KeyError:
            continue
        if value is not None and math.isfinite(value):
            found.append(value)
    return found


def mean(runs: Sequence[Run], get: Callable[[Run], float | None]) -> float:
    """Mean over seeds; NaN where no run has it."""
    found = values(runs, get)
    return statistics.fmean(found) if found else math.nan


def measure(name: str, key: str = "value") -> Callable[[Run], float | None]:
    return lambda run: run["measures"][name].get(key)


def perplexity(name: str) -> Callable[[Run], float | None]:
    return lambda run: run["perplexity"][name]["value"]


def spent(name: str) -> Callable[[Run], float | None]:
    """Of a run's cost."""
    return lambda run: run["cost"][name]


def matched(name: str) -> Callable[[Run], float | None]:
    return lambda run: run["matched"][name]


def matched_names(runs: Sequence[Run]) -> list[str]:
    """The statistics that every run has."""
    return [name for name in runs[0]["matched"] if all(name in run["matched"] for run in runs)] if runs else []


def human_gap(name: str) -> Callable[[Run], float | None]:
    """|value - human value| of each run by itself, so that runs on either side of human do not cancel."""
    return lambda run: abs(run["measures"][name]["value"] - run["measures"][name]["human"])


def of_common_seeds(*arms: Sequence[Run]) -> list[list[Run]]:
    """The runs of each arm whose seed all of them have."""
    common = set.intersection(*({run["seed"] for run in runs} for runs in arms))
    return [[run for run in runs if run["seed"] in common] for runs in arms]


def floor_ratios(runs: Sequence[Run], floors: Sequence[Run] = ()) -> dict[str, float]:
    """metric -> mean floor ratio over seeds: matched statistics, and all measures that have a floor.

    Args:
        runs: of one arm (or point of the grid) and sampler.
        floors: runs whose human floors are used for measures in the place of their own: the grid's points have few
            resamples. The human texts are the same.
    """
    found = {f"matched {name}": mean(runs, matched(name)) for name in matched_names(runs)}
    of_floor = floors or runs
    for name in runs[0]["measures"] if runs else ():
        gap, floor = mean(runs, measure(name, "gap")), mean(of_floor, measure(name, "floor"))
        if math.isfinite(gap) and math.isfinite(floor) and floor > 0:
            found[name] = gap / floor
    return {name: ratio for name, ratio in found.items() if math.isfinite(ratio)}


def log_ratio_sum(ratios: Mapping[str, float], names: Sequence[str]) -> float:
    """Sum of log floor ratios; below 1 counts as 1, for nothing is more human than another human sample."""
    return sum(math.log(max(1.0, ratios[name])) for name in names)


def distance(run: Run) -> float | None:
    """Geometric mean of the floor ratios of MATCHED, below 1 as 1.

    None for a run of an earlier version that lacks one: over others it would be another figure.
    """
    if not all(name in run["matched"] for name in MATCHED):
        return None
    return math.exp(log_ratio_sum(run["matched"], MATCHED) / len(MATCHED))


def text_sum(run: Run) -> float:
    """Sum of log floor ratios of the measures of decoded text, below 1 as 1, but those that LATER names."""
    measures = {name: one for name, one in run["measures"].items() if name not in LATER}
    ratios = {name: one["floor_ratio"] for name, one in measures.items() if "floor_ratio" in one}
    return log_ratio_sum(ratios, list(ratios))


def super_choice(points: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[str, tuple[float, tuple[str, str]]]:
    """metric -> (its lowest floor ratio over the grid, the point that has it): a different one for each metric."""
    chosen: dict[str, tuple[float, tuple[str, str]]] = {}
    for point, ratios in points.items():
        for name, ratio in ratios.items():
            if name not in chosen or ratio < chosen[name][0]:
                chosen[name] = (ratio, point)
    return chosen
