"""What is left of a distance where the model is heading, against hand-computed numbers and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import Matched, Objective
from dft_plugin.outlook import LIMIT, factor, outlook, remaining
from dft_plugin.statistics.base import NoOptions
from dft_plugin.statistics.frequency import TokenFrequency
from dft_plugin.vocabulary import Vocabulary
from tests import tiny


def half_square(p: Tensor, q: Tensor) -> Tensor:
    return (p - q).square().sum(-1) / 2


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("latest", "rho"),
    [((3.0, 1.0), 1.0), ((2.0, 1.0), 0.5), ((1.0, 1.0), 0.0), ((0.0, 1.0), -0.5), ((2.0, 9.0), 0.5)],
)
def test_rho_is_the_projection_that_is_left(latest: tuple[float, float], rho: float) -> None:
    """The human summary is at (1, 1), the window's at (3, 1): what lies across the way to it counts nothing."""
    assert float(remaining(half_square, vector(3, 1), vector(*latest), vector(1, 1))) == pytest.approx(rho)


@pytest.mark.parametrize("name", ["jensen_shannon", "energy", "l2", "hellinger"])
def test_rho_is_a_quotient_of_directional_derivatives(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    window, latest, human = (torch.rand(7, generator=generator, dtype=torch.float64) + 0.1 for _ in range(3))
    window, latest, human = (law / law.sum() for law in (window, latest, human))
    distance = plugins.distance(name).function

    def along(direction: Tensor) -> float:
        step = 1e-6
        return float(distance(window + step * direction, human) - distance(window - step * direction, human)) / 2 / step

    expected = along(latest - human) / along(window - human)
    assert float(remaining(distance, window, latest, human)) == pytest.approx(expected, rel=1e-5)


def test_at_the_human_law_nothing_can_be_told() -> None:
    assert float(remaining(half_square, vector(1, 1), vector(4, 2), vector(1, 1))) == 1
    # Nor of a distance that does not grow away from it.
    assert float(remaining(lambda p, q: -half_square(p, q), vector(3, 1), vector(2, 1), vector(1, 1))) == 1


@pytest.mark.parametrize(
    ("rho", "lead", "expected"),
    [
        (1.0, 0.75, 1.0),  # not moving
        (0.6, 0.0, 0.6),
        (0.6, 0.75, 0.3),
        (0.2, 0.75, -0.4),  # about to arrive: brakes
        (-0.2, 0.75, 1.1),  # past: the derivative at the latest texts leads back already
        (1.4, 0.75, 1.7),  # moving away
        (9.0, 0.75, LIMIT),
        (-9.0, 0.75, LIMIT),
        (0.0, 4.0, -LIMIT),
    ],
)
def test_the_factor_by_hand(rho: float, lead: float, expected: float) -> None:
    assert factor(rho, lead) == pytest.approx(expected)


def objective(derivative_window: int | None) -> Objective:
    vocabulary = Vocabulary.from_tokenizer(tiny.tokenizer(), SIZE)
    token = TokenFrequency(vocabulary, NoOptions())
    distance = plugins.distance(token.distance).function
    return Objective([Matched(token, distance)], Accumulation([token], SIZE), 64, derivative_window=derivative_window)


SIZE = tiny.VOCABULARY
FLOORS = {"token_frequency": {"token": 1e-3}}


@pytest.mark.parametrize(("derivative_window", "ahead"), [(None, False), (64, False), (100, False), (8, True)])
def test_latest_texts_as_many_as_the_window_see_nothing_ahead(derivative_window: int | None, ahead: bool) -> None:
    assert objective(derivative_window).looks_ahead == ahead


def test_at_the_first_step_nothing_is_ahead() -> None:
    """All texts there are, are the latest: every factor is 1 to the last bit, whatever the lead."""
    made, generator = objective(8), torch.Generator().manual_seed(0)
    human = torch.rand(SIZE, generator=generator, dtype=torch.float64)
    factors = []
    for _ in range(3):
        own = torch.rand(8, SIZE, generator=generator, dtype=torch.float64)
        means = made.leave_one_out(own)
        found = outlook(made.accumulation, made.matched, means, human, FLOORS, lead=0.75)
        factors += found["token_frequency"]
        made.remember(means.total, means.texts)
    assert len(factors) == 3
    assert factors[0] == 1
    assert factors[1:] != [1, 1]


def swing(share: Callable[[float], float], steps: int = 120) -> tuple[float, float]:
    """A number that starts at 20 and is to come to 0, pushed with a momentum of ten steps, seen by two averages.

    Returns:
        How far it goes beyond 0, and where it is in the end.
    """
    at, velocity, window, latest = 20.0, 0.0, 20.0, 20.0
    path = []
    for _ in range(steps):
        window, latest = window + (at - window) / 16, latest + (at - latest) / 2
        force = -math.copysign(math.log(max(1.0, window**2)), latest) * share(latest / window)
        velocity = 0.9 * velocity + 0.1 * force
        at += 0.25 * velocity
        path.append(at)
    return max(0.0, -min(path)), path[-1]


def test_what_looks_ahead_arrives_without_swinging() -> None:
    """The share of the window alone pushes it past; one of the latest texts less, and one with a lead not at all."""
    (without, _), (present, _), (ahead, end) = (
        swing(share) for share in (lambda rho: 1.0, lambda rho: factor(rho, 0.0), lambda rho: factor(rho, 0.75))
    )
    assert without > 1.5 * present > 3.0
    assert ahead == 0
    assert abs(end) < 1
