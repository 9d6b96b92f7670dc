"""Floors: how far two human samples are apart, by sample size, whatever the statistic and the distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.config import parse
from dft_plugin.distances import default_options
from dft_plugin.documents import Document
from dft_plugin.human_reference import human_reference
from dft_plugin.human_windows import cut_windows
from dft_plugin.law import observed_law
from dft_plugin.objective import Matched
from dft_plugin.reference import HumanReferenceError
from dft_plugin.reference.human_floor import Curves, FloorCurve, Point, curves
from dft_plugin.reference.human_side import LEAST_WINDOWS, of_rows, of_windows
from dft_plugin.reference.window_sample import SAMPLE
from dft_plugin.statistics.base import Statistic
from dft_plugin.texts import Texts, Window, stack
from tests.chain import TOKENS, Chain, vocabulary
from tests.small_statistics import NAMES, OPTIONS


def statistics(names: Sequence[str] = NAMES, **changed: Any) -> list[Statistic]:
    made = []
    for name in names:
        kind = plugins.statistic(name)
        options = {**OPTIONS.get(name, {}), **changed.get(name, {})}
        made.append(kind(vocabulary(), kind.Options.model_validate(options)))
    return made


def match(made: Sequence[Statistic], distance: str | None = None) -> list[Matched]:
    matched = []
    for statistic in made:
        chosen = plugins.distance(distance or statistic.distance)
        options = default_options(chosen.name, statistic.support)
        matched.append(Matched(statistic, partial(chosen.function, **options)))
    return matched


@cache
def human(count: int, seed: int = 0) -> tuple[Window, ...]:
    """Windows as a person would have written them: texts of a chain."""
    generator = torch.Generator().manual_seed(seed)
    cut = windows(Chain.random(11, horizon=12).sample(count, generator))
    # The chain takes its contexts in turn, and so would the folds.
    return tuple(cut[index] for index in torch.randperm(count, generator=generator).tolist())


def windows(texts: Texts) -> tuple[Window, ...]:
    return tuple(
        Window(
            tuple(texts.tokens[row, : int(texts.end[row])].tolist()),
            int(texts.begin[row]),
            int(texts.first[row]),
            bool(texts.starts_at_begin[row]),
        )
        for row in range(len(texts))
    )


def accumulated(accumulation: Accumulation, given: Sequence[Window]) -> Tensor:
    plan = accumulation.plan(stack(given))
    return accumulation.accumulate(plan, observed_law(plan.texts, plan.request))


# Counting windows.


@pytest.mark.parametrize("count", [0, 1, LEAST_WINDOWS - 1])
def test_too_few_windows(count: int) -> None:
    accumulation = Accumulation(statistics(["token_frequency"]), len(TOKENS))
    given = [Window((3,) * 41, 0, 1, True)] * count
    with pytest.raises(HumanReferenceError, match=f"{count} windows") as caught:
        of_windows(accumulation, given)
    assert f"about {LEAST_WINDOWS * (40 if count else 1):,} tokens" in str(caught.value)


@pytest.mark.parametrize("count", [32, 71, SAMPLE + 50])
def test_totals_and_sampled_windows(count: int) -> None:
    accumulation = Accumulation(statistics(), len(TOKENS))
    side = of_windows(accumulation, human(count))
    own = accumulated(accumulation, human(count))
    torch.testing.assert_close(side.total, own.sum(0))
    torch.testing.assert_close(side.mean, own.mean(0))
    assert side.sampled == min(count, SAMPLE)
    group = np.arange(side.sampled) % 3 - 1  # a third left out
    summed = side.grouped(group, 2)
    for number in (0, 1):
        torch.testing.assert_close(summed[number], own[: side.sampled][torch.from_numpy(group == number)].sum(0))


def test_the_run_says_how_many_tokens_are_needed() -> None:
    config = parse({"rollout": {"max_new_tokens": 50}})
    short = [Document(tuple([3] * 120), 0, 120, False)]
    with pytest.raises(HumanReferenceError, match=r"my text has 120 tokens.*2 windows of 50.*about 1,600 tokens"):
        cut_windows(config, short, from_start=False, name="my text")


def test_text_that_is_there_more_than_once_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Of one long row's windows some are drawn, among which few copies meet."""
    few = [Document((number, *range(20)), 1, 21, True) for number in range(40)]
    long = Document(tuple(range(400_000)), 0, 400_000, False)
    for documents, told in ((few, False), ([*few, *few[:2]], False), ([*few, *few[:5]], True), ([long, long], False)):
        caplog.clear()
        human_reference(parse({"reference_windows": 64}), None, documents, False, [])
        assert ("of the human windows of the training set are there more than once" in caplog.text) == told


# Floors.


def test_floor_curve() -> None:
    curve = FloorCurve(log_scale=0.0, exponent=1.0, reference=1000.0)
    assert curve.at(10) == pytest.approx(0.1 + 0.001)
    assert curve.at(1000) == pytest.approx(0.002)


def test_a_curve_is_the_line_through_the_points_by_their_groups() -> None:
    """In log-log, by numpy's weighted least squares; its slope is held within 0 and 1."""
    sizes = [(16, 240.0, 16), (32, 224.0, 8), (64, 192.0, 4)]
    at = np.log([1 / size + 1 / others for size, others, _ in sizes])
    groups = np.array([float(count) for _, _, count in sizes])
    for distances, bounded in ((0.3, 0.2, 0.12), None), ((0.3, 0.1, 0.02), 1.0), ((0.1, 0.2, 0.3), 0.0):
        points = [Point(size, others, d, count) for (size, others, count), d in zip(sizes, distances, strict=True)]
        curve = curves({"a": {"b": points}}, 256.0)["a"]["b"]
        slope, start = np.polyfit(at, np.log(distances), 1, w=np.sqrt(groups))
        if bounded is not None:
            assert not 0 <= slope <= 1
            slope, start = bounded, np.average(np.log(distances) - bounded * at, weights=groups)
        assert (curve.exponent, curve.log_scale) == pytest.approx((slope, start))
        assert curve.reference == 256
        for unknown in (0.0, np.inf):  # at one size: there is no such line
            found = curves({"a": {"b": points, "c": [*points[1:], replace(points[0], distance=unknown)]}}, 256.0)
            assert list(found["a"]) == ["b"]


def test_points_are_of_samples_that_share_no_window_with_the_rest() -> None:
    """The first by hand: 64 samples of 16 windows in their order, each beside the other 1008."""
    accumulation = Accumulation(statistics(["token_frequency"]), len(TOKENS))
    own = accumulated(accumulation, human(1024))
    found = of_rows(own).measured(accumulation, match(accumulation.statistics, "l2"))["token_frequency"]["token"]
    assert [(each.size, each.others, each.groups) for each in found] == [
        (size, 1024 - size, 1024 // size) for size in (16, 32, 64, 128, 256, 512)
    ]
    samples = own.view(64, 16, -1).sum(1)
    laws = [each / each.sum(1, keepdim=True) for each in (samples, own.sum(0) - samples)]
    assert found[0].distance == pytest.approx(float((laws[0] - laws[1]).square().sum(1).mean()))


# A sample's distance from another falls as 1/n where it is a square, as its root where it is a difference.
CASES = [
    ("token_frequency", "jensen_shannon", 1.0),
    ("token_frequency", "l2", 1.0),
    ("ngram_frequency", "l2", 1.0),
    ("sentence_length", "energy", 1.0),
    ("sentence_length", "wasserstein", 0.5),
    ("punctuation_rhythm", "energy", 1.0),
    ("novelty", "energy", 1.0),
    ("sentence_opening", "jensen_shannon", 1.0),
]


@pytest.mark.parametrize(("name", "distance", "exponent"), CASES, ids=[f"{name}-{how}" for name, how, _ in CASES])
def test_floors_agree_with_two_disjoint_human_samples(name: str, distance: str, exponent: float) -> None:
    """Measured from 2048 windows, against drawing small and large human samples that do not overlap.

    The floor is that of a sample against the whole reference; here against one of 20,000 windows.
    """
    made = statistics([name])
    accumulation, matched = Accumulation(made, len(TOKENS)), match(made, distance)
    measured = []
    for seed in range(12):  # floors of a single rate are noisy: each may be off by a factor of 3, their mean not
        measured.append(of_windows(accumulation, human(2048, seed)).floors(accumulation, matched)[name])
    large = accumulated(accumulation, human(20_000, seed=15)).sum(0)
    fresh = accumulated(accumulation, human(40_000, seed=16))
    components = set(accumulation.summarize(made[0], large))
    for component in components:
        curves = [replace(curves[component], reference=20_000.0) for curves in measured]
        target = accumulation.summarize(made[0], large)[component]
        for size in (64, 256):
            samples = fresh[: len(fresh) // size * size].view(-1, size, fresh.shape[1]).sum(1)
            values = matched[0].distance(accumulation.summarize(made[0], samples)[component], target)
            ratios = [curve.at(size) / float(values.mean()) for curve in curves]
            assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.3), (component, size, ratios)
            assert all(1 / 3 < ratio < 3 for ratio in ratios), (component, size, ratios)
        for curve in curves:
            assert curve.at(64) > curve.at(128) > curve.at(1024)
        assert sum(curve.exponent for curve in curves) / len(curves) == pytest.approx(exponent, abs=0.2)


def test_a_component_that_never_varies_has_no_floor() -> None:
    """No parentheses in the human text: nothing to compare with, and the statistic goes on with its commas."""
    tables = vocabulary((None, b".", b" a b", b" c", b"(", b",\n"))
    kind = plugins.statistic("punctuation_rhythm")
    rhythm = kind(tables, kind.Options(longest=8))  # type: ignore[call-arg]
    given = [
        replace(window, tokens=tuple(3 if token == 4 else token for token in window.tokens)) for window in human(256)
    ]
    accumulation = Accumulation([rhythm], len(TOKENS))
    curves = of_windows(accumulation, given).floors(accumulation, match([rhythm]))
    assert set(curves["punctuation_rhythm"]) == {"comma"}


def test_a_statistic_of_which_human_text_shows_nothing() -> None:
    accumulation = Accumulation(statistics(["sentence_length"]), len(TOKENS))
    given = [Window((3,) * 12, 0, 1, True)] * 64  # one long sentence, never ended
    side = of_windows(accumulation, given)
    with pytest.raises(
        HumanReferenceError, match=r"shows nothing of sentence_length: in .* or the texts are all alike"
    ):
        side.floors(accumulation, match(accumulation.statistics))


def test_dense_rows_give_the_floors_of_sparse_ones() -> None:
    accumulation = Accumulation(statistics(), len(TOKENS))
    matched = match(accumulation.statistics)
    side = of_windows(accumulation, human(200))
    own = accumulated(accumulation, human(200))
    dense: Curves = of_rows(own).floors(accumulation, matched)
    for name, components in side.floors(accumulation, matched).items():
        for component, curve in components.items():
            assert curve.at(64) == pytest.approx(dense[name][component].at(64), rel=1e-9)


def test_floors_of_other_text_than_the_total() -> None:
    """A domain's accumulators come without windows: its floors are those of the windows given with it."""
    accumulation = Accumulation(statistics(), len(TOKENS))
    matched = match(accumulation.statistics)
    side = of_windows(accumulation, human(200))
    elsewhere = replace(side, total=7 * side.total, windows=1400.0, apart=True)
    for name, components in side.floors(accumulation, matched).items():
        for component, curve in components.items():
            assert elsewhere.floors(accumulation, matched)[name][component] == curve
