"""Intervals and floors: random halves of the measured and of the human texts, shared by all measures.

A resample draws half of the measured texts and splits the human texts in two halves, all without replacement. For
a mean over texts the spread over random halves is exactly that of the whole sample (half-sample replication, Shao
and Tu, The Jackknife and Bootstrap, 1995, section 5.2). The bootstrap proper draws with replacement, which repeats
texts: distinct-n falls, self-BLEU and kernel statistics rise, and their intervals miss the value itself.

The human half that is not compared with stands in the measured texts' place: that is the floor, at the same sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dft_plugin.evaluation.pool import Floats, Ints, Pool
from dft_plugin.evaluation.result import Interval, Measure
from dft_plugin.evaluation.specification import Distances, Figures, Specification

LEAST_TEXTS = 4
"""Fewer texts on a side cannot be halved."""
LEAST_REPLICATES = 40
"""Of a family that is computed on a share of the resamples: with fewer, an interval's ends are its extremes."""
FEW_TEXTS = 30
"""With fewer in a resample, finding no difference says little."""
LARGE = 0.5
"""A figure whose difference would not show at this share of the human value is too unsure to be called near it."""
SURE = 0.9973
"""Of not calling a difference what is none, three standard errors with many texts: at 95 %, two of forty measures of
human text would differ."""


@dataclass(frozen=True)
class Split:
    """One resample: indexes into a pool.

    Attributes:
        texts: (h,) measured texts.
        human: (m,) human texts that both are compared with.
        stand_in: (h,) other human texts, for the floor.
    """

    texts: Ints
    human: Ints
    stand_in: Ints


def splits(measured: Ints, human: Ints, resamples: int, seed: int) -> list[Split]:
    """Random halves of indexes: h = min(measured, human) // 2 texts are compared with m = human // 2; none with too
    few texts."""
    if min(len(measured), len(human)) < LEAST_TEXTS:
        return []
    generator = np.random.default_rng(seed)
    half, human_half = min(len(measured), len(human)) // 2, len(human) // 2
    found = []
    for _ in range(resamples):
        own, other = generator.permutation(measured), generator.permutation(human)
        found.append(Split(own[:half], other[:human_half], other[human_half : human_half + half]))
    return found


@dataclass(frozen=True)
class Replicates:
    """A measure over R resamples. Of figures the values of the three samples; of distances `human` is empty and
    the others are distances from the human sample."""

    texts: Floats
    stand_in: Floats
    human: Floats | None = None


def replicates(
    families: Sequence[Figures | Distances], pool: Pool, drawn: Sequence[Split], tick: Callable[[int], None]
) -> dict[str, Replicates]:
    """Every measure of the families on every resample; `tick` is told how many have been done."""
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for family in families for name in family.specifications}
    for number, split in enumerate(drawn):
        # What a sample counts is counted once for all measures.
        texts, stand_in, human = (pool.view(index) for index in (split.texts, split.stand_in, split.human))
        as_many = human if len(human) == len(texts) else pool.view(split.human[: len(texts)])
        for family in families:
            if number >= max(LEAST_REPLICATES, family.share * len(drawn)):
                continue
            if isinstance(family, Distances):
                values = [family.compute(view, human) for view in (texts, stand_in)]
            else:
                values = [family.compute(view) for view in (texts, stand_in, as_many if family.sized else human)]
            for name in family.specifications:
                rows[name].append(tuple(found[name] for found in values))
        tick(number + 1)
    return {name: Replicates(*np.array(found).T) for name, found in rows.items() if found}


def interval(values: Floats, around: float | None = None) -> Interval | None:
    """The middle 95 % of replicates, moved to a centre if one is given; None if any is missing."""
    if not len(values) or not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    moved = 0.0 if around is None else around - float(values.mean())
    return float(low) + moved, float(high) + moved


def finite(value: float) -> float | None:
    """None for NaN and infinities, which JSON has no word for."""
    return value if math.isfinite(value) else None


def widened(values: Floats, drawn: int, of: int) -> Floats:
    """Replicates of `drawn` out of `of` texts spread as samples of `of`: the factor is 1 for halves."""
    share = drawn / of
    centre = values.mean()
    return centre + (values - centre) * math.sqrt(share / (1 - share))


def figure(
    specification: Specification,
    value: float,
    human: float,
    found: Replicates | None,
    sizes: tuple[int, int],
    human_texts: int,
) -> Measure:
    """A figure with its human value, intervals, gap and floor.

    Args:
        specification: what it is.
        value: of all measured texts.
        human: of all human texts.
        found: its replicates; None if the texts are too few for any.
        sizes: measured texts in a resample, and in all.
        human_texts: human texts in all.
    """
    if not math.isfinite(value):
        return unmeasured(specification, "the texts hold too little of it")
    if found is None or found.human is None or not math.isfinite(human):
        note = "too few texts for an interval" if found is None else "the human texts hold too little of it"
        return _made(specification, value=value, human=finite(human), verdict="too small to tell", note=note)
    texts = widened(found.texts, *sizes)
    spread = texts.std() or _human_spread(found.stand_in, sizes, human_texts)
    # Of more texts than there are human ones the gaps are of as many, as floors are: narrowed, human text would be
    # nearer to itself than its floor.
    drawn = found.texts if sizes[1] > human_texts else texts
    gaps, floors = np.abs(drawn - found.human), np.abs(found.stand_in - found.human)
    if not np.isfinite([gaps, floors]).all():
        note = "some halves of the texts hold too little of it"
        return _made(specification, value=value, human=human, verdict="too small to tell", note=note)
    difference = float((texts - found.human).mean())
    uncertainty = standard_errors(min(sizes[1], human_texts)) * math.hypot(spread, found.human.std())
    unsure = sizes[0] < FEW_TEXTS or uncertainty > LARGE * abs(human)
    return _with_floor(
        specification,
        gaps,
        floors,
        abs(difference) > uncertainty,
        unsure,
        value=value,
        interval=interval(texts, value),
        human=human,
        human_interval=interval(found.human, human),
    )


def standard_errors(texts: int) -> float:
    """Standard errors that a difference must exceed to be called one: Student's t at `SURE` for so many texts.

    By the expansion of Fisher and Cornish (Technometrics 2, 1960), within 5 % from 5 degrees of freedom on.
    """
    z, freedom = NormalDist().inv_cdf((1 + SURE) / 2), max(1, texts - 1)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _human_spread(stand_in: Floats, sizes: tuple[int, int], human_texts: int) -> float:
    """The spread of as many human texts as are measured.

    What never occurs in the measured texts varies over no resample, and might yet occur in the next sample: then it
    is the human spread that tells whether so many human texts could be without it.
    """
    drawn, measured = sizes
    return float(stand_in.std()) * math.sqrt(drawn / measured / (1 - drawn / human_texts))


def distance(specification: Specification, found: Replicates | None, sizes: tuple[int, int]) -> Measure:
    """A distance with its interval and floor; the value is the mean over resamples, at the floor's sizes.

    An unbiased distance can be negative: its gap and floor are absolute.
    """
    if found is None:
        return unmeasured(specification, "too few texts on one side")
    if not np.isfinite(found.texts).all() or not np.isfinite(found.stand_in).all():
        return unmeasured(specification, "some halves of the texts hold too little of it")
    excess = found.texts - found.stand_in
    return _with_floor(
        specification,
        np.abs(found.texts),
        np.abs(found.stand_in),
        float(excess.mean()) > standard_errors(2 * sizes[0]) * float(excess.std()),
        sizes[0] < FEW_TEXTS,
        value=float(found.texts.mean()),
        interval=interval(found.texts),
    )


def unmeasured(specification: Specification, why: str) -> Measure:
    """The honest entry for what these texts do not allow to measure."""
    return _made(specification, verdict="cannot be measured", note=why)


def _with_floor(
    specification: Specification, gaps: Floats, floors: Floats, differs: bool, unsure: bool, **known: object
) -> Measure:
    floor, gap = float(floors.mean()), float(gaps.mean())
    verdict = "differs" if differs else "too small to tell" if unsure else "no difference shown"
    return _made(
        specification,
        gap=gap,
        gap_interval=interval(gaps),
        floor=floor,
        floor_interval=interval(floors),
        floor_ratio=gap / floor if floor > 0 else None,
        verdict=verdict,
        **known,
    )


def _made(specification: Specification, **known: object) -> Measure:
    shown = {name: getattr(specification, name) for name in ("group", "label", "description", "kind", "unit", "better")}
    return Measure.model_validate({**shown, "basis": specification.basis, **known})
