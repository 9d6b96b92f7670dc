"""How far a build has come, and the bar that shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Progress:
    """What a build has done so far.

    Attributes:
        bytes: read of the corpora's files, and how many there are; 0 where that is not known.
        documents, tokens: counted.
    """

    bytes: int = 0
    total_bytes: int = 0
    documents: int = 0
    tokens: int = 0


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar with documents, tokens a second and the time left, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [
        SpinnerColumn(),
        TextColumn("{task.fields[documents]:,} documents  {task.fields[rate]:,.0f} tokens/s"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, documents=0, rate=0.0)
        started = time.monotonic()
        before: list[int] = []

        def show(done: Progress) -> None:
            before.append(done.tokens) if not before else None
            rate = (done.tokens - before[0]) / max(1e-9, time.monotonic() - started)
            total = done.total_bytes or None
            bar.update(task, total=total, completed=done.bytes, documents=done.documents, rate=rate)

        yield show
