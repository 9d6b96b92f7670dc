"""The bar: each line of it computed from collected runs, met or not."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

from benchmarks.effect import rivals
from benchmarks.effect.figures import (
    Collected,
    Run,
    human_gap,
    matched,
    matched_names,
    mean,
    measure,
    of_common_seeds,
    perplexity,
)
from benchmarks.effect.line import Line
from benchmarks.effect.training_text import NAME as TRAINING_TEXT


@dataclass(frozen=True)
class Score:
    """An arm's lines that ask something.

    Attributes:
        told: every one of them.
        missed_by_people: what people's training text, in the place of generated text, does not meet; None where it was
            not measured.
    """

    told: Sequence[Line]
    missed_by_people: Set[str] | None

    @classmethod
    def of(cls, collected: Collected, sampler: str, arm: str | None = None) -> Score:
        """An arm's (None: DFT's)."""
        told = [line for line in lines(collected, sampler, arm) if line.met is not None]
        control = lines(collected, sampler, TRAINING_TEXT)
        return cls(told, {line.what for line in control if line.met is False} if control else None)

    @property
    def missed(self) -> list[Line]:
        return [line for line in self.told if not line.met]

    @property
    def met(self) -> str:
        return _met(self.told)

    @property
    def met_of_peoples(self) -> str:
        """Of the lines that people's training text does not miss; "" where it was not measured."""
        if self.missed_by_people is None:
            return ""
        return _met([line for line in self.told if line.what not in self.missed_by_people])


def _met(told: Sequence[Line]) -> str:
    return f"{sum(bool(line.met) for line in told)} of {len(told)}"


def gap_closed(before: float, after: float) -> float:
    """Share of a gap to human that is closed: 1 is human, below 0 further away. Overshooting counts as a gap."""
    return 1 - after / before if before else math.nan


def lines(collected: Collected, sampler: str, arm: str | None = None) -> list[Line]:
    """Every line of the bar for an arm (None: DFT's) beside plain SFT under one sampler, over the seeds both have.

    [] when either has no run.
    """
    sft, dft = collected.of("sft", sampler), collected.of(arm or collected.dft_arm(sampler), sampler)
    if not sft or not dft:
        return []
    sft, dft = of_common_seeds(sft, dft)
    return [
        *(
            _gap(sft, dft, name, label)
            for name, label in (
                ("distinct-3", "n-gram diversity (distinct-3)"),
                ("sentence length, variance", "sentence-length variance"),
            )
        ),
        *_matched(sft, dft),
        rivals.super_baseline(collected, sft, dft, sampler),
        rivals.reinforce(collected, dft, sampler),
        *_not_trained_on(sft, dft),
        *_perplexity(sft, dft, sampler.startswith("t1-"), collected.human_corpus != collected.scenario["corpus"]),
    ]


def _gap(sft: Sequence[Run], dft: Sequence[Run], name: str, label: str) -> Line:
    # The mean of each run's own gap: runs on either side of human would cancel in a mean of values. It holds the noise
    # of a sample, which is a floor in size, so that less than a floor cannot be told from nothing.
    before, after = (mean(runs, human_gap(name)) for runs in (sft, dft))
    closed, floor = gap_closed(before, after), mean(sft, measure(name, "floor"))
    shown = f"{_values(sft, dft, name)}: mean gap {before:.3g} to {after:.3g}, {closed:.0%}; a floor is {floor:.2g}"
    nothing = max(before, after) <= floor
    shown += ", nothing to close" if nothing else ""
    shown += _other_basis(sft, dft, name, floor)
    met = _told(closed, closed >= 0.9 or after <= floor, nothing)
    return Line(f"gap in {label} closed by at least 90 %, or within a floor", shown, met)


def _other_basis(sft: Sequence[Run], dft: Sequence[Run], name: str, floor: float) -> str:
    """Where texts of one arm have fewer words, both its sides are measured on fewer n-grams than the other's."""
    beside, own = (mean(runs, measure(name, "human")) for runs in (sft, dft))
    return f"; on another number of n-grams people have {own:.4g}" if abs(beside - own) > floor else ""


def _values(sft: Sequence[Run], dft: Sequence[Run], name: str) -> str:
    before, after, human = (
        mean(runs, measure(name, key)) for runs, key in ((sft, "value"), (dft, "value"), (sft, "human"))
    )
    return f"{before:.4g} to {after:.4g} (human {human:.4g})"


def _told(figure: float, met: bool, nothing: bool = False) -> bool | None:
    return None if nothing or not math.isfinite(figure) else met


def _matched(sft: Sequence[Run], dft: Sequence[Run]) -> list[Line]:
    after = {name: mean(dft, matched(name)) for name in matched_names(dft)}
    before = {name: mean(sft, matched(name)) for name in matched_names(sft)}
    worst = max(after, key=lambda name: after[name])
    found = [
        Line(
            "every matched distance at most 2 human floors",
            f"worst {worst}: {after[worst]:.2f}; {sum(ratio <= 2 for ratio in after.values())} of {len(after)} hold",
            after[worst] <= 2,
        )
    ]
    cuts = {name: 1 - after[name] / before[name] for name in after if before.get(name, 0) > 3}
    shown = ", ".join(f"{name} {-cut:+.0%}" for name, cut in cuts.items()) or "SFT has none above 3"
    unknown = [name for name in after if name not in before]
    shown += f"; not measured for SFT: {', '.join(unknown)}" if unknown else ""
    found.append(
        Line("at least 50 % lower where SFT is above 3", shown, all(c >= 0.5 for c in cuts.values()) if cuts else None)
    )
    return found


def _not_trained_on(sft: Sequence[Run], dft: Sequence[Run]) -> list[Line]:
    # MMD itself is asked; what is measured is its square, whose unbiased estimate may be below 0.
    before, after = (math.sqrt(max(0.0, mean(runs, measure("mmd")))) for runs in (sft, dft))
    found = [_cut("MMD on hashed n-grams at least 50 % lower", before, after, 0.5)]
    before, after = (mean(runs, measure("auc")) - 0.5 for runs in (sft, dft))
    found.append(_cut("two-sample AUC's excess over 0.5 at least 30 % lower", before, after, 0.3))
    for name in ("rep-1", "rep-2", "rep-3", "rep-4", "self-bleu", "mattr"):
        closed = gap_closed(*(mean(runs, human_gap(name)) for runs in (sft, dft)))
        floors = mean(dft, measure(name, "floor_ratio"))
        if not math.isfinite(closed):
            where = "for SFT" if math.isfinite(floors) else "on texts this short"
            found.append(Line(f"{name} toward human", f"was not measured {where}", None))
            continue
        shown = f"{_values(sft, dft, name)}, {floors:.2g} floors"
        found.append(Line(f"{name} toward human, or within a floor of it", shown, closed > 0 or floors <= 1))
    for name, label in (("other scripts", "letters of other scripts"), ("unknown words", "words no training text has")):
        before, after = (mean(runs, measure(name)) for runs in (sft, dft))
        measured = math.isfinite(before) and math.isfinite(after)
        shown = f"{_values(sft, dft, name)} %" if measured else "was not measured"
        found.append(Line(f"{label} not above SFT's", shown, after <= before if measured and before + after else None))
    return found


def _cut(label: str, before: float, after: float, least: float) -> Line:
    cut = 1 - after / before if before > 0 else math.nan
    return Line(label, f"{before:.4g} to {after:.4g}: {-cut:+.0%}", _told(cut, cut >= least))


def _perplexity(sft: Sequence[Run], dft: Sequence[Run], plain_sampler: bool, other_corpus: bool) -> list[Line]:
    """Perplexity at temperature 1 is asked where text is sampled at 1 and human text is of the same corpus (C, D).

    The task's loss is asked where it is of another corpus (B). Elsewhere both are shown.
    """
    asked = {"perplexity": plain_sampler and not other_corpus, "validation loss": other_corpus}
    found = []
    covered = [mean(runs, perplexity("covered")) for runs in (sft, dft)]
    for name, label, most in (
        ("sampler perplexity", "perplexity of human text under the sampler lower than SFT's", 0.0),
        ("perplexity", "perplexity at temperature 1 at most 1 % higher", 0.01),
        ("validation loss", "validation loss on the task at most 3 % higher", 0.03),
    ):
        before, after = mean(sft, perplexity(name)), mean(dft, perplexity(name))
        change = after / before - 1
        shown = f"{before:.4g} to {after:.4g}: {change:+.2%}"
        # What a truncated sampler cannot draw has no perplexity, and the more it can draw the harder are the tokens.
        beyond = name == "sampler perplexity" and min(covered) < 100
        if beyond:
            shown += f" (of the {covered[0]:.1f} % and {covered[1]:.1f} % of tokens it can draw)"
        nothing = beyond or not asked.get(name, not plain_sampler)
        met = _told(change, change < 0 if most == 0.0 else change <= most, nothing)
        found.append(Line(label, shown, met))
    return found
