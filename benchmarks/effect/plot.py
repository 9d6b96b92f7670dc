"""One figure of the collected results: floor ratios of each way to train, and of people's own training text.

python benchmarks/effect/plot.py        # writes results/effect.png
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect.bar import super_choice
from benchmarks.effect.figures import Collected, floor_ratios, load_all
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

SUPER_BASELINE = "super-baseline"
RESULTS = Path(__file__).resolve().parent / "results"
ARMS = {
    "sft": ("o", "tab:red"),
    SUPER_BASELINE: ("s", "tab:orange"),
    "entropy": ("v", "tab:green"),
    "reinforce": ("^", "tab:purple"),
    "dft": ("D", "tab:blue"),
    TRAINING_TEXT: ("x", "black"),
}
OTHERS = ("distinct-3", "sentence length, variance", "mmd", "auc", "self-bleu")


def panels(everything: dict[str, Collected]) -> dict[str, dict[str, dict[str, float]]]:
    """title -> arm -> metric -> floor ratio, for every scenario and sampler with runs of SFT and DFT."""
    found = {}
    for name, collected in everything.items():
        for sampler in collected.samplers:
            sft = collected.of("sft", sampler)
            if not sft or not collected.of("dft", sampler):
                continue
            trained = (arm for arm in ARMS if arm != SUPER_BASELINE)
            arms = {arm: floor_ratios(collected.of(arm, sampler), sft) for arm in trained}
            grid = {point: floor_ratios(runs, sft) for point, runs in collected.grid().items()}
            arms[SUPER_BASELINE] = {metric: ratio for metric, (ratio, _) in super_choice(grid).items()}
            found[f"{name}, {sampler}"] = arms
    return found


def draw(everything: dict[str, Collected], path: Path) -> None:
    """Writes the PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = panels(everything)
    if not shown:
        raise SystemExit("no scenario has runs of both sft and dft")
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.6 * columns, 3.4 * rows), squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, (title, arms) in zip(axes.flat, shown.items(), strict=False):
        metrics = [name for name in arms["dft"] if name.startswith("matched ") or name in OTHERS]
        for arm, (marker, color) in ARMS.items():
            known = [(arms[arm][name], place) for place, name in enumerate(metrics) if name in arms[arm]]
            if known:
                axis.scatter(*zip(*known, strict=True), marker=marker, color=color, s=22, label=arm, alpha=0.85)
        axis.axvline(1, color="grey", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_yticks(range(len(metrics)), [name.removeprefix("matched ").replace("_", " ") for name in metrics])
        axis.tick_params(labelsize=7)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("distance to human text, in human floors", fontsize=7)
    legend = {}
    for axis in axes.flat:
        legend.update(dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)))
    names = {"entropy": "GEM (entropy)", TRAINING_TEXT: "people's training text"}
    labels = [names.get(arm, arm) for arm in ARMS if arm in legend]
    figure.legend(
        [legend[arm] for arm in ARMS if arm in legend],
        labels,
        loc="upper center",
        ncols=len(labels),
        fontsize=8,
        frameon=False,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (3.4 * rows)))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def main(results: Path = RESULTS) -> None:
    draw(load_all(results), results / "effect.png")
    print(results / "effect.png")


if __name__ == "__main__":
    main()
