"""The bar: each line of it computed from collected runs, met or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.effect.figures import (
    Collected,
    Run,
    floor_ratios,
    matched,
    matched_names,
    mean,
    measure,
    perplexity,
)


@dataclass(frozen=True)
class Line:
    """One requirement.

    Attributes:
        what: it asks for.
        figure: what was measured.
        met: whether it holds; None where it cannot be told or asks nothing.
    """

    what: str
    figure: str
    met: bool | None


def gap_closed(sft: float, dft: float, human: float) -> float:
    """Share of SFT's gap to human that is closed: 1 is human, below 0 further away; overshooting counts as a gap."""
    return 1 - abs(dft - human) / abs(sft - human) if sft != human else math.nan


def log_ratio_sum(ratios: Mapping[str, float], names: Sequence[str]) -> float:
    """Sum of log floor ratios; below 1 counts as 1, for nothing is more human than another human sample."""
    return sum(math.log(max(1.0, ratios[name])) for name in names)


def super_choice(points: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[str, tuple[float, tuple[str, str]]]:
    """metric -> (its lowest floor ratio over the grid, the point that has it): a different one for each metric."""
    chosen: dict[str, tuple[float, tuple[str, str]]] = {}
    for point, ratios in points.items():
        for name, ratio in ratios.items():
            if name not in chosen or ratio < chosen[name][0]:
                chosen[name] = (ratio, point)
    return chosen


def lines(collected: Collected, sampler: str, arm: str = "dft") -> list[Line]:
    """Every line of the bar for an arm beside plain SFT under one sampler; [] when either has no run."""
    sft, dft = collected.of("sft", sampler), collected.of(arm, sampler)
    if not sft or not dft:
        return []
    return [
        *_gaps(sft, dft),
        *_matched(sft, dft),
        _super(collected, sft, dft),
        *_reinforce(collected, dft, sampler),
        *_not_trained_on(sft, dft),
        *_perplexity(sft, dft, sampler.startswith("t1-"), collected.human_corpus != collected.scenario["corpus"]),
    ]


def _gaps(sft: Sequence[Run], dft: Sequence[Run]) -> list[Line]:
    found = []
    for name, label in (
        ("distinct-3", "n-gram diversity (distinct-3)"),
        ("sentence length, variance", "sentence-length variance"),
    ):
        before, after, human = (
            mean(runs, measure(name, key)) for runs, key in ((sft, "value"), (dft, "value"), (sft, "human"))
        )
        closed, floors = gap_closed(before, after, human), mean(sft, measure(name, "floor_ratio"))
        shown = f"{before:.4g} to {after:.4g} (human {human:.4g}): {closed:.0%}"
        nothing = floors <= 1
        shown += f"; SFT is at {floors:.2g} floors, nothing to close" if nothing else ""
        found.append(Line(f"gap in {label} closed by at least 90 %", shown, _told(closed, closed >= 0.9, nothing)))
    return found


def _told(figure: float, met: bool, nothing: bool = False) -> bool | None:
    return None if nothing or not math.isfinite(figure) else met


def _matched(sft: Sequence[Run], dft: Sequence[Run]) -> list[Line]:
    names = [name for name in matched_names(dft) if name in matched_names(sft)]
    after = {name: mean(dft, matched(name)) for name in names}
    before = {name: mean(sft, matched(name)) for name in names}
    worst = max(names, key=lambda name: after[name])
    above = [name for name in names if before[name] > 3]
    found = [
        Line(
            "every matched distance at most 2 human floors",
            f"worst {worst}: {after[worst]:.2f}; {sum(after[name] <= 2 for name in names)} of {len(names)} hold",
            after[worst] <= 2,
        )
    ]
    cuts = {name: 1 - after[name] / before[name] for name in above}
    shown = ", ".join(f"{name} {-cuts[name]:+.0%}" for name in above) or "SFT has none above 3"
    found.append(
        Line("at least 50 % lower where SFT is above 3", shown, all(c >= 0.5 for c in cuts.values()) if cuts else None)
    )
    return found


def _super(collected: Collected, sft: Sequence[Run], dft: Sequence[Run]) -> Line:
    what = "sum of log floor ratios below the super-baseline's"
    grid = {point: floor_ratios(runs, floors=sft) for point, runs in collected.grid().items()}
    if not grid:
        return Line(what, "super_baseline was not run", None)
    chosen, own = super_choice(grid), floor_ratios(dft, floors=sft)
    names = [name for name in own if name in chosen]
    best = {name: chosen[name][0] for name in names}
    ours, theirs = log_ratio_sum(own, names), log_ratio_sum(best, names)
    better = sum(own[name] < best[name] for name in names)
    single, point = min((log_ratio_sum(ratios, names), point) for point, ratios in grid.items())
    return Line(
        what,
        f"{ours:.2f} beside {theirs:.2f} over {len(names)} metrics ({better} of them better; {len(grid)} points; the "
        f"best single one, learning rate {point[0]} and {point[1]}, {single:.2f})",
        ours < theirs,
    )


def _reinforce(collected: Collected, dft: Sequence[Run], sampler: str) -> list[Line]:
    reinforce, quarter = collected.of("reinforce", sampler), collected.of("dft_quarter", sampler)
    found = []
    for what, runs, needed in (
        ("better than REINFORCE at equal rollouts on every statistic", dft, 1.0),
        ("or at a quarter of the rollouts on most", quarter, 0.5),
    ):
        if not reinforce or not runs:
            found.append(Line(what, "was not run", None))
            continue
        names = matched_names(runs)
        pairs = {name: (mean(runs, matched(name)), mean(reinforce, matched(name))) for name in names}
        wins = sum(own < other for own, other in pairs.values())
        shown = ", ".join(f"{name} {own:.2f}/{other:.2f}" for name, (own, other) in pairs.items())
        met = wins == len(names) if needed == 1.0 else wins > needed * len(names)
        found.append(Line(what, f"{wins} of {len(names)}: {shown}", met))
    return found


def _not_trained_on(sft: Sequence[Run], dft: Sequence[Run]) -> list[Line]:
    found = []
    for name, label, least, zero in (
        ("mmd", "MMD² on hashed n-grams at least 50 % lower", 0.5, 0.0),
        ("auc", "two-sample AUC's excess over 0.5 at least 30 % lower", 0.3, 0.5),
    ):
        before, after = mean(sft, measure(name)) - zero, mean(dft, measure(name)) - zero
        cut = 1 - after / before if before > 0 else math.nan
        found.append(Line(label, f"{before:.4g} to {after:.4g}: {-cut:+.0%}", _told(cut, cut >= least)))
    for name in ("rep-1", "rep-2", "rep-3", "rep-4", "self-bleu", "mattr"):
        before, after, human = (
            mean(runs, measure(name, key)) for runs, key in ((sft, "value"), (dft, "value"), (sft, "human"))
        )
        closed, floors = gap_closed(before, after, human), mean(dft, measure(name, "floor_ratio"))
        if not math.isfinite(closed):
            found.append(Line(f"{name} toward human", "cannot be measured on texts this short", None))
            continue
        shown = f"{before:.4g} to {after:.4g} (human {human:.4g}), {floors:.2g} floors"
        found.append(Line(f"{name} toward human, or within a floor of it", shown, closed > 0 or floors <= 1))
    before, after = mean(sft, measure("other scripts")), mean(dft, measure("other scripts"))
    shown = f"{before:.3g} to {after:.3g}"
    found.append(Line("letters of other scripts not above SFT's", shown, _told(after - before, after <= before)))
    return found


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
