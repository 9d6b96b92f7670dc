"""The human side of a comparison: accumulators, and windows to measure floors on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import Matched
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.human_floor import Curves, Grouped, Point, curves, grouped_rows, measured
from dft_plugin.reference.window_sample import SAMPLE, Rows
from dft_plugin.statistic_check import check_statistics
from dft_plugin.texts import Window
from dft_plugin.written import Written

LEAST_WINDOWS = 32


@dataclass(frozen=True)
class HumanSide:
    """Human text as a model's text is compared with it.

    Attributes:
        total: (A,) accumulators.
        windows: how many windows they are of.
        grouped: sums the accumulators of `sampled` single windows by group.
        sampled: how many those are.
        apart: whether the sampled windows are not among those of `total`.
    """

    total: Tensor
    windows: float
    grouped: Grouped
    sampled: int
    apart: bool = False

    @property
    def mean(self) -> Tensor:
        """(A,) accumulators per window."""
        return self.total / self.windows

    def floors(self, accumulation: Accumulation, matched: Sequence[Matched]) -> Curves:
        """Human-versus-human floors of each component by sample size; raises as `measured`."""
        return curves(self.measured(accumulation, matched), float(self.sampled) if self.apart else self.windows)

    def measured(
        self, accumulation: Accumulation, matched: Sequence[Matched]
    ) -> Mapping[str, Mapping[str, list[Point]]]:
        """Distances between human samples; see `human_floor.measured`.

        Raises:
            ValueError: where a summary or distance is none that floors and gradients can be taken of.
        """
        halves = self.grouped(np.arange(self.sampled) % 2, 2)
        check_statistics(accumulation, matched, halves, self.sampled / 2)
        total, windows = self.total, self.windows
        if self.apart:
            total, windows = self.grouped(np.zeros(self.sampled, dtype=np.int64), 1)[0], float(self.sampled)
        return measured(accumulation, matched, self.grouped, self.sampled, total, windows)


def check_enough(name: str, tokens: int, windows: int, length: int, *, one_each: bool = False) -> None:
    """Whether there is human text enough, before it is counted.

    Args:
        name, tokens, windows, length: of the text, and how long a window is at most.
        one_each: whether every document is one window, however long it is.

    Raises:
        HumanReferenceError: naming the text, and how many tokens, or documents, are needed.
    """
    if windows < LEAST_WINDOWS:
        if one_each:
            raise HumanReferenceError(
                f"{name} has {windows} texts with something to count; at least {LEAST_WINDOWS} are needed, for each "
                "counts once, after its prompt or from its start, however long it is: give more texts"
            )
        raise HumanReferenceError(
            f"{name} has {tokens:,} tokens of human text, {windows} windows of {length}; at least {LEAST_WINDOWS} "
            f"windows are needed, about {LEAST_WINDOWS * length:,} tokens: give more text, or lower "
            "rollout.max_new_tokens"
        )


def of_windows(accumulation: Accumulation, windows: Sequence[Window]) -> HumanSide:
    """Counts windows for statistics none of which is measured under a model.

    Raises:
        HumanReferenceError: when there are too few.
    """
    if len(windows) < LEAST_WINDOWS:
        length = max((len(window.tokens) - window.first for window in windows), default=0)
        raise HumanReferenceError(
            f"the reference has {len(windows)} windows of up to {length} tokens; at least {LEAST_WINDOWS} are "
            f"needed, about {LEAST_WINDOWS * max(length, 1):,} tokens of human text that differ: give more text, or "
            "lower rollout.max_new_tokens"
        )
    written = Written.of(windows)
    total = accumulation.count(written, np.zeros(len(written), dtype=np.int64), 1)[0]
    rows = window_rows(accumulation, written.select(slice(SAMPLE)).compact())
    return HumanSide(torch.from_numpy(total), float(len(windows)), sums_of([rows]), len(rows))


CELLS_AT_A_TIME = 1 << 22


def window_rows(accumulation: Accumulation, windows: Written) -> Rows:
    """The accumulators of each of K windows: sparse rows of A numbers."""
    size = accumulation.size
    at_a_time = max(1, CELLS_AT_A_TIME // max(1, size))
    parts = [Rows.of(np.zeros((0, size)))]
    for start in range(0, len(windows), at_a_time):
        written = windows.select(slice(start, start + at_a_time)).compact()
        parts.append(Rows.of(accumulation.count(written, np.arange(len(written)), len(written))))
    return Rows.joined(parts)


def of_rows(rows: Tensor) -> HumanSide:
    """From the accumulators of each window: (K, A)."""
    return HumanSide(rows.sum(0), float(len(rows)), grouped_rows(rows), len(rows))


def of_totals(
    accumulation: Accumulation, totals: Mapping[str, Tensor], windows: float, rows: Mapping[str, Rows]
) -> HumanSide:
    """From accumulators and rows by statistic, as a reference holds them."""
    names = [statistic.name for statistic in accumulation.statistics]
    sampled = [rows[name] for name in names]
    return HumanSide(torch.cat([totals[name] for name in names]), windows, sums_of(sampled), len(sampled[0]))


def sums_of(parts: Sequence[Rows]) -> Grouped:
    """Sums sparse rows by group, those of several statistics side by side."""

    def grouped(group: np.ndarray, groups: int) -> Tensor:
        return torch.from_numpy(np.concatenate([rows.summed(group, groups) for rows in parts], axis=1))

    return grouped
