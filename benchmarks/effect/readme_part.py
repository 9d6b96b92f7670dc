"""The generated parts of the README (results/readme.md) and of FINDINGS.md (the other PARTS).

`benchmarks/update_readme.py` puts them into these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from benchmarks.effect.columns import table
from benchmarks.effect.figures import (
    BOTH_CONTEXTS,
    DFT,
    GROWING,
    HUMAN_CONTEXTS,
    MIXED,
    Collected,
    Run,
    distance,
    mean,
    measure,
    of_common_seeds,
    perplexity,
    text_sum,
    values,
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

LOSS = "the task's loss"
PRICES = {
    "perplexity at 1": perplexity("perplexity"),
    "under the sampler": perplexity("sampler perplexity"),
    LOSS: perplexity("validation loss"),
}

TWO_KINDS = "b-2m-1000"
"""The scenario that is shown by kinds of contexts."""
KINDS = {"human": "fairy tales", "task": "own contexts"}
BY_CONTEXTS = (
    TRAINING_TEXT, "sft", DFT, HUMAN_CONTEXTS, HUMAN_CONTEXTS + GROWING, BOTH_CONTEXTS, "sft_mixed",
    "sft_mixed_eighth", MIXED,
)  # fmt: skip

INSTEAD = {"a-2m": ("A", "perplexity at 1"), "b-2m": ("B", LOSS)}
"""The scenarios whose arms are compared, what the README calls them, and what an arm may cost there."""
SMALLER = {"a": INSTEAD["a-2m"], "b-children": INSTEAD["b-2m"]}
"""The same with a smaller model."""
ARMS = {
    TRAINING_TEXT: "people's training text",
    "sft": "SFT",
    DFT: "**DFT**",
    "dft_calibration_0": "DFT without calibration",
    "sft_calibrated": "calibration without rollouts",
    "reinforce_default": "REINFORCE on DFT's statistics and rollouts",
    "reinforce_default_calibrated": "REINFORCE and calibration",
    "entropy": "GEM, beta 0.7",
    "unlikelihood": "unlikelihood of over-used tokens, weight 1",
    "unlikelihood_0.25": "unlikelihood of over-used tokens, weight 0.25",
    "dpo": "DPO, human text chosen (SPIN)",
    "sft_wallclock": "SFT for DFT's seconds",
    "sft_mixed": "SFT, half of the rows from the reference",
}
"""Arms, and what the README calls them."""

CALIBRATION = ("sft", "dft_calibration_0", "sft_calibrated", "reinforce_default_calibrated", DFT, TRAINING_TEXT)
"""Arms with and without calibration and rollouts."""

FIGURES: Mapping[str, tuple[Callable[[Run], float | None], str]] = {
    "distances": (distance, ".1f"),
    "other measures": (text_sum, ".0f"),
    "AUC": (measure("auc"), ".2f"),
}
"""What arms are compared by, and with how many digits."""


def readme(everything: Mapping[str, Collected]) -> str:
    """SFT and DFT side by side in four scenarios, and the arms of two."""
    columns = [["", *headings(PRICES)]]
    for name, asked in LARGEST.items():
        if one := everything.get(name):
            found = (row(name, one, sampler, one.dft_arm(sampler), PRICES, PAGES) for sampler in one.samplers)
            columns += [[asked, *cells] for cells in found if cells]
    head, *rows = zip(*columns, strict=True)
    parts = [table(head, rows)]
    if instead := _instead(everything, INSTEAD):
        parts += ["**Beside what one could do instead:**", instead]
    return "\n\n".join(parts) + "\n"


def smaller(everything: Mapping[str, Collected]) -> str:
    """The arms of SMALLER's scenarios; "" where none was run."""
    found = _instead(everything, SMALLER)
    return found and found + "\n"


def by_contexts(everything: Mapping[str, Collected]) -> str:
    """The arms of one scenario by what their texts continue; "" where it was not run.

    A row for each of BY_CONTEXTS that was run with all of the scenario's seeds: one seed says nothing.
    """
    if TWO_KINDS not in everything:
        return ""
    collected = everything[TWO_KINDS]
    where = {sampler: KINDS[collected.contexts(sampler)] for sampler in collected.samplers}
    rows = []
    for arm in BY_CONTEXTS:
        by_sampler = [collected.of(arm, sampler) for sampler in where]
        if all(len(runs) == len(collected.scenario["seeds"]) for runs in by_sampler):
            cells = [cell for runs in by_sampler for cell in _cells(runs)]
            label = ARMS[arm] if arm == TRAINING_TEXT else f"`{arm}`"
            rows.append([label, *cells, _price(collected, arm, collected.samplers[0], LOSS)])
    return table(["arm", *(f"{name}, {of}" for of in where.values() for name in FIGURES), LOSS], rows) + "\n"


def by_calibration(everything: Mapping[str, Collected]) -> str:
    """Figures of CALIBRATION's arms, a row for each scenario that has calibration by itself; "" where none has.

    Over the seeds that all of its arms have; an arm with fewer than calibration by itself is left out.
    """
    rows = []
    for name, collected in everything.items():
        sampler = collected.samplers[0]
        if alone := collected.of("sft_calibrated", sampler):
            there = {arm: runs for arm in CALIBRATION if len(runs := collected.of(arm, sampler)) >= len(alone)}
            common = dict(zip(there, of_common_seeds(*there.values()), strict=True))
            shown = [", ".join(_cells(common[arm])) if arm in common else "" for arm in CALIBRATION]
            rows.append([f"`{name}`", str(len(common["sft_calibrated"])), *shown])
    return table(["scenario", "seeds", *(ARMS[arm] for arm in CALIBRATION)], rows) + "\n" if rows else ""


def _instead(everything: Mapping[str, Collected], scenarios: Mapping[str, tuple[str, str]]) -> str:
    """A row for each of ARMS that was run, the scenarios' columns beside each other; means over seeds, and from which
    seed's distances to which."""
    head = ["arm"]
    rows = {arm: [label] for arm, label in ARMS.items()}
    for name, (question, price) in scenarios.items():
        if name not in everything:
            continue
        collected, sampler = everything[name], everything[name].samplers[0]
        head += [f"{question}: {figure}" for figure in (*FIGURES, price)]
        for arm, cells in rows.items():
            runs = collected.of(arm, sampler)
            own = [*_cells(runs), _price(collected, arm, sampler, price)] if runs else [""] * (len(FIGURES) + 1)
            cells += [own[0] + _range(values(runs, distance)), *own[1:]]
    return table(head, [cells for cells in rows.values() if any(cells[1:])]) if len(head) > 1 else ""


def _cells(runs: Sequence[Run]) -> list[str]:
    found = ((mean(runs, get), digits) for get, digits in FIGURES.values())
    return ["" if math.isnan(value) else format(value, digits) for value, digits in found]


def _range(found: Sequence[float]) -> str:
    return f" ({min(found):.1f} to {max(found):.1f})" if len(found) > 1 else ""


def _price(collected: Collected, arm: str, sampler: str, name: str) -> str:
    """What an arm costs beside SFT; people's text is no model's."""
    pair = (collected.of("sft", sampler), collected.of(arm, sampler))
    return "" if arm in ("sft", TRAINING_TEXT) else change(pair, PRICES[name], digits=1)


PARTS: Mapping[str, Callable[[Mapping[str, Collected]], str]] = {
    "readme": readme,
    "by-contexts": by_contexts,
    "by-calibration": by_calibration,
    "smaller-models": smaller,
}
"""Each part by the name of its file."""
