"""Inline SVG: x in percent of the chart's width, y in pixels, so that type keeps its size at any width."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from markupsafe import Markup

Element = ElementTree.Element
Point = tuple[float, float]


def drawing(height: float, title: str, description: str) -> Element:
    """An empty chart as wide as its place on the page, with the text that stands in for it."""
    svg = Element("svg", {"role": "img", "width": "100%", "height": _plain(height)})
    add(svg, "title", title)
    add(svg, "desc", description)
    return svg


def add(parent: Element, tag: str, text: str | None = None, **attributes: float | str) -> Element:
    """A new child; `class_` is the attribute class, `text_anchor` text-anchor. Whatever it holds is escaped."""
    written = {
        name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _plain(value)
        for name, value in attributes.items()
    }
    child = ElementTree.SubElement(parent, tag, written)
    child.text = text
    return child


def percent(share: float) -> str:
    """A share of the chart's width."""
    return f"{_plain(100 * share)}%"


def add_line(parent: Element, points: Iterable[Point | None], height: float, style: str, *, area: bool = False) -> None:
    """A line through points of (share of the width, pixels from the top), broken at None.

    Args:
        parent: the drawing.
        points: what it goes through.
        height: of the drawing, in pixels.
        style: CSS classes.
        area: fill down to the drawing's lower edge instead.
    """
    # A path cannot be in percent: it is drawn 100 units wide and stretched; strokes do not scale (style sheet).
    frame = add(
        parent, "svg", class_="stretch", width="100%", height=height,
        viewBox=f"0 0 100 {_plain(height)}", preserveAspectRatio="none",
    )  # fmt: skip
    steps = []
    for piece in _pieces(points):
        corners = [f"{_plain(100 * x)} {_plain(y)}" for x, y in piece]
        if area:
            left, right = (f"{_plain(100 * piece[end][0])} {_plain(height)}" for end in (0, -1))
            corners = [left, *corners, f"{right}Z"]
        steps.append("M" + "L".join(corners))
    add(frame, "path", d="".join(steps), class_=style)


def markup(svg: Element) -> Markup:
    """The drawing as HTML that needs no more escaping: ElementTree has escaped it."""
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


def _pieces(points: Iterable[Point | None]) -> Iterator[list[Point]]:
    for there, group in itertools.groupby(points, key=lambda point: point is not None):
        if there:
            yield [point for point in group if point is not None]


def _plain(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".") if number % 1 else str(int(number))
