"""Tables of what a reference or a domain says, and of the references there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from dft_plugin.reference.description import LENGTHS, MARKS, SIZES, Description, IntervalLaw

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

ROWS = 15
"""Words and phrases that are listed."""
SENTENCE_RANGES = (5, 10, 15, 20, 30, 40, 64)
"""Last number of words of each range of sentence lengths that is shown."""
BAR = 30
LONGER = 0.05
"""Share of longer intervals from which on a mean is a bound."""


def show(description: Description) -> RenderableType:
    """Provenance, statistics with their floors, sentence length, punctuation, frequent words and phrases."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_provenance(description)]
    if description.floors:
        parts.append(_statistics(description))
    if description.sentence is not None:
        parts.append(_sentences(description.sentence))
    if description.marks:
        parts.append(_marks(description))
    if description.words:
        parts.append(_frequent(description))
    parts += [Text(note) for note in description.notes]
    return Group(*parts)


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text and the others numbers; without a header where `columns` are
    empty strings."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=None if title is None else _escaped(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if any(columns) else None,
        pad_edge=False,
        show_header=any(columns),
    )
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(_escaped, row))
    return made


def _escaped(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)


def number(value: float) -> str:
    """Three digits that count: 0.00123, 0.456, 7.89, 12.3, 4,560."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share in per cent, with a digit after the point below ten."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def _provenance(description: Description) -> Table:
    size = f"{description.documents:,} documents, {description.words:,} words"
    if description.tokens is not None:
        size += f", {description.tokens:,} tokens in {description.windows:,} windows"
    rows = [("size", size), *description.provenance.items()]
    rows += [("left out", f"{count:,} {what}") for what, count in description.skipped.items()]
    if description.repeated_windows:
        rows.append(("repeated", f"{percent(description.repeated_windows)} of the windows occur more than once"))
    if description.scripts:
        rows.append(("scripts", ", ".join(f"{name} {percent(share)}" for name, share in description.scripts.items())))
    if description.share < 1:
        rows.append(("words", f"word frequencies are of documents with {percent(description.share)} of the words"))
    return table(description.name, ("", ""), rows, left=2)


def _statistics(description: Description) -> Table:
    rows = [
        (
            statistic if component == next(iter(components)) else "",
            component,
            _value(description, statistic, component),
            description.distances[statistic],
            *(number(curve.at(size)) for size in SIZES),
        )
        for statistic, components in description.floors.items()
        for component, curve in components.items()
    ]
    columns = ("statistic", "", "", "distance", *(f"{size:,} texts" for size in SIZES))
    return table("Statistics, and how far another human sample is on average", columns, rows, left=4)


def _value(description: Description, statistic: str, component: str) -> str:
    if component in description.repetition:
        return f"{percent(description.repetition[component])} repeated"
    if statistic == "sentence_length" and description.sentence is not None:
        return f"{_mean(description.sentence)} words"
    if component in description.marks:
        return f"1 in {number(description.marks[component].words_between)} words"
    if component == "repeated" and description.repeated_opening is not None:
        return f"{percent(description.repeated_opening)} in a row"
    return ""


def _mean(law: IntervalLaw) -> str:
    """Longer intervals are in it by the least they may be: where they are many it is a bound."""
    return f"{'' if law.window or law.longer < LONGER else 'at least '}{law.mean:.1f}"


def _sentences(law: IntervalLaw) -> Table:
    title = f"Sentences: mean {_mean(law)} words, median {_median(law)}, standard deviation {law.deviation:.1f}"
    if law.window is not None:
        title += (
            f" of those seen to end; {percent(law.longer)} are longer than {law.longest} words, not seen in windows of "
            f"{law.window} tokens"
        )
    elif law.longer >= 0.0005:
        title += f"; {percent(law.longer)} are longer than {law.longest} words"
    shares = list(ranges(law, SENTENCE_RANGES))
    most = max(share for _, share in shares)
    rows = [(words, percent(share), "█" * round(BAR * share / most)) for words, share in shares]
    made = table(title, ("words", "sentences", ""), rows)
    made.columns[2].justify = "left"
    return made


def _median(law: IntervalLaw) -> str:
    return f"{law.median:.0f}" if law.longer < 0.5 else f"over {law.longest}"


def ranges(law: IntervalLaw, ends: Sequence[int]) -> Iterator[tuple[str, float]]:
    """("1 to 5", share of the intervals), ... and what is longer."""
    first = 1
    for end in (*(end for end in ends if end < law.longest), law.longest):
        inside = [p for words, p in zip(law.words[:-1], law.probability, strict=False) if first <= words <= end]
        yield f"{first} to {end}", sum(inside)
        first = end + 1
    yield f"over {law.longest}", law.longer


def _marks(description: Description) -> Table:
    rows = [
        (MARKS[event], number(mark.per_thousand_words), f"one in {number(mark.words_between)} words")
        for event, mark in description.marks.items()
    ]
    return table("Punctuation", ("mark", "per 1,000 words", ""), rows)


def _frequent(description: Description) -> Table:
    columns = [
        [f"{phrase} {number(1000 * count / description.words)}" for phrase, (count, _) in islice(found.items(), ROWS)]
        for found in (description.phrases[n] for n in LENGTHS)
    ]
    opened = description.openings.items()
    columns.append([f"{word} {percent(count / description.sentences)}" for word, count in islice(opened, ROWS)])
    titles = ("words", *(f"{n} words" for n in LENGTHS[1:]), "sentences open with")
    rows = list(zip_longest(*columns, fillvalue=""))
    slope = description.zipf_slope
    zipf = "" if slope is None else f"; slope of log frequency over log rank {slope:.2f}"
    title = f"Most frequent words and phrases, per 1,000 words{zipf}"
    return table(title, titles, rows, left=len(titles))


def list_references(shipped: Mapping[str, Path], folders: Sequence[str | Path] = ()) -> RenderableType:
    """The domains that come with dft-plugin and the references in folders, one a row.

    Args:
        shipped: name -> file of the domains that come with it.
        folders: searched for .safetensors references, not what is below them.

    Raises:
        HumanReferenceError: when a folder is not there, or holds none.
    """
    from dft_plugin.reference.errors import HumanReferenceError

    files = dict(shipped)
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise HumanReferenceError(f"{folder}: there is no such folder")
        found = {str(path): path for path in sorted(folder.glob("*.safetensors")) if _kind(path) is not None}
        if not found:
            raise HumanReferenceError(f"{folder}: no reference in it; `dft reference build` writes them")
        files |= found
    columns = ("name", "tokenizer", "documents", "words", "size")
    return table(None, columns, [_listed(name, path) for name, path in files.items()], left=2)


def _kind(path: Path) -> object:
    from dft_plugin.reference import accumulated, domain
    from dft_plugin.reference.container import format_of

    kinds = {kind.name: kind for kind in (accumulated.KIND, domain.KIND)}
    return kinds.get(format_of(path) or "")


def _listed(name: str, path: Path) -> tuple[str, ...]:
    from dft_plugin.reference import accumulated, domain
    from dft_plugin.reference.container import read
    from dft_plugin.reference.errors import HumanReferenceError

    size = f"{path.stat().st_size / 1e6:.1f} MB"
    try:
        _, known = read(path, accumulated.KIND if _kind(path) is accumulated.KIND else domain.KIND)
    except HumanReferenceError as error:
        return name, str(error), "", "", size
    return name, known.get("tokenizer_name", "any"), f"{known['documents']:,}", f"{known['words']:,}", size
