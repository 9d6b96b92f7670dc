"""The README's part of the results: results/readme.md, which benchmarks/update_readme.py puts into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.effect.columns import UNKNOWN, number, table
from benchmarks.effect.figures import (
    BOTH_CONTEXTS,
    DFT,
    EQUAL,
    GROWING,
    HUMAN_CONTEXTS,
    MIXED,
    Collected,
    Run,
    distance,
    mean,
    measure,
    perplexity,
    text_sum,
)
from benchmarks.effect.overview import change, headings, row
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

TWO_KINDS = "b-2m-1000"
"""The scenario that is shown by kinds of contexts."""
KINDS = {"human": "fairy tales", "task": "own contexts"}
BY_CONTEXTS = (
    TRAINING_TEXT, "sft", DFT, HUMAN_CONTEXTS, HUMAN_CONTEXTS + GROWING, BOTH_CONTEXTS, "sft_mixed",
    "sft_mixed_eighth", MIXED,
)  # fmt: skip

INSTEAD = {
    "a": "Beside what one could do instead: A (`a`; `entropy` is GEM with beta 0.7)",
    "b-children": "and B (`b-children`)",
}
"""The scenarios whose arms are compared in the README."""
ARMS = (
    TRAINING_TEXT, "sft", DFT, "sft_wallclock", "sft_mixed", "sft_mixed_eighth", "dft_mixed_eighth", "entropy",
    "unlikelihood", "dpo", "reinforce", "reinforce_default", "reinforce_calibrated", EQUAL, "dft_uncalibrated",
    "dft_quarter", "dft_gamma1", "dft_hidden",
)  # fmt: skip


def readme(everything: Mapping[str, Collected]) -> str:
    """SFT and DFT side by side in four scenarios, one of them by kinds of contexts, and the arms of two."""
    found: list[list[str]] = []
    for name, asked in LARGEST.items():
        if name in everything:
            one, sampler = everything[name], everything[name].samplers[0]
            found.append([asked, *row(name, one, sampler, one.dft_arm(sampler), PRICES, PAGES)])
    parts = [table(["", *headings(PRICES)], found)]
    if TWO_KINDS in everything:
        parts += [f"**B by what texts continue (`{TWO_KINDS}`):**", _by_contexts(everything[TWO_KINDS])]
    for name, title in INSTEAD.items():
        if name in everything:
            parts += [f"**{title}:**", _instead(everything[name])]
    return "\n\n".join(parts) + "\n"


def _by_contexts(collected: Collected) -> str:
    """A row for each of BY_CONTEXTS that was run with all of the scenario's seeds: one seed says nothing."""
    where = {sampler: KINDS[collected.contexts(sampler)] for sampler in collected.samplers}
    figures = {"distances": (distance, ".1f"), "other measures": (text_sum, ".0f"), "AUC": (measure("auc"), ".2f")}
    sft, loss = collected.of("sft", collected.samplers[0]), perplexity("validation loss")
    found = []
    for arm in BY_CONTEXTS:
        by_sampler = [collected.of(arm, sampler) for sampler in where]
        if all(len(runs) == len(collected.scenario["seeds"]) for runs in by_sampler):
            cells = [format(mean(runs, get), digits) for runs in by_sampler for get, digits in figures.values()]
            price = "-" if arm == TRAINING_TEXT else change((sft, by_sampler[0]), loss, digits=1)
            found.append([_label(arm), *cells, price])
    return table(["arm", *(f"{name}, {of}" for of in where.values() for name in figures), "the task's loss"], found)


def _label(arm: str) -> str:
    return "people's training text" if arm == TRAINING_TEXT else f"`{arm}`"


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
            rows.append([_label(arm), *(number(mean(runs, get)) for get in columns.values())])
    return table(["arm", *columns], rows)
