"""What tables are made of: figures of a run as columns, arms as rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from benchmarks.effect.figures import Collected, Run, measure, perplexity, values

Column = tuple[str, Callable[[Run], float | None]]

QUOTED: list[Column] = [
    ("perplexity, temperature 1", perplexity("perplexity")),
    ("perplexity under the sampler", perplexity("sampler perplexity")),
    ("tokens it can draw, %", perplexity("covered")),
    ("distinct-2", measure("distinct-2")),
    ("distinct-3", measure("distinct-3")),
    ("sentence length, mean", measure("sentence length, mean")),
    ("sentence length, variance", measure("sentence length, variance")),
    ("two-sample AUC", measure("auc")),
]
UNKNOWN: Column = ("words no training text has, %", measure("unknown words"))
HUMAN = {
    **{name: name for name in ("distinct-2", "distinct-3", "sentence length, mean", "sentence length, variance")},
    UNKNOWN[0]: "unknown words",
}
"""Column -> measure whose human value stands in it."""


def number(value: float) -> str:
    """Three significant digits, and no exponent."""
    return "-" if not math.isfinite(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def cell(found: Sequence[float]) -> str:
    """Mean, and the range over seeds."""
    if not found:
        return "-"
    shown = number(math.fsum(found) / len(found))
    return shown if len(found) == 1 else f"{shown} ({min(found):.3g} to {max(found):.3g})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def human_cells(collected: Collected, sampler: str, columns: Sequence[Column], human: Mapping[str, str]) -> list[str]:
    """The human value of each column that has one; the same in every run."""
    runs = [run for arm in collected.arms(sampler) for run in collected.of(arm, sampler)]
    found = [values(runs, measure(human[name], "human"))[:1] if name in human else [] for name, _ in columns]
    return [cell(one) if one else "" for one in found]


def by_arm(
    collected: Collected,
    sampler: str,
    columns: Sequence[Column],
    human: Mapping[str, str] | None = None,
    arms: Sequence[str] | None = None,
) -> str:
    """A row for each arm (of `arms`, where given) that has any of the columns, human text first where `human`."""
    rows = []
    if human:
        rows.append(["human", *human_cells(collected, sampler, columns, human)])
    for arm in collected.arms(sampler):
        if arms is not None and arm not in arms:
            continue
        runs = collected.of(arm, sampler)
        found = [values(runs, get) for _, get in columns]
        if any(found):
            rows.append([f"{arm} ({len(runs)})", *map(cell, found)])
    return table(["arm (seeds)", *(name for name, _ in columns)], rows)
