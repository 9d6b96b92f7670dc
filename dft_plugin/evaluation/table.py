"""Tables of one result, and of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dft_plugin.evaluation.columns import Columns
from dft_plugin.evaluation.compare import Cell, Compared, Row
from dft_plugin.evaluation.result import GiveAway, Interval, Measure, Result

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text as RichText

STYLES = {"differs": "yellow", "nearer": "green", "farther": "red", "cannot be measured": "dim"}
SIGNS = {"first": "", "nearer": "nearer", "farther": "farther", "no difference shown": "=", "not compared": "?"}
SHOWN = 12
"""Give-aways of each kind."""


def number(value: float | None) -> str:
    """Three significant digits, no exponents for what a reader knows; a dash for what is not there."""
    if value is None:
        return "–"
    size = abs(value)
    if size == 0 or 0.001 <= size < 999.5:
        return f"{value:.3g}"
    return f"{value:,.0f}" if 999.5 <= size < 1e7 else f"{value:.1e}"


def between(interval: Interval | None) -> str:
    """An interval as a reader takes it in."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def result_table(result: Result) -> RenderableType:
    """Every measure with its interval, human value, floors and verdict."""
    from rich.console import Group
    from rich.text import Text as RichText

    table = Columns(["", result.name, "95 % interval", "human", "× floor", "verdict"], words=["verdict"])
    for number_of_row, measure in enumerate(result.measures.values()):
        previous = list(result.measures.values())[number_of_row - 1].group if number_of_row else None
        _heading(table, measure, previous)
        ratio = "" if measure.floor_ratio is None else f"{measure.floor_ratio:.1f}"
        row = (
            RichText(f"  {_label(measure)}"),
            number(measure.value),
            between(measure.interval),
            "" if measure.human is None else number(measure.human),
            ratio,
            RichText(_verdict(measure), style=STYLES.get(measure.verdict, "")),
        )
        table.rows.append(row)
    basis = result.basis
    explained = (
        f"First {basis.words:,} words of each text; samples of {basis.texts:,} texts against {basis.human_texts:,} "
        f"human texts, {basis.resamples} resamples.\n× floor: how far from human text, in distances between two human "
        "samples of the same size; 1 is human text. differs: by more than three standard errors."
    )
    return Group(table, RichText(explained, style="dim"), *_note_lines(result.notes))


def give_away_table(result: Result) -> RenderableType:
    """What is over- and under-used most, by kind."""
    from rich.console import Group
    from rich.text import Text as RichText

    shown = []
    for kind, heading in (
        ("construction", "Constructions"),
        ("word", "Words"),
        ("phrase", "Phrases"),
        ("opening", "Sentence openings"),
    ):
        entries = [entry for entry in result.give_aways if entry.kind == kind][:SHOWN]
        if entries:
            table = Columns([heading, "times human", "texts", "human", "in context"], words=["in context"])
            for entry in entries:
                row = (
                    RichText(f"  {entry.text}"),
                    _times(entry),
                    f"{entry.count:,}",
                    f"{entry.human_count:,}",
                    _in_context(entry),
                )
                table.rows.append(row)
            shown.append(table)
    return Group(*shown)


def comparison_table(compared: Compared) -> RenderableType:
    """Results side by side: value, floors and what has changed against the first."""
    from rich.console import Group
    from rich.text import Text as RichText

    table = Columns(["", "human", *compared.names])
    for index, row in enumerate(compared.rows):
        _heading(table, row.shown, compared.rows[index - 1].shown.group if index else None)
        table.rows.append((RichText(f"  {_label(row.shown)}"), _human(row), *map(_cell_text, row.cells)))
    lines = []
    for headline in compared.headlines:
        if not headline.measures:
            lines.append(RichText(f"{headline.name} is not compared with {compared.names[0]}: not measured alike."))
            continue
        closed = "" if headline.gap_closed is None else f"median gap closed {headline.gap_closed:.0%}; "
        lines.append(
            RichText(
                f"{headline.name} against {compared.names[0]}: {closed}nearer to human in {headline.nearer} of "
                f"{headline.measures} measures, farther in {headline.farther}, no difference shown in {headline.same}."
            )
        )
    explained = RichText(
        "In brackets: distance from human text in floors, 1 is human text. closed: share of the first's gap. Nearer or "
        "farther only where the two 95 % intervals do not overlap; = no difference shown; ? not compared.",
        style="dim",
    )
    return Group(table, *lines, explained, *_note_lines(compared.notes))


def _heading(table: Columns, measure: Measure, previous: str | None) -> None:
    from rich.text import Text as RichText

    if measure.group != previous:
        table.rows.append((RichText(measure.group, style="bold"), *[""] * (len(table.headings) - 1)))


def _label(measure: Measure) -> str:
    return f"{measure.label} ({measure.unit})" if measure.unit else measure.label


def _verdict(measure: Measure) -> str:
    p_value = "" if measure.p_value is None else f", p = {measure.p_value:.3f}"
    note = f": {measure.note}" if measure.note else ""
    verdict = "" if measure.verdict == "no human side" else measure.verdict
    return f"{verdict}{p_value}{note}".removeprefix(": ")


def _human(row: Row) -> str:
    values = [cell.measure.human for cell in row.cells if cell.measure is not None and cell.measure.human is not None]
    return number(values[0]) if values else ""


def _cell_text(cell: Cell) -> RichText:
    from rich.text import Text as RichText

    if cell.measure is None or cell.measure.value is None:
        return RichText("–", style="dim")
    ratio = "" if cell.measure.floor_ratio is None else f" ({cell.measure.floor_ratio:.1f})"
    said = SIGNS[cell.comparison]
    if cell.comparison == "nearer" and cell.gap_closed is not None:
        said = f"{min(cell.gap_closed, 1):.0%} closed"
    text = RichText(f"{number(cell.measure.value)}{ratio}")
    return text.append(f" {said}", style=STYLES.get(cell.comparison, "dim")) if said else text


def _times(entry: GiveAway) -> str:
    return entry.one_sided or f"{number(entry.ratio)}×"


def _in_context(entry: GiveAway) -> RichText:
    from rich.text import Text as RichText

    if not entry.examples:
        return RichText("")
    example = entry.examples[0]
    return RichText(example.before[-30:]).append(example.match, style="bold").append(example.after[:30])


def _note_lines(notes: Sequence[str]) -> list[RichText]:
    from rich.text import Text as RichText

    return [RichText(f"Note: {note}.") for note in notes]
