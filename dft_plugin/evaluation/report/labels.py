"""Names written on the lines of a chart, where they cross no other line and no other name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NARROW, WIDE = 245.0, 620.0
"""Widths in pixels at which names must still fit."""
CHARACTER, LINE = 7.4, 15.0
"""Size of type in pixels, rounded up."""
PLACES = 48
PLAIN = 4.0
"""Pixels by which a name must be nearer to its own line than to any other."""
LONGEST = 20

Point = tuple[float, float]


@dataclass(frozen=True)
class Label:
    """Where a name is centred: x as a share of the width, y in pixels (its baseline)."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, its end left out if it is long."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def place(lines: Mapping[str, Sequence[Point]], height: float, width: float) -> dict[str, Label]:
    """A place beside each line, as far as there is one.

    Candidates stand above and below the line, all along it. One is possible if its box is inside the chart, meets no
    line and no name placed before, and is plainly nearer to its own line than to any other; of those, the one that is
    nearest to its own line compared with the nearest other line wins.

    Args:
        lines: name -> points (share of the width, pixels from the top), by rising x.
        height: of the chart in pixels.
        width: the least that the chart will have.
    """
    placed: dict[str, Label] = {}
    taken: list[_Box] = []
    for name, points in lines.items():
        best: tuple[float, Label, _Box] | None = None
        others = [line for other, line in lines.items() if other != name]
        for label in _candidates(shortened(name), points):
            box = _box(label, width)
            if box.left < 0 or box.right > 1 or box.top < 0 or box.bottom > height:
                continue
            if any(box.meets(other) for other in taken) or any(_crosses(line, box) for line in lines.values()):
                continue
            middle = (box.top + box.bottom) / 2
            apart = min((_distance(line, label.x, middle) for line in others), default=height)
            own = _distance(points, label.x, middle)
            clear = apart - 2 * own
            if apart > own + PLAIN and (best is None or clear > best[0]):
                best = clear, label, box
        if best is not None:
            placed[name] = best[1]
            taken.append(best[2])
    return placed


def _candidates(text: str, points: Sequence[Point]) -> list[Label]:
    found = []
    for step in range(1, PLACES):
        x = step / PLACES
        if (y := height_at(points, x)) is not None:
            found += [Label(text, x, y + away) for away in (-7, -11, -16, -22, 18, 24)]
    return found


def _box(label: Label, width: float) -> _Box:
    half = len(label.text) * CHARACTER / width / 2
    return _Box(label.x - half, label.x + half, label.y - LINE + 4, label.y + 4)


def _crosses(line: Sequence[Point], box: _Box) -> bool:
    inside = [y for x, y in line if box.left <= x <= box.right]
    edges = [y for x in (box.left, box.right) if (y := height_at(line, x)) is not None]
    seen = inside + edges
    return bool(seen) and min(seen) <= box.bottom and max(seen) >= box.top


def _distance(line: Sequence[Point], x: float, y: float) -> float:
    there = height_at(line, x)
    return 1e3 if there is None else abs(there - y)


def height_at(points: Sequence[Point], x: float) -> float | None:
    """The line's y at x, between its points; None beyond its ends."""
    for (left, above), (right, below) in itertools.pairwise(points):
        if left <= x <= right:
            share = (x - left) / (right - left) if right > left else 0.0
            return above + share * (below - above)
    return None
