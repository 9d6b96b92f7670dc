"""Written text as it is counted: windows on one flat array of tokens, in numpy.

`terms` says what a statistic gains under any next-token law. For text already written the law is the token that
stands there, and everything becomes counting: the same accumulators, 20 times faster, which is what building a
reference of a large corpus needs. tests/unit/test_written.py holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Written:
    """W windows on a flat array of T tokens; a token is counted by one window at most.

    The fields are those of `texts.Texts`, with absolute indexes: positions first <= t < end are counted, tokens
    before `begin` belong to no text.

    Attributes:
        tokens: (T,) ids.
        begin, first, end: (W,) indexes into `tokens`; windows in ascending order.
        starts_at_begin: (W,) whether the text really starts at `begin`.
    """

    tokens: Integers
    begin: Integers
    first: Integers
    end: Integers
    starts_at_begin: Booleans
    _words: dict[int, Words] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.begin)

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Written:
        """Windows laid one after the other."""
        lengths = np.array([len(window.tokens) for window in windows], dtype=np.int64)
        offset = np.cumsum(lengths) - lengths
        tokens = [np.asarray(window.tokens, dtype=np.int64) for window in windows]
        return cls(
            np.concatenate([np.zeros(0, dtype=np.int64), *tokens]),
            offset + np.array([window.begin for window in windows], dtype=np.int64),
            offset + np.array([window.first for window in windows], dtype=np.int64),
            offset + lengths,
            np.array([window.starts_at_begin for window in windows], dtype=bool),
        )

    def select(self, index: Any) -> Written:
        """Some of the windows, on the same tokens."""
        return Written(self.tokens, self.begin[index], self.first[index], self.end[index], self.starts_at_begin[index])

    def compact(self) -> Written:
        """The same windows on tokens that hold nothing else."""
        left = self._left()
        length = self.end - left
        shift = np.cumsum(length) - length - left
        return Written(
            self.tokens[expand(left, self.end)],
            self.begin + shift,
            self.first + shift,
            self.end + shift,
            self.starts_at_begin,
        )

    @classmethod
    def joined(cls, parts: Sequence[Written]) -> Written:
        """Windows one after the other, each on its own tokens."""
        lengths = [len(part.tokens) for part in parts]
        offsets = [sum(lengths[:number]) for number in range(len(parts))]
        begin, first, end = (
            np.concatenate([getattr(part, name) + offset for part, offset in zip(parts, offsets, strict=True)])
            for name in ("begin", "first", "end")
        )
        tokens = np.concatenate([part.tokens for part in parts])
        return cls(tokens, begin, first, end, np.concatenate([part.starts_at_begin for part in parts]))

    def _left(self) -> Integers:
        """Where each window's own tokens begin: a text's first token may need one before it."""
        return np.maximum(np.minimum(self.begin, self.first - 1), 0)

    def windows(self) -> list[Window]:
        """Each window by itself, from its first token that belongs to the text."""
        left = self._left()
        return [
            Window(tuple(self.tokens[at:end].tolist()), int(begin - at), int(first - at), bool(starts))
            for at, begin, first, end, starts in zip(
                left, self.begin, self.first, self.end, self.starts_at_begin, strict=True
            )
        ]

    def words(self, vocabulary: Vocabulary) -> Words:
        """Where words begin, by this vocabulary; worked out once."""
        if id(vocabulary) not in self._words:
            self._words[id(vocabulary)] = Words.of(vocabulary, self)
        return self._words[id(vocabulary)]

    @cached_property
    def window(self) -> Integers:
        """(N,) the window of each counted position."""
        return np.repeat(np.arange(len(self)), self.end - self.first)

    @cached_property
    def position(self) -> Integers:
        """(N,) the counted positions, window by window."""
        return expand(self.first, self.end)

    @cached_property
    def drawn(self) -> Integers:
        """(N,) the token at each counted position."""
        return self.tokens[self.position]


def expand(start: Integers, stop: Integers) -> Integers:
    """The ranges start_i ... stop_i - 1, one after the other."""
    length = np.maximum(stop - start, 0)
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(start - (ends - length), length)


def tally(group: Integers, slot: Integers, groups: int, size: int) -> npt.NDArray[np.float64]:
    """(groups, size): how often each slot occurs in each group."""
    counted = np.bincount(group * size + slot, minlength=groups * size)
    return counted.astype(np.float64).reshape(groups, size)


def size_of(group: Integers, groups: int) -> npt.NDArray[np.float64]:
    """(groups, 1): how many entries each group has."""
    return np.bincount(group, minlength=groups).astype(np.float64)[:, None]


@dataclass(frozen=True)
class Words:
    """Where words begin in written text: `vocabulary.word_starts`, as cumulative sums.

    A window forgets what stood before it, so its tokens up to the first that sets the state are read as if outside
    a word, whatever the document says.
    """

    written: Written
    started: Integers  # (T,) words each token begins, read in its document
    outside: Integers  # (T,) read as if outside a word
    settled: Integers  # (W,) index of the first token from `begin` on that sets the state

    @classmethod
    def of(cls, vocabulary: Vocabulary, written: Written, silent: Booleans | None = None) -> Words:
        """Words by a vocabulary's tables; `silent` (T,) tokens begin none, whatever they hold."""
        tokens = written.tokens
        after = vocabulary.state_after.cpu().numpy()[tokens]
        outside = vocabulary.words_outside.cpu().numpy()[tokens]
        inside = vocabulary.words_inside.cpu().numpy()[tokens]
        index = np.arange(len(tokens))
        last = np.maximum.accumulate(np.where(after >= 0, index, -1))
        state = np.zeros(len(tokens), dtype=bool)
        state[1:] = (last[:-1] >= 0) & (after[last[:-1]] == 1)
        started = np.where(state, inside, outside)
        if silent is not None:
            started, outside = np.where(silent, 0, started), np.where(silent, 0, outside)
        setting = np.append(np.flatnonzero(after >= 0), len(tokens))
        return cls(written, started, outside, setting[np.searchsorted(setting, written.begin)])

    @cached_property
    def _sums(self) -> tuple[Integers, Integers]:
        return _before(self.started), _before(self.outside - self.started)

    def before(self, window: Integers, position: Integers) -> Integers:
        """Words begun before a position of a window, counted from anywhere: only differences mean something."""
        started, correction = self._sums
        return started[position] + correction[np.minimum(position, self.settled[window] + 1)]

    def next(self, window: Integers, position: Integers) -> Integers:
        """The first index from `position` on at which the window begins a word; T where there is none."""
        outside, started = _from(self.outside > 0), _from(self.started > 0)
        settled = self.settled[window]
        early = outside[position]
        later = started[np.minimum(np.maximum(position, settled + 1), len(self.started))]
        return np.where(early <= settled, early, later)


def _before(values: Integers) -> Integers:
    """(T + 1,): the sum of values[:t]."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values)])


def _from(marked: Booleans) -> Integers:
    """(T + 1,): the first marked index from t on; T where there is none."""
    size = len(marked)
    index = np.where(marked, np.arange(size), size)
    return np.append(np.minimum.accumulate(index[::-1])[::-1], size)
