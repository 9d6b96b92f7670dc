"""The README's part of the results: results/readme.md, which benchmarks/update_readme.py puts into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.effect.bar import Score
from benchmarks.effect.columns import UNKNOWN, number, table
from benchmarks.effect.figures import (
    BOTH_CONTEXTS,
    DFT,
    EQUAL,
    GROWING,
    HUMAN_CONTEXTS,
    Collected,
    Run,
    distance,
    mean,
    measure,
    of_common_seeds,
    perplexity,
    text_sum,
)
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

PAGES = "benchmarks/effect/results"
HEAD = (
    "scenario", "corpus, model, steps", "distinct-3", "sentence-length variance", "distances", "other measures", "AUC",
    "MMD²",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The scenarios whose names begin with one letter.

    Attributes:
        title: what they ask.
        reading: what came out.
        prices: what DFT may cost there: heading -> figure of a run, shown as a change.
    """

    title: str
    reading: str
    prices: Mapping[str, Callable[[Run], float | None]]


GROUPS = {
    "a": Group(
        "A. Deployment sampler: one corpus, sampled at 0.7 (`a-top-p`: 0.8 and top-p 0.95)",
        "Larger models lose more at 0.7 and get most of it back; the longer the run, the less a classifier tells. "
        "`a-academic` served for no default; the others of 100 steps but `a-28m` served for `calibration`, `a-legal` "
        "for nothing else; `a-news`, a corpus, and `a-656k`, a model, served for `derivative_window` as well, `a-656k` "
        "for `gradient_fraction`; `b-2m` is where `lead` was found.",
        {"perplexity at 1": perplexity("perplexity"), "under the sampler": perplexity("sampler perplexity")},
    ),
    "b": Group(
        "B. Machine-written training data, a human reference, temperature 1",
        "Sentence lengths become those of fairy tales and words come nearer; what the texts are about gives them away, "
        "less so with 2.3 million parameters (`b-2m`). Texts continue held-out ones of the reference or (own contexts) "
        "of the training corpus. Rollouts are on the latter by default, on the former where it says (rollouts there), "
        "or on the two in turn (on both): after 1,000 steps text is near people's where rollouts were, and only there "
        "(`b-2m-1000`).",
        {"the task's loss": perplexity("validation loss"), "perplexity of human text": perplexity("perplexity")},
    ),
    "c": Group(
        "C. Same data, temperature 1",
        "DFT mends little and costs little where the reference is the training text or its kind; with 28 million "
        "parameters, or after 1,000 steps, plain SFT's text is about as near to people's in words, and the term fades.",
        {"perplexity": perplexity("perplexity")},
    ),
    "d": Group(
        "D. Few data: 200 documents, LoRA of rank 8, temperature 1",
        "Marks and sentence lengths come nearer, after 1,000 steps (one seed) as near as the 200 documents' own are; "
        "the classifier tells about as well as before.",
        {"perplexity": perplexity("perplexity")},
    ),
}

ROLLOUTS = {HUMAN_CONTEXTS: ", rollouts there", BOTH_CONTEXTS: ", rollouts on both"}
"""Where an arm's rollouts are, if not where the default's are."""

INSTEAD = {
    "a": "Beside what one could do instead: A (`a`; `entropy` is GEM with beta 0.7)",
    "b-children": "and B (`b-children`)",
}
"""The scenarios whose arms are compared in the README."""
ARMS = (
    TRAINING_TEXT, "sft", DFT, "sft_wallclock", "sft_mixed", "entropy", "unlikelihood", "dpo", "reinforce",
    "reinforce_default", "reinforce_calibrated", EQUAL, "dft_uncalibrated", "dft_quarter", "dft_quarter_at_once",
    "dft_interval_2", "dft_gamma1", "dft_hidden",
)  # fmt: skip


def readme(everything: Mapping[str, Collected]) -> str:
    """SFT and DFT side by side in every scenario, and the arms of two."""
    parts: list[str] = []
    for letter, group in GROUPS.items():
        named = [(name, one) for name, one in everything.items() if name.startswith(letter)]
        found = [
            _row(name, one, sampler, arm, group)
            for name, one in named
            for sampler in one.samplers
            for arm in _shown(one, sampler)
        ]
        rows = [row for row in found if row]
        if rows:
            parts += [
                f"**{group.title}.** {group.reading}",
                table([*HEAD, *group.prices, "lines met", "of those people meet"], rows),
            ]
    for name, title in INSTEAD.items():
        if name in everything:
            parts += [f"**{title}:**", _instead(everything[name])]
    return "\n\n".join(parts) + "\n"


def _shown(collected: Collected, sampler: str) -> list[str]:
    """The default, and what else has all of the scenario's seeds: one seed says nothing of an option."""
    default, *options = collected.overview_arms(sampler)
    return [default, *(arm for arm in options if len(collected.of(arm, sampler)) == len(collected.scenario["seeds"]))]


def _row(name: str, collected: Collected, sampler: str, dft: str, group: Group) -> list[str]:
    """[] where SFT or this arm of DFT's was not run."""
    scenario = collected.scenario
    score = Score.of(collected, sampler, dft)
    if not score.told:
        return []
    pair = of_common_seeds(collected.of("sft", sampler), collected.of(dft, sampler))
    people = collected.of(TRAINING_TEXT, sampler)
    corpus = collected.human_corpus
    if corpus != scenario["corpus"]:
        corpus = f"{scenario['corpus']} for {corpus}"
        corpus += ", own contexts" if collected.contexts(sampler) == "task" else ""
        corpus += ROLLOUTS.get(dft.removesuffix(GROWING), "")
    elif scenario["reference"]["domain"]:
        corpus = f"{corpus} (domain)"
    corpus += ", `window_growth: 0.25`" if dft.endswith(GROWING) else ""
    return [
        f"[`{name}`]({PAGES}/{name}.md)" + ("\\*" if dft == EQUAL else ""),
        f"{corpus}, {collected.model}, {scenario['steps']}{_fewer_seeds(pair, scenario['seeds'])}",
        _both(pair, measure("distinct-3"), _human(pair, "distinct-3"), ".3f"),
        _both(pair, measure("sentence length, variance"), _human(pair, "sentence length, variance"), ".0f"),
        _both(pair, distance, [mean(people, distance)], ".1f"),
        _both(pair, text_sum, [mean(people, text_sum)], ".0f"),
        _both(pair, measure("auc"), [mean(people, measure("auc"))], ".2f"),
        _change(pair, measure("mmd")),
        *(_change(pair, price, digits=1) for price in group.prices.values()),
        score.met,
        score.met_of_peoples,
    ]


def _fewer_seeds(pair: Sequence[Sequence[Run]], seeds: Sequence[int]) -> str:
    return f" ({len(pair[0])} of {len(seeds)} seeds)" if len(pair[0]) < len(seeds) else ""


def _human(pair: Sequence[Sequence[Run]], name: str) -> list[float]:
    """People's beside each arm: diversity depends on how many n-grams are counted, and shorter texts have fewer."""
    return [mean(runs, measure(name, "human")) for runs in pair]


def _both(
    pair: Sequence[Sequence[Run]], figure: Callable[[Run], float | None], people: Sequence[float], digits: str
) -> str:
    before, after = (format(mean(runs, figure), digits) for runs in pair)
    *other, human = dict.fromkeys(format(value, digits) for value in people)
    return f"{before}{''.join(f' ({value})' for value in other)}&nbsp;→&nbsp;**{after}** ({human})"


def _change(pair: Sequence[Sequence[Run]], figure: Callable[[Run], float | None], digits: int = 0) -> str:
    before, after = (mean(runs, figure) for runs in pair)
    return f"{after / before - 1:+.{digits}%}".replace("%", "&nbsp;%")


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
