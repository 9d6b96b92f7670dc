"""SFT and DFT side by side, a row for each scenario, kind of contexts and arm: results/overview.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.effect.bar import Score
from benchmarks.effect.columns import table
from benchmarks.effect.figures import (
    BOTH_CONTEXTS,
    EQUAL,
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
)
from benchmarks.effect.training_text import NAME as TRAINING_TEXT

Prices = Mapping[str, Callable[[Run], float | None]]
"""What DFT may cost: heading -> figure of a run, shown as a change."""

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
        prices: what DFT may cost there.
    """

    title: str
    reading: str
    prices: Prices


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
        "Marks and sentence lengths come nearer, after 1,000 steps not quite as near as the 200 documents' own are; "
        "the classifier tells about as well as before.",
        {"perplexity": perplexity("perplexity")},
    ),
}

NOTE = (
    "DFT at its default options on texts of 96 tokens (\\*: run before the present default, texts of 128 tokens, a "
    "weaker term on four times as many a step, `dft_equal_rollouts`), and with the options that a row names. What the "
    "columns are says the repository's README, which lines are not met [effect.md](effect.md)."
)

ROLLOUTS = {
    HUMAN_CONTEXTS: ", rollouts there",
    BOTH_CONTEXTS: ", rollouts on both",
    MIXED: ", rollouts on both, an eighth of the rows human",
}
"""Where an arm's rollouts are, if not where the default's are, and whether it trains on the reference too."""


def overview(everything: Mapping[str, Collected]) -> str:
    """Every scenario's rows, in groups."""
    parts = [f"# SFT and DFT side by side\n\n{NOTE}"]
    for letter, group in GROUPS.items():
        named = {name: one for name, one in everything.items() if name.startswith(letter)}
        found = [
            row(name, one, sampler, arm, group.prices)
            for name, one in named.items()
            for sampler in one.samplers
            for arm in one.overview_arms(sampler)
        ]
        if told := [cells for cells in found if cells]:
            parts += [f"**{group.title}.** {group.reading}", table(headings(group.prices), told)]
    return "\n\n".join(parts) + "\n"


def headings(prices: Prices) -> list[str]:
    return [*HEAD, *prices, "lines met", "of those people do not miss"]


def row(name: str, collected: Collected, sampler: str, dft: str, prices: Prices, pages: str = ".") -> list[str]:
    """SFT beside one arm of DFT's; [] where either was not run.

    Args:
        pages: where the scenarios' pages are, as the link is to say.
    """
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
        f"[`{name}`]({pages}/{name}.md)" + ("\\*" if dft == EQUAL else ""),
        f"{corpus}, {collected.model}, {scenario['steps']}{_fewer_seeds(pair, scenario['seeds'])}",
        _both(pair, measure("distinct-3"), _human(pair, "distinct-3"), ".3f"),
        _both(pair, measure("sentence length, variance"), _human(pair, "sentence length, variance"), ".0f"),
        _both(pair, distance, [mean(people, distance)], ".1f"),
        _both(pair, text_sum, [mean(people, text_sum)], ".0f"),
        _both(pair, measure("auc"), [mean(people, measure("auc"))], ".2f"),
        change(pair, measure("mmd")),
        *(change(pair, price, digits=1) for price in prices.values()),
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


def change(pair: Sequence[Sequence[Run]], figure: Callable[[Run], float | None], digits: int = 0) -> str:
    """How much higher a mean is over the second runs than over the first, in per cent."""
    before, after = (mean(runs, figure) for runs in pair)
    return f"{after / before - 1:+.{digits}%}".replace("%", "&nbsp;%")
