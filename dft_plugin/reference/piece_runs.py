"""Runs of pieces read as text: the words that stand in them, as a reader counts words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from dft_plugin.reference.arrays import Integers
from dft_plugin.reference.pieces import core
from dft_plugin.reference.word_scan import Scan, scan
from dft_plugin.written import Booleans


@dataclass(frozen=True)
class PieceRuns:
    """R runs of pieces with white space between.

    Attributes:
        scanned: their words, each run a document of it; a piece may hold several words ("U.S."), or none.
        opens, closes: (T,) whether a word stands in its run's first piece, in its last.
        count, documents: (R,) occurrences of each run, and documents that hold it.
    """

    scanned: Scan
    opens: Booleans
    closes: Booleans
    count: Integers
    documents: Integers

    @classmethod
    def of(cls, names: Sequence[str], members: Integers, count: Integers, documents: Integers) -> PieceRuns:
        """Reads runs, given as (R, n) indexes into the names of pieces."""
        runs = [[core(names[piece]) for piece in row] for row in members.tolist()]
        texts = [" ".join(run) for run in runs]
        begin = np.array([0, *accumulate(len(text) + 1 for text in texts)])[:-1]  # `scan` puts a line break after each
        first_ends = begin + np.array([len(run[0]) for run in runs], dtype=np.int64)
        last_begins = begin + np.array(
            [len(text) - len(run[-1]) for text, run in zip(texts, runs, strict=True)], dtype=np.int64
        )
        scanned = scan(texts)
        opens = scanned.start < first_ends[scanned.document]
        closes = scanned.start >= last_begins[scanned.document]
        return cls(scanned, opens, closes, count, documents)

    def phrases(self, n: int) -> Integers:
        """The words at which phrases of n words begin that take the whole run: each occurrence in a text is in one
        run only, from the piece with its first word to that with its last."""
        at = np.arange(len(self.opens) - n + 1)
        last = at + n - 1
        run = self.scanned.document
        return at[self.opens[at] & self.closes[last] & (run[at] == run[last])]
