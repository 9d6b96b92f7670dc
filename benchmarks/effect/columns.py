"""What tables are made of: figures of a run as columns, arms as rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
HUMAN = {"distinct-2", "distinct-3", "sentence length, mean", "sentence length, variance"}


def cell(found: Sequence[float]) -> str:
    """Mean, and the range over seeds."""
    if not found:
        return "-"
    middle = math.fsum(found) / len(found)
    shown = f"{middle:.3g}" if abs(middle) < 100 else f"{middle:.0f}"
    return shown if len(found) == 1 else f"{shown} ({min(found):.3g} to {max(found):.3g})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def by_arm(
    collected: Collected,
    sampler: str,
    columns: Sequence[Column],
    human: Sequence[str] = (),
    arms: Sequence[str] | None = None,
) -> str:
    """A row for each arm (of `arms`, where given), human text first where it has a value."""
    rows = []
    if human:
        sft = collected.of(collected.arms(sampler)[0], sampler)
        rows.append(
            ["human", *(cell(values(sft[:1], measure(name, "human"))) if name in human else "" for name, _ in columns)]
        )
        rows[0] = [shown if shown != "-" else "" for shown in rows[0]]
    for arm in collected.arms(sampler):
        if arms is not None and arm not in arms:
            continue
        runs = collected.of(arm, sampler)
        rows.append([f"{arm} ({len(runs)})", *(cell(values(runs, get)) for _, get in columns)])
    return table(["arm (seeds)", *(name for name, _ in columns)], rows)
