"""The lines of the bar that ask for more than a rival reaches: the super-baseline, and REINFORCE."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.effect.figures import (
    GROWING,
    HUMAN_CONTEXTS,
    Collected,
    Run,
    floor_ratios,
    log_ratio_sum,
    matched,
    matched_names,
    mean,
    of_common_seeds,
    spent,
    super_choice,
)
from benchmarks.effect.line import Line

REINFORCE = ("reinforce", "reinforce_default")
"""At the options of `dft_equal_rollouts`, and at DFT's defaults."""
CALIBRATED = tuple(f"{options}_calibrated" for options in REINFORCE)
"""The same beside DFT's calibration, which is no part of REINFORCE."""
ON_HUMAN_CONTEXTS = "reinforce_human_contexts"
"""At DFT's defaults with rollouts on the reference's contexts."""


def super_baseline(collected: Collected, sft: Sequence[Run], dft: Sequence[Run], sampler: str) -> Line:
    what = "sum of log floor ratios below the super-baseline's"
    grid = {point: floor_ratios(runs, floors=sft) for point, runs in collected.grid(sampler).items()}
    if not grid:
        return Line(what, "super_baseline was not run", None)
    chosen, own = super_choice(grid), floor_ratios(dft, floors=sft)
    names = [name for name in own if name in chosen]
    best = {name: chosen[name][0] for name in names}
    ours, theirs = log_ratio_sum(own, names), log_ratio_sum(best, names)
    better = sum(own[name] < best[name] for name in names)
    single, point = min((log_ratio_sum(ratios, names), point) for point, ratios in grid.items())
    seeds = _seeds(next(iter(collected.grid(sampler).values())))
    return Line(
        what,
        f"{ours:.2f} beside {theirs:.2f} over {len(names)} metrics ({better} of them better; {len(grid)} points; the "
        f"best single one, learning rate {point[0]} and {point[1]}, {single:.2f}; {seeds})",
        ours < theirs,
    )


def reinforce(collected: Collected, dft: Sequence[Run], sampler: str) -> Line:
    """Every statistic at no more rollouts, or most at no more than a quarter of them: either will do.

    Asked of the arm itself, beside each REINFORCE there is on such contexts as the arm's.
    """
    what = "better than REINFORCE at equal rollouts on every statistic, or at a quarter of them on most"
    elsewhere = dft[0]["arm"].removesuffix(GROWING) == HUMAN_CONTEXTS
    named = (ON_HUMAN_CONTEXTS,) if elsewhere else REINFORCE
    pairs = (of_common_seeds(collected.of(arm, sampler), dft) for arm in named)
    found = [_beside(rival, own) for rival, own in pairs if own]
    if not found:
        return Line(what, "REINFORCE was not run", None)
    figures = [shown for _, shown in found]
    for arm in () if elsewhere else CALIBRATED:
        if calibrated := collected.of(arm, sampler):
            wins, names, shown = _wins(*of_common_seeds(dft, calibrated))
            figures.append(f"beside {arm}, which is not asked, {wins} of {names}: {shown}")
    return Line(what, "; ".join(figures), all(better for better, _ in found))


def _beside(rival: Sequence[Run], runs: Sequence[Run]) -> tuple[bool, str]:
    """Whether an arm of DFT's is better than one of REINFORCE's, over the seeds of both, and in what."""
    tokens = spent("rollout_tokens_per_step")
    share = mean(runs, tokens) / mean(rival, tokens)
    share = share if math.isfinite(share) else 1.0  # people's own text, which stands for as much
    wins, names, shown = _wins(runs, rival)
    better = (share <= 1 and wins == names) or (share <= 0.25 and wins > names / 2)
    own = "its" if rival[0]["arm"] == REINFORCE[0] else f"{rival[0]['arm']}'s"
    return better, f"with {share:.2g} of {own} rollouts, {_seeds(runs)}, {wins} of {names}: {shown}"


def _wins(runs: Sequence[Run], others: Sequence[Run]) -> tuple[int, int, str]:
    """(statistics nearer to human, statistics, each beside the other's)."""
    names = [name for name in matched_names(runs) if name in matched_names(others)]
    pairs = {name: (mean(runs, matched(name)), mean(others, matched(name))) for name in names}
    shown = ", ".join(f"{name} {own:.2f}/{other:.2f}" for name, (own, other) in pairs.items())
    return sum(own < other for own, other in pairs.values()), len(names), shown


def _seeds(runs: Sequence[Run]) -> str:
    return f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
