"""What results say in a model card: a tag and one section in the README.md that TRL or transformers wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from dft_plugin import __version__
from dft_plugin.evaluation.compare import Cell, Compared, Headline, Row, compare, unique_names
from dft_plugin.evaluation.report.comparison import change
from dft_plugin.evaluation.report.html import people
from dft_plugin.evaluation.report.numbers import figure, share, times
from dft_plugin.evaluation.result import Result, ResultError, Sampling

if TYPE_CHECKING:
    from huggingface_hub import RepoCard

TAG = "dft-plugin"
FILE = "README.md"
REPORT = "dft-report.html"
BEGIN, END = "<!-- dft-plugin: begin -->", "<!-- dft-plugin: end -->"
_SECTION = re.compile(rf"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_CITATIONS = re.compile(r"^## Citations?[ \t]*\r?$", re.MULTILINE)
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")


class ModelCardError(ValueError):
    """A model card that cannot be read; the message says why and how to mend it."""


def add_section(folder: str | Path, results: Sequence[Result]) -> Path:
    """Tags the model card `dft-plugin` and writes the results into a section of it; all else stays as it is.

    The section stands before the citations, or at the end; one that is already there is replaced in its place. A
    folder without a card gets one.

    Args:
        folder: output directory of a run.
        results: the one that the others are compared with first, such as before and after training.

    Returns:
        The card's path.

    Raises:
        ResultError: when there is no result.
        ModelCardError: when the card's front matter is damaged.
    """
    folder = Path(folder)
    if not results:
        raise ResultError("a model card needs at least one result")
    path = folder / FILE
    card = _card(path)
    tags = card.data.get("tags") or []
    tags = [tags] if isinstance(tags, str) else list(tags)
    card.data["tags"] = tags if TAG in tags else [*tags, TAG]
    written = section(results, REPORT if (folder / REPORT).is_file() else None)
    card.text = _placed(card.text, written)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{FILE}.partial")
    card.save(partial)
    partial.replace(path)
    return path


def section(results: Sequence[Result], report: str | None = None) -> str:
    """The section in Markdown: headlines and a table of all measures.

    Args:
        results: as for `add_section`.
        report: file of the HTML report, to link to.
    """
    compared = compare(results)
    names = unique_names(["human", *(result.name for result in results)])[1:]
    first, basis = results[0], results[0].basis
    lines = [
        BEGIN,
        "## Distribution Fine-Tuning",
        "",
        "How far generated texts are from human text, measured by dft-plugin "
        f"{__version__}: the first {basis.words:,} words of {first.provenance.texts.texts:,} texts"
        f"{drawn(first.provenance.sampling)} beside {escaped(people(first))}."
        + (f" More in [{report}]({report})." if report is not None else ""),
        "",
        *(f"- {_headline(headline, names[0], name)}" for headline, name in _others(compared, names)),
        "",
        *_table(compared, names),
        "",
        "In brackets: distance from human text in multiples of the floor, the distance of two human samples of that "
        "size; 1× is human text. Nearer or farther than the first only where the 95 % intervals do not overlap; "
        "otherwise = (no difference shown) or ? (not compared).",
        *(f"\nNote: {escaped(note)}." for note in compared.notes),
        END,
    ]
    return "\n".join(lines)


def drawn(sampling: Sampling | None) -> str:
    """How texts were drawn, such as ", drawn at temperature 0.8, top-p 0.95,"; nothing where it is not known."""
    return "" if sampling is None else f", drawn at {sampling.settings},"


def escaped(text: str) -> str:
    """Text from models, corpora or the user on one line of Markdown, with nothing of its own markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _card(path: Path) -> RepoCard:
    import yaml
    from huggingface_hub import RepoCard

    if not path.is_file():
        return RepoCard(f"---\ntags: []\n---\n\n# {path.parent.resolve().name}\n")
    try:
        # Not ModelCard: that reads some entries into its own form and drops what it does not know of them.
        return RepoCard.load(path)
    except (ValueError, yaml.YAMLError) as error:
        raise ModelCardError(
            f"{path}: its front matter cannot be read ({' '.join(str(error).split())}); mend it or move the file away"
        ) from error


def _placed(text: str, written: str) -> str:
    if "\r\n" in text:
        written = written.replace("\n", "\r\n")
    if _SECTION.search(text):
        return _SECTION.sub(lambda found: written, text, count=1)
    line = "\r\n" if "\r\n" in text else "\n"
    citations = _CITATIONS.search(text)
    before, after = (text[: citations.start()], text[citations.start() :]) if citations else (text, "")
    return f"{before.rstrip()}{2 * line}{written}{line}{line if after else ''}{after}"


def _others(compared: Compared, names: Sequence[str]) -> list[tuple[Headline, str]]:
    return list(zip(compared.headlines, names[1:], strict=True))


def _headline(headline: Headline, first: str, name: str) -> str:
    judged = headline.nearer + headline.farther + headline.same
    if not judged:
        return f"**{escaped(name)}** is not compared with {escaped(first)}: they were not measured alike."
    gap = headline.gap_closed
    closed = (
        f"median gap closed {share(min(gap, 1))}; " if gap is not None and headline.nearer + headline.farther else ""
    )
    return (
        f"**{escaped(name)}** against {escaped(first)}: {closed}nearer to human text in {headline.nearer} of {judged} "
        f"measures, farther in {headline.farther}, no difference shown in {headline.same}."
    )


def _table(compared: Compared, names: Sequence[str]) -> list[str]:
    columns = ["", "human", *map(escaped, names)]
    lines = [_line(columns), _line(["---", *["---:"] * (len(columns) - 1)])]
    for group, rows in groupby(compared.rows, key=lambda row: row.shown.group):
        lines.append(_line([f"**{escaped(group)}**", *[""] * (len(columns) - 1)]))
        lines += [_line([_label(row), _human(row), *map(_cell, row.cells)]) for row in rows]
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _label(row: Row) -> str:
    return escaped(f"{row.shown.label} ({row.shown.unit})" if row.shown.unit else row.shown.label)


def _human(row: Row) -> str:
    human = [cell.measure.human for cell in row.cells if cell.measure is not None and cell.measure.human is not None]
    return figure(human[0]) if human else ""


def _cell(cell: Cell) -> str:
    measure = cell.measure
    if measure is None or measure.value is None:
        return "–"
    floors = "" if measure.floor_ratio is None else f" ({times(measure.floor_ratio)})"
    said = {"first": "", "nearer": " nearer", "farther": " farther", "no difference shown": " =", "not compared": " ?"}
    closed = f", {change(cell)} closed" if cell.comparison == "nearer" and change(cell) else ""
    return f"{figure(measure.value)}{floors}{said[cell.comparison]}{closed}"
