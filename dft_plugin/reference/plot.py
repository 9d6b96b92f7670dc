"""A picture of what a reference or a domain says: sentence length, punctuation, words and phrases, Zipf's curve."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dft_plugin.reference.description import LENGTHS, MARKS, ZIPF_RANKS, Description
from dft_plugin.reference.errors import HumanReferenceError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 8
"""Phrases of each length that are drawn."""
INK, SOFT = "#1f4e79", "#9db8d2"
SHORT = {"question_exclamation": "? or !", "colon_semicolon": "colons, semicolons"}
COLORS = ("#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0", "#c00000", "#404040")


def plot(description: Description, path: str | Path) -> None:
    """Draws four panels into a file whose suffix says its kind (.png, .pdf, .svg).

    Raises:
        HumanReferenceError: when matplotlib is not there, or does not know that suffix.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise HumanReferenceError("plots need matplotlib: pip install 'dft-plugin[report]'") from error
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise HumanReferenceError(f"{path}: a plot ends in .png, .pdf or .svg")
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12, 8.5), layout="constrained")
        panels = figure.subplots(2, 2)
        _sentences(panels[0][0], description)
        _rhythm(panels[0][1], description)
        _phrases(panels[1][0], description)
        _zipf(panels[1][1], description)
        size = f"{description.documents:,} documents, {description.words:,} words"
        figure.suptitle(f"{description.name}: {size}", fontsize=14, x=0.01, ha="left")
        figure.savefig(path, dpi=150)


_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.edgecolor": "#808080",
    "font.size": 9,
    "legend.frameon": False,
    # Names may be of any script; what a font lacks is drawn as a box and is not worth a warning each.
    "font.family": ["DejaVu Sans", "sans-serif"],
}


def _empty(axes: Axes, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color="#808080", transform=axes.transAxes)


def _sentences(axes: Axes, description: Description) -> None:
    axes.set_title("Sentence length")
    law = description.sentence
    if law is None:
        return _empty(axes, "no sentence ends")
    share = 100 * np.array(law.probability)
    axes.bar(law.words[:-1], share[:-1], width=0.9 * law.width, color=SOFT)
    axes.bar(law.words[-1:], share[-1:], width=0.9 * law.width, color=INK)
    axes.axvline(law.mean, color=INK, linewidth=1)
    spread = f"mean {law.mean:.1f}, standard deviation {law.deviation:.1f}"
    axes.annotate(
        spread, (law.mean, 1), xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points"
    )
    axes.set_xlabel(f"words (last: more than {law.longest})")
    axes.set_ylabel("% of the sentences")
    return None


def _rhythm(axes: Axes, description: Description) -> None:
    axes.set_title("Punctuation: words from one mark to the next of its kind")
    laws = {event: mark.law for event, mark in description.marks.items() if mark.law is not None}
    if not laws:
        return _empty(axes, "no marks")
    ends = {}
    for color, (event, law) in zip(COLORS, laws.items(), strict=False):
        reached = 100 * np.cumsum(law.probability[:-1])
        axes.plot(law.words[:-1], reached, color=color)
        ends[event] = (reached[-1], color)
    longest = max(law.longest for law in laws.values())
    height = 2.0
    for event, (end, color) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(end, height)
        said = f"{SHORT.get(event, MARKS[event])}: one in {description.marks[event].words_between:,.0f} words"
        axes.text(1.02 * longest, height, said, color=color, va="center", fontsize=8)
        height += 6  # so that labels do not overlap
    axes.set_xlabel("words")
    axes.set_ylabel("% of the marks that came by then")
    axes.set_ylim(0, max(100, height))
    axes.set_xlim(0, 1.55 * longest)
    axes.spines.bottom.set_bounds(0, longest)
    axes.set_xticks(range(0, longest + 1, longest // 6 // 10 * 10 or max(1, longest // 6)))
    return None


def _phrases(axes: Axes, description: Description) -> None:
    axes.set_title("Most frequent words and phrases")
    place, ticks, names = 0.0, [], []
    for color, n in zip(COLORS, LENGTHS, strict=False):
        for phrase, (count, _) in islice(description.phrases[n].items(), ROWS):
            axes.barh(-place, 1e6 * count / description.words, color=color, height=0.8)
            ticks.append(-place)
            names.append(phrase if len(phrase) <= 28 else phrase[:27] + "…")
            place += 1
        place += 0.8
    if not ticks:
        return _empty(axes, "no words")
    axes.set_yticks(ticks, names, fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.set_xlabel("occurrences per million words")
    axes.margins(y=0.01)
    return None


def _zipf(axes: Axes, description: Description) -> None:
    axes.set_title("Zipf's curve")
    if not description.words or not description.phrases[1]:
        return _empty(axes, "no words")
    for color, n in zip(COLORS, LENGTHS, strict=False):
        rates = [1e6 * count / description.words for count, _ in description.phrases[n].values()]
        label = "words" if n == 1 else f"phrases of {n} words"
        axes.loglog(np.arange(1, len(rates) + 1), rates, color=color, label=label)
    if (slope := description.zipf_slope) is not None:
        counts = np.array([count for count, _ in description.phrases[1].values()])[: ZIPF_RANKS[1]]
        ranks = np.array([ZIPF_RANKS[0], len(counts)])
        middle = np.log(1e6 * counts[ZIPF_RANKS[0] - 1 :] / description.words).mean()
        center = np.log(np.arange(ZIPF_RANKS[0], len(counts) + 1)).mean()
        line = np.exp(middle + slope * (np.log(ranks) - center))
        axes.loglog(ranks, line, color="black", linestyle="--", linewidth=1, label=f"slope {slope:.2f}")
    axes.set_xlabel("rank")
    axes.set_ylabel("occurrences per million words")
    axes.legend()
    return None
