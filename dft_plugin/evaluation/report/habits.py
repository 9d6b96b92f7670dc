"""What gives texts away: charts of over- and under-use, and matches in context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dft_plugin.evaluation.report.charts import Use, use_chart
from dft_plugin.evaluation.report.numbers import times
from dft_plugin.evaluation.report.scale import Scale
from dft_plugin.evaluation.result import GiveAway, Result

CERTAIN = 10.83
"""Least log-likelihood ratio of a construction that is shown as a difference: p = 0.001. Words, phrases and openings
are in a result only where they surely differ; constructions always."""
CHARTED = 12
"""Entries of a kind in its chart."""
QUOTED = 6
"""Entries quoted above the lists."""
KINDS = (("construction", "Constructions"), ("word", "Words"), ("phrase", "Phrases"), ("opening", "Sentence openings"))


@dataclass(frozen=True)
class Kind:
    """Give-aways of one kind: a chart of the strongest, all of them, and those with no difference shown."""

    heading: str
    chart: Markup | None
    entries: Sequence[GiveAway]
    alike: Sequence[GiveAway]


@dataclass(frozen=True)
class Habits:
    """What gives one result away; `quoted` are the most over-used of all kinds, with examples."""

    name: str
    style: str
    kinds: Sequence[Kind]
    quoted: Sequence[GiveAway]


def habits(results: Sequence[Result], names: Sequence[str], styles: Sequence[str]) -> list[Habits]:
    """What gives each result away. All charts share one scale."""
    charted = [entry for result in results for kind, _ in KINDS for entry in _certain(result, kind)[:CHARTED]]
    most = max((max(entry.ratio, 1 / entry.ratio) for entry in charted), default=2.0)
    scale = Scale(1.0, max(most, 2.0), log=True)
    return [
        Habits(name, style, [_kind(result, *kind, name, style, scale) for kind in KINDS], _quoted(result))
        for result, name, style in zip(results, names, styles, strict=True)
    ]


def _certain(result: Result, kind: str) -> list[GiveAway]:
    return [entry for entry in result.give_aways if entry.kind == kind and sure(entry)]


def sure(entry: GiveAway) -> bool:
    """Whether the two sides are shown to differ in it."""
    return entry.kind != "construction" or entry.g2 >= CERTAIN


def _kind(result: Result, kind: str, heading: str, name: str, style: str, scale: Scale) -> Kind:
    found = _certain(result, kind)
    alike = [entry for entry in result.give_aways if entry.kind == kind and not sure(entry)]
    if not found:
        return Kind(heading, None, [], alike)
    strongest = found[:CHARTED]
    said = "; ".join(f"{entry.text} {entry.one_sided or times(entry.ratio)}" for entry in strongest)
    uses = [Use(entry.text, entry.ratio) for entry in strongest]
    title = f"{heading} that {name} uses more or less often than human text"
    return Kind(heading, use_chart(title, f"Times as often: {said}.", uses, scale, style), found, alike)


def _quoted(result: Result) -> list[GiveAway]:
    over = [
        entry
        for entry in result.give_aways
        if entry.ratio > 1 and sure(entry) and any(example.source == "texts" for example in entry.examples)
    ]
    return sorted(over, key=lambda entry: -entry.g2)[:QUOTED]
