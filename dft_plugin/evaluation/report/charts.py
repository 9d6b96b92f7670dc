"""The charts of a report: lines, distances in a row, over- and under-use, shares of a whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dft_plugin.evaluation.report.labels import NARROW, WIDE, Label, place, shortened
from dft_plugin.evaluation.report.numbers import figure, tick, times
from dft_plugin.evaluation.report.scale import Scale
from dft_plugin.evaluation.report.svg import Element, Point, add, add_line, drawing, markup, percent

TOP, BOTTOM = 22.0, 36.0
"""Pixels above and below a plot, for what its axes are called."""
ROW = 24.0
MARK = 5.0
HALF = 0.34
"""Share of the width that the longest bar takes to one side of the middle."""


@dataclass(frozen=True)
class Series:
    """A line: `style` is its class in the style sheet, "human" or "s1" to "s6"."""

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """An axis: its scale, what it is called, how its values are written."""

    scale: Scale
    label: str
    written: Callable[[float], str] = tick


def line_chart(
    title: str,
    description: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    height: float = 200.0,
    level: tuple[float, str] | None = None,
    last: bool = False,
    wide: bool = False,
) -> Markup:
    """Lines over a common axis, each named beside it where there is room; below the human one it is filled unless the
    axis is logarithmic.

    Args:
        title: what is drawn.
        description: what it shows, in words, for who cannot see it.
        series: the lines; values of None break them.
        x, y: the axes.
        height: of the plot in pixels.
        level: a horizontal line, and what it is.
        last: write the last value of each line beside its end instead of its name.
        wide: it is as wide as the page, so that names are placed once for wide screens, once for narrow ones.
    """
    bottom = TOP + height
    svg = drawing(bottom + BOTTOM, title, description)
    _grid(svg, x, y, bottom)
    lines = {one.name: _points(one, x.scale, y.scale, bottom) for one in series}
    for one in series:
        if one.style == "human" and not y.scale.log:
            add_line(svg, lines[one.name], bottom, "area", area=True)
    known = {name: [point for point in points if point is not None] for name, points in lines.items()}
    if level is not None:
        _level(svg, bottom - height * y.scale(level[0]), level[1], known, bottom)
    for one in series:
        add_line(svg, lines[one.name], bottom, f"line {one.style}")
    if last:
        _ends(svg, series, known)
    elif len(series) > 1:
        styles = {one.name: one.style for one in series}
        for group, width in (("on-narrow", NARROW), ("on-wide", WIDE)) if wide else (("", NARROW),):
            _names(add(svg, "g", class_=group), place(known, bottom, width), styles)
    return markup(svg)


def _points(one: Series, x: Scale, y: Scale, bottom: float) -> list[Point | None]:
    height = bottom - TOP
    return [
        None if value is None or (y.log and value <= 0) else (x(at), bottom - height * y(value))
        for at, value in zip(one.x, one.y, strict=True)
    ]


def _grid(svg: Element, x: Axis, y: Axis, bottom: float) -> None:
    for value in y.scale.ticks():
        at = bottom - (bottom - TOP) * y.scale(value)
        add(svg, "line", class_="grid", x1=0, x2="100%", y1=at, y2=at)
        add(svg, "text", y.written(value), class_="tick", x=-7, y=at + 4, text_anchor="end")
    for value in x.scale.ticks():
        at_x = percent(x.scale(value))
        add(svg, "line", class_="axis", x1=at_x, x2=at_x, y1=bottom, y2=bottom + 4)
        add(svg, "text", x.written(value), class_="tick", x=at_x, y=bottom + 16, text_anchor="middle")
    add(svg, "line", class_="axis", x1=0, x2="100%", y1=bottom, y2=bottom)
    add(svg, "text", y.label, class_="axis-name", x=0, y=12)
    add(svg, "text", x.label, class_="axis-name", x="100%", y=bottom + 32, text_anchor="end")


def _level(svg: Element, y: float, name: str, lines: Mapping[str, Sequence[Point]], bottom: float) -> None:
    add(svg, "line", class_="level", x1=0, x2="100%", y1=y, y2=y)
    # Where lines end their last values are written.
    ends = {
        f"{other} ends": [(x - 0.25, at - 12), (x, at - 12)] for other, points in lines.items() for x, at in points[-1:]
    }
    if (label := place({name: [(0.0, y), (1.0, y)], **lines, **ends}, bottom, NARROW).get(name)) is not None:
        add(svg, "text", name, class_="halo level-name", x=percent(label.x), y=label.y, text_anchor="middle")


def _names(group: Element, labels: Mapping[str, Label], styles: Mapping[str, str]) -> None:
    for name, label in labels.items():
        style = f"halo name {styles[name]}"
        add(group, "text", label.text, class_=style, x=percent(label.x), y=label.y, text_anchor="middle")


def _ends(svg: Element, series: Sequence[Series], known: dict[str, list[Point]]) -> None:
    for one in series:
        if points := known[one.name]:
            x, y = points[-1]
            value = next(value for value in reversed(one.y) if value is not None)
            add(svg, "circle", class_=f"dot {one.style}", cx=percent(x), cy=y, r=3)
            name = f"{one.name} {figure(value)}" if len(series) > 1 else figure(value)
            add(svg, "text", name, class_=f"halo name {one.style}", x=percent(x), y=y - 8, text_anchor="end")


@dataclass(frozen=True)
class Distance:
    """How far one result is from human text, in floors, and the interval of that."""

    name: str
    style: str
    value: float
    low: float
    high: float


def distance_row(label: str, distances: Sequence[Distance], scale: Scale) -> Markup:
    """One measure of all results on a logarithmic axis of floors, with a line at 1."""
    said = "; ".join(f"{one.name} {figure(one.value)} ({figure(one.low)} to {figure(one.high)})" for one in distances)
    height = max(ROW, 9.0 * len(distances) + 12)
    svg = drawing(height, f"{label}: distance from human text in floors", said)
    _floors(svg, scale, height)
    for index, one in enumerate(distances):
        y = height / 2 + 9.0 * (index - (len(distances) - 1) / 2)
        low, high = percent(scale(one.low)), percent(scale(one.high))
        add(svg, "line", class_=f"whisker {one.style}", x1=low, x2=high, y1=y, y2=y)
        _symbol(svg, one.style, scale(one.value), y)
    return markup(svg)


def distance_axis(scale: Scale) -> Markup:
    """The axis above rows of distances."""
    svg = Element("svg", {"aria-hidden": "true", "width": "100%", "height": "20"})
    for value in scale.ticks(6):
        add(svg, "text", times(value), class_="tick", x=percent(scale(value)), y=13, text_anchor="middle")
    return markup(svg)


def _floors(svg: Element, scale: Scale, height: float) -> None:
    add(svg, "rect", class_="as-human", x=0, y=0, width=percent(scale(1.0)), height=height)
    for value in scale.ticks(6):
        style = "level" if value == 1 else "grid"
        add(svg, "line", class_=style, x1=percent(scale(value)), x2=percent(scale(value)), y1=0, y2=height)


def _symbol(svg: Element, style: str, x: float, y: float) -> None:
    """A mark of its own shape for each style: colour is not all that tells them apart."""
    # Only x, y, cx and cy can be in percent: a frame of no size carries the shape there.
    frame = add(svg, "svg", class_="stretch", x=percent(x), y=y, width=1, height=1)
    shapes = {
        "s1": f"M{-MARK} 0a{MARK} {MARK} 0 1 0 {2 * MARK} 0a{MARK} {MARK} 0 1 0 {-2 * MARK} 0Z",
        "s2": "M0-6L6 0L0 6L-6 0Z",
        "s3": "M-4.5-4.5H4.5V4.5H-4.5Z",
        "s4": "M0-5.5L5.5 4.5H-5.5Z",
        "s5": "M0 5.5L5.5-4.5H-5.5Z",
        "s6": "M-5.5-2H-2V-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5Z",
    }
    add(frame, "path", class_=f"symbol {style}", d=shapes[style])


def symbol(style: str) -> Markup:
    """The mark of a result, for where it is named; a bar for human text."""
    svg = Element("svg", {"aria-hidden": "true", "class": "key", "width": "14", "height": "14"})
    if style == "human":
        add(svg, "rect", class_="human-key", x=0, y=3, width=14, height=8)
    else:
        _symbol(svg, style, 0.5, 7)
    return markup(svg)


@dataclass(frozen=True)
class Use:
    """Something that one side uses `ratio` times as often as the other."""

    text: str
    ratio: float


def use_chart(title: str, description: str, uses: Sequence[Use], scale: Scale, style: str) -> Markup:
    """Bars from the middle: over-used to the right in the result's colour, under-used to the left."""
    svg = drawing(ROW * len(uses) + 2, title, description)
    for index, use in enumerate(uses):
        over = use.ratio >= 1
        # One scale for both directions: 4 times as often is as long as a quarter.
        length = HALF * scale(max(use.ratio, 1 / use.ratio))
        y = index * ROW
        left = 0.5 if over else 0.5 - length
        bar = style if over else "under"
        add(svg, "rect", class_=f"bar {bar}", x=percent(left), y=y + 5, width=percent(length), height=ROW - 10, rx=1)
        side = 1 if over else -1
        name = add(
            svg, "text", shortened(use.text, 22), class_="entry", x="50%", y=y + 16, dx=-8 * side,
            text_anchor="end" if over else "start", dir="auto",
        )  # fmt: skip
        add(name, "title", use.text)
        written = times(use.ratio) if over else f"1/{times(1 / use.ratio)}".removesuffix("×")
        add(
            svg, "text", written, class_="value", x=percent(0.5 + side * length), y=y + 16, dx=6 * side,
            text_anchor="start" if over else "end",
        )  # fmt: skip
    add(svg, "line", class_="axis", x1="50%", x2="50%", y1=0, y2=ROW * len(uses))
    return markup(svg)


def share_bar(parts: Sequence[tuple[str, int]], description: str) -> Markup:
    """A bar of (style, count) pieces."""
    total = sum(count for _, count in parts) or 1
    svg = drawing(14, "How many measures", description)
    starts = itertools.accumulate((count for _, count in parts), initial=0)
    for start, (style, count) in zip(starts, parts, strict=False):
        if count:
            add(svg, "rect", class_=style, x=percent(start / total), y=0, width=percent(count / total), height=14)
    return markup(svg)
