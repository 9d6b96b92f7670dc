"""Human-versus-human floors: how far two samples of human text are apart, by sample size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import Matched
from dft_plugin.reference.errors import HumanReferenceError

MOST_GROUPS = 64
LEAST_SAMPLE = 16
"""Windows below which a sample's laws are too coarse to tell how larger samples differ."""
REGROUPINGS = 4
"""How often windows are regrouped: a floor from a few groups alone can be small by chance."""


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

Grouped = Callable[[np.ndarray, int], Tensor]
"""(group of each window (K,), -1 for none; number of groups) -> (groups, A) accumulators."""


def at_size(curves: Curves, sample_size: float) -> dict[str, dict[str, float]]:
    """statistic -> component -> the floor for a sample of that many texts."""
    return {
        name: {component: curve.at(sample_size) for component, curve in components.items()}
        for name, components in curves.items()
    }


@dataclass(frozen=True)
class Point:
    """The mean distance of samples of `size` windows from the rest of the human text.

    Attributes:
        size: windows in each sample.
        others: windows they are compared with.
        distance: mean over the samples.
        groups: how many samples there are at once, none sharing a window with another.
    """

    size: int
    others: float
    distance: float
    groups: int


def measured(
    accumulation: Accumulation,
    matched: Sequence[Matched],
    grouped: Grouped,
    sampled: int,
    total: Tensor,
    windows: float,
) -> dict[str, dict[str, list[Point]]]:
    """statistic -> component -> distances between disjoint human samples, smallest samples first.

    Args:
        accumulation: of the statistics.
        matched: statistics with their distances.
        grouped: sums the accumulators of sampled windows by group.
        sampled: K, the number of windows it has, in random order.
        total: (A,) accumulators of all human windows, the sampled ones among them.
        windows: how many that is.
    """
    found: dict[str, dict[str, list[Point]]] = {entry.name: {} for entry in matched}
    size = max(2, sampled // MOST_GROUPS, min(LEAST_SAMPLE, sampled // 16))
    while 2 * size <= sampled:
        distances: dict[tuple[str, str], list[float]] = {}
        groups = sampled // size
        for number in range(1 if groups == MOST_GROUPS else REGROUPINGS):
            samples = grouped(_grouping(sampled, size, number), groups)
            others = total - samples
            for entry in matched:
                own = accumulation.summarize(entry.statistic, samples)
                rest = accumulation.summarize(entry.statistic, others)
                for component, value in own.items():
                    distance = float(entry.distance(value, rest[component]).mean())
                    distances.setdefault((entry.name, component), []).append(distance)
        for (name, component), values in distances.items():
            point = Point(size, windows - size, sum(values) / len(values), groups)
            found[name].setdefault(component, []).append(point)
        size *= 2
    return found


def _grouping(count: int, size: int, number: int) -> np.ndarray:
    """(count,) the group of each window: `size` windows a group, -1 for those left over."""
    order = np.arange(count) if number == 0 else np.random.default_rng(number).permutation(count)
    group = np.full(count, -1)
    groups = count // size
    group[order[: groups * size]] = np.arange(groups * size) // size
    return group


def curves(points: Mapping[str, Mapping[str, Sequence[Point]]], windows: float) -> Curves:
    """A line through the measured distances in log-log, each point weighing as many groups as it has.

    A component in which human samples do not differ at all carries no information and is left out.

    Raises:
        HumanReferenceError: when nothing of a statistic can be measured on the human text.
    """
    fitted = {}
    for name, components in points.items():
        fitted[name] = {component: _line(found, windows) for component, found in components.items() if _differ(found)}
        if not fitted[name]:
            raise HumanReferenceError(
                f"the human text shows nothing of {name}: in {int(windows)} windows its samples do not differ in it. "
                "Either no event of its kind is there (other text, too short windows, a tokenizer that splits such "
                "marks or letters into bytes), or the texts are all alike: leave it out of `statistics`, give other "
                "text, or raise rollout.max_new_tokens"
            )
    return fitted


def renewed(
    before: Curves, points: Mapping[str, Mapping[str, Sequence[Point]]], windows: float
) -> dict[str, dict[str, FloorCurve]]:
    """Curves, those of components measured again as they are now where samples differ, by finite distances."""
    return {
        name: {
            component: _line(found, windows) if _differ(found := points.get(name, {}).get(component, ())) else curve
            for component, curve in components.items()
        }
        for name, components in before.items()
    }


def _differ(points: Sequence[Point]) -> bool:
    return len(points) > 0 and all(1e-12 < point.distance < math.inf for point in points)


def _line(points: Sequence[Point], reference: float) -> FloorCurve:
    weights = [float(point.groups) for point in points]
    sizes = [math.log(1 / point.size + 1 / point.others) for point in points]
    values = [math.log(point.distance) for point in points]

    def mean(numbers: Sequence[float]) -> float:
        return sum(weight * number for weight, number in zip(weights, numbers, strict=True)) / sum(weights)

    mean_size, mean_value = mean(sizes), mean(values)
    spread = mean([(size - mean_size) ** 2 for size in sizes])
    both = mean([(s - mean_size) * (v - mean_value) for s, v in zip(sizes, values, strict=True)])
    exponent = min(1.0, max(0.0, both / spread)) if spread > 0 else 1.0
    return FloorCurve(mean_value - exponent * mean_size, exponent, reference)


def grouped_rows(rows: Tensor) -> Grouped:
    """Sums dense rows (K, A) by group."""

    def grouped(group: np.ndarray, groups: int) -> Tensor:
        used = torch.as_tensor(group >= 0)
        of = torch.as_tensor(group)[used]
        return rows.new_zeros(groups, rows.shape[1]).index_add_(0, of, rows[used])

    return grouped
