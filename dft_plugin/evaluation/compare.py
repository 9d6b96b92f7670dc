"""Results side by side: which is nearer to human text, and where no difference is shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dft_plugin.evaluation.result import Interval, Measure, Result

Comparison = Literal["first", "nearer", "farther", "no difference shown", "not compared"]


@dataclass(frozen=True)
class Cell:
    """One measure of one result, beside the first result's.

    Attributes:
        measure: the measure itself; None if the result has none of that name.
        comparison: with the first result. "nearer" and "farther" only where the intervals of the two gaps (of the
            two values for scores) do not overlap.
        gap_closed: 1 - (gap - floor) / (first gap - floor): 1 is human text, 0 the first result, below 0 is
            farther. None where the first is not shown to differ from human text, or the two are not compared.
        why: why they are not compared.
    """

    measure: Measure | None
    comparison: Comparison
    gap_closed: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One measure over all results."""

    name: str
    shown: Measure  # for group, label and unit
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Headline:
    """How one result stands to the first, over all measures in which the first differs from human text.

    Attributes:
        name: of the result.
        gap_closed: median over those measures, counting 0 where no difference is shown; None without any.
        nearer, farther, same: in how many measures.
        measures: how many the two are compared in.
    """

    name: str
    gap_closed: float | None
    nearer: int
    farther: int
    same: int
    measures: int


@dataclass(frozen=True)
class Compared:
    """All rows, a headline for each result after the first, and what to tell."""

    names: Sequence[str]
    rows: Sequence[Row]
    headlines: Sequence[Headline]
    notes: Sequence[str]


def compare(results: Sequence[Result]) -> Compared:
    """Compares each result with the first."""
    first = results[0]
    names = unique_names([result.name for result in results])
    order = dict.fromkeys(name for result in results for name in result.measures)
    rows = []
    for name in order:
        shown = next(result.measures[name] for result in results if name in result.measures)
        cells = [Cell(first.measures.get(name), "first")]
        cells += [_cell(first, result, name) for result in results[1:]]
        rows.append(Row(name, shown, cells))
    headlines = [_headline(name, rows, column) for column, name in enumerate(names) if column]
    return Compared(names, rows, headlines, _notes(results, names))


def unique_names(names: Sequence[str]) -> list[str]:
    """The same names, numbered where one occurs twice."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _cell(first: Result, other: Result, name: str) -> Cell:
    base, own = first.measures.get(name), other.measures.get(name)
    if base is None or own is None:
        return Cell(own, "not compared", why="one of the two does not have it")
    if why := _incomparable(first, other, base, own):
        return Cell(own, "not compared", why=why)
    if own.kind == "score":
        return Cell(own, _by_value(base, own))
    before, after = base.gap_interval, own.gap_interval
    if before is None or after is None or base.gap is None or own.gap is None:
        return Cell(own, "not compared", why="no interval")
    if _overlap(before, after):
        comparison: Comparison = "no difference shown"
    else:
        comparison = "nearer" if own.gap < base.gap else "farther"
    return Cell(own, comparison, _gap_closed(base, own))


def _incomparable(first: Result, other: Result, base: Measure, own: Measure) -> str:
    if first.provenance.human.digest != other.provenance.human.digest:
        return "measured against other human texts"
    if base.basis != own.basis:
        return f"measured on {own.basis}, the first on {base.basis}"
    return ""


def _by_value(base: Measure, own: Measure) -> Comparison:
    if base.interval is None or own.interval is None or base.value is None or own.value is None:
        return "not compared"
    if _overlap(base.interval, own.interval):
        return "no difference shown"
    return "nearer" if (own.value < base.value) == (own.better == "lower") else "farther"


def _overlap(first: Interval, second: Interval) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]


def _gap_closed(base: Measure, own: Measure) -> float | None:
    if base.verdict != "differs" or base.gap is None or own.gap is None or base.floor is None or own.floor is None:
        return None
    excess = base.gap - base.floor
    return 1 - (own.gap - own.floor) / excess if excess > 0 else None


def _headline(name: str, rows: Sequence[Row], column: int) -> Headline:
    cells = [row.cells[column] for row in rows]
    closed = [
        0.0 if cell.comparison == "no difference shown" else cell.gap_closed
        for cell in cells
        if cell.gap_closed is not None
    ]
    counted: Mapping[str, int] = {
        kind: sum(cell.comparison == kind for cell in cells) for kind in ("nearer", "farther", "no difference shown")
    }
    return Headline(
        name,
        statistics.median(closed) if closed else None,
        counted["nearer"],
        counted["farther"],
        counted["no difference shown"],
        sum(counted.values()),
    )


def _notes(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    notes = []
    people = [result.provenance.human.digest for result in results]
    if others := [name for name, digest in zip(names, people, strict=True) if digest != people[0]]:
        notes.append(f"measured against different human texts than {names[0]} and not compared: {', '.join(others)}")
    if len({(result.basis.words, result.basis.texts) for result in results}) > 1:
        sizes = "; ".join(
            f"{name}: first {result.basis.words:,} words of {result.basis.texts:,} texts"
            for name, result in zip(names, results, strict=True)
        )
        notes.append(f"measured on different sizes ({sizes}): evaluate with the same -n and --words to compare them")
    for name, result in zip(names, results, strict=True):
        notes += [f"{name}: {note}" for note in result.notes]
    return notes
