"""Tables of which nothing is cut off, however narrow the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text as RichText

WORDS = 12
"""Characters to which a column of words may be narrowed."""


@dataclass
class Columns:
    """Rows under headings, the first column kept beside all others.

    Where a terminal is narrow words give way, not numbers; then the columns are shared out over several tables, and
    only one that is wider than that by itself is folded. Without a terminal the table is as wide as it is: print it
    with `crop=False`.

    Attributes:
        headings: of the columns.
        words: those whose cells are words; the first is one of them.
        rows: a cell for each column.
    """

    headings: Sequence[str]
    words: Sequence[str] = ()
    rows: list[Sequence[str | RichText]] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbound = options.update(max_width=1 << 16)
        if not options.is_terminal:
            yield from console.render(self._table(range(len(self.headings))), unbound)
            return
        shown = [0]
        for column in range(1, len(self.headings)):
            wider = console.measure(self._table([*shown, column]), options=unbound).minimum
            if wider > options.max_width and len(shown) > 1:
                yield self._table(shown)
                shown = [0]
            shown.append(column)
        fits = console.measure(self._table(shown), options=unbound).minimum <= options.max_width
        yield self._table(shown, whole=fits)

    def _table(self, columns: Sequence[int], whole: bool = True) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text as RichText

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for column in columns:
            heading = self.headings[column]
            cells = [heading, *(row[column] for row in self.rows)]
            wide = max(RichText(cell).cell_len if isinstance(cell, str) else cell.cell_len for cell in cells)
            words = column == 0 or heading in self.words
            table.add_column(
                RichText(heading),
                justify="left" if words else "right",
                overflow="fold",
                no_wrap=whole and not words,
                min_width=(min(wide, WORDS) if words else wide) if whole else None,
            )
        for row in self.rows:
            table.add_row(*(row[column] for column in columns))
        return table
