"""Intervals of written text, counted one by one: what `interval_terms` accumulates, without a row per token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dft_plugin.written import Booleans, Integers, Written, expand, tally

Elapsed = Callable[[Integers, Integers], Integers]
"""Units of time before a position of a window, counted from anywhere: (window, position) -> units."""


@dataclass(frozen=True)
class Intervals:
    """Every interval of every window, in order.

    Attributes:
        window: (I,) the window it lies in.
        start: (I,) its first position: after an event, or the text's beginning.
        last: (I,) its last: the event that ends it, or the window's last token.
        seen: (I,) bool, whether an event came before it in the window.
        ended: (I,) bool, whether an event ends it.
    """

    window: Integers
    start: Integers
    last: Integers
    seen: Booleans
    ended: Booleans


def intervals(written: Written, event: Booleans) -> Intervals:
    """Cuts each window, from `begin` on, at its events; event: (T,) bool."""
    at = np.flatnonzero(event)
    low, high = np.searchsorted(at, written.begin), np.searchsorted(at, written.end)
    events = high - low
    # One interval more than there are events: what follows the last one.
    window = np.repeat(np.arange(len(written)), events + 1)
    number = expand(np.zeros_like(events), events + 1)
    before = np.append(at, 0)[low[window] + number - 1]
    after = np.append(at, 0)[low[window] + np.minimum(number, events[window] - 1)]
    seen, ended = number > 0, number < events[window]
    start = np.where(seen, before + 1, written.begin[window])
    last = np.where(ended, after, written.end[window] - 1)
    keep = start <= last
    return Intervals(window[keep], start[keep], last[keep], seen[keep], ended[keep])


def count_intervals(
    written: Written,
    event: Booleans,
    elapsed: Elapsed,
    group: Integers,
    groups: int,
    *,
    bins: int,
    width: int,
    minimum: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Events by age and intervals at risk by age, (groups, bins) each: see `intervals.interval_terms`.

    Args:
        written: windows.
        event: (T,) bool.
        elapsed: units of time.
        group: (W,) the group each window is summed into.
        groups: how many there are.
        bins, width, minimum: as there.
    """
    found = intervals(written, event)
    known = found.seen | written.starts_at_begin[found.window]
    use = known & (found.last >= written.first[found.window])
    window, start, last = found.window[use], found.start[use], found.last[use]
    # An event's own units belong to the interval after it.
    origin = elapsed(window, np.where(found.seen[use], start - 1, start))

    def bin_at(position: Integers) -> Integers:
        return np.clip((elapsed(window, position) - origin - minimum) // width, -1, bins)

    first = written.first[window]
    exposed = (start >= first) | (
        # A text continued from its first token alone was exposed to nothing before.
        (first == written.begin[window] + 1) & written.starts_at_begin[window] & ~found.seen[use]
    )
    reached = bin_at(last)
    # An interval under way joins those at risk when it enters its next age (delayed entry).
    low = np.where(exposed, 0, bin_at(np.maximum(first - 1, start)) + 1)
    high = np.minimum(reached, bins - 1)
    at_risk = low <= high
    of = group[window]
    steps = tally(of[at_risk], low[at_risk], groups, bins + 1) - tally(of[at_risk], high[at_risk] + 1, groups, bins + 1)
    ends = found.ended[use] & (reached >= low) & (reached >= 0) & (reached < bins)
    return tally(of[ends], reached[ends], groups, bins), np.cumsum(steps, axis=1)[:, :bins]
