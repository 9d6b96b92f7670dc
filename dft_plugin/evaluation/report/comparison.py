"""How results stand to human text and to the first of them: headlines, distances in floors, every measure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from dft_plugin.evaluation.compare import Cell, Compared, Headline, Row
from dft_plugin.evaluation.report.charts import Distance, distance_axis, distance_row, share_bar
from dft_plugin.evaluation.report.numbers import between, figure, share, times
from dft_plugin.evaluation.report.scale import Scale
from dft_plugin.evaluation.result import Measure, Result

NAMED = 4
"""Measures that a headline names of those nearer, and of those farther."""
NEAREST = 0.3
"""Floors at the low end of the axis: what is nearer is as near as another human sample."""


@dataclass(frozen=True)
class Card:
    """The headline of one result.

    Attributes:
        name, style: of the result.
        figure: the one number, or "no difference shown".
        meaning: what the number is.
        bar: measures nearer, alike and farther, or differing from human text or not.
        counts: the same in words.
        nearer, farther: the measures that moved most, with how far.
    """

    name: str
    style: str
    figure: str
    meaning: str
    bar: Markup
    counts: str
    nearer: Sequence[str] = ()
    farther: Sequence[str] = ()


def cards(compared: Compared, results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> list[Card]:
    """The first result's distance from human text, then each other's gap closed."""
    found = [_first_card(results[0], names[0], styles[0])]
    for column, headline in enumerate(compared.headlines, start=1):
        cells = [(row, row.cells[column]) for row in compared.rows]
        found.append(_card(headline, cells, names[0], names[column], styles[column]))
    return found


def _first_card(result: Result, name: str, style: str) -> Card:
    judged = [one for one in result.measures.values() if one.verdict not in ("cannot be measured", "no human side")]
    differing = sum(one.verdict == "differs" for one in judged)
    ratios = [one.floor_ratio for one in judged if one.floor_ratio is not None]
    counts = f"differs from human text in {differing} of {len(judged)} measures"
    bar = share_bar([("differs", differing), ("alike", len(judged) - differing)], counts)
    if not ratios:
        return Card(name, style, "not measured", "no measure could be compared with human text", bar, counts)
    meaning = "as far from human text as another human sample is (median over measures)"
    return Card(name, style, times(statistics.median(ratios)), meaning, bar, counts)


def _card(headline: Headline, cells: Sequence[tuple[Row, Cell]], first: str, name: str, style: str) -> Card:
    with_gap = sum(cell.gap_closed is not None for _, cell in cells)
    compared = headline.nearer + headline.same + headline.farther
    counts = (
        f"against {first}: nearer to human text in {headline.nearer} of {compared} measures, "
        f"farther in {headline.farther}, no difference shown in {headline.same}"
        if compared
        else ""
    )
    bar = share_bar([("nearer", headline.nearer), ("alike", headline.same), ("farther", headline.farther)], counts)
    shown, meaning = _headline_figure(headline, compared, with_gap, first)
    return Card(name, style, shown, meaning, bar, counts, _moved(cells, "nearer"), _moved(cells, "farther"))


def _headline_figure(headline: Headline, compared: int, with_gap: int, first: str) -> tuple[str, str]:
    if not compared:
        return "not compared", "the two were not measured alike: see the notes"
    if headline.nearer + headline.farther == 0:
        return "no difference shown", f"all intervals overlap those of {first}"
    if headline.gap_closed is None:
        return "no gap", f"{first} is not shown to differ from human text"
    over = f"the {with_gap} measures in which {first} differs from human text"
    if headline.gap_closed == 0:
        return "no difference shown", f"at the median of {over}"
    if headline.gap_closed < 0:
        return share(
            -headline.gap_closed
        ), f"farther from human text than {first}, as a share of its gap: median of {over}"
    return share(min(headline.gap_closed, 1)), f"of the gap to human text closed: median of {over}"


def _moved(cells: Sequence[tuple[Row, Cell]], way: str) -> list[str]:
    """The measures that went one way, those that went farthest first, with how far where that can be told."""
    moved = [(row, cell) for row, cell in cells if cell.comparison == way]
    moved.sort(key=lambda entry: -abs(entry[1].gap_closed or 0.0))
    return [f"{row.shown.label} {change(cell)}".strip() for row, cell in moved[:NAMED]]


def change(cell: Cell) -> str:
    """The share of the first result's gap that is gone, or by which it grew; nothing where no difference is shown."""
    closed = cell.gap_closed
    if cell.comparison == "nearer" and closed is not None and closed > 0:
        return share(min(closed, 1))
    return f"+{share(-closed)}" if cell.comparison == "farther" and closed is not None and closed < 0 else ""


@dataclass(frozen=True)
class Entry:
    """One measure of one result in the table."""

    name: str
    style: str
    value: str
    interval: str
    floor: str
    said: str
    tone: str
    note: str


@dataclass(frozen=True)
class Line:
    """One measure in the table and among the distances; `chart` is None where no result has a distance."""

    name: str
    label: str  # the name with its unit
    description: str
    human: str
    human_interval: str
    entries: Sequence[Entry]
    chart: Markup | None


@dataclass(frozen=True)
class Group:
    """Measures under one heading."""

    name: str
    lines: Sequence[Line]

    @property
    def drawn(self) -> Sequence[Line]:
        """Those with a distance."""
        return [line for line in self.lines if line.chart is not None]


@dataclass(frozen=True)
class Measures:
    """All measures, and the axis of their distances."""

    groups: Sequence[Group]
    axis: Markup


def measures(compared: Compared, names: Sequence[str], styles: Sequence[str]) -> Measures:
    """Every measure of every result."""
    cells = [cell for row in compared.rows for cell in row.cells]
    highest = max((cell.measure.floor_ratio or 0 for cell in cells if cell.measure is not None), default=0.0)
    scale = Scale(NEAREST, 1.4 * max(highest, 4.0), log=True)
    groups = [
        Group(name, [_line(row, names, styles, scale) for row in rows])
        for name, rows in groupby(compared.rows, key=lambda row: row.shown.group)
    ]
    return Measures(groups, distance_axis(scale))


def _line(row: Row, names: Sequence[str], styles: Sequence[str], scale: Scale) -> Line:
    shown = row.shown
    label = f"{shown.label} ({shown.unit})" if shown.unit else shown.label
    columns = list(zip(row.cells, names, styles, strict=True))
    distances = [
        found
        for cell, name, style in columns
        if cell.measure is not None
        if (found := _distance(cell.measure, name, style))
    ]
    human = next(
        (cell.measure for cell in row.cells if cell.measure is not None and cell.measure.human is not None), None
    )
    return Line(
        shown.label,
        label,
        shown.description,
        figure(human.human) if human else "",
        between(human.human_interval) if human else "",
        [_entry(*column) for column in columns],
        distance_row(shown.label, distances, scale) if distances else None,
    )


def _distance(measure: Measure, name: str, style: str) -> Distance | None:
    if measure.floor_ratio is None or not measure.floor or measure.gap_interval is None:
        return None
    low, high = (bound / measure.floor for bound in measure.gap_interval)
    return Distance(name, style, measure.floor_ratio, low, high)


def _entry(cell: Cell, name: str, style: str) -> Entry:
    measure = cell.measure
    if measure is None:
        return Entry(name, style, "–", "", "", "", "", "")
    if measure.value is None:
        return Entry(name, style, "–", "", "", "", "", ": ".join(filter(None, ["cannot be measured", measure.note])))
    floor = "" if measure.floor_ratio is None else f"{times(measure.floor_ratio)} floor of {figure(measure.floor)}"
    said = {"first": "", "nearer": "nearer", "farther": "farther", "no difference shown": "≈ first"}
    closed = f"{change(cell)} closed" if cell.comparison == "nearer" else f"gap {change(cell)}"
    parts = [said.get(cell.comparison, f"not compared: {cell.why}"), closed if change(cell) else ""]
    tone = cell.comparison if cell.comparison in ("nearer", "farther") else ""
    verdict = {"no difference shown": "≈ human", "too small to tell": "too small to tell from human"}.get(
        measure.verdict, ""
    )
    p_value = "" if measure.p_value is None else f"p = {measure.p_value:.3f}"
    notes = [verdict, p_value, measure.note]
    if not tone:
        parts, notes = [], [*parts, *notes]
    compared, noted = (", ".join(filter(None, said)) for said in (parts, notes))
    return Entry(name, style, figure(measure.value), between(measure.interval), floor, compared, tone, noted)
