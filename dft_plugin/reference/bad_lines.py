"""How many rows of a corpus are bad, and when they are too many."""

from __future__ import annotations

from collections.abc import Sequence

from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.rows import BadLine, Parsed

LEAST_JUDGED = 1000
"""Rows to see before a share of bad ones says anything."""


class BadLines:
    """Counts rows, and gives up on a corpus of which too many are bad.

    Attributes:
        good, bad, empty: how many rows were seen of each.
        kept: the first few bad ones.
    """

    KEPT = 5

    def __init__(self, max_bad: float) -> None:
        self.max_bad = max_bad
        self.good = self.bad = self.empty = 0
        self.kept: list[BadLine] = []

    def add(self, parsed: Parsed) -> None:
        """Counts the rows of a chunk; see `count`."""
        self.count(parsed.good, parsed.bad, parsed.empty)

    def count(self, good: int, bad: Sequence[BadLine], empty: int) -> None:
        """Counts rows.

        Raises:
            HumanReferenceError: naming the first bad lines, once at least `LEAST_JUDGED` rows were seen and the
                share of bad ones exceeds `max_bad`.
        """
        self.good += good
        self.bad += len(bad)
        self.empty += empty
        self.kept = [*self.kept, *bad][: self.KEPT]
        if self.good + self.bad + self.empty >= LEAST_JUDGED:
            self.finish()

    def finish(self) -> None:
        """Judges what was seen, however little, at a corpus' end.

        Raises:
            HumanReferenceError: when the share of bad rows exceeds `max_bad`.
        """
        seen = self.good + self.bad + self.empty
        if self.bad > self.max_bad * seen:
            first, *others = map(str, self.kept)
            more = f"; {'; '.join(others)}" if others else ""
            raise HumanReferenceError(
                f"{first} ({self.bad:,} of {seen:,} rows are bad, more than a share of {self.max_bad:g}{more}): mend "
                "or delete these rows; `dft reference build` leaves out more with --max-bad"
            )
