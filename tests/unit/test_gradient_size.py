"""What tells how large a gradient is in the parameters, against these parameters' own gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.estimator import balance
from dft_plugin.gradient_size import PROJECTED, of_linear_map


def test_it_is_the_gradient_of_a_linear_map() -> None:
    """h = W u with u = h at W = 1: d loss / d W is sum_n g_n h_n^T."""
    torch.manual_seed(0)
    hidden, target = torch.randn(40, 12, dtype=torch.float64), torch.randn(40, 12, dtype=torch.float64)
    linear = nn.Linear(12, 12, bias=False, dtype=torch.float64)
    linear.weight.data = torch.eye(12, dtype=torch.float64)
    given = linear(hidden)
    given.retain_grad()
    (given - target).pow(3).sum().backward()
    assert given.grad is not None
    assert linear.weight.grad is not None
    found = of_linear_map(given.grad, hidden)
    assert torch.allclose(found, linear.weight.grad, rtol=1e-5, atol=1e-4)


def test_the_hosts_autocast_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    gradient, hidden = (torch.randn(30, 300, generator=generator) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = of_linear_map(gradient, hidden)
    assert torch.equal(found, of_linear_map(gradient, hidden))


def test_it_adds_up_over_rows() -> None:
    torch.manual_seed(1)
    gradient, hidden = torch.randn(30, 300), torch.randn(30, 300)
    parts = of_linear_map(gradient[:7], hidden[:7]) + of_linear_map(gradient[7:], hidden[7:])
    assert torch.allclose(parts, of_linear_map(gradient, hidden), atol=1e-4)


@pytest.mark.parametrize("rank", [1, 200])
def test_a_projected_norm_is_about_the_whole_one(rank: int) -> None:
    """sqrt(2 / R) is the relative standard deviation of a squared norm at rank 1: 6 % of the norm; three of them."""
    width, errors = 1024, []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        gradient, hidden = (torch.randn(rank, width, generator=generator) for _ in range(2))
        whole = float((gradient.double().T @ hidden.double()).norm())
        errors.append(float(of_linear_map(gradient, hidden).norm()) / whole - 1)
    deviation = (2 / PROJECTED) ** 0.5 / 2
    assert max(map(abs, errors)) < 3 * deviation
    assert abs(sum(errors) / len(errors)) < 3 * deviation / 20**0.5


def test_narrow_states_are_left_as_they_are() -> None:
    torch.manual_seed(2)
    gradient, hidden = torch.randn(9, PROJECTED), torch.randn(9, PROJECTED)
    assert torch.equal(of_linear_map(gradient, hidden), (gradient.T @ hidden).double())
    wider = PROJECTED + 1
    assert of_linear_map(torch.randn(9, wider), torch.randn(9, wider)).shape == (wider, PROJECTED)


def test_it_goes_with_the_parameters_where_the_states_norm_does_not() -> None:
    """A real model, relative to token_frequency: within 2 of the norm in the parameters; the other is not."""
    ratios = balance.relative(balance.measured(texts=32, reference_windows=256))
    print(ratios)
    assert all(0.5 < of_map < 2 for _, of_map in ratios.values())
    assert max(of_states for of_states, _ in ratios.values()) > 2
