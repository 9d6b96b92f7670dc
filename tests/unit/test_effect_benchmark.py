"""The effect benchmark: its losses, gradients, choices and split, and one small run of all of it."""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.effect import (
    bar,
    collect,
    corpora,
    cost,
    figures,
    overview,
    plot,
    pretrain_on_gpu,
    probe,
    readme_part,
    run,
    side_by_side,
    tables,
    unknown_words,
)
from benchmarks.effect import scenario as scenarios
from benchmarks.effect.arms import ARMS, Arm, dft, losses, mixture, reinforce
from benchmarks.effect.arms.reinforce import ReinforceTerm, leave_one_out
from benchmarks.effect.arms.unlikelihood import over_produced
from benchmarks.effect.line import Line
from benchmarks.effect.measure import Measures
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained
from tests.stub_judge import Stub, serving

REPOSITORY = Path(__file__).resolve().parents[2]


# ---- arithmetic of the bar ----------------------------------------------------------------------------------


def collected_of(sft: list[dict[str, Any]], dft: list[dict[str, Any]]) -> figures.Collected:
    """Runs of two arms, seeds from 0, each of a `measured_run`."""
    runs = []
    for arm, given in (("sft", sft), ("dft", dft)):
        for seed, one in enumerate(given):
            measures = {
                "distinct-3": {"value": one["value"], "human": 2.0, "floor": 0.1},
                "mmd": {"value": one["mmd"]},
                "auc": {"value": 0.6},
                "unknown words": {"value": one["unknown"], "human": 1.0},
            }
            sampler = {"temperature": 1.0, "top_p": 1.0}
            perplexity = {name: {"value": 9.0} for name in ("perplexity", "sampler perplexity", "validation loss")}
            one = {"measures": measures, "matched": one["matched"], "perplexity": perplexity}
            runs.append({"arm": arm, "seed": seed, "sampler": sampler, **one})
    return figures.Collected({"corpus": "news", "name": "x", "title": "x", "model": "x", **REST}, runs)


REST: dict[str, Any] = {"samplers": [{"temperature": 1.0}], "arms": ["sft", "dft"], "seeds": [0]}


def told(sft: list[dict[str, Any]], dft: list[dict[str, Any]]) -> dict[str, Line]:
    return {line.what: line for line in bar.lines(collected_of(sft, dft), "t1-p1")}


def measured_run(value: float = 1.0, mmd: float = 0.04, unknown: float = 2.0, **matched: float) -> dict[str, Any]:
    return {"value": value, "mmd": mmd, "unknown": unknown, "matched": matched or {"token_frequency": 4.0}}


GAP = "gap in n-gram diversity (distinct-3) closed by at least 90 %, or within a floor"


@pytest.mark.parametrize(
    ("sft", "dft", "met"),
    [
        ([1.0], [1.91], True),  # 91 %
        ([1.0], [2.2], False),  # overshooting is a gap
        ([0.0], [1.85], True),  # 92 %, more than a floor left
        ([1.0, 1.0], [1.5, 2.5], False),  # seeds on either side of human do not cancel
        ([1.95], [2.0], None),  # both are within a floor: nothing to close
        ([1.95], [2.5], False),  # SFT is within a floor and DFT is not
    ],
)
def test_gap_is_each_runs_own(sft: list[float], dft: list[float], met: bool | None) -> None:
    assert told([measured_run(one) for one in sft], [measured_run(one) for one in dft])[GAP].met is met


def test_only_seeds_that_both_arms_have_are_compared() -> None:
    line = told([measured_run(1.0), measured_run(9.0)], [measured_run(1.95)])[GAP]
    assert line.met
    assert "1 to 1.95 (human 2)" in line.figure


def test_a_statistic_that_sft_lacks_still_has_to_be_within_two_floors() -> None:
    found = told([measured_run(a=4.0)], [measured_run(a=1.0, b=3.0)])
    assert not found["every matched distance at most 2 human floors"].met
    cut = found["at least 50 % lower where SFT is above 3"]
    assert cut.met
    assert "not measured for SFT: b" in cut.figure


def test_mmd_is_the_root_of_what_is_measured() -> None:
    what = "MMD on hashed n-grams at least 50 % lower"
    assert not told([measured_run(mmd=0.04)], [measured_run(mmd=0.0144)])[what].met  # 0.2 to 0.12
    assert told([measured_run(mmd=0.04)], [measured_run(mmd=0.01)])[what].met
    assert told([measured_run(mmd=0.04)], [measured_run(mmd=-0.01)])[what].met  # an unbiased estimate below 0


def test_garbage_is_asked_where_there_is_any() -> None:
    what = "words no training text has not above SFT's"
    assert told([measured_run(unknown=2.0)], [measured_run(unknown=2.0)])[what].met
    assert told([measured_run(unknown=2.0)], [measured_run(unknown=2.1)])[what].met is False
    assert told([measured_run(unknown=0.0)], [measured_run(unknown=0.0)])[what].met is None


@pytest.mark.parametrize(
    ("tokens", "nearer", "met"),
    [
        (32, "abc", True),  # equal rollouts, every statistic
        (32, "ab", False),
        (64, "abc", False),  # more rollouts than REINFORCE had
        (8, "ab", True),  # a quarter of them, most statistics
        (8, "a", False),
    ],
)
def test_reinforce_is_beaten_everywhere_or_mostly_at_a_quarter(tokens: int, nearer: str, met: bool) -> None:
    ratios = {name: 2.0 if name in nearer else 4.0 for name in "abc"}
    found = collected_of([measured_run(a=9.0, b=9.0, c=9.0)], [measured_run(**ratios)])
    (dft,) = found.of("dft", "t1-p1")
    own = {**dft, "cost": {"rollout_tokens_per_step": tokens}}
    rival = {**dft, "arm": "reinforce", "matched": dict.fromkeys("abc", 3.0)}
    rival["cost"] = {"rollout_tokens_per_step": 32}
    sft = found.of("sft", "t1-p1")
    (line,) = (
        line
        for line in bar.lines(figures.Collected(found.scenario, [*sft, own, rival]), "t1-p1")
        if "REINFORCE" in line.what
    )
    assert line.met is met
    assert f"with {tokens / 32:.2g} of its rollouts, 1 seed, {len(nearer)} of 3" in line.figure


@pytest.mark.parametrize(("theirs", "met"), [(3.0, True), (1.0, False)])
def test_each_reinforce_there_is_must_be_beaten(theirs: float, met: bool) -> None:
    found = collected_of([measured_run(a=9.0, b=9.0)], [measured_run(a=2.0, b=2.0)])
    (dft,) = found.of("dft", "t1-p1")
    own = {**dft, "cost": {"rollout_tokens_per_step": 16}}
    usual = {**dft, "arm": "reinforce", "matched": {"a": 3.0, "b": 3.0}, "cost": {"rollout_tokens_per_step": 32}}
    default = {**own, "arm": "reinforce_default", "matched": {"a": 3.0, "b": theirs}}
    calibrated = {**own, "arm": "reinforce_default_calibrated", "matched": {"a": 1.0, "b": 3.0}}
    everything = figures.Collected(found.scenario, [*found.of("sft", "t1-p1"), own, usual, default, calibrated])
    (line,) = (line for line in bar.lines(everything, "t1-p1") if "REINFORCE" in line.what)
    assert line.met is met
    assert "beside reinforce_default_calibrated, which is not asked, 1 of 2: a 2.00/1.00, b 2.00/3.00" in line.figure
    assert "with 0.5 of its rollouts, 1 seed, 2 of 2" in line.figure
    assert f"with 1 of reinforce_default's rollouts, 1 seed, {1 + met} of 2" in line.figure


def test_reinforce_is_compared_over_the_seeds_that_both_have() -> None:
    found = collected_of([measured_run(a=9.0)] * 2, [measured_run(a=2.0), measured_run(a=8.0)])
    first, second = found.of("dft", "t1-p1")
    rival = {**first, "arm": "reinforce", "matched": {"a": 3.0}}
    for seed, met in ((first["seed"], True), (second["seed"], False), (7, None)):
        everything = figures.Collected(found.scenario, [*found.runs, {**rival, "seed": seed}])
        (line,) = (line for line in bar.lines(everything, "t1-p1") if "REINFORCE" in line.what)
        assert line.met is met, line.figure


def test_another_arm_of_dfts_meets_no_line_for_this_one() -> None:
    found = collected_of([measured_run(a=9.0, b=9.0)], [measured_run(a=2.0, b=4.0)])
    (dft,) = found.of("dft", "t1-p1")
    own = {**dft, "cost": {"rollout_tokens_per_step": 16}}
    quarter = {**own, "arm": "dft_quarter", "matched": {"a": 1.0, "b": 1.0}, "cost": {"rollout_tokens_per_step": 8}}
    rival = {**dft, "arm": "reinforce", "matched": {"a": 3.0, "b": 3.0}, "cost": {"rollout_tokens_per_step": 32}}
    everything = figures.Collected(found.scenario, [*found.of("sft", "t1-p1"), own, quarter, rival])
    (line,) = (line for line in bar.lines(everything, "t1-p1") if "REINFORCE" in line.what)
    assert line.met is False


def test_dft_on_human_contexts_stands_beside_reinforce_on_the_same() -> None:
    found = collected_of([measured_run(a=9.0, b=9.0)], [measured_run(a=2.0, b=2.0)])
    (dft,) = found.of("dft", "t1-p1")
    own = {**dft, "cost": {"rollout_tokens_per_step": 16}}
    elsewhere = {**own, "arm": "dft_human_contexts"}
    default = {**own, "arm": "reinforce_default", "matched": {"a": 3.0, "b": 1.0}}
    same = {**own, "arm": "reinforce_human_contexts", "matched": {"a": 3.0, "b": 3.0}}
    everything = figures.Collected(found.scenario, [*found.of("sft", "t1-p1"), own, elsewhere, default, same])

    def told(arm: str) -> Line:
        (line,) = (line for line in bar.lines(everything, "t1-p1", arm) if "REINFORCE" in line.what)
        return line

    assert told("dft_human_contexts").met
    shown = "with 1 of reinforce_human_contexts's rollouts, 1 seed, 2 of 2: a 2.00/3.00, b 2.00/3.00"
    assert told("dft_human_contexts").figure == shown
    assert told("dft").met is False
    assert "human_contexts" not in told("dft").figure


@pytest.mark.parametrize(("nearer", "met"), [("abc", True), ("ab", False)])
def test_people_who_sample_nothing_stand_beside_reinforce_at_equal_rollouts(nearer: str, met: bool) -> None:
    ratios = {name: 2.0 if name in nearer else 4.0 for name in "abc"}
    found = collected_of([measured_run(a=9.0, b=9.0, c=9.0)], [measured_run(**ratios)])
    (dft,) = found.of("dft", "t1-p1")
    people = {**dft, "arm": "training_text", "cost": {}}
    rival = {**dft, "arm": "reinforce", "matched": dict.fromkeys("abc", 3.0)}
    rival["cost"] = {"rollout_tokens_per_step": 32}
    everything = figures.Collected(found.scenario, [*found.of("sft", "t1-p1"), people, rival])
    lines = bar.lines(everything, "t1-p1", "training_text")
    assert [line.met for line in lines if "REINFORCE" in line.what] == [met]


def test_dft_is_the_arm_at_its_defaults_where_that_was_run() -> None:
    found = collected_of([measured_run()], [measured_run()])
    assert found.dft_arm("t1-p1") == "dft"
    equal = [{**run, "arm": "dft_equal_rollouts"} if run["arm"] == "dft" else run for run in found.runs]
    without = figures.Collected(found.scenario, equal)
    assert without.dft_arm("t1-p1") == "dft_equal_rollouts"
    assert bar.lines(without, "t1-p1") == bar.lines(found, "t1-p1")


def test_what_peoples_training_text_misses_is_told_beside_what_dft_misses() -> None:
    found = collected_of([measured_run(0.0, a=9.0)], [measured_run(1.0, a=3.0)])
    (dft,) = found.of("dft", "t1-p1")
    people = {"arm": "training_text", "seed": 0, "sampler": dft["sampler"], "matched": {"a": 2.5}}
    people["measures"] = {**dft["measures"], "distinct-3": {"value": 1.95, "human": 2.0, "floor": 0.1}}
    score = bar.Score.of(figures.Collected(found.scenario, [*found.runs, people]), "t1-p1")
    both = {"every matched distance at most 2 human floors"}
    assert both | {GAP} <= {line.what for line in score.missed}
    assert score.missed_by_people is not None
    assert score.missed_by_people & (both | {GAP}) == both
    met, told = len(score.told) - len(score.missed), len(score.told)
    assert score.met == f"{met} of {told}"
    peoples = [line for line in score.told if line.what not in score.missed_by_people]
    assert score.met_of_peoples == f"{met} of {len(peoples)}"
    assert len(peoples) < told
    alone = bar.Score.of(found, "t1-p1")  # people were not measured
    assert alone.missed_by_people is None
    assert alone.met_of_peoples == ""


def test_overviews_show_dft_on_human_contexts_where_texts_continue_these_on_both_kinds_and_growing_windows() -> None:
    found = collected_of([measured_run()], [measured_run()])
    (dft,) = found.of("dft", "t1-p1")
    kinds = ["dft_human_contexts", "dft_human_contexts_growing_window", "dft_both_contexts"]
    both = ["dft_both_contexts_growing_window", figures.MIXED]
    elsewhere = ["dft_growing_window", *kinds, *both]
    others = [{**dft, "arm": arm} for arm in reversed(elsewhere)]
    there = figures.Collected(found.scenario, [*found.runs, *others])
    assert found.overview_arms("t1-p1") == ["dft"]
    assert there.overview_arms("t1-p1") == ["dft", *elsewhere]
    assert bar.Score.of(there, "t1-p1", "dft_human_contexts").met == bar.Score.of(there, "t1-p1").met
    task = {"temperature": 1.0, "contexts": "task"}
    runs = [{**run, "sampler": task} for run in there.runs]
    on_task = figures.Collected({**found.scenario, "samplers": [task]}, runs)
    assert on_task.overview_arms("t1-p1-task") == ["dft", "dft_growing_window", *elsewhere[3:]]


def test_super_baseline_takes_another_point_for_each_metric() -> None:
    points = {
        ("0.001", "t0.7-p1"): {"distinct-3": 4.0, "auc": 9.0},
        ("0.002", "t1-p1"): {"distinct-3": 2.0, "auc": 20.0},
        ("0.002", "t1-p0.9"): {"distinct-3": 3.0, "auc": 12.0},
    }
    assert figures.super_choice(points) == {
        "distinct-3": (2.0, ("0.002", "t1-p1")),
        "auc": (9.0, ("0.001", "t0.7-p1")),
    }


def test_the_super_baseline_is_compared_on_the_contexts_it_continued() -> None:
    own = {"temperature": 1.0, "top_p": 1.0, "contexts": "task"}
    run = {"arm": "super_lr0.001", "seed": 0, "sampler": {"temperature": 0.9, "top_p": 1.0}, "measures": {}}
    collected = figures.Collected({"samplers": [{"temperature": 1.0, "top_p": 1.0}, own]}, [run])
    assert collected.samplers == ["t1-p1", "t1-p1-task"]
    assert [len(collected.grid(sampler)) for sampler in collected.samplers] == [1, 0]


def test_ratios_below_one_count_as_one() -> None:
    assert figures.log_ratio_sum({"a": 0.1, "b": math.e, "c": 50.0}, ["a", "b"]) == pytest.approx(1.0)


def test_grids_floors_are_those_of_sft() -> None:
    point = {"matched": {"x": 2.0}, "measures": {"auc": {"gap": 3.0}}}
    sft = {"matched": {"x": 9.0}, "measures": {"auc": {"gap": 1.0, "floor": 0.5}}}
    assert figures.floor_ratios([point], floors=[sft]) == {"matched x": 2.0, "auc": 6.0}


def test_the_overviews_row_of_a_scenario_is_what_its_runs_say() -> None:
    path = REPOSITORY / "benchmarks/effect/results/a.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    found = {"a": figures.Collected.load(path)}
    shown = overview.overview(found)

    def mean(arm: str, get: Callable[[dict[str, Any]], float]) -> float:
        found = [get(run) for run in runs if run["arm"] == arm]
        assert len(found) == 3
        return sum(found) / 3

    def distance(run: dict[str, Any]) -> float:
        return math.prod(max(1.0, ratio) for ratio in run["matched"].values()) ** (1 / len(run["matched"]))

    def over_text(run: dict[str, Any]) -> float:
        found = {name: one.get("floor_ratio", 1.0) for name, one in run["measures"].items()}
        return sum(math.log(ratio) for name, ratio in found.items() if ratio > 1 and name not in figures.LATER)

    for get, digits in ((distance, ".1f"), (over_text, ".0f"), (lambda run: run["measures"]["auc"]["value"], ".2f")):
        sft, dft, people = (format(mean(arm, get), digits) for arm in ("sft", "dft", "training_text"))
        assert f" {sft}&nbsp;→&nbsp;**{dft}** ({people}) " in shown
    sft, dft = (mean(arm, lambda run: run["perplexity"]["perplexity"]["value"]) for arm in ("sft", "dft"))
    assert f" {100 * (dft / sft - 1):+.1f}&nbsp;% " in shown
    auc = mean("dft", lambda run: run["measures"]["auc"]["value"])
    each = [distance(run) for run in runs if run["arm"] == "dft"]
    of_distances = f"{mean('dft', distance):.1f} ({min(each):.1f} to {max(each):.1f})"
    cells = f"{of_distances} | {mean('dft', over_text):.0f} | {auc:.2f} | {100 * (dft / sft - 1):+.1f}&nbsp;%"
    assert f"| **DFT** | {cells} |" in readme_part.smaller(found)
    assert readme_part.smaller({"elsewhere": found["a"]}) == ""


def test_runs_that_lack_a_statistic_have_no_mean_distance_to_compare() -> None:
    """The geometric mean over five statistics beside one over six made an arm look nearer than it was."""
    found = figures.Collected.load(REPOSITORY / "benchmarks/effect/results/a.json")
    run = found.of("dft", "t0.7-p1")[0]
    over_all = math.prod(max(1.0, ratio) for ratio in run["matched"].values()) ** (1 / 6)
    assert figures.distance(run) == pytest.approx(over_all)
    lacking = {name: one for name, one in run["matched"].items() if name != "punctuation_frequency"}
    assert figures.distance({**run, "matched": lacking}) is None
    dpo = [{**run, "arm": "dpo", "matched": lacking}]
    fewer = replace(found, runs=[*(one for one in found.runs if one["arm"] != "dpo"), *dpo])
    (row,) = (line for line in readme_part.smaller({"a": fewer}).splitlines() if line.startswith("| DPO"))
    assert row.split(" | ")[1:3] == ["", format(figures.text_sum(run), ".0f")]


def test_a_scenario_that_gives_one_arm_options_keeps_those_of_the_others() -> None:
    folder = REPOSITORY / "benchmarks/effect/scenarios"
    default, other = (scenarios.load(folder / f"{name}.yaml").options for name in ("a", "a-top-p"))
    assert other == {**default, "entropy": {"beta": 0.8}} != default


def test_an_arm_is_shown_by_contexts_only_with_all_of_a_scenarios_seeds() -> None:
    found = figures.Collected.load(REPOSITORY / "benchmarks/effect/results/b-2m-1000.json")
    arm, (first, *_) = "dft_both_contexts", found.scenario["seeds"]
    fewer = replace(found, runs=[run for run in found.runs if run["arm"] != arm or run["seed"] == first])
    losses = {
        name: np.mean([run["perplexity"]["validation loss"]["value"] for run in found.of(name, "t1-p1")])
        for name in ("sft", arm)
    }
    (row,) = (one for one in readme_part.by_contexts({"b-2m-1000": found}).splitlines() if one.startswith(f"| `{arm}`"))
    assert f"| {100 * (losses[arm] / losses['sft'] - 1):+.1f}&nbsp;% |" in row
    assert f"| `{arm}`" not in readme_part.by_contexts({"b-2m-1000": fewer})


def test_calibration_by_itself_stands_beside_dft_over_the_seeds_of_all_arms() -> None:
    found = figures.Collected.load(REPOSITORY / "benchmarks/effect/results/a.json")
    alone = [run for run in found.of("sft_calibrated", "t0.7-p1") if run["seed"] != 0]
    fewer = replace(found, runs=[*alone, *(run for run in found.runs if run["arm"] != "sft_calibrated")])
    without = collected_of([measured_run()], [measured_run()])
    head, _, row = readme_part.by_calibration({"a": fewer, "b": without}).splitlines()
    cells = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert cells["seeds"] == "2"
    for arm in ("sft", "sft_calibrated", "dft"):
        auc = np.mean([run["measures"]["auc"]["value"] for run in found.of(arm, "t0.7-p1") if run["seed"] != 0])
        assert cells[readme_part.ARMS[arm]].endswith(f", {auc:.2f}")
    assert readme_part.by_calibration({"b": without}) == ""
    rival = "reinforce_default_calibrated"
    one = replace(fewer, runs=[run for run in fewer.runs if run["arm"] != rival or run["seed"] == 1])
    assert readme_part.by_calibration({"a": one}).splitlines()[2].split(" | ")[5] == ""


def test_the_readme_leaves_out_what_was_not_run() -> None:
    path = REPOSITORY / "benchmarks/effect/results/b-2m-1000.json"
    found = figures.Collected.load(path)
    alone = replace(found, runs=[run for run in found.runs if run["arm"] == "sft"])
    head = "|  | A. Deployed at 0.7 |"
    a = figures.Collected.load(path.with_name("a-2m-1000.json"))
    assert readme_part.readme({"a-2m-1000": a, "b-2m-1000": alone}).splitlines()[0] == head


def test_cost_of_sft_by_hand() -> None:
    # 6 x 8.03e9 x 32,768 operations at 400e12 a second, 1,000 times.
    sft, dft = (one for one in cost.costs() if one.arm in ("SFT", "DFT"))
    assert sft.hours == pytest.approx(6 * 8.03e9 * 32768 / 400e12 * 1000 / 3600)
    # By default texts are sampled in the second half of the run.
    assert dft.hours - sft.hours == pytest.approx(500 * sum(dft.sampled.values()) / 3600)


def test_cost_from_measured_steps() -> None:
    """Median steps; where one step of two samples for both, the median of pairs. The term acts in half of the run."""
    log = {"dft/rollout_seconds": 4.0, "dft/step_seconds": 6.0}
    runs = {
        "SFT": {"seconds": [2.0, 9.0, 2.0], "last_log": {}},
        "DFT, 64 texts drawn at each step": {"seconds": [6.0, 8.0, 40.0], "last_log": log},
        "two": {"seconds": [5.0, 1.0, 6.0, 2.0], "last_log": log, "steps_per_generation": 2},
    }
    assert [cost.seconds_of_a_step(run) for run in runs.values()] == [2.0, 8.0, 3.5]
    page = cost.measured(
        {"device": "D", "torch": "T", **{name: run | {"peak_megabytes": 1} for name, run in runs.items()}}
    )
    rows = [line.split(" | ") for line in page if line.startswith("| ")][1:]
    assert [row[-1] for row in rows[1:]] == ["1.0 |", "2.5 |", "1.4 |"]
    # At half of the steps a quarter of a call, and a quarter or all of a rest of 2 s, beside SFT's 2 s.
    assert "**1.4 to 1.8 times SFT's**" in page[-1]


# ---- losses -------------------------------------------------------------------------------------------------


def numbers(rows: int = 3, size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(rows, size, generator=generator, dtype=torch.float64) * 2
    return logits, torch.randint(0, size, (rows,), generator=generator)


def law(logits: list[float]) -> list[float]:
    weights = [math.exp(value) for value in logits]
    return [weight / sum(weights) for weight in weights]


def test_gem_is_its_formula() -> None:
    logits, target = numbers()
    for row, found in enumerate(losses.gem(logits, target, 0.7).tolist()):
        p, q = law(logits[row].tolist()), law((logits[row] / 0.7).tolist())
        wanted = sum(weight * (math.log(p[v]) - math.log(p[int(target[row])])) for v, weight in enumerate(q))
        assert found == pytest.approx(wanted, rel=1e-12)


def test_gems_gradient_is_q_minus_the_target() -> None:
    logits, target = numbers()
    logits.requires_grad_()
    losses.gem(logits, target, 0.7).sum().backward()
    wanted = torch.softmax(logits.detach() / 0.7, -1) - torch.nn.functional.one_hot(target, 5)
    assert torch.allclose(logits.grad, wanted, atol=1e-12)  # type: ignore[arg-type]


def test_unlikelihood_is_its_formula_and_its_gradient_the_finite_difference() -> None:
    logits, target = numbers()
    candidates = torch.tensor([True, False, True, True, False])
    found = losses.unlikelihood(logits, target, candidates, 0.5)
    for row, value in enumerate(found.tolist()):
        p, y = law(logits[row].tolist()), int(target[row])
        avoided = sum(math.log(1 - p[c]) for c in range(5) if candidates[c] and c != y)
        assert value == pytest.approx(-math.log(p[y]) - 0.5 * avoided, rel=1e-12)
    logits.requires_grad_()
    losses.unlikelihood(logits, target, candidates, 0.5).sum().backward()
    step = 1e-6
    for row in range(3):
        for v in range(5):
            sides = []
            for sign in (1, -1):
                moved = logits.detach().clone()
                moved[row, v] += sign * step
                sides.append(float(losses.unlikelihood(moved, target, candidates, 0.5).sum()))
            # Central differences: step^2 of truncation and 1e-16 / step of rounding.
            assert float(logits.grad[row, v]) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-7)  # type: ignore[index]


def test_over_produced_tokens_need_the_ratio_and_significance() -> None:
    human = torch.tensor([1000, 1000, 4, 1000])
    own = torch.tensor([1600, 1000, 8, 396])  # twice as often, but of 4
    assert over_produced(own, human, 1.1).tolist() == [True, False, False, False]


# ---- REINFORCE ----------------------------------------------------------------------------------------------


def test_leave_one_out_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 6.0])
    assert leave_one_out(rewards).tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])


def test_reinforce_gradient_is_the_explicit_one() -> None:
    """Against a plain sum over texts of grad log p times the advantage, rewards counted token by token."""
    from dft_plugin.assembly import Setting, assemble
    from dft_plugin.config import DFTConfig
    from dft_plugin.documents import Document
    from dft_plugin.sharing import Processes
    from dft_plugin.texts import Window
    from dft_plugin.written import Written
    from tests import tiny

    tokenizer, model = tiny.tokenizer(), tiny.model().double()
    temperature = 0.8
    config = DFTConfig.model_validate(
        {
            "statistics": ["token_frequency"],
            "reference_windows": 64,
            "rollout": {"batch_size": 6, "micro_batch_size": 4, "max_new_tokens": 12, "temperature": temperature},
        }
    )
    tokenized = [tuple(tokenizer(text)["input_ids"]) for text in tiny.paragraphs()[:60]]
    documents = [Document(tokens, 0, len(tokens), False) for tokens in tokenized]
    term = assemble(config, Setting(model, tokenizer, None, Processes(), documents=documents))
    texts = term.rollout(0)
    evaluation = term.evaluate(texts, 0)
    other = ReinforceTerm.over(term)
    model.zero_grad()
    for loss in other.surrogates(evaluation):
        loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    # The statistic's accumulators of a written text are its token counts, and a count of its tokens beside them.
    part = term.objective.accumulation.part(term.objective.matched[0].statistic)
    derivative = evaluation.derivative[:, part]
    log_laws, rewards = [], []
    model.eval()
    for b in range(len(texts)):
        first, end = int(texts.first[b]), int(texts.end[b])
        logits = model(texts.tokens[b : b + 1, :end]).logits[0, first - 1 : end - 1] / temperature
        drawn = texts.tokens[b, first:end]
        log_laws.append(logits.log_softmax(-1).gather(-1, drawn[:, None]).sum())
        window = Window(
            tuple(texts.tokens[b, :end].tolist()), int(texts.begin[b]), first, bool(texts.starts_at_begin[b])
        )
        counted = term.objective.accumulation.count(Written.of([window]), torch.zeros(1, dtype=torch.long).numpy(), 1)
        rewards.append(-float(derivative[b] @ torch.from_numpy(counted[0])[part]))
    loss = torch.zeros((), dtype=torch.float64)
    for b, log_probability in enumerate(log_laws):
        others = [reward for other, reward in enumerate(rewards) if other != b]
        loss = loss - log_probability * (rewards[b] - sum(others) / len(others)) / len(texts)
    model.zero_grad()
    loss.backward()
    scale = max(float(gradient.abs().max()) for gradient in found.values())
    assert scale > 0
    for name, parameter in model.named_parameters():
        # Statistics' tables and rewards are float32: 1e-7 relative, times the cancellation in the advantage.
        assert torch.allclose(found[name], parameter.grad, rtol=1e-4, atol=1e-5 * scale), name  # type: ignore[arg-type]


# ---- the probe ----------------------------------------------------------------------------------------------

STORIES = [
    f"It was late in the evening when the old king called all of his servants and then he asked for {name} again."
    for name in ("Robert", "Martin", "Edward", "Samuel", "Thomas")
]


def test_questions_hide_the_answer_and_take_distractors_from_other_documents() -> None:
    made = probe.questions(STORIES, 5, seed=0)
    names = {"Robert", "Martin", "Edward", "Samuel", "Thomas"}
    assert {question.answer for question in made} == names
    for question in made:
        assert question.prompt.endswith("asked for")
        assert question.answer not in question.prompt
        assert len(set(question.distractors)) == 3
        assert set(question.distractors) <= names - {question.answer}
    assert made == probe.questions(STORIES, 5, seed=0)
    assert probe.kind("1987") == probe.kind("1820") != probe.kind("12")


def test_accuracy_of_a_model_that_knows_one_name() -> None:
    """A bigram table in the place of a model: after "for" it expects " Robert", whose letters follow each other."""
    from tests import tiny

    tokenizer = tiny.tokenizer()
    made = probe.questions(STORIES, 5, seed=0)
    prompt = made[0].prompt
    before, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} Robert")["input_ids"]
    assert whole[: len(before)] == before
    likely = set(whole[len(before) :])

    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores = torch.nn.Parameter(torch.zeros(tiny.VOCABULARY))
            self.scores.data[list(likely)] = 5.0

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            return SimpleNamespace(logits=self.scores.expand(*input_ids.shape, -1))

    found = probe.accuracy(Table(), tokenizer, made)
    assert found["questions"] == 5
    # It always prefers Robert: right where that is the answer, wrong where it is a distractor.
    right = [q for q in made if q.answer == "Robert"]
    wrong = [q for q in made if "Robert" in q.distractors]
    assert len(right) / 5 <= found["value"] <= 1 - len(wrong) / 5


def test_wilson_interval_by_hand() -> None:
    # 50 of 200: centre (0.25 + 1.9207/200) / (1 + 3.8415/200).
    low, high = probe.wilson(50, 200)  # type: ignore[misc]
    assert (low + high) / 2 == pytest.approx((0.25 + 1.92073 / 200) / (1 + 3.84146 / 200), rel=1e-5)
    assert low < 0.25 < high
    assert probe.wilson(0, 0) is None


# ---- the split ----------------------------------------------------------------------------------------------


def test_no_text_is_on_both_sides_whatever_the_order() -> None:
    texts = [f"text {number}" for number in range(400)] * 2
    one, other = corpora.split(texts, 0.15), corpora.split(reversed(texts), 0.15)
    assert one == other
    assert not set(one.train) & set(one.held_out)
    assert set(one.train) | set(one.held_out) == set(texts)
    # 400 draws at 15 %: 60, standard deviation 7.
    assert abs(len(one.held_out) - 60) < 4 * 7.2


def test_rows_hold_one_document_each() -> None:
    from tests import tiny

    tokenizer = tiny.tokenizer()
    texts = tiny.paragraphs()[:4]
    rows = corpora.rows(texts, tokenizer, 32)
    assert max(map(len, rows)) <= 32
    whole = [token for text in texts for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    assert [token for row in rows for token in row] == whole


# ---- words no training text has -----------------------------------------------------------------------------


def test_unknown_words_by_hand() -> None:
    known = unknown_words.lexicon(["The cat sat.", "It's 7 o'clock"])
    rows = unknown_words.counted(["The CAT zat on it", "", "sat sat zzz"], known, limit=4)
    assert rows.tolist() == [[2, 4], [0, 0], [1, 3]]  # zat, on; zzz
    assert unknown_words.share(rows) == pytest.approx(100 * 3 / 7)
    human = np.array([[1.0, 10.0]] * 6)
    found = unknown_words.measured(rows, human)
    assert found["human"] == pytest.approx(10)
    assert found["gap"] == pytest.approx(abs(300 / 7 - 10))
    low, high = found["interval"]
    assert low <= found["value"] <= high
    assert found["floor"] == pytest.approx(0)  # equal texts: nothing differs


# ---- all of it ----------------------------------------------------------------------------------------------


def test_a_small_run_from_scenario_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sys.path.insert(0, str(REPOSITORY / "examples/demo"))
    try:
        from pages import pages
    finally:
        sys.path.pop(0)
    train, held_out = pages()
    with gzip.open(tmp_path / "academic.jsonl.gz", "wt", encoding="utf-8") as file:
        for text in [*train, *held_out]:
            file.write(json.dumps({"text": text}) + "\n")
    scenario = tmp_path / "small.yaml"
    scenario.write_text(
        f"""
base: {REPOSITORY / "benchmarks/effect/scenarios/defaults.yaml"}
title: a small one
model: examples/base_model
corpus: academic
held_out: 0.4
steps: 2
batch_size: 2
max_length: 128
facts: 10
samplers: [{{temperature: 0.8}}]
rollouts: {{equal: 8, micro_batch_size: 8, max_new_tokens: 48, context_tokens: 16}}
measuring: {{texts: 48, human_windows: 128, resamples: 4}}
super_baseline: {{temperatures: [0.9], top_ps: [0.95], resamples: 2}}
dft: {{reference_windows: 128}}
seeds: [0]
"""
    )
    command = [str(scenario), "--corpora", str(tmp_path), "--output", str(tmp_path / "runs")]
    stub = Stub()
    with serving(stub) as url:
        run.main([*command, "--arms", "sft", "--judge", url, "--judge-model", "stub", "--judge-pairs", "24"])
    assert len(stub.requests) == 48
    run.main([*command, "--arms", "sft,dft,reinforce,super_baseline,training_text"])
    folder = tmp_path / "runs/small"
    written = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert set(written) == {
        *(f"{arm}-s0-t0.8-p1.json" for arm in ("sft", "dft", "reinforce", "training_text")),
        "super_lr0.001-s0-t0.9-p0.95.json",
    }
    capsys.readouterr()
    run.main([*command, "--arms", "sft,dft"])
    assert "trained" not in capsys.readouterr().out
    assert written == {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}

    # In two goes: written here, measured there.
    elsewhere = [*command[:-1], str(tmp_path / "kept"), "--arms", "sft,super_baseline,training_text"]
    run.main([*elsewhere, "--write-only"])
    kept = tmp_path / "kept/small"
    assert not list(kept.glob("*.json"))
    (kept / "written/sft-s0-t0.8-p1.json").rename(tmp_path / "sft.json")
    run.main([*elsewhere, "--arms", "super_baseline"])
    other_text = json.loads((tmp_path / "sft.json").read_text()) | {"contexts": "others"}
    (kept / "written/sft-s0-t0.8-p1.json").write_text(json.dumps(other_text))
    with pytest.raises(ValueError, match="seed 0, continue other contexts"):
        run.main([*elsewhere, "--arms", "sft"])
    (tmp_path / "sft.json").rename(kept / "written/sft-s0-t0.8-p1.json")
    run.main([*elsewhere, "--arms", "sft"])
    assert not list((kept / "written").iterdir())
    for name in ("sft-s0-t0.8-p1.json", "super_lr0.001-s0-t0.9-p0.95.json"):
        at_once, later = (json.loads((of / name).read_text()) for of in (folder, kept))
        at_once["measures"].pop("judge", None)
        for key in ("matched", "measures", "perplexity"):
            assert later[key] == at_once[key]

    from benchmarks.effect import scenario as scenarios

    results = tmp_path / "results"
    (folder / "reinforce-s0-t0.8-p1.json").rename(tmp_path / "elsewhere.json")
    collect.collect(scenarios.load(scenario), folder, results)
    # Collected again, beside what is there.
    (tmp_path / "again").mkdir()
    (tmp_path / "elsewhere.json").rename(tmp_path / "again/reinforce-s0-t0.8-p1.json")
    collect.collect(scenarios.load(scenario), tmp_path / "again", results)
    found = figures.Collected.load(results / "small.json")
    (dft,) = found.of("dft", "t0.8-p1")
    assert dft["cost"]["steps"] == 2
    assert dft["cost"]["seconds_per_step"] > 0
    assert dft["perplexity"]["perplexity"]["value"] > 1
    assert set(dft["probe"]) == {"recall", "ability"}
    assert [len(found.of(arm, "t0.8-p1")) for arm in ("sft", "reinforce", "training_text")] == [1, 1, 1]
    (people,) = found.of("training_text", "t0.8-p1")
    assert set(people["matched"]) == set(dft["matched"])
    assert set(dft["components"]["sentence_opening"]) == {"opening", "repeated"}
    for name, ratio in dft["matched"].items():
        assert ratio == pytest.approx(fmean(dft["components"][name].values()), rel=1e-4)
    assert people["measures"]["auc"]["value"] < dft["measures"]["auc"]["value"]
    told = {line.what: line for line in bar.lines(found, "t0.8-p1")}
    assert told["sum of log floor ratios below the super-baseline's"].met is not None
    tables.main(results)
    page = (results / "small.md").read_text()
    assert "| sft (1) |" in page
    (sft,) = found.of("sft", "t0.8-p1")
    assert 0 <= sft["measures"]["judge"]["value"] <= 100
    assert "judge" not in dft["measures"]
    assert "preferred to human text, %" in page
    assert "### The bar: dft beside sft" in page
    assert "| training_text (1) |" in page
    other = scenarios.load(scenario).model_copy(update={"steps": 3})
    with pytest.raises(ValueError, match="other steps"):
        collect.collect(other, folder, results)
    plot.main(results)
    assert 0 < (results / "effect.png").stat().st_size < 200_000


def two_corpora(folder: Path, reference: str) -> Task:
    """Trained on `academic`, measured on the reference's contexts and on the task's own."""
    for corpus in ("academic", "fiction"):
        with gzip.open(folder / f"{corpus}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": f"{corpus} {number}. " * 160}) + "\n" for number in range(40))
    defaults = REPOSITORY / "benchmarks/effect/scenarios/defaults.yaml"
    samplers = "[{temperature: 1.0}, {temperature: 1.0, contexts: task}]"
    own = f"title: two\nmodel: examples/base_model\ncorpus: academic\nsamplers: {samplers}\nreference: {reference}\n"
    (folder / "two.yaml").write_text(f"base: {defaults}\n{own}")
    return Task.prepare(scenarios.load(folder / "two.yaml"), folder / "runs", str(folder), None)


def test_contexts_are_of_the_reference_or_of_the_task(tmp_path: Path) -> None:
    measures = Measures(two_corpora(tmp_path, "{corpus: fiction}"))
    task = measures.task
    human, own = task.scenario.samplers
    assert (human.key, own.key) == ("t1-p1", "t1-p1-task")
    for sampler, corpus, held_out in ((human, "fiction", task.human), (own, "academic", task.validation)):
        texts = [task.tokenizer.decode(window.tokens) for window in measures.contexts(sampler)]
        assert len(texts) > 32
        named = {number for text in texts for number in re.findall(rf"{corpus} (\d+)\. ", text)}
        assert named
        assert named <= {whole.split()[1].rstrip(".") for whole in held_out}


@pytest.mark.parametrize("law", [{"temperature": 1.0}, {"temperature": 0.7}])
def test_contexts_alone_ask_for_no_second_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, law: dict[str, float]
) -> None:
    task = two_corpora(tmp_path, "{corpus: fiction}")
    samplers = [scenarios.SamplerBlock(), scenarios.SamplerBlock(contexts="task", **law)]
    task = replace(task, scenario=task.scenario.model_copy(update={"samplers": samplers}))
    trained = []

    def train(task: Task, seed: int, sampler: scenarios.SamplerBlock) -> Trained:
        trained.append(sampler)
        return Trained(None, {})

    monkeypatch.setattr(run, "written", lambda *arguments, **more: {})
    monkeypatch.setattr(run, "finish", lambda *arguments, **more: None)
    probe_of_nothing: Any = SimpleNamespace(of=lambda model: {})
    run.run(Measures(task), probe_of_nothing, "dft", Arm(train), 0, measure=True)
    assert trained == (samplers[:1] if law["temperature"] == 1 else samplers)


@pytest.mark.parametrize("arms", [dft, reinforce])
def test_human_contexts_are_the_references_held_in_texts(
    arms: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arms, "run", lambda task, seed, config, *callback: config)
    task = two_corpora(tmp_path, "{corpus: fiction}")
    config: Any = arms.train_on_human_contexts(task, 0, task.scenario.samplers[0])
    (prompts,) = config.rollout.kinds
    texts = [json.loads(line)["text"] for line in Path(prompts).read_text().splitlines()]
    assert texts == list(task.reference or [])
    assert not set(texts) & set(task.human)
    usual = {dft: dft.train, reinforce: reinforce.train_at_defaults}[arms]
    plain: Any = usual(task, 0, task.scenario.samplers[0])
    assert plain.rollout.prompts == "train"
    assert plain.model_copy(update={"rollout": config.rollout}) == config
    with pytest.raises(ValueError, match="two: contexts of the reference need a `reference"):
        arms.train_on_human_contexts(two_corpora(tmp_path, "{}"), 0, task.scenario.samplers[0])


def test_both_contexts_are_the_training_sets_and_the_references_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dft, "run", lambda task, seed, config, *callback: config)
    task = two_corpora(tmp_path, "{corpus: fiction}")
    train = [ARMS[arm].train for arm in ("dft_both_contexts", "dft_both_contexts_growing_window")]
    both, growing = (cast(Any, one(task, 0, task.scenario.samplers[0])) for one in train)
    there: Any = dft.train_on_human_contexts(task, 0, task.scenario.samplers[0])
    assert both.rollout.kinds == ["train", *there.rollout.kinds]
    assert (both.window_growth, growing.window_growth) == (0, 0.25)
    assert growing.model_copy(update={"window_growth": 0.0}) == both


@pytest.mark.parametrize(("arm", "share"), [("sft_mixed", 1 / 2), ("sft_mixed_eighth", 1 / 8)])
def test_a_mixture_holds_the_tasks_rows_and_a_share_of_the_references(
    arm: str, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixture, "fine_tune", lambda task, seed, rows: rows)
    task = two_corpora(tmp_path, "{corpus: fiction}")
    mixed = cast(Any, ARMS[arm].train(task, 0, task.scenario.samplers[0]))
    human = [row for row in mixed if "fiction" in task.tokenizer.decode(row)]
    assert mixed[: len(task.rows)] == task.rows
    assert len(human) == len(mixed) - len(task.rows) == round(share * len(mixed))
    with pytest.raises(ValueError, match="here they are the same"):
        ARMS[arm].train(two_corpora(tmp_path, "{}"), 0, task.scenario.samplers[0])


def test_dft_on_a_mixture_has_its_rollouts_on_the_tasks_texts_and_in_turn_on_the_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dft, "run", lambda task, seed, config, rows: (config, rows))
    task = two_corpora(tmp_path, "{corpus: fiction}")
    arms = ("dft_mixed_eighth", "dft_mixed_eighth_both_contexts")
    (own, rows), (both, same) = (cast(Any, ARMS[arm].train(task, 0, task.scenario.samplers[0])) for arm in arms)
    (texts,) = own.rollout.kinds
    assert [json.loads(line)["text"] for line in Path(texts).read_text().splitlines()] == list(task.train)
    assert both.rollout.kinds == [texts, both.reference]
    assert rows == same == mixture.rows(task, 1 / 8)
    usual: Any = task.config(task.scenario.samplers[0], 0)
    assert usual.model_copy(update={"rollout": own.rollout}) == own


@pytest.mark.parametrize(
    ("arm", "changed"), [("dft_calibration_0.7", {"calibration": 0.7}), ("sft_calibrated", {"statistics": []})]
)
def test_an_arm_differs_from_dft_in_one_option_alone(
    arm: str, changed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dft, "run", lambda task, seed, config, *callback: config)
    task = two_corpora(tmp_path, "{}")
    sampler = task.scenario.samplers[0].model_copy(update={"temperature": 0.7})
    usual, other = (cast(Any, ARMS[name].train(task, 0, sampler)) for name in ("dft", arm))
    assert (usual.calibration, len(usual.statistics)) == (0.85, 6)
    assert usual.model_copy(update=changed) == other != usual


def test_reinforce_at_the_defaults_and_calibrated_has_dfts_own_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arm in (dft, reinforce):
        monkeypatch.setattr(arm, "run", lambda task, seed, config, *callback: config)
    task = two_corpora(tmp_path, "{}")
    names = ("dft", "reinforce_default_calibrated", "reinforce_default")
    own, calibrated, plain = (cast(Any, ARMS[name].train(task, 0, task.scenario.samplers[0])) for name in names)
    assert calibrated == own
    assert plain == own.model_copy(update={"calibration": 0.0})


# ---- on a GPU -----------------------------------------------------------------------------------------------


def test_jobs_side_by_side_in_order_until_the_time_is_over(tmp_path: Path) -> None:
    def job(name: str, code: str, needs: Path | None = None) -> side_by_side.Job:
        return side_by_side.Job(name, [sys.executable, "-c", code], needs)

    model = tmp_path / "model"
    made = f"import pathlib; m = pathlib.Path({str(model)!r}); m.mkdir(); (m / 'tokenizer_config.json').touch()"
    jobs = [
        job("waits", "print('saw it')", needs=model),
        job("makes", made),
        job("fails", "raise SystemExit(3)"),
        job("endless", "import time; time.sleep(600)"),
        job("late", ""),
    ]
    queue = side_by_side.Queue(jobs, tmp_path, deadline=time.monotonic() + 4)
    queue.work()
    assert (tmp_path / "waits.log").read_text() == "saw it\n"
    assert queue.failed == ["fails"]
    assert [left.name for left in queue.left] == ["late"]
    assert time.monotonic() < queue.deadline + 5


def test_a_model_is_awaited_while_it_is_being_made_and_no_longer(tmp_path: Path) -> None:
    making = iter([True, True, False])
    job = side_by_side.Job("needs it", [sys.executable, "-c", ""], tmp_path / "model")
    queue = side_by_side.Queue([job], tmp_path, time.monotonic() + 600, awaiting=lambda: next(making))
    queue.work()
    assert queue.left == [job]
    assert next(making, None) is None


def test_every_job_of_the_file_is_of_a_scenario_and_arms_that_exist() -> None:
    path = REPOSITORY / "benchmarks/effect/gpu_jobs.yaml"
    pretrainings, runs = side_by_side.jobs_of(path, "corpora", Path("nowhere"), Path("out"))
    assert [job.command[2] for job in pretrainings] == list(pretrain_on_gpu.SIZES)
    for job in runs:
        assert job.needs is not None
        assert job.needs.name in pretrain_on_gpu.SIZES
        assert run.chosen(job.command[job.command.index("--arms") + 1], [])


RESULTS = sorted((REPOSITORY / "benchmarks/effect/results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_scenario_names_every_arm_that_has_results(path: Path) -> None:
    """The command that reproduces a scenario runs what its tables show."""
    named = scenarios.load(REPOSITORY / f"benchmarks/effect/scenarios/{path.stem}.yaml").arms
    found = {run["arm"] for run in json.loads(path.read_text())["runs"]}
    assert {"super_baseline" if arm.startswith("super_lr") else arm for arm in found} <= set(named)


def test_pretraining_lowers_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = pretrain_on_gpu.Size("qwen3", 128, 128, 1, 1e-2, million_tokens=0)
    model = AutoModelForCausalLM.from_config(size.config(SimpleNamespace(eos_token_id=0, pad_token_id=1)))
    stream = torch.arange(8 * pretrain_on_gpu.LENGTH) % 50
    batch = stream[: pretrain_on_gpu.LENGTH][None]
    before = float(model(input_ids=batch, labels=batch).loss)
    tokens = 12 * 2 * pretrain_on_gpu.LENGTH
    pretrain_on_gpu.fit(model, stream, replace(size, million_tokens=tokens / 1e6), rows=2, device=torch.device("cpu"))
    assert float(model(input_ids=batch, labels=batch).loss) < before - 1
