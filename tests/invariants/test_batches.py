"""However the texts of a step are shared out, over micro-batches or processes, there is one gradient."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.invariants.runs import CASES, run
from tests.training import relative_error

ROOT = Path(__file__).parents[2]
SAME = 1e-6
"""Sums in another order, in float32."""
TOLERANCE = dict.fromkeys(CASES, SAME) | {"critic": 1e-5}
"""D' of the critic is a difference of mean scores, a tenth of their spread before it has learned: digits are lost."""


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return {case: run(case) for case in CASES}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("micro_batch_size", [1, 8])
def test_micro_batches(case: str, micro_batch_size: int, alone: dict[str, Any]) -> None:
    found = run(case, steps=2, micro_batch_size=micro_batch_size)
    # At the first step that acts only: Adam makes rounding in a gradient near 0 a difference of the step's size.
    step = 1 if CASES[case]["term"]["weight"] == "auto" else 0
    error = relative_error(found["gradients"][step], alone[case]["gradients"][step])
    print(f"{case}, micro-batches of {micro_batch_size} and 3: {error:.1e}")
    assert error <= TOLERANCE[case]
    assert _numbers(found)[step] == pytest.approx(_numbers(alone[case])[step], rel=1e-5)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two gloo processes found."""
    output = tmp_path_factory.mktemp("processes") / "found.pt"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*launch, str(ROOT / "tests/invariants/runs.py"), str(output)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return [torch.load(output.with_name(f"found-{rank}.pt"), weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(case: str, together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    first, second = together[0][case], together[1][case]
    for mine, other in zip(first["gradients"], second["gradients"], strict=True):
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    # Every step: the window, the running norms and the human side under the model are those of one process.
    errors = [relative_error(*pair) for pair in zip(first["gradients"], alone[case]["gradients"], strict=True)]
    print(f"{case}, two processes and one: {', '.join(f'{error:.1e}' for error in errors)}")
    assert errors[0] <= TOLERANCE[case]
    assert max(errors) <= 1e-4
    for found, expected in zip(_numbers(first), _numbers(alone[case]), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_streams_human_text_is_that_of_all_processes(together: list[dict[str, Any]]) -> None:
    first, second = (process["stream"] for process in together)
    assert torch.equal(first["human"], second["human"])
    assert first["contexts"] == second["contexts"]
    assert len(set(first["contexts"])) == 128


def test_one_process_that_cannot_go_on_takes_the_others_along(together: list[dict[str, Any]]) -> None:
    for process in together:
        logs = process["one bad process"]["logs"]
        assert [("dft/loss" in line) for line in logs[:3]] == [True, False, True]
        assert logs[1]["dft/skipped"] == 1


def _numbers(found: dict[str, Any]) -> list[dict[str, float]]:
    kept = ("dft/loss", "dft/kl", "dft/weight", "dft/gradient_ratio", "dft/distance", "dft/floor_ratio")
    return [{key: value for key, value in line.items() if key.startswith(kept)} for line in found["logs"][:3]]
