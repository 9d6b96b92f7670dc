"""The README's part of the results: results/readme.md, which benchmarks/update_readme.py puts into it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.effect.bar import Score
from benchmarks.effect.columns import HUMAN, QUOTED, UNKNOWN, Column, by_arm, table
from benchmarks.effect.figures import Collected, matched, mean, measure, perplexity
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

README_ARMS = (
    TRAINING_TEXT, "sft", "dft", "sft_wallclock", "sft_mixed", "entropy", "unlikelihood", "dpo", "reinforce",
    "reinforce_calibrated", "dft_from_start", "dft_uncalibrated", "dft_calibrated", "dft_rarity",
)  # fmt: skip
SHOWN = {
    "a": "**stories260K (260 thousand parameters)**, fine-tuned on fairy tales",
    "a-1000": "**The same, ten times the steps**",
    "a-news": "**stories260K, fine-tuned on news**, on which no default was chosen at this temperature",
    "a-2m": "**A Llama of 2.3 million parameters** (`pretrain.py`), fine-tuned on fairy tales",
    "a-2m-1000": "**The same, ten times the steps**",
    "a-28m": "**A Llama of 28 million parameters** (`pretrain_on_gpu.py`), fine-tuned on fairy tales on a GPU",
    "b-children": "**stories260K, fine-tuned on machine-written fiction with fairy tales as the human reference**",
    "b-children-1000": "**The same, ten times the steps**",
    "b-2m": "**The model of 2.3 million parameters**, likewise",
    "b-28m": "**The model of 28 million parameters**, likewise",
}
"""The scenarios whose table stands in the README, and what they are."""


def readme(everything: Mapping[str, Collected]) -> str:
    """The README's part: what is quoted of scenario A for its arms, the bar in one line a scenario, and the plot."""
    parts = [
        "From `benchmarks/effect`: its README has the commands and what each arm is, `benchmarks/effect/results` all "
        "tables. Every arm has the same steps, tokens and order of the data, except `sft_wallclock` (as many steps as "
        "fit into DFT's seconds) and `dpo` (SFT's, then as many of its own, whose cost alone is shown); mean over "
        "seeds and their range. `dft` is at its default options. Models of 0.26 to 28 million parameters: this shows "
        "the mechanism, not what to expect of a large model."
    ]
    for name, what in SHOWN.items():
        if name in everything:
            parts += _shown_in_readme(everything[name], what)
    rows = []
    for name, other in everything.items():
        for where in other.samplers:
            score = Score.of(other, where)
            if score.told:
                seeds = min(len(other.of(arm, where)) for arm in ("sft", "dft"))
                people = "-" if score.missed_by_people is None else str(len(score.missed_by_people))
                rows.append([name, other.scenario["title"], where, str(seeds), score.met, people])
    parts += [
        "`entropy` is GEM (Li et al. 2025) with beta at the temperature (at 1, where that is cross-entropy itself, the "
        "paper's 0.7); `dft_uncalibrated` is the rollouts' part "
        "alone, `dft_calibrated` has `calibration: 1`, `dft_from_start` acts in the whole run, `dft_rarity` matches "
        "`ngram_rarity` as well; `sft_mixed` is SFT on the reference's text beside the task's. `training_text` is no "
        "model: windows of people's training text (or reference) in the place of generated text. (Seconds of "
        "`dft_rarity`, `sft_mixed`, `dft_at_once`, `b-children-1000`, `a-2m-1000`, `a-656k` and, outside `a`, "
        "`entropy`, `unlikelihood` and `sft_wallclock` were taken beside other runs; in `*-28m` ten runs shared one "
        "H200, and seven tenths of a step "
        "at which DFT acts are sampling.) **Most of the gain at "
        "temperature 0.7 is calibration**: with it REINFORCE is where DFT is, and GEM does the like without rollouts. "
        "The rollouts' own part shows without it, and where the reference is not the training text (scenarios b). The "
        "gain carries over to corpora that no default was chosen on (`a-news`, `a-legal`), less to a model that is far "
        "from the task (`a-656k`), and the longer the run at "
        "temperature 0.7, the nearer to people is DFT's text: after 1,000 steps (`a-1000`) it is about where people's "
        "own training text is in diversity and in every matched statistic but punctuation rhythm, while a classifier "
        "still tells it apart. At temperature 1, where the reference is the training text or its kind (scenarios c, "
        "d), DFT mends little and costs little; with 28 million parameters (`c-28m`) plain SFT's text is already about "
        "as near to people's as their own training text is, and the term fades. "
        "Where a small model still learns its task, DFT's seconds spent on more steps of SFT bring its text at "
        "temperature 1 nearer than DFT does (`sft_wallclock` in c and d); at 0.7 (a) and against machine-written "
        "training text (b) they do not. "
        "Who has the reference's text and 4 to 6 % of the task's loss to spend "
        "gets words nearer to it by training on it (`sft_mixed`); DFT, which takes 0.2 to 0.7 %, gets the sentence "
        "lengths of fairy tales nearer.\n\n"
        "**What it costs at 0.7**: perplexity at temperature 1, and more words that no training text has, for what a "
        "low temperature hides of a small model's misspellings comes out. Nor does it make up for a poor sampler: "
        "SFT sampled at temperature 1 and top-p 0.9 is nearer to people in sum than DFT at 0.7 (`a.md`, the "
        "super-baseline's line).\n\n"
        "`benchmarks/LOG.md` (8 to 19) says what was tried and what failed. **In no scenario is all met that we had "
        "asked of DFT beside plain SFT** (12 to 16 lines, such as: every matched distance at most two human floors); "
        "what is missed stands line by line in `benchmarks/effect/results/effect.md`. The last column counts those of "
        "the missed lines that people's own training text misses too: it is of other documents than the held-out "
        "text.",
        table(["scenario", "what it is", "sampler", "seeds", "lines met", "missed by people too"], rows),
        "![Distances to human text of SFT, the super-baseline, GEM, REINFORCE, DFT and people's own training text]"
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
        UNKNOWN,
        ("validation loss of the task", perplexity("validation loss")),
        ("facts recalled", lambda run: run["probe"]["recall"]["value"]),
        ("times SFT's seconds a step", lambda run: run["cost"]["seconds_per_step"] / plain),
    ]
    return [
        f"{what}, {scenario['steps']} steps, measured on continuations of held-out contexts at {sampler} "
        "(temperature, top-p):",
        by_arm(collected, sampler, columns, HUMAN, README_ARMS),
    ]
