"""The README's part of the results: results/readme.md, which benchmarks/update_readme.py puts into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.effect.columns import UNKNOWN, number, table
from benchmarks.effect.figures import DFT, EQUAL, Collected, Run, distance, mean, measure, perplexity, text_sum
from benchmarks.effect.overview import headings, rows
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

PAGES = "benchmarks/effect/results"

LARGEST = {
    "a-2m-1000": "A. Deployed at 0.7",
    "b-2m-1000": "B. Machine-written training data",
    "c-2m": "C. Same data, at 1",
    "d-1000": "D. 200 documents, LoRA",
}
"""Of each question the largest model that ran at the present default, in its longest run, and what is asked."""

PRICES = {
    "perplexity at 1": perplexity("perplexity"),
    "under the sampler": perplexity("sampler perplexity"),
    "the task's loss": perplexity("validation loss"),
}

INSTEAD = {
    "a": "Beside what one could do instead: A (`a`; `entropy` is GEM with beta 0.7)",
    "b-children": "and B (`b-children`)",
}
"""The scenarios whose arms are compared in the README."""
ARMS = (
    TRAINING_TEXT, "sft", DFT, "sft_wallclock", "sft_mixed", "entropy", "unlikelihood", "dpo", "reinforce",
    "reinforce_default", "reinforce_calibrated", EQUAL, "dft_uncalibrated", "dft_quarter", "dft_gamma1", "dft_hidden",
)  # fmt: skip


def readme(everything: Mapping[str, Collected]) -> str:
    """SFT and DFT side by side in four scenarios, and the arms of two."""
    found: list[list[str]] = []
    for name, asked in LARGEST.items():
        if name in everything:
            found += [[asked, *row] for row in _rows(name, everything[name])]
    parts = [table(["", *headings(PRICES)], found)]
    for name, title in INSTEAD.items():
        if name in everything:
            parts += [f"**{title}:**", _instead(everything[name])]
    return "\n\n".join(parts) + "\n"


def _rows(name: str, collected: Collected) -> list[list[str]]:
    """The default's, and those of options that were run with all of the scenario's seeds: one says nothing."""
    sampler = collected.samplers[0]
    default, *options = collected.overview_arms(sampler)
    complete = [arm for arm in options if len(collected.of(arm, sampler)) == len(collected.scenario["seeds"])]
    return rows(name, collected, sampler, [default, *complete], PRICES, PAGES)


def _instead(collected: Collected) -> str:
    """A row for each of ARMS; means over seeds."""
    sampler = collected.samplers[0]
    columns: dict[str, Callable[[Run], float | None]] = {
        "distinct-3": measure("distinct-3"),
        "sentence-length variance": measure("sentence length, variance"),
        "distances, floors": distance,
        "other measures": text_sum,
        "AUC": measure("auc"),
        "MMD² x 10⁴": lambda run: 1e4 * run["measures"]["mmd"]["value"],
        UNKNOWN[0]: UNKNOWN[1],
        "perplexity at 1": perplexity("perplexity"),
        "under the sampler": perplexity("sampler perplexity"),
        "the task's loss": perplexity("validation loss"),
    }
    rows = []
    for arm in ARMS:
        if runs := collected.of(arm, sampler):
            label = "people's training text" if arm == TRAINING_TEXT else f"`{arm}`"
            rows.append([label, *(number(mean(runs, get)) for get in columns.values())])
    return table(["arm", *columns], rows)
