"""Tables of the collected results: results/SCENARIO.md each, and results/effect.md over all of them.

python benchmarks/effect/tables.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect.bar import Score, lines
from benchmarks.effect.columns import HUMAN, QUOTED, UNKNOWN, Column, by_arm, cell, human_cells, table
from benchmarks.effect.figures import (
    LATER,
    Collected,
    Run,
    distance,
    load_all,
    matched,
    mean,
    measure,
    perplexity,
    spent,
    text_sum,
    values,
)
from benchmarks.effect.line import Line
from benchmarks.effect.overview import overview
from benchmarks.effect.readme_part import PARTS
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

RESULTS = Path(__file__).resolve().parent / "results"
PREFERRED: Column = ("preferred to human text, %", measure("judge"))
ALL_OF_TEXT: Column = ("all measures of text, sum of logarithms", text_sum)
ON_TEXT = (
    "mmd", "auc", "rep-1", "rep-2", "rep-3", "rep-4", "self-bleu", "mattr", "sentence length", "jensen-shannon",
)  # fmt: skip


def bar(found: Sequence[Line], control: Sequence[Line] = ()) -> str:
    """The lines of an arm, and whether people's own training text in its place meets them (`control`)."""
    words = {True: "met", False: "**not met**", None: "-"}
    by_people = {line.what: words[line.met] for line in control}
    rows = [[line.what, line.figure, words[line.met], by_people.get(line.what, "-")] for line in found]
    return table(["asked", "measured", "", "by people's training text"], rows)


def cost(collected: Collected, sampler: str) -> str:
    """Seconds and memory of each arm; its multiple of SFT's."""
    plain = mean(collected.of("sft", sampler), spent("seconds_per_step"))
    columns: list[Column] = [
        ("steps", spent("steps")),
        ("seconds a step", spent("seconds_per_step")),
        ("times SFT's", lambda run: run["cost"]["seconds_per_step"] / plain),
        ("peak MB", spent("peak_megabytes")),
        ("training seconds", spent("train_seconds")),
        ("tokens a step", spent("tokens_per_step")),
        ("generated tokens a step", spent("rollout_tokens_per_step")),
    ]
    return by_arm(collected, sampler, columns)


def intervals(collected: Collected, sampler: str) -> str:
    """What is quoted or measured on text, of people, SFT and DFT, with its human floor and 95 % intervals."""
    arms = {arm: collected.of(arm, sampler) for arm in ("sft", collected.dft_arm(sampler))}
    everything = [run for runs in arms.values() for run in runs]

    def limit(name: str, end: int) -> Callable[[Run], float | None]:
        return lambda run: run["measures"][name]["interval"][end]

    def shown(runs: Sequence[Run], name: str) -> str:
        value, low, high = (mean(runs, get) for get in (measure(name), limit(name, 0), limit(name, 1)))
        return f"{value:.3g} [{low:.3g}, {high:.3g}]" if math.isfinite(low) else "-"

    names = dict.fromkeys([*sorted(HUMAN.values()), *ON_TEXT])
    rows = [
        [name, cell(values(everything[:1], measure(name, "human"))), f"{mean(everything, measure(name, 'floor')):.3g}"]
        + [shown(runs, name) for runs in arms.values()]
        for name in names
        if values(everything, measure(name, "floor"))
    ]
    return table(["measure", "human", "floor", *arms], rows)


def scenario_page(collected: Collected) -> str:
    """Everything about one scenario."""
    scenario = collected.scenario
    parts = [
        f"# {scenario['title']}",
        f"{collected.model}, {scenario['steps']} steps, {scenario['measuring']['texts']} held-out contexts of "
        f"{collected.human_corpus}{_others(collected)}, texts of at most "
        f"{scenario['rollouts']['max_new_tokens']} tokens. Mean over seeds, and their range.",
    ]
    for sampler in collected.samplers:
        arms = collected.arms(sampler)
        if not arms:
            continue
        runs = [run for arm in arms for run in collected.of(arm, sampler)]
        judged = any("judge" in run["measures"] for run in runs)
        statistics = dict.fromkeys(name for run in runs for name in run["matched"])
        in_floors: list[Column] = [*((name, matched(name)) for name in statistics), ("geometric mean", distance)]
        others: list[Column] = [*((name, measure(name, "floor_ratio")) for name in ON_TEXT), ALL_OF_TEXT]
        checks: list[Column] = [
            ("validation loss", perplexity("validation loss")),
            ("facts: recall", lambda run: run["probe"]["recall"]["value"]),
            ("facts: ability", lambda run: run["probe"]["ability"]["value"]),
            ("letters of other scripts, %", measure("other scripts")),
            UNKNOWN,
            ("empty texts", lambda run: run["empty"]),
        ]
        parts += [
            f"## Sampler {sampler}",
            "### What is quoted",
            by_arm(collected, sampler, [*QUOTED, *([PREFERRED] if judged else [])], HUMAN),
            "The two-sample AUC is that of a linear classifier on hashed n-grams; 0.5 is human."
            + ("" if judged else " It stands in for a preference: no judge endpoint was given."),
            "### Matched statistics, in human floors",
            by_arm(collected, sampler, in_floors),
            "### Measured on decoded text, in human floors",
            by_arm(collected, sampler, others),
            f"In the last column a ratio below 1 counts as 1; without {', '.join(LATER)}, which not all runs have.",
            "### With floors and intervals",
            intervals(collected, sampler),
            "A floor is the mean distance of two human samples of that size; in brackets the 95 % interval of one run "
            "(texts drawn anew), its ends averaged over seeds.",
            "### Task, facts (chance 0.25), garbage",
            by_arm(collected, sampler, checks),
            "### Cost",
            cost(collected, sampler),
        ]
        control = lines(collected, sampler, TRAINING_TEXT)
        for arm in [arm for arm in arms if arm.startswith("dft")]:
            parts += [f"### The bar: {arm} beside sft", bar(lines(collected, sampler, arm), control) or "no SFT run"]
    return "\n\n".join(parts) + "\n"


def _others(collected: Collected) -> str:
    """The other contexts there are, in words."""
    task = [sampler for sampler in collected.samplers if collected.contexts(sampler) == "task"]
    return f" ({', '.join(task)}: of {collected.scenario['corpus']})" if task else ""


def summary(everything: dict[str, Collected]) -> str:
    """The bar over all scenarios, and what people quote, SFT and DFT side by side."""
    rows, quoted = [], []
    for name, collected in everything.items():
        for sampler in collected.samplers:
            scores = {arm: Score.of(collected, sampler, arm) for arm in collected.overview_arms(sampler)}
            scores = {arm: score for arm, score in scores.items() if score.told}
            if not scores:
                continue
            rows += [
                [name, sampler, arm, score.met, score.met_of_peoples, _missed(score)] for arm, score in scores.items()
            ]
            for arm in ("sft", *scores):
                runs = collected.of(arm, sampler)
                quoted.append([name, sampler, arm, *(cell(values(runs, get)) for _, get in QUOTED)])
            quoted.append([name, sampler, "human", *human_cells(collected, sampler, QUOTED, HUMAN)])
    parts = [
        "# Effect of Distribution Fine-Tuning",
        "DFT at its default options (where these were not run: `dft_equal_rollouts`) beside plain SFT under the same "
        "sampler; how to run it again: `benchmarks/effect/README.md`. A line that asks nothing (SFT is human already) "
        "or was not run is not counted. † marks what people's own training text in the place of generated text does "
        "not meet either: it is of other documents than the held-out text. `dft_human_contexts` has its rollouts "
        "(`rollout.prompts`) on contexts of the reference, as texts are measured on, `dft_both_contexts` on these and "
        "on the training set's in turn, `dft_mixed_eighth_both_contexts` likewise while an eighth of its rows are of "
        "the reference; those that end in `_growing_window` have `window_growth: 0.25` as well.",
        "![Distances to human text in every scenario](all.png)",
        table(["scenario", "sampler", "arm", "lines of the bar met", "of those people do not miss", "not met"], rows),
        table(["scenario", "sampler", "arm", *(name for name, _ in QUOTED)], quoted),
    ]
    return "\n\n".join(parts) + "\n"


def _missed(score: Score) -> str:
    by_people = score.missed_by_people or ()
    return "; ".join(f"{'† ' if line.what in by_people else ''}{line.what} ({line.figure})" for line in score.missed)


def main(results: Path = RESULTS) -> None:
    everything = load_all(results)
    if not everything:
        raise SystemExit(f"{results} holds no collected results; run benchmarks/effect/collect.py before")
    for name, collected in everything.items():
        (results / f"{name}.md").write_text(scenario_page(collected), encoding="utf-8")
    (results / "effect.md").write_text(summary(everything), encoding="utf-8")
    (results / "overview.md").write_text(overview(everything), encoding="utf-8")
    for name, part in PARTS.items():
        (results / f"{name}.md").write_text(part(everything), encoding="utf-8")
    print(results / "effect.md")


if __name__ == "__main__":
    main()
