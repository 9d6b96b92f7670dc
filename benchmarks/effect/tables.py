"""Tables of the collected results: results/SCENARIO.md each, and results/effect.md over all of them.

python benchmarks/effect/tables.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.effect.bar import Line, lines
from benchmarks.effect.figures import (
    Collected,
    Run,
    load_all,
    matched,
    matched_names,
    mean,
    measure,
    perplexity,
    values,
)

RESULTS = Path(__file__).resolve().parent / "results"
Column = tuple[str, Callable[[Run], float | None]]

QUOTED: list[Column] = [
    ("perplexity, temperature 1", perplexity("perplexity")),
    ("perplexity under the sampler", perplexity("sampler perplexity")),
    ("tokens it can draw, %", perplexity("covered")),
    ("distinct-2", measure("distinct-2")),
    ("distinct-3", measure("distinct-3")),
    ("sentence length, mean", measure("sentence length, mean")),
    ("sentence length, variance", measure("sentence length, variance")),
    ("two-sample AUC", measure("auc")),
]
PREFERRED: Column = ("preferred to human text, %", measure("judge"))
HUMAN = {"distinct-2", "distinct-3", "sentence length, mean", "sentence length, variance"}
NOT_TRAINED_ON = (
    "mmd", "auc", "rep-1", "rep-2", "rep-3", "rep-4", "self-bleu", "mattr", "sentence length", "jensen-shannon",
)  # fmt: skip


def cell(found: Sequence[float]) -> str:
    """Mean, and the range over seeds."""
    if not found:
        return "-"
    middle = math.fsum(found) / len(found)
    shown = f"{middle:.3g}" if abs(middle) < 100 else f"{middle:.0f}"
    return shown if len(found) == 1 else f"{shown} ({min(found):.3g} to {max(found):.3g})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def by_arm(
    collected: Collected,
    sampler: str,
    columns: Sequence[Column],
    human: Sequence[str] = (),
    arms: Sequence[str] | None = None,
) -> str:
    """A row for each arm (of `arms`, where given), human text first where it has a value."""
    rows = []
    if human:
        sft = collected.of(collected.arms(sampler)[0], sampler)
        rows.append(
            ["human", *(cell(values(sft[:1], measure(name, "human"))) if name in human else "" for name, _ in columns)]
        )
        rows[0] = [shown if shown != "-" else "" for shown in rows[0]]
    for arm in collected.arms(sampler):
        if arms is not None and arm not in arms:
            continue
        runs = collected.of(arm, sampler)
        rows.append([f"{arm} ({len(runs)})", *(cell(values(runs, get)) for _, get in columns)])
    return table(["arm (seeds)", *(name for name, _ in columns)], rows)


def bar(found: Sequence[Line]) -> str:
    words = {True: "met", False: "**not met**", None: "-"}
    return table(["asked", "measured", ""], [[line.what, line.figure, words[line.met]] for line in found])


def cost(collected: Collected, sampler: str) -> str:
    """Seconds and memory of each arm; its multiple of SFT's."""

    def of(key: str) -> Callable[[Run], float | None]:
        return lambda run: run["cost"][key]

    plain = mean(collected.of("sft", sampler), of("seconds_per_step"))
    columns: list[Column] = [
        ("steps", of("steps")),
        ("seconds a step", of("seconds_per_step")),
        ("times SFT's", lambda run: run["cost"]["seconds_per_step"] / plain),
        ("peak MB", of("peak_megabytes")),
        ("training seconds", of("train_seconds")),
        ("tokens a step", of("tokens_per_step")),
        ("generated tokens a step", of("rollout_tokens_per_step")),
    ]
    return by_arm(collected, sampler, columns)


def scenario_page(collected: Collected) -> str:
    """Everything about one scenario."""
    scenario = collected.scenario
    parts = [
        f"# {scenario['title']}",
        f"{scenario['model']}, {scenario['steps']} steps, {scenario['measuring']['texts']} held-out contexts of "
        f"{collected.human_corpus}, texts of at most "
        f"{scenario['rollouts']['max_new_tokens']} tokens. Mean over seeds, and their range.",
    ]
    for sampler in collected.samplers:
        arms = collected.arms(sampler)
        if not arms:
            continue
        runs = collected.of(arms[0], sampler)
        judged = any("judge" in run["measures"] for arm in arms for run in collected.of(arm, sampler))
        in_floors: list[Column] = [(name, matched(name)) for name in matched_names(runs)]
        others: list[Column] = [(name, measure(name, "floor_ratio")) for name in NOT_TRAINED_ON]
        checks: list[Column] = [
            ("validation loss", perplexity("validation loss")),
            ("facts: recall", lambda run: run["probe"]["recall"]["value"]),
            ("facts: ability", lambda run: run["probe"]["ability"]["value"]),
            ("letters of other scripts", measure("other scripts")),
            ("empty texts", lambda run: run["empty"]),
        ]
        parts += [
            f"## Sampler {sampler}",
            "### What is quoted",
            by_arm(collected, sampler, [*QUOTED, *([PREFERRED] if judged else [])], sorted(HUMAN)),
            "The two-sample AUC is that of a linear classifier on hashed n-grams; 0.5 is human."
            + ("" if judged else " It stands in for a preference: no judge endpoint was given."),
            "### Matched statistics, in human floors",
            by_arm(collected, sampler, in_floors),
            "### Not trained on, in human floors",
            by_arm(collected, sampler, others),
            "### Task, facts (chance 0.25), garbage",
            by_arm(collected, sampler, checks),
            "### Cost",
            cost(collected, sampler),
        ]
        for arm in [arm for arm in arms if arm.startswith("dft")]:
            parts += [f"### The bar: {arm} beside sft", bar(lines(collected, sampler, arm)) or "no SFT run"]
    return "\n\n".join(parts) + "\n"


def summary(everything: dict[str, Collected]) -> str:
    """The bar over all scenarios, and what people quote, SFT and DFT side by side."""
    rows, quoted = [], []
    for name, collected in everything.items():
        for sampler in collected.samplers:
            found = lines(collected, sampler)
            if not found:
                continue
            told = [line for line in found if line.met is not None]
            missed = "; ".join(f"{line.what} ({line.figure})" for line in told if not line.met)
            rows.append([name, sampler, f"{sum(bool(line.met) for line in told)} of {len(told)}", missed])
            for arm in ("sft", "dft"):
                runs = collected.of(arm, sampler)
                quoted.append([name, sampler, arm, *(cell(values(runs, get)) for _, get in QUOTED)])
            human = [
                cell(values(collected.of("sft", sampler)[:1], measure(n, "human"))) if n in HUMAN else ""
                for n, _ in QUOTED
            ]
            quoted.append([name, sampler, "human", *human])
    parts = [
        "# Effect of Distribution Fine-Tuning",
        "DFT at its default options beside plain SFT under the same sampler; how to run it again: "
        "`benchmarks/effect/README.md`. A line that asks nothing (SFT is human already) or was not run is not counted.",
        table(["scenario", "sampler", "lines of the bar met", "not met"], rows),
        table(["scenario", "sampler", "arm", *(name for name, _ in QUOTED)], quoted),
    ]
    return "\n\n".join(parts) + "\n"


README_ARMS = (
    "sft", "dft", "sft_wallclock", "entropy", "unlikelihood", "dpo", "reinforce", "reinforce_calibrated",
    "dft_from_start", "dft_uncalibrated", "dft_calibrated",
)  # fmt: skip
SHOWN = {
    "a": "**stories260K (260 thousand parameters)**, fine-tuned on fairy tales",
    "a-1000": "**The same, ten times the steps**",
    "a-2m": "**A Llama of 2.3 million parameters** (`pretrain.py`), fine-tuned on fairy tales",
    "b-children": "**stories260K, fine-tuned on machine-written fiction with fairy tales as the human reference**",
    "b-2m": "**The larger model**, likewise",
}
"""The scenarios whose table stands in the README, and what they are."""


def readme(everything: dict[str, Collected]) -> str:
    """The README's part: what is quoted of scenario A for its arms, the bar in one line a scenario, and the plot."""
    parts = [
        "From `benchmarks/effect`: its README has the commands and what each arm is, `benchmarks/effect/results` all "
        "tables. Every arm has the same steps, tokens and order of the data; mean over seeds and their range. `dft` is "
        "at its default options. Small models on a CPU: this shows the mechanism, not what to expect of a large model."
    ]
    for name, what in SHOWN.items():
        if name in everything:
            parts += _shown_in_readme(everything[name], what)
    rows = []
    for name, other in everything.items():
        for where in other.samplers:
            told = [line for line in lines(other, where) if line.met is not None]
            if told:
                seeds = min(len(other.of(arm, where)) for arm in ("sft", "dft"))
                rows.append([name, where, str(seeds), f"{sum(bool(line.met) for line in told)} of {len(told)}"])
    parts += [
        "`entropy` is GEM (Li et al. 2025) with beta at the temperature; `dft_uncalibrated` is the rollouts' part "
        "alone, `dft_calibrated` has `calibration: 1`, `dft_from_start` acts in the whole run. **Most of the gain at "
        "temperature 0.7 is calibration**: with it REINFORCE is where DFT is, and GEM does the like without rollouts. "
        "The rollouts' own part shows without it, and where the reference is not the training text (scenarios b). "
        "Where plain SFT is near human already (scenarios c) DFT mends little and costs little. The longer the run at "
        "temperature 0.7, the nearer to people is DFT's text, while SFT's grows less varied (`a` and `a-1000`, 100 and "
        "1,000 steps). `benchmarks/LOG.md` (8 to 15) says what was tried and what failed. **In no scenario is all met "
        "that we had asked of DFT beside plain SFT**; what is missed stands line by line in "
        "`benchmarks/effect/results/effect.md`:",
        table(["scenario", "sampler", "seeds", "lines met"], rows),
        "![Distances to human text of SFT, the super-baseline, GEM, REINFORCE and DFT]"
        "(benchmarks/effect/results/effect.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _shown_in_readme(collected: Collected, what: str) -> list[str]:
    scenario, sampler = collected.scenario, collected.samplers[0]
    plain = mean(collected.of("sft", sampler), lambda run: run["cost"]["seconds_per_step"])
    columns: list[Column] = [
        *(column for column in QUOTED if column[0] != "tokens it can draw, %"),
        ("MMD²", measure("mmd")),
        *((f"{name.replace('_', ' ')}, floors", matched(name)) for name in ("token_frequency", "ngram_frequency")),
        ("validation loss of the task", perplexity("validation loss")),
        ("facts recalled", lambda run: run["probe"]["recall"]["value"]),
        ("times SFT's seconds a step", lambda run: run["cost"]["seconds_per_step"] / plain),
    ]
    return [
        f"{what}, {scenario['steps']} steps, measured on continuations of held-out contexts at {sampler} "
        "(temperature, top-p):",
        by_arm(collected, sampler, columns, sorted(HUMAN), README_ARMS),
    ]


def main(results: Path = RESULTS) -> None:
    everything = load_all(results)
    if not everything:
        raise SystemExit(f"{results} holds no collected results; run benchmarks/effect/collect.py before")
    for name, collected in everything.items():
        (results / f"{name}.md").write_text(scenario_page(collected), encoding="utf-8")
    (results / "effect.md").write_text(summary(everything), encoding="utf-8")
    if "a" in everything:
        (results / "readme.md").write_text(readme(everything), encoding="utf-8")
    print(results / "effect.md")


if __name__ == "__main__":
    main()
