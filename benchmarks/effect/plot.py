"""Figures of the collected results: floor ratios of each way to train, and of people's own training text.

python benchmarks/effect/plot.py        # writes results/effect.png (the README's) and results/all.png
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect.figures import (
    BOTH_CONTEXTS,
    DFT,
    HUMAN_CONTEXTS,
    Collected,
    floor_ratios,
    load_all,
    super_choice,
)
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

SUPER_BASELINE = "super-baseline"
RESULTS = Path(__file__).resolve().parent / "results"
ARMS = {
    "sft": ("o", "tab:red", "SFT"),
    SUPER_BASELINE: ("s", "tab:orange", "SFT, each metric's best sampler"),
    "entropy": ("v", "tab:green", "GEM"),
    "reinforce_default": ("^", "tab:purple", "REINFORCE"),
    "sft_calibrated": ("<", "tab:pink", "calibration without rollouts"),
    DFT: ("D", "tab:blue", "DFT"),
    HUMAN_CONTEXTS: ("P", "tab:cyan", "DFT, rollouts on the reference"),
    BOTH_CONTEXTS: ("*", "tab:olive", "DFT, rollouts on both"),
    TRAINING_TEXT: ("x", "black", "people's training text"),
}
OTHERS = {
    "distinct-3": "distinct-3",
    "sentence length, variance": "sentence-length variance",
    "self-bleu": "self-BLEU",
    "mmd": "MMD²",
    "auc": "AUC",
}
"""What is drawn below the matched statistics, and its label."""
README = {
    "a-2m, t0.7-p1": "Fairy tales at temperature 0.7 (a-2m)",
    "a-2m-1000, t0.7-p1": "The same, 1,000 steps (a-2m-1000)",
    "b-2m, t1-p1": "Machine-written training text (b-2m)",
    "c-news-train, t1-p1": "News at temperature 1 (c-news-train)",
    "b-2m-1000, t1-p1": "Machine-written, 1,000 steps (b-2m-1000)",
    "b-2m-1000, t1-p1-task": "The same after its own contexts (b-2m-1000)",
}
"""The panels of the README's figure and their titles there."""

Panel = Mapping[str, Mapping[str, float]]
"""arm -> metric -> floor ratio."""


def panels(everything: Mapping[str, Collected]) -> dict[str, Panel]:
    """`scenario, sampler` -> what is drawn of it, wherever there are runs of SFT and DFT."""
    found: dict[str, Panel] = {}
    for name, collected in everything.items():
        for sampler in collected.samplers:
            sft, dft = collected.of("sft", sampler), collected.of(collected.dft_arm(sampler), sampler)
            if not sft or not dft:
                continue
            trained = (arm for arm in ARMS if arm not in (SUPER_BASELINE, DFT))
            arms = {arm: floor_ratios(collected.of(arm, sampler), sft) for arm in trained}
            arms[DFT] = floor_ratios(dft, sft)
            grid = {point: floor_ratios(runs, sft) for point, runs in collected.grid(sampler).items()}
            arms[SUPER_BASELINE] = {metric: ratio for metric, (ratio, _) in super_choice(grid).items()}
            found[f"{name}, {sampler}"] = arms
    return found


def draw(shown: Mapping[str, Panel], titles: Mapping[str, str], path: Path, columns: int) -> None:
    """Writes the PNG: a panel for each of `shown`, in rows of `columns`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.9 * columns, 3.3 * rows + 0.4), squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, (name, arms) in zip(axes.flat, shown.items(), strict=False):
        _panel(axis, arms)
        axis.set_title(titles.get(name, name), fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("distance to human text, in human floors", fontsize=8)
    _legend(figure, axes.flat)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.5 / (3.3 * rows + 0.4)))
    figure.savefig(path, dpi=100 if rows < 4 else 70)
    pyplot.close(figure)


def _panel(axis: Any, arms: Panel) -> None:
    """One scenario: a metric a row, SFT and DFT joined by a line."""
    statistics = [name for name in arms[DFT] if name.startswith("matched ")]
    metrics = [*statistics, *(name for name in OTHERS if name in arms[DFT])]
    for place, name in enumerate(metrics):
        axis.plot([arms["sft"][name], arms[DFT][name]], [place, place], color="lightgrey", linewidth=3, zorder=0)
    for arm, (marker, color, label) in ARMS.items():
        known = [(arms[arm][name], place) for place, name in enumerate(metrics) if name in arms[arm]]
        if known:
            axis.scatter(*zip(*known, strict=True), marker=marker, color=color, s=24, label=label, alpha=0.9)
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.axhline(len(statistics) - 0.5, color="grey", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    labels = [OTHERS.get(name, name.removeprefix("matched ").replace("_", " ")) for name in metrics]
    axis.set_yticks(range(len(metrics)), labels)
    axis.tick_params(labelsize=8)
    axis.invert_yaxis()


def _legend(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for all panels, in two rows."""
    handles = {}
    for axis in axes:
        handles.update(dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)))
    labels = [label for _, _, label in ARMS.values() if label in handles]
    shown = [handles[label] for label in labels]
    columns = (len(labels) + 1) // 2
    figure.legend(shown, labels, loc="upper center", ncols=columns, fontsize=8, frameon=False, columnspacing=1.2)


def main(results: Path = RESULTS) -> None:
    shown = panels(load_all(results))
    if not shown:
        raise SystemExit("no scenario has runs of both sft and dft")
    chosen = {name: shown[name] for name in README if name in shown} or shown
    draw(chosen, README, results / "effect.png", columns=2)
    draw(shown, {}, results / "all.png", columns=3)
    print(results / "effect.png")


if __name__ == "__main__":
    main()
