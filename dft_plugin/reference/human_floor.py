"""Human-versus-human floors: how far two samples of human text are apart, by sample size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.objective import Accumulation, Matched
from dft_plugin.reference.accumulated import ReferenceError


@dataclass(frozen=True)
class FloorCurve:
    """The distance between two disjoint human samples: a (1/n + 1/m)^b for samples of n and m windows.

    Attributes:
        log_scale: log a.
        exponent: b, between 0 and 1 (squared distances between samples fall as 1/n).
        reference: m, the number of windows behind the reference.
    """

    log_scale: float
    exponent: float
    reference: float

    def at(self, sample_size: float) -> float:
        """The floor for a sample of that many texts against the whole reference."""
        return math.exp(self.log_scale + self.exponent * math.log(1 / sample_size + 1 / self.reference))


Curves = Mapping[str, Mapping[str, FloorCurve]]


def at_size(curves: Curves, sample_size: float) -> dict[str, dict[str, float]]:
    """statistic -> component -> the floor for a sample of that many texts."""
    return {
        name: {component: curve.at(sample_size) for component, curve in components.items()}
        for name, components in curves.items()
    }


REGROUPINGS = 8
"""How often the folds are regrouped: a floor from a few groups alone can be small by chance."""


def floors(accumulation: Accumulation, matched: Sequence[Matched], folds: Tensor, windows: Tensor) -> Curves:
    """Human-versus-human floors of each component, by sample size.

    For groups of 1, 2, 4, ... folds, the mean distance of a group from all other folds; a line through
    these in log-log, each point weighing as many groups as it has. A component in which human samples do
    not differ at all carries no information and is left out.

    Args:
        accumulation: of the statistics.
        matched: statistics with their distances.
        folds: (F, A) accumulators.
        windows: (F,) number of windows.

    Returns:
        statistic -> component -> curve.

    Raises:
        ReferenceError: when nothing of a statistic can be measured on the human text.
    """
    curves: dict[str, dict[str, FloorCurve]] = {}
    for entry in matched:
        points: dict[str, list[_Point]] = {}
        group = 1
        while group <= len(folds) // 2:
            for component, point in _between_groups(accumulation, entry, folds, windows, group).items():
                points.setdefault(component, []).append(point)
            group *= 2
        curves[entry.name] = {
            component: _line(found, float(windows.sum()))
            for component, found in points.items()
            if all(point.distance > 1e-12 for point in found)
        }
        if not curves[entry.name]:
            raise ReferenceError(
                f"the human text shows nothing of {entry.name} (no event of its kind in "
                f"{int(windows.sum())} windows): leave it out of `statistics`, give other text, or raise "
                "rollout.max_new_tokens"
            )
    return curves


@dataclass(frozen=True)
class _Point:
    inverse_size: float
    distance: float
    groups: int


def _between_groups(
    accumulation: Accumulation, entry: Matched, folds: Tensor, windows: Tensor, group: int
) -> dict[str, _Point]:
    """component -> mean distance of groups of folds from the others."""
    generator = torch.Generator().manual_seed(group)
    total, count = folds.sum(0), float(windows.sum())
    groups = len(folds) // group
    size = count * group / len(folds)
    found: dict[str, float] = {}
    for _ in range(REGROUPINGS if group > 1 else 1):
        order = torch.randperm(len(folds), generator=generator)[: groups * group]
        samples = folds[order].reshape(groups, group, -1).sum(1)
        sampled = accumulation.summarize(entry.statistic, samples)
        others = accumulation.summarize(entry.statistic, total - samples)
        for component, value in sampled.items():
            distance = float(entry.distance(value, others[component]).mean())
            found[component] = found.get(component, 0.0) + distance / (REGROUPINGS if group > 1 else 1)
    return {component: _Point(1 / size + 1 / (count - size), distance, groups) for component, distance in found.items()}


def _line(points: Sequence[_Point], reference: float) -> FloorCurve:
    weights = [float(point.groups) for point in points]
    sizes = [math.log(point.inverse_size) for point in points]
    values = [math.log(point.distance) for point in points]

    def mean(numbers: Sequence[float]) -> float:
        return sum(weight * number for weight, number in zip(weights, numbers, strict=True)) / sum(weights)

    mean_size, mean_value = mean(sizes), mean(values)
    spread = mean([(size - mean_size) ** 2 for size in sizes])
    both = mean([(s - mean_size) * (v - mean_value) for s, v in zip(sizes, values, strict=True)])
    exponent = min(1.0, max(0.0, both / spread))
    return FloorCurve(mean_value - exponent * mean_size, exponent, reference)
