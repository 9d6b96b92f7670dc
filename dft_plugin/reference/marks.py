"""The project's own events and words, counted on text before any tokenizer cuts it.

Text is read as words, marks and line breaks, each with the space before it, and goes through the same tables and the
same counts as tokens do: one definition of a sentence end, of a word and of an interval serves both.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dft_plugin.document_windows import Span, spans
from dft_plugin.documents import Document
from dft_plugin.reference.pieces import written
from dft_plugin.statistics.base import NoOptions
from dft_plugin.statistics.interval_counts import count_intervals, intervals
from dft_plugin.statistics.opening import SentenceOpening
from dft_plugin.vocabulary import EVENTS, Vocabulary
from dft_plugin.written import Booleans, Integers, Words, Written, expand

KINDS = tuple(event for event in EVENTS if event != "end_of_text")
LONGEST = 256
"""Ages in words that are told apart."""
WINDOWS = (32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024)
"""Lengths of the windows that intervals are counted in, in words and marks: how long intervals can be seen, and how
often the text's beginning is, depends on it."""
WIDTHS = (1, 8)
"""Words to a bin: the interval statistics' defaults. An interval is at risk in a bin from its beginning only, so that
wide bins are not quite sums of narrow ones."""
CONTEXTS = (0.25, 1.0)
"""Their contexts, as parts of that."""
CUTS = 2
"""How often documents are cut into windows, each time elsewhere."""

# "--", "..." and " -" are events as a whole.
_TOKEN = re.compile(r"\n+| ?(?:-{2,}|\.{3,}|[^\W_]+|.)", re.DOTALL)


@dataclass(frozen=True)
class MarkedText:
    """Documents as words and marks.

    Attributes:
        vocabulary: tables of the words and marks.
        written: each document one window.
        piece: (T,) index of the piece each word or mark stands in.
    """

    vocabulary: Vocabulary
    written: Written
    piece: Integers

    @classmethod
    def of(cls, names: Sequence[str], pieces: Integers, documents: Integers) -> MarkedText:
        """Reads documents given as pieces.

        Args:
            names: the pieces that there are.
            pieces: (P,) those of all documents, one after the other, indexes into `names`.
            documents: (D + 1,) where each document begins in `pieces`, and their end.
        """
        number: dict[str, int] = {}
        cut = [[number.setdefault(token, len(number)) for token in _TOKEN.findall(written(name))] for name in names]
        start = np.concatenate([[0], np.cumsum([len(tokens) for tokens in cut])])
        flat = np.array([token for tokens in cut for token in tokens], dtype=np.int64)
        lengths = np.diff(start)[pieces]
        tokens = flat[expand(start[pieces], start[pieces + 1])]
        at = np.concatenate([[0], np.cumsum(lengths)])[documents]
        begin, end = at[:-1], at[1:]
        whole = Written(tokens, begin, begin, end, np.ones(len(begin), dtype=bool))
        return cls(Vocabulary.of([name.encode() for name in number]), whole, np.repeat(np.arange(len(pieces)), lengths))

    def events(self, kind: str) -> Booleans:
        """(T,) which words and marks carry an event."""
        return self.vocabulary.events[kind].numpy()[self.written.tokens]

    def words(self) -> int:
        """How many words there are."""
        return int(self.written.words(self.vocabulary).started.sum())

    def intervals(self) -> dict[int, dict[str, Integers]]:
        """words to a bin -> event -> (WINDOWS, CONTEXTS, 2, bins): events by age in words from 1 on and intervals at
        risk by age, as windows of each length show them."""
        shape = (len(WINDOWS), len(CONTEXTS), 2)
        found = {
            width: {kind: np.zeros((*shape, LONGEST // width), dtype=np.int64) for kind in KINDS} for width in WIDTHS
        }
        for row, column, seed in np.ndindex(len(WINDOWS), len(CONTEXTS), CUTS):
            windows = self._windows(WINDOWS[row], round(WINDOWS[row] * CONTEXTS[column]), seed)
            elapsed = windows.words(self.vocabulary).before
            group = np.zeros(len(windows), dtype=np.int64)
            for width, kind in itertools.product(WIDTHS, KINDS):
                counted = count_intervals(
                    windows, self.events(kind), elapsed, group, 1, bins=LONGEST // width, width=width, minimum=1
                )
                found[width][kind][row, column] += np.concatenate(counted).astype(np.int64)
        return found

    def _windows(self, longest: int, context: int, seed: int) -> Written:
        """The documents cut as a run's are, in words and marks instead of tokens."""
        random = np.random.default_rng(seed)
        lengths = (self.written.end - self.written.begin).tolist()
        cut = []
        for begin, length in zip(self.written.begin.tolist(), lengths, strict=True):
            found = spans(Document((), 0, length, False), context, longest, int(random.integers(1 << 31)))
            cut.append(found.shifted(begin))
        return Written(self.written.tokens, *Span.joined(cut))

    def openings(self) -> Booleans:
        """(P,) the pieces before which a sentence has ended, or the text begun, and no word has come since."""
        event = self.events("sentence_end")
        words = Words.of(self.vocabulary, self.written, silent=event)
        found = intervals(self.written, event)
        stop = np.minimum(words.next(found.window, found.start), found.last) + 1
        open_ = np.zeros(len(self.written.tokens) + 1, dtype=bool)
        open_[expand(found.start, stop)] = True
        first = np.searchsorted(self.piece, np.arange(int(self.piece.max(initial=-1)) + 1))
        return open_[first]

    def repeated_openings(self) -> tuple[int, int, float]:
        """Sentences that open with the word the one before opened with, sentences that have one before, and the
        probability that two sentences taken at random open alike; all 0 without sentence ends."""
        if not self.vocabulary.events["sentence_end"].any():
            return 0, 0, 0.0
        statistic = SentenceOpening(self.vocabulary, NoOptions())
        group = np.zeros(len(self.written), dtype=np.int64)
        frequency, repeated, opened = statistic.count(self.written, group, 1)
        law = frequency[0] * statistic.begins_word.numpy()
        return int(repeated.sum()), int(opened.sum()), float(np.square(law / max(law.sum(), 1)).sum())
