"""Sentence length, punctuation rhythm and word frequency: the curves of each result over human text's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from markupsafe import Markup

from dft_plugin.evaluation.report.charts import Axis, Series, line_chart
from dft_plugin.evaluation.report.numbers import figure, share
from dft_plugin.evaluation.report.scale import Scale, scale_over
from dft_plugin.evaluation.result import Curve, Result

BIN = 3
"""Words that a point of the curve of sentence lengths takes together: single ones are ragged."""
SHOWN = 0.985
"""Share of all sentences that the axis of their lengths reaches."""
RANKS = "rank and frequency"
QUANTILES = (0.25, 0.5, 0.75, 0.9)

Law = tuple[float, ...]


@dataclass(frozen=True)
class Named:
    """A curve of one side: human text's or a result's."""

    name: str
    style: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Quantiles:
    """Lengths that shares of a law are at or below, as they are written."""

    name: str
    style: str
    lengths: tuple[str, ...]
    longer: str


@dataclass(frozen=True)
class LawChart:
    """A chart, what it is called, and its figures."""

    label: str
    chart: Markup
    quantiles: Sequence[Quantiles]


def sentence_chart(results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> LawChart | None:
    """Shares of sentences by length, in bins of 3 words."""
    sides = list(_sides(results, names, styles, "sentence length"))
    if not sides:
        return None
    laws = [law for side in sides if (law := complete(side))]
    if not laws:
        return None
    bins = max(_reaching(law) for law in laws)
    series = [
        Series(side.name, side.style, [BIN * index + (BIN + 1) / 2 for index in range(bins)], binned(law, bins))
        for side in sides
        if (law := complete(side))
    ]
    x = Axis(Scale(0.0, float(BIN * bins)), "words in a sentence")
    highest = max((value for one in series for value in one.y if value is not None), default=0.0)
    if highest <= 0:  # no sentence ends anywhere
        return None
    y = Axis(Scale(0.0, 1.1 * highest), f"share of sentences, {BIN} lengths together", share)
    title = "Sentence length"
    quantiles = _quantiles(sides)
    chart = line_chart(title, _described(title, quantiles, "words"), series, x, y, height=260, wide=True)
    return LawChart(title, chart, quantiles)


def punctuation_charts(results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> list[LawChart]:
    """For each mark, the share of intervals between two of them that are at most x words."""
    kinds = dict.fromkeys(kind for result in results for kind in result.curves if kind.startswith("punctuation: "))
    charts = []
    for kind in kinds:
        sides = list(_sides(results, names, styles, kind))
        if not sides:
            continue
        curve = next(result.curves[kind] for result in results if kind in result.curves)
        longest = max(len(law) - 1 for side in sides if (law := complete(side)))
        series = [
            Series(side.name, side.style, [0.0, *side.x[: len(law) - 1]], [0.0, *cumulative(law)[:-1]])
            for side in sides
            if (law := complete(side))
        ]
        quantiles = _quantiles(sides)
        chart = line_chart(
            curve.label,
            _described(curve.label, quantiles, "words"),
            series,
            Axis(Scale(0.0, float(longest)), "at most so many words"),
            Axis(Scale(0.0, 1.0), "share", share),
            height=150,
        )
        charts.append(LawChart(curve.label, chart, quantiles))
    return charts


def rank_chart(results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> Markup | None:
    """Word frequency by rank, both axes logarithmic."""
    sides = list(_sides(results, names, styles, RANKS))
    if not sides:
        return None
    curve = next(result.curves[RANKS] for result in results if RANKS in result.curves)
    series = [Series(side.name, side.style, side.x, side.y) for side in sides]
    x = Axis(scale_over([x for side in sides for x in side.x], log=True), curve.x_label)
    y = Axis(scale_over([y for side in sides for y in side.y], log=True), curve.y_label)
    said = []
    for side in sides:
        known = [(x, y) for x, y in zip(side.x, side.y, strict=True) if y is not None]
        (first, most), (last, least) = known[0], known[-1]
        said.append(f"{side.name}: {figure(most)} at rank {first:.0f}, {figure(least)} at rank {last:,.0f}")
    return line_chart(
        curve.label, f"{curve.y_label.capitalize()}. {'; '.join(said)}.", series, x, y, height=260, wide=True
    )


def complete(side: Named) -> Law:
    """The law, or nothing if it could not be measured."""
    return tuple(value for value in side.y if value is not None) if None not in side.y else ()


def binned(law: Law, bins: int) -> list[float]:
    """Shares of the first `bins` bins of 3 lengths."""
    return [sum(law[BIN * index : min(BIN * (index + 1), len(law) - 1)]) for index in range(bins)]


def cumulative(law: Law) -> list[float]:
    """Shares at or below each length."""
    return list(accumulate(law))


def quantile(law: Law, part: float) -> int | None:
    """The shortest length that at least this part is at or below; None if it is beyond the law's last length."""
    reached = (length for length, below in enumerate(cumulative(law)[:-1], start=1) if below >= part - 1e-9)
    return next(reached, None)


def _reaching(law: Law) -> int:
    """Bins up to the length that nearly all are at or below, or the last that occurs."""
    last = max((length for length, part in enumerate(law[:-1], start=1) if part), default=1)
    return -(-(quantile(law, SHOWN) or last) // BIN)


def _quantiles(sides: Sequence[Named]) -> list[Quantiles]:
    found = []
    for side in sides:
        law = complete(side)
        if law:
            lengths = [quantile(law, part) for part in QUANTILES]
            written = tuple(f"over {len(law) - 1}" if length is None else str(length) for length in lengths)
            found.append(Quantiles(side.name, side.style, written, share(law[-1])))
    return found


def _described(label: str, quantiles: Sequence[Quantiles], unit: str) -> str:
    said = [f"{one.name}: half are at most {one.lengths[1]} {unit}, nine in ten {one.lengths[3]}" for one in quantiles]
    return f"{label}. {'; '.join(said)}."


def _sides(results: Sequence[Result], names: Sequence[str], styles: Sequence[str], kind: str) -> Iterator[Named]:
    """Human text's curve, once for results of the same human texts, and theirs, without those never measured."""
    human: dict[tuple[object, ...], list[tuple[str, Curve]]] = {}
    for result, name in zip(results, names, strict=True):
        if (curve := result.curves.get(kind)) is not None and curve.human is not None:
            same = (result.provenance.human.digest, result.basis.words, result.basis.human_texts)
            human.setdefault(same, []).append((name, curve))
    for group in human.values():
        curve = group[0][1]
        name = "human" if len(human) == 1 else f"human, beside {', '.join(name for name, _ in group)}"
        if curve.human is not None and any(value is not None for value in curve.human):
            yield Named(name, "human", curve.x, curve.human)
    for result, name, style in zip(results, names, styles, strict=True):
        if (curve := result.curves.get(kind)) is not None and any(value is not None for value in curve.texts):
            yield Named(name, style, curve.x, curve.texts)
