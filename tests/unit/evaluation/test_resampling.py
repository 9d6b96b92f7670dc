"""Intervals, floors and verdicts: calibrated on samples whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from dft_plugin.evaluation import resampling
from dft_plugin.evaluation.measuring import Options, basis_of, common_words, measure, prepare, round_down
from dft_plugin.evaluation.pool import View
from dft_plugin.evaluation.resampling import Replicates, Split, splits
from dft_plugin.evaluation.specification import Distances, Figures, Specification
from tests.unit.evaluation.samples import made_up, pool_of

GENERATOR = np.random.default_rng(0)
SPECIFICATION = Specification("text", "mean", "a mean")


def test_splits_are_disjoint_halves() -> None:
    measured, human = np.arange(11), np.arange(11, 41)
    drawn = splits(measured, human, 50, seed=0)
    for split in drawn:
        assert len(split.texts) == len(split.stand_in) == 5
        assert len(split.human) == 15
        assert set(split.texts) <= set(measured)
        assert set(split.human) | set(split.stand_in) <= set(human)
        assert not set(split.human) & set(split.stand_in)
    assert len({tuple(sorted(split.texts)) for split in drawn}) > 30
    # With fewer human texts than measured ones, both are samples of half of those.
    assert {len(split.texts) for split in splits(np.arange(100), np.arange(100, 112), 3, 0)} == {6}
    assert splits(np.arange(3), human, 50, 0) == []


@pytest.mark.parametrize("texts", [40, 41, 200])
def test_the_spread_over_halves_is_the_standard_error_of_a_mean(texts: int) -> None:
    values = GENERATOR.gamma(2.0, size=texts)
    drawn = splits(np.arange(texts), np.arange(texts, 2 * texts), 4000, seed=1)
    means = np.array([values[split.texts].mean() for split in drawn])
    spread = resampling.widened(means, texts // 2, texts).std()
    assert spread == pytest.approx(values.std(ddof=1) / texts**0.5, rel=0.05)


def test_a_small_share_of_many_texts_is_narrowed_to_the_spread_of_all() -> None:
    values = GENERATOR.normal(size=1000)
    drawn = splits(np.arange(1000), np.arange(1000, 1100), 4000, seed=1)
    assert len(drawn[0].texts) == 50
    means = np.array([values[split.texts].mean() for split in drawn])
    assert resampling.widened(means, 50, 1000).std() == pytest.approx(values.std() / 1000**0.5, rel=0.05)


def replicates_of(own: np.ndarray, human: np.ndarray, drawn: list[Split]) -> Replicates:
    pool = pool_of(["a"] * len(own), ["a"] * len(human))
    both = np.concatenate([own, human])

    def mean(view: View) -> dict[str, float]:
        return {"mean": float(both[view.index].mean())}

    def gap(view: View, other: View) -> dict[str, float]:
        return {"gap": float((mean(view)["mean"] - mean(other)["mean"]) ** 2)}

    families: list[Figures | Distances] = [
        Figures({"mean": SPECIFICATION}, mean),
        Distances({"gap": SPECIFICATION}, gap),
    ]
    ticks: list[int] = []
    found = resampling.replicates(families, pool, drawn, ticks.append)
    assert ticks == list(range(1, len(drawn) + 1))
    assert found["gap"].human is None
    return found["mean"]


@pytest.mark.parametrize(("resamples", "computed"), [(10, 10), (60, 40), (300, 60)])
def test_what_is_slow_has_enough_replicates_for_an_interval(resamples: int, computed: int) -> None:
    drawn = splits(np.arange(4), np.arange(4, 8), resamples, seed=0)
    slow = Figures({"mean": SPECIFICATION}, lambda view: {"mean": 1.0}, share=0.2)
    found = resampling.replicates([slow], pool_of(["a"] * 4, ["a"] * 4), drawn, lambda done: None)
    assert len(found["mean"].texts) == computed


def test_human_text_is_at_its_floor_and_rarely_called_different() -> None:
    """Over many samples of one law the floor ratio is 1 on average, and the interval of the mean covers the truth."""
    ratios, differs, covered = [], 0, 0
    for _ in range(150):
        own, human = GENERATOR.gamma(2.0, size=120), GENERATOR.gamma(2.0, size=240)
        drawn = splits(np.arange(120), np.arange(120, 360), 100, seed=int(GENERATOR.integers(1 << 30)))
        found = replicates_of(own, human, drawn)
        made = resampling.figure(SPECIFICATION, own.mean(), human.mean(), found, (60, 120), 240)
        assert made.floor_ratio is not None
        assert made.interval is not None
        ratios.append(made.floor_ratio)
        differs += made.verdict == "differs"
        covered += made.interval[0] <= 2.0 <= made.interval[1]
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    assert differs <= 4  # three standard errors: 0.4 expected
    assert 133 <= covered <= 150  # 95 % of 150 is 142


def test_human_text_is_at_its_floor_where_more_texts_are_measured_than_there_are_human_ones() -> None:
    ratios, covered = [], 0
    for _ in range(150):
        own, human = GENERATOR.gamma(2.0, size=1500), GENERATOR.gamma(2.0, size=150)
        drawn = splits(np.arange(1500), np.arange(1500, 1650), 100, seed=int(GENERATOR.integers(1 << 30)))
        found = replicates_of(own, human, drawn)
        made = resampling.figure(SPECIFICATION, own.mean(), human.mean(), found, (75, 1500), 150)
        assert made.floor_ratio is not None
        assert made.interval is not None
        ratios.append(made.floor_ratio)
        covered += made.interval[0] <= 2.0 <= made.interval[1]
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    assert 133 <= covered <= 150  # the interval is of all measured texts
    assert made.interval[1] - made.interval[0] == pytest.approx(2 * 1.96 * (2 / 1500) ** 0.5, rel=0.3)


def test_a_shift_of_five_standard_errors_differs_and_one_of_none_does_not() -> None:
    human = GENERATOR.normal(10, 1, size=400)
    drawn = splits(np.arange(200), np.arange(200, 600), 200, seed=0)
    error = (1 / 200 + 1 / 400) ** 0.5
    for shift, verdict in ((5.0, "differs"), (0.0, "no difference shown")):
        own = GENERATOR.normal(0, 1, size=200)
        own += 10 + shift * error - own.mean() + human.mean() - 10
        found = replicates_of(own, human, drawn)
        made = resampling.figure(SPECIFICATION, own.mean(), human.mean(), found, (100, 200), 400)
        assert made.verdict == verdict
        assert made.gap is not None
        assert made.gap >= abs(made.value - made.human) - 1e-9  # type: ignore[operator]


def test_what_never_occurs_is_not_called_rarer_than_human_by_chance() -> None:
    """No resample of texts without it varies; the human spread says whether so many could be without it."""
    rare = np.zeros(400)
    rare[:8] = 1  # one human text in fifty
    drawn = splits(np.arange(40), np.arange(40, 440), 200, seed=0)
    found = replicates_of(np.zeros(40), rare, drawn)
    made = resampling.figure(SPECIFICATION, 0.0, rare.mean(), found, (20, 40), 400)
    assert made.verdict == "too small to tell"
    common = np.zeros(400)
    common[:320] = 1
    made = resampling.figure(SPECIFICATION, 0.0, 0.8, replicates_of(np.zeros(40), common, drawn), (20, 40), 400)
    assert made.verdict == "differs"


@pytest.mark.parametrize("texts", [6, 11, 41, 2001])
def test_fewer_texts_need_more_standard_errors(texts: int) -> None:
    exact = student.ppf((1 + resampling.SURE) / 2, texts - 1)
    assert resampling.standard_errors(texts) == pytest.approx(exact, rel=0.05)


def test_missing_values_make_honest_entries() -> None:
    nothing = resampling.figure(SPECIFICATION, float("nan"), 1.0, None, (1, 2), 2)
    assert (nothing.verdict, nothing.value) == ("cannot be measured", None)
    single = resampling.figure(SPECIFICATION, 3.0, 1.0, None, (0, 1), 1)
    assert (single.verdict, single.value, single.interval) == ("too small to tell", 3.0, None)
    holes = Replicates(np.array([1.0, np.nan]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert resampling.figure(SPECIFICATION, 3.0, 1.0, holes, (20, 40), 80).verdict == "too small to tell"
    assert resampling.distance(SPECIFICATION, holes, (20, 40)).verdict == "cannot be measured"
    assert resampling.distance(SPECIFICATION, None, (0, 1)).verdict == "cannot be measured"


def test_sizes_are_rounded_so_that_similar_samples_share_them() -> None:
    assert [round_down(n) for n in (0, 1, 9.9, 10, 14, 15, 199, 203, 299, 300, 12_345)] == [
        1, 1, 7, 10, 10, 15, 150, 200, 200, 300, 10_000,
    ]  # fmt: skip
    own, human = made_up(30, 1, words=100), made_up(30, 2, words=300)
    assert common_words(own, human) == 100  # the median of the shorter texts, rounded down
    pool = prepare(own, human, Options(words=25))
    assert pool.limit == 25
    assert int(pool.words.max()) == 25


def test_human_texts_are_drawn_where_there_are_many_more() -> None:
    own, human = made_up(600, 1, words=12), made_up(2000, 2, words=12)
    pool = prepare(own, human, Options(words=10, human_texts=2.0))
    assert len(pool) == 600 + 1200
    again = prepare(own, human, Options(words=10, human_texts=2.0))
    assert [text.text for text in pool.texts] == [text.text for text in again.texts]


def test_the_same_seed_gives_the_same_result() -> None:
    own, human = made_up(40, 1), made_up(40, 2)
    options = Options(resamples=20, seed=3)
    one, other = (measure(prepare(own, human, options), options) for _ in range(2))
    assert one == other
    changed = Options(resamples=20, seed=4)
    assert measure(prepare(own, human, changed), changed) != one
    assert basis_of(prepare(own, human, options), options).texts == 20
