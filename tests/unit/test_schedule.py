"""At which steps the term acts: counts and shares of the run's steps, by enumeration."""

from __future__ import annotations

from typing import Any

import pytest

from dft_plugin.config import ConfigError, DFTConfig, parse
from dft_plugin.schedule import Schedule, in_steps, never_acts


@pytest.mark.parametrize(
    ("given", "steps", "expected"),
    [(0, 7, 0), (0.0, 7, 0), (0.5, 100, 50), (0.5, 7, 3), (0.5, 1, 0), (0.29, 100, 29), (0.99, 10, 9), (3, 100, 3)],
)
def test_shares_are_of_the_run_and_rounded_down(given: float, steps: int, expected: int) -> None:
    assert in_steps(given, steps) == expected


def test_a_share_below_1_never_starts_after_the_run() -> None:
    for steps in range(1, 50):
        assert never_acts(DFTConfig(start_step=0.999, weight=1.0), steps) is None


def test_every_step_of_a_run() -> None:
    config = parse({"start_step": 0.2, "end_step": 0.8, "warmup_steps": 4, "rollout": {"interval": 2}})
    schedule = Schedule.of(config, 10)
    assert [schedule.warmed(step) for step in range(10)] == [None, None, 0.25, 0.5, 0.75, 1, 1, 1, None, None]
    assert [step for step in range(10) if schedule.acts(step)] == [2, 4, 6]


def test_the_default_is_the_second_half() -> None:
    schedule = Schedule.of(DFTConfig(), 9)
    assert [step for step in range(9) if schedule.acts(step)] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("block", "steps", "expected"),
    [
        ({"start_step": 10}, 10, "start_step is 10 and training has 10 steps: the term would never act; lower"),
        ({"end_step": 5}, 10, "end_step is 5 and start_step 0.5, of 10 steps 5 and 5: the term would never act; raise"),
        ({"start_step": 4, "end_step": 0.4}, 10, "end_step is 0.4 and start_step 4, of 10 steps 4 and 4"),
    ],
)
def test_a_term_that_would_never_act_is_told(block: dict[str, float], steps: int, expected: str) -> None:
    assert (never_acts(parse(block), steps) or "").startswith(expected)


@pytest.mark.parametrize(
    ("block", "steps", "acts"),
    [
        ({}, 1, False),
        ({}, 2, True),
        ({"weight": 0.5}, 1, True),
        ({"start_step": 0, "rollout": {"interval": 3}}, 3, False),
        ({"start_step": 0, "rollout": {"interval": 3}}, 4, True),
        ({"start_step": 1, "rollout": {"interval": 3}}, 3, True),
        ({"start_step": 0, "end_step": 1}, 9, False),
    ],
)
def test_auto_measures_at_the_first_step_and_needs_a_later_one(block: dict[str, Any], steps: int, acts: bool) -> None:
    refusal = never_acts(parse(block), steps)
    assert (refusal is None) == acts
    assert acts or (refusal is not None and refusal.startswith("weight is auto, which only measures"))


def test_where_nothing_is_matched_nothing_has_to_act() -> None:
    """Not even where the first acting step, half of the run, would not come."""
    assert never_acts(parse({"start_step": 1}), 1) is not None
    assert never_acts(parse({"statistics": [], "rollout": {"temperature": 0.7}}), 1) is None


def test_a_step_and_a_half_is_no_step() -> None:
    with pytest.raises(ConfigError, match=r"start_step: takes a number of steps, or a share of them below 1 .*1\.5"):
        parse({"start_step": 1.5})
    assert parse({"start_step": 2.0}).start_step == 2
