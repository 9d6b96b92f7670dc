"""The objective's parts against loops: credit, baseline, window, weights, floors, checkpoints."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.credit import leave_one_out_baseline, reward_to_go
from dft_plugin.distances import energy, jensen_shannon
from dft_plugin.latest_texts import LatestTexts
from dft_plugin.law import observed_law
from dft_plugin.layout import witnesses
from dft_plugin.objective import Matched, Means, Objective, mean_distance, mean_floor_ratio, surrogate
from dft_plugin.statistics.base import NoOptions
from dft_plugin.statistics.frequency import TokenFrequency
from dft_plugin.statistics.intervals import IntervalOptions, PunctuationRhythm, SentenceLength
from dft_plugin.texts import Texts
from tests.chain import TOKENS, Chain, vocabulary


def identity(tensor: Tensor) -> Tensor:
    return tensor


def make(
    window: int = 1,
    reduce: Any = identity,
    weights: tuple[float, ...] = (1.0, 1.0),
    derivative_window: int | None = None,
    window_growth: float = 0.0,
) -> Objective:
    tables = vocabulary()
    token = TokenFrequency(tables, NoOptions())
    sentence = SentenceLength(tables, IntervalOptions(longest=4))
    matched = [Matched(token, jensen_shannon, weights[0]), Matched(sentence, energy, weights[1])]
    accumulation = Accumulation([token, sentence], len(TOKENS))
    return Objective(matched, accumulation, window, reduce, derivative_window, window_growth)


def sample(count: int, seed: int = 0) -> Texts:
    return Chain.random(0).sample(count, torch.Generator().manual_seed(seed))


def accumulated(objective: Objective, texts: Texts) -> Tensor:
    plan = objective.accumulation.plan(texts)
    return objective.accumulation.accumulate(plan, observed_law(texts, plan.request))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9, 1.0])
def test_reward_to_go(gamma: float) -> None:
    reward = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    future = reward_to_go(reward, gamma)
    for text in range(3):
        for step in range(7):
            expected = sum(gamma ** (later - step - 1) * float(reward[text, later]) for later in range(step + 1, 7))
            assert float(future[text, step]) == pytest.approx(expected, abs=1e-12)
    assert float(future[:, -1].abs().sum()) == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_reward_to_go_of_nothing(steps: int) -> None:
    assert reward_to_go(torch.ones(2, steps), 1.0).tolist() == torch.zeros(2, steps).tolist()


def test_baseline_is_the_mean_of_the_other_texts_that_get_there() -> None:
    generator = torch.Generator().manual_seed(0)
    future = torch.randn(5, 6, dtype=torch.float64, generator=generator)
    lengths = [6, 2, 4, 5, 1]  # at the fifth step one other text is left, at the sixth none
    alive = torch.arange(6) < torch.tensor(lengths)[:, None]
    baseline = leave_one_out_baseline(future, alive, identity)
    for text, length in enumerate(lengths):
        for step in range(length):
            others = [float(future[i, step]) for i, other in enumerate(lengths) if i != text and step < other]
            assert float(baseline[text, step]) == pytest.approx(sum(others) / len(others) if others else 0, abs=1e-12)


class Ranks:
    """Runs a function as each of several ranks: a reduction is answered from what the others asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, function: Any) -> list[Any]:
        """`function(rank, reduce)` for every rank; repeated until every reduction's sum is known."""
        sums: list[Tensor] = []
        while True:
            asked: list[list[Tensor]] = []
            results = []
            for rank in range(self.count):
                mine: list[Tensor] = []

                def reduce(tensor: Tensor, mine: list[Tensor] = mine) -> Tensor:
                    mine.append(tensor.clone())
                    return sums[len(mine) - 1].clone() if len(mine) <= len(sums) else tensor

                results.append(function(rank, reduce))
                asked.append(mine)
            if len(sums) == len(asked[0]):
                return results
            number = len(sums)
            sums.append(torch.stack([mine[number] for mine in asked]).sum(0))


def test_baseline_over_ranks() -> None:
    generator = torch.Generator().manual_seed(0)
    future = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    alive = torch.arange(5) < torch.tensor([5, 1, 3, 2, 5, 4])[:, None]
    whole = leave_one_out_baseline(future, alive, identity)
    pieces = Ranks(3)(
        lambda rank, reduce: leave_one_out_baseline(
            future[2 * rank : 2 * rank + 2], alive[2 * rank : 2 * rank + 2], reduce
        )
    )
    torch.testing.assert_close(torch.cat(pieces), whole)


@pytest.mark.parametrize("latest", [None, 6, 8, 12, 100])
def test_leave_one_out_over_ranks_and_windows(latest: int | None) -> None:
    """Loops: the latest texts but the one, and the window's with all, by the weights each window gives them."""
    texts = [accumulated(make(), sample(6, seed)) for seed in range(3)]

    def run(rank: int, reduce: Any) -> Means:
        objective = make(24, reduce, derivative_window=latest)
        for number, own in enumerate(texts):
            found = objective.leave_one_out(own[3 * rank : 3 * rank + 3])
            if number < 2:
                objective.remember(found.total, found.texts)
        return found

    pieces = Ranks(2)(run)
    assert all(piece.texts == 6 for piece in pieces)
    everything = torch.cat(texts)

    def mean(size: int, left_out: int | None = None) -> Tensor:
        decay = 1 - 6 / size
        weights = torch.tensor([decay**2] * 6 + [decay] * 6 + [1.0] * 6, dtype=torch.float64)
        weights[weights < 1 / 32] = 0
        if left_out is not None:
            weights[12 + left_out] = 0
        return (weights[:, None] * everything).sum(0) / weights.sum()

    size = min(latest or 24, 24)
    for text in range(6):
        torch.testing.assert_close(torch.cat([piece.without for piece in pieces])[text], mean(size, text))
    for piece in pieces:
        torch.testing.assert_close(piece.mean, mean(24), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(piece.latest, mean(size), rtol=1e-6, atol=1e-8)


def test_a_derivative_at_the_latest_texts_turns_when_the_model_does() -> None:
    """Texts go past people's: over the long window they still look short of it, and the latest know better."""
    short, human, long = (torch.tensor([[at, 10.0 - at] * 7], dtype=torch.float64) for at in (2.0, 5.0, 8.0))
    signs = {}
    for latest in (None, 4):
        objective = make(64, derivative_window=latest)
        objective.remember(8 * short[0], 8)
        means = objective.leave_one_out(long.repeat(4, 1))
        signs[latest] = float((means.without[0] - human[0])[0]), float((means.mean - human[0])[0])
    assert signs[None][0] < 0 < signs[4][0]
    assert signs[None][1] == signs[4][1] < 0


def test_effective_sample_size() -> None:
    objective = make(window=32)
    weights: list[float] = []
    for batch in (8, 8, 3, 20):
        weights += [1.0] * batch
        assert objective.sample_size(batch) == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
        objective.remember(torch.zeros(1), batch)
        weights = [weight * (1 - batch / 32) for weight in weights]
    for window in (1, 8):
        forgetful = make(window=window)
        forgetful.remember(torch.zeros(1), 8)
        assert forgetful.sample_size(5) == 5


@pytest.mark.parametrize("latest", [4, None])
def test_a_growing_window_runs_over_a_share_of_all_texts_once_that_is_more(latest: int | None) -> None:
    """By lists of texts and of their weights. The latest texts are as many as ever; without a number, as the window's
    were to begin with."""
    objective = make(window=10, derivative_window=latest, window_growth=0.5).another()
    generator = torch.Generator().manual_seed(0)
    texts: list[Tensor] = []
    weights: list[float] = []
    reaches = []
    for batch in (4, 6, 4, 8, 6):
        own = torch.rand(batch, 14, generator=generator, dtype=torch.float64)
        texts += list(own)
        weights += [1.0] * batch
        means = objective.leave_one_out(own)
        expected = sum(weight * text for weight, text in zip(weights, texts, strict=True)) / sum(weights)
        torch.testing.assert_close(means.mean, expected)
        assert objective.sample_size(batch) == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
        objective.remember(means.total, means.texts)
        reaches.append(objective.window.reach)
        weights = [weight * (1 - batch / reaches[-1]) for weight in weights]
        assert objective.latest.size == (latest or 10)
        assert objective.looks_ahead == (latest == 4)
        if latest:
            assert objective.shortening == pytest.approx((10 - latest) / (reaches[-1] - latest))
    assert reaches == [10, 10, 10, 11, 14]


def test_a_lead_is_as_it_was_set_where_no_window_grows() -> None:
    for latest in (None, 4, 100):
        objective = make(window=10, derivative_window=latest)
        for _ in range(20):
            objective.remember(torch.zeros(14), 8)
        assert objective.shortening == 1


def test_the_latest_texts_count_less_the_more_came_after_them_and_then_nothing() -> None:
    """By lists of texts and of their weights, over batches of any size, of which one leaves nothing of all before."""
    latest = LatestTexts(10)
    texts: list[Tensor] = []
    weights: list[float] = []
    for batch in (4, 4, 3, 20, 1, *[5] * 8, 9, 2):
        own = torch.rand(batch, 3, dtype=torch.float64)
        texts, weights = [*texts, *own], [*weights, *[1.0] * batch]
        total, count = latest.joined(own.sum(0), batch)
        counted = [(weight, text) for weight, text in zip(weights, texts, strict=True) if weight >= 1 / 32]
        assert count == pytest.approx(sum(weight for weight, _ in counted))
        torch.testing.assert_close(total, sum(weight * text for weight, text in counted))
        latest.add(own.sum(0), batch)
        weights = [weight * max(0.0, 1 - batch / 10) for weight in weights]
    for _ in range(20):
        latest.add(torch.zeros(3), 5)
    assert len(latest.batches) == 5  # no more is kept than counts


def test_an_age_that_no_text_has_reached_for_long_has_a_bounded_derivative() -> None:
    """One of 30 words at the first step and every 40th, others of 5, 6 or cut off at 7 words: a sum that forgets by
    degrees and is not cut off had 2^-39 of an interval at risk at that age, and D' there was 1e13."""
    statistic = SentenceLength(vocabulary(), IntervalOptions(longest=32))
    objective = Objective([Matched(statistic, energy)], Accumulation([statistic], len(TOKENS)), 64,
                          derivative_window=8)  # fmt: skip

    def texts(lengths: list[int]) -> Tensor:
        """Accumulators of texts of one sentence each: events by age, and ages at risk. Below 0: cut off there."""
        own = torch.zeros(len(lengths), 2 * 32, dtype=torch.float64)
        for row, length in enumerate(lengths):
            own[row, abs(length) - 1] = float(length > 0)
            own[row, 32 : 32 + abs(length)] = 1
        return own

    human = texts([5, 6, 7, 8]).mean(0)
    largest = 0.0
    for step in range(81):
        means = objective.leave_one_out(texts([30, 5, 6, -7] if step % 40 == 0 else [5, 5, 6, -7]))
        derivative = objective.derivative(means.without, human, {"sentence_length": {"sentence_end": 0.1}})
        largest = max(largest, float(derivative.abs().max()))
        objective.remember(means.total, means.texts)
    assert 0 < largest < 32 * 20  # 20 where every text counts fully


@pytest.mark.parametrize("batch", [2, 16, 64])
def test_the_window_holds_as_many_texts_whatever_the_batch(batch: int) -> None:
    """In the long run 2 window - batch, by the geometric series; of one batch of the window's size, that."""
    objective = make(window=64)
    for _ in range(2000):
        objective.remember(torch.zeros(1), batch)
    assert objective.sample_size(batch) == pytest.approx(2 * 64 - batch)


def test_one_text_alone_has_nothing_to_be_left() -> None:
    objective = make()
    with pytest.raises(ValueError, match="at least 2 texts"):
        objective.leave_one_out(accumulated(objective, sample(1)))


def test_one_text_and_a_window_are_enough() -> None:
    objective = make(window=16)
    first = accumulated(objective, sample(4))
    means = objective.leave_one_out(first)
    objective.remember(means.total, means.texts)
    without = objective.leave_one_out(accumulated(objective, sample(1, seed=1))).without
    torch.testing.assert_close(without[0], first.mean(0))


def test_loss_is_the_weighted_mean_of_logarithms() -> None:
    tables = vocabulary()
    token = TokenFrequency(tables, NoOptions())
    rhythm = PunctuationRhythm(tables, IntervalOptions(longest=4))
    matched = [Matched(token, jensen_shannon, 2.0), Matched(rhythm, energy, 0.5)]
    objective = Objective(matched, Accumulation([token, rhythm], len(TOKENS)), 1)
    own, human = accumulated(objective, sample(50)), accumulated(objective, sample(60, 1)).sum(0)
    floors = {"token_frequency": {"token": 0.02}, "punctuation_rhythm": {"comma": 0.03}}
    found = objective.distances(own.mean(0), human, floors)
    token_law = own.mean(0)[:6] / own.mean(0)[:6].sum()
    by_hand = jensen_shannon(token_law, human[:6] / human[:6].sum())
    assert float(found.raw["token_frequency"]["token"]) == pytest.approx(float(by_hand))
    comma = float(found.raw["punctuation_rhythm"]["comma"])
    expected = (2.0 * math.log1p(float(by_hand) / 0.02) + 0.5 * math.log1p(comma / 0.03)) / 2.5
    assert float(found.loss) == pytest.approx(expected)
    assert mean_distance(found.raw["punctuation_rhythm"]) == pytest.approx(comma)
    ratio = mean_floor_ratio(found.raw["punctuation_rhythm"], floors["punctuation_rhythm"])
    assert ratio == pytest.approx(comma / 0.03)
    two = {"comma": torch.tensor(1.0), "dash": torch.tensor(4.0)}
    assert mean_distance(two) == pytest.approx(2.5)
    assert mean_floor_ratio(two, {"comma": 2.0, "dash": 1.0}) == pytest.approx((0.5 + 4.0) / 2)
    # All of the statistics' weights enter relative to each other only.
    doubled = Objective([Matched(e.statistic, e.distance, 2 * e.weight) for e in matched], objective.accumulation, 1)
    torch.testing.assert_close(doubled.distances(own.mean(0), human, floors).loss, found.loss)


def test_a_component_without_a_floor_is_left_out() -> None:
    """Human samples that do not differ in a component carry no information on it."""
    tables = vocabulary((None, b".", b" a", b",", b"(", b" b"))
    rhythm = PunctuationRhythm(tables, IntervalOptions(longest=4))
    objective = Objective([Matched(rhythm, energy)], Accumulation([rhythm], len(TOKENS)), 1)
    own, human = accumulated(objective, sample(20)).mean(0), accumulated(objective, sample(20, 1)).mean(0)
    assert rhythm.present == ["comma", "parenthesis"]
    both = objective.distances(own, human, {"punctuation_rhythm": {"comma": 1.0, "parenthesis": 1.0}})
    one = objective.distances(own, human, {"punctuation_rhythm": {"comma": 1.0}})
    assert list(one.raw["punctuation_rhythm"]) == ["comma"]
    logs = [math.log1p(float(value)) for value in both.raw["punctuation_rhythm"].values()]
    assert float(one.loss) == pytest.approx(logs[0])
    assert float(both.loss) == pytest.approx(sum(logs) / 2)


def test_derivative_is_each_texts_own() -> None:
    objective = make()
    # Enough texts that every age is at risk: where nothing is, a hazard has no derivative.
    own, human = accumulated(objective, sample(200)), accumulated(objective, sample(60, 1)).mean(0)
    assert own.mean(0).min() > 0
    floors = {"token_frequency": {"token": 0.02}, "sentence_length": {"sentence_end": 0.03}}
    without = objective.leave_one_out(own).without
    together = objective.derivative(without, human, floors)
    for text in range(5):
        alone = objective.derivative(without[text : text + 1], human, floors)
        torch.testing.assert_close(together[text], alone[0])
    step = 1e-6 * torch.randn(own.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    here = without[0]
    difference = (
        objective.distances(here + step, human, floors).loss - objective.distances(here - step, human, floors).loss
    )
    assert float(difference / 2) == pytest.approx(float(step @ together[0]), rel=1e-4)


def test_surrogate_over_micro_batches_adds_up() -> None:
    objective, chain = make(), Chain.random(0).with_gradient()
    texts = sample(9)
    generator = torch.Generator().manual_seed(0)
    accumulated(objective, texts)
    size = objective.accumulation.part(objective.matched[1].statistic).stop
    derivative = torch.randn(9, size, dtype=torch.float64, generator=generator)
    by_step = torch.randn(9, 5, dtype=torch.float64, generator=generator)

    def loss_of(rows: slice) -> Tensor:
        piece = texts.select(rows)
        plan = objective.accumulation.plan(piece)
        request = type(plan.request)(**{**vars(plan.request), "witness": witnesses(plan.layout, derivative[rows])})
        advantage = piece.from_steps(by_step[rows])
        return surrogate(plan, chain.law(piece, request), derivative[rows], advantage, len(texts))

    (whole,) = torch.autograd.grad(loss_of(slice(0, 9)), chain.logits)
    pieces = sum(torch.autograd.grad(loss_of(slice(at, at + 2)), chain.logits)[0] for at in range(0, 9, 2))
    torch.testing.assert_close(pieces, whole, rtol=1e-10, atol=1e-12)


def test_accumulation_parts_and_summaries() -> None:
    objective = make()
    token, sentence = (entry.statistic for entry in objective.matched)
    own = accumulated(objective, sample(7))
    assert objective.accumulation.part(token) == slice(0, 6)
    assert objective.accumulation.part(sentence) == slice(6, 14)
    assert own.shape == (7, 14)
    law = objective.accumulation.summarize(token, own)["token"]
    torch.testing.assert_close(law.sum(1), torch.ones(7, dtype=torch.float64))
    with pytest.raises(KeyError):
        objective.accumulation.part(TokenFrequency(vocabulary(), NoOptions()))


@pytest.mark.parametrize("growth", [0.0, 1.0])
def test_state_round_trip(growth: float) -> None:
    """A new objective with the state goes on exactly as the old one."""
    old = make(window=8, derivative_window=8, window_growth=growth)
    for seed in range(3):
        means = old.leave_one_out(accumulated(old, sample(4, seed)))
        old.remember(means.total, means.texts)
    new = make(window=8, derivative_window=8, window_growth=growth)
    new.load_state_dict({name: tensor.clone() for name, tensor in old.state_dict().items()})
    for seed in (9, 10):
        own = accumulated(old, sample(4, seed))
        for mine, theirs in zip(old.leave_one_out(own)[:3], new.leave_one_out(own)[:3], strict=True):
            assert torch.equal(mine, theirs)
        assert new.sample_size(4) == old.sample_size(4)
        for objective in (old, new):
            objective.remember(own.sum(0), 4)
    assert new.window.reach == old.window.reach == (8 if growth == 0 else 20)
    fresh = make(window=12)
    fresh.load_state_dict(make(window=12).state_dict())
    assert fresh.window.total is None
    assert fresh.sample_size(4) == 4


def test_a_law_is_matched_at_distance_zero() -> None:
    objective = make()
    own = accumulated(objective, sample(30))
    floors = {"token_frequency": {"token": 1.0}, "sentence_length": {"sentence_end": 1.0}}
    assert float(objective.distances(own.mean(0), own.sum(0), floors).loss) == pytest.approx(0, abs=1e-12)
