"""Matches in the text around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dft_plugin.evaluation.pool import Pool
from dft_plugin.evaluation.result import Example

SHOWN = 3
AROUND = 60
"""Characters shown on each side of a match."""


@dataclass(frozen=True)
class Place:
    """Where something stands: characters `begin` to `end` of a clipped text of a pool."""

    text: int
    begin: int
    end: int


def contexts(pool: Pool, places: Sequence[Place]) -> list[Example]:
    """The first few places of different texts, each with what stands around it, cut at words."""
    return [_example(pool, place) for place in places[:SHOWN]]


def _example(pool: Pool, place: Place) -> Example:
    text = pool.clipped[place.text]
    first, last = max(0, place.begin - AROUND), min(len(text), place.end + AROUND)
    before, after = text[first : place.begin], text[place.end : last]
    if first > 0:
        before = "…" + before[before.find(" ") + 1 :]
    if last < len(text):
        after = after[: after.rfind(" ") + 1 or len(after)].rstrip() + "…"
    return Example(
        source="texts" if place.text < pool.measured else "human",
        before=_line(before),
        match=text[place.begin : place.end],
        after=_line(after),
    )


def _line(text: str) -> str:
    """Line breaks as spaces; spaces at the ends stay, so that the pieces join."""
    return "".join(" " if character in "\n\r\t\v\f" else character for character in text)
