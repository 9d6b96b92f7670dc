"""Hidden states as features: their distances by definition, their gradient by enumeration, what the critic learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.config import ConfigError, parse
from dft_plugin.credit import reward_to_go
from dft_plugin.distances import l2
from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import decoder_of, head_of, hidden_rows
from dft_plugin.law import Law, observed_law
from dft_plugin.layout import rewards
from dft_plugin.objective import Matched, Objective, surrogate
from dft_plugin.sampling import Sampler
from dft_plugin.statistics.critic import Critic, logistic_loss, logits
from dft_plugin.statistics.hidden_state import (
    COMPARED,
    HiddenState,
    HiddenStateOptions,
    evenly_spread,
    median_distance,
    random_fourier,
)
from dft_plugin.texts import Texts
from dft_plugin.written import Written
from tests import tiny
from tests.chain import TOKENS, Chain, context, vocabulary
from tests.unit import test_estimator as estimator

FORMS: dict[str, dict[str, Any]] = {
    "linear": {},
    "random_fourier": {"features": 8},
    "critic": {"critic_units": 3},
    "logistic": {"form": "critic", "critic_units": 0},
}


def made(form: str, **options: Any) -> HiddenState:
    given = {"form": form, **FORMS[form], **options}
    return HiddenState(replace(vocabulary(), hidden_size=len(TOKENS)), HiddenStateOptions.model_validate(given))


def normal(rows: int, size: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) + shift


# Distances, by their definitions.


def gaussian_mmd(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """MMD^2 between two samples from all pairs, with exp(-||x - y||^2 / (2 h^2))."""

    def mean_kernel(one: Tensor, other: Tensor) -> float:
        return float(torch.exp(-torch.cdist(one, other).square() / (2 * bandwidth**2)).mean())

    return mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)


def test_random_fourier_features_estimate_gaussian_mmd_without_bias() -> None:
    first, second = normal(60, 5, 0).double(), normal(40, 5, 1, shift=0.5).double()
    exact = gaussian_mmd(first, second, 2.0)
    estimates = []
    for seed in range(400):
        frequencies = normal(5, 16, 100 + seed).double() / 2.0
        means = [random_fourier(points, frequencies).mean(0) for points in (first, second)]
        estimates.append(float(l2(*means)))
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - exact) < 4 * error
    assert error < 0.05 * exact  # the bound above means something


def test_random_fourier_features_are_of_length_one() -> None:
    found = random_fourier(normal(7, 5, 0), normal(5, 16, 1))
    torch.testing.assert_close(found.square().sum(1), torch.ones(7))


def test_median_distance() -> None:
    points = normal(101, 3, 0)
    distances = [float((a - b).norm()) for i, a in enumerate(points) for b in points[i + 1 :]]
    assert median_distance(points) == pytest.approx(sorted(distances)[(len(distances) - 1) // 2], rel=1e-5)
    assert median_distance(torch.ones(5, 2)) == 1.0


def test_rows_that_are_compared_are_spread_over_all() -> None:
    found = evenly_spread(torch.arange(2000.0)[:, None])[:, 0]
    assert (len(found), float(found[0]), float(found[-1])) == (COMPARED, 0.0, 1999.0)
    assert set(found.diff().tolist()) == {3.0, 4.0}


def test_the_statistic_is_mmd_of_standardised_states() -> None:
    """From accumulators of texts to the distance: as MMD^2 by all pairs, within what 8192 features leave."""
    statistic = made("random_fourier", features=8192, bandwidth=0.5)
    human, chain = normal(900, len(TOKENS), 0) * 3 + 1, Chain.random(0)
    statistic.begin(human)
    texts = chain.sample(50, torch.Generator().manual_seed(0))
    hidden = chain.hidden(texts)
    accumulation = Accumulation([statistic], len(TOKENS))
    plan = accumulation.plan(texts)
    own = accumulation.accumulate(plan, chain.law(texts, plan.request)).sum(0)
    summary = accumulation.summarize(statistic, own)["hidden"]
    mean, deviation = human.double().mean(0), human.double().std(0, correction=0)
    first, second = (hidden - mean) / deviation, (human.double() - mean) / deviation
    target = statistic.features(human).double().mean(0)
    exact = gaussian_mmd(first, second, 0.5 * median_distance(second))
    assert float(l2(summary, target)) == pytest.approx(exact, rel=0.05)


def test_linear_is_the_mean_of_standardised_states() -> None:
    statistic = made("linear")
    human = normal(200, len(TOKENS), 0) * 5 - 2
    statistic.begin(human)
    points = statistic.features(human)
    torch.testing.assert_close(points.mean(0), torch.zeros(len(TOKENS)), atol=1e-5, rtol=0)
    torch.testing.assert_close(points.std(0, correction=0), torch.ones(len(TOKENS)))


def test_a_coordinate_that_does_not_vary_is_not_blown_up() -> None:
    statistic, human = made("linear"), normal(200, len(TOKENS), 0)
    human[:, 2] = 7.0
    human[:, 3] = 1e-9 * human[:, 3]
    statistic.begin(human)
    assert float(statistic.features(human).abs().max()) < 10


@pytest.mark.parametrize("form", FORMS)
def test_states_that_do_not_vary_at_all_have_finite_features(form: str) -> None:
    statistic, human = made(form), torch.full((40, len(TOKENS)), 7.0)
    statistic.begin(human)
    assert bool(statistic.features(human).isfinite().all())


# The gradient.


@pytest.mark.parametrize("form", FORMS)
def test_mean_of_the_estimator_is_the_exact_gradient(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over every text of the chain; there is no pathwise part."""
    monkeypatch.setitem(estimator.OPTIONS, "hidden_state", {"form": form, **FORMS[form]})
    sized = replace(vocabulary(), hidden_size=len(TOKENS))
    monkeypatch.setattr(estimator, "vocabulary", lambda: sized)
    task = estimator.task(Chain.random(0), ("hidden_state", "l2", {}))
    exact, derivative = estimator.exact_gradient(task)
    assert float(exact.norm()) > 1e-3
    assert estimator.relative_error(estimator.expected_gradient(task, derivative), exact) < 1e-6
    with pytest.raises(RuntimeError, match="does not require grad"):
        estimator.expected_gradient(task, derivative, gamma=0.0)


@pytest.mark.parametrize("form", ["random_fourier", "critic"])
def test_gradient_in_a_language_models_weights(form: str) -> None:
    """Every first token after a context, weighed by its probability, against autograd through the probabilities.

    A token acts on the states after it, so two tokens are needed; the second acts on none.
    """
    model = tiny.model("llama").double().eval()
    size, prompt = tiny.VOCABULARY, [7, 30, 11]
    tokens = torch.tensor([[*prompt, token, 5] for token in range(size)])
    ones = torch.ones(size, dtype=torch.long)
    texts = Texts(tokens, 0 * ones, 3 * ones, 5 * ones, ones.bool())
    options = HiddenStateOptions.model_validate({"form": form, **FORMS[form]})
    statistic = HiddenState(replace(vocabulary(), hidden_size=32), options)
    accumulation = Accumulation([statistic], len(TOKENS))
    objective = Objective([Matched(statistic, l2)], accumulation, window=1)
    with torch.no_grad():
        statistic.begin(hidden_rows(decoder_of(model), texts).float())

    # By definition: the mean feature is a sum over the first token; features are constants.
    states = model.model(tokens[:, :4]).last_hidden_state.detach()
    first = torch.log_softmax(model(tokens[:1, :3]).logits[0, -1], dim=-1).exp()
    mean = (statistic.features(states[:1, 2])[0] + first @ statistic.features(states[:, 3])) / 2
    human = 0.3 * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    floor = float(l2(mean, human).detach())
    exact = torch.autograd.grad(torch.log1p(l2(mean, human) / floor), list(model.parameters()))

    # By the estimator.
    side = torch.cat([human, torch.ones(1, dtype=torch.float64)])
    here = torch.cat([2 * mean.detach(), torch.full((1,), 2.0, dtype=torch.float64)])
    derivative = objective.derivative(here, side, {"hidden_state": {"hidden": floor}})
    derivative = (first.detach() * size)[:, None] * derivative
    plan = accumulation.plan(texts)
    plan = replace(plan, request=replace(plan.request, table=torch.zeros(size, 0), witness=torch.zeros(0, size, size)))
    law = expected_features(hidden_rows(decoder_of(model), texts), head_of(model), texts, plan.request, Sampler())
    earned = texts.by_step(rewards(law, plan.layout, texts, derivative).detach())
    loss = surrogate(plan, law, derivative, texts.from_steps(reward_to_go(earned, 1.0)), size)
    found = torch.autograd.grad(loss, list(model.parameters()))
    error = sum(float((a - b).square().sum()) for a, b in zip(found, exact, strict=True))
    norm = sum(float(b.square().sum()) for b in exact)
    assert norm > 1e-8
    assert (error / norm) ** 0.5 < 1e-6


def test_a_law_without_hidden_states_gains_nothing() -> None:
    """Human text is counted before a model has read it; only its rows are known then."""
    statistic, texts = made("random_fourier"), Chain.random(0).sample(5, torch.Generator().manual_seed(0))
    accumulation = Accumulation([statistic], len(TOKENS))
    plan = accumulation.plan(texts)
    law: Law = observed_law(texts, plan.request)
    own = accumulation.accumulate(plan, law)
    assert not own[:, :-1].any()
    assert torch.equal(own[:, -1], (texts.end - texts.first).double())
    assert not rewards(law, plan.layout, texts, torch.ones(5, 9))[0] - 1
    written = Written.of([context(1, 2, 3), replace(context(1, 2, 3), first=1)])
    total, count = statistic.count(written, np.array([0, 1]), 2)
    assert total.shape == (2, 8)
    assert count.sum() == len(written.drawn)


@pytest.mark.parametrize("form", FORMS)
def test_features_keep_their_digits_under_the_hosts_autocast(form: str) -> None:
    statistic, texts = made(form), Chain.random(0).sample(5, torch.Generator().manual_seed(0))
    statistic.begin(normal(100, len(TOKENS), 0))
    hidden = normal(texts.rows, len(TOKENS), 1).bfloat16()
    accumulation = Accumulation([statistic], len(TOKENS))
    plan = accumulation.plan(texts)
    with torch.autocast("cpu", torch.bfloat16):
        found = accumulation.accumulate(plan, observed_law(texts, plan.request, hidden=hidden))
    features = statistic.features(hidden.float())
    expected = torch.zeros(len(texts), statistic.size).index_add(0, texts.text, features)
    torch.testing.assert_close(found[:, :-1].float(), expected)


# The critic.


@pytest.mark.parametrize("units", [0, 3])
def test_critic_gradient_by_finite_differences(units: int) -> None:
    size = (5 + 1) * units + units + 1 if units else 6
    weights = normal(1, size, 0)[0].double().requires_grad_()
    human, generated = normal(9, 5, 1).double(), normal(7, 5, 2).double()

    def loss(weights: Tensor) -> Tensor:
        return logistic_loss(logits(weights, human, units), logits(weights, generated, units), (9.0, 7.0))

    assert torch.autograd.gradcheck(loss, (weights,))


def test_logistic_loss_is_cross_entropy() -> None:
    human, generated = normal(9, 1, 1)[:, 0], normal(7, 1, 2)[:, 0]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = entropy(human, torch.zeros(9)) / 2 + entropy(generated, torch.ones(7)) / 2
    torch.testing.assert_close(logistic_loss(human, generated, (9.0, 7.0)), expected)


@pytest.mark.parametrize("units", [0, 4])
def test_adam_is_torchs(units: int) -> None:
    critic = Critic(normal(30, 5, 0), units, steps=7, learning_rate=0.02)
    human, generated = normal(30, 5, 1), normal(20, 5, 2, shift=0.5)
    weights = critic.weights.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=0.02)
    for _ in range(7):
        optimizer.zero_grad()
        logistic_loss(logits(weights, human, units), logits(weights, generated, units), (30.0, 20.0)).backward()
        optimizer.step()
    critic.learn(human, generated, lambda tensor: tensor)
    torch.testing.assert_close(critic.weights, weights.detach())


def test_critic_finds_the_optimal_direction() -> None:
    """Between two normals that differ by a shift, the log-odds are the linear function <shift, x> + constant."""
    shift = torch.tensor([1.0, -0.5, 0.0, 0.25])
    human, generated = normal(40_000, 4, 1), normal(40_000, 4, 2) + shift
    critic = Critic(normal(40_000, 4, 0), 0, steps=800, learning_rate=0.02)
    critic.learn(human, generated, lambda tensor: tensor)
    torch.testing.assert_close(critic.weights[:4], shift, atol=0.05, rtol=0)
    fresh = critic(normal(40_000, 4, 3) + shift).mean()  # effect size: the length of the shift
    assert float(fresh) == pytest.approx(float(shift.norm()), rel=0.05)


def test_scores_are_standardised_by_human_text() -> None:
    statistic, human = made("critic"), normal(512, len(TOKENS), 0)
    statistic.begin(human)
    for _ in range(3):
        scores = statistic.features(human)
        assert float(scores.mean()) == pytest.approx(0, abs=1e-5)
        assert float(scores.std(correction=0)) == pytest.approx(1, rel=1e-5)
        statistic.learn(normal(200, len(TOKENS), 3), normal(300, len(TOKENS), 1, shift=1.0), lambda tensor: tensor)
    assert float(statistic.features(normal(300, len(TOKENS), 2, shift=1.0)).mean()) > 0.2


def test_critic_learns_the_same_however_rows_are_shared() -> None:
    """Two ranks with unequal rows, simulated by sums over both, against one with all rows."""
    human, generated = normal(50, 6, 1), normal(70, 6, 2, shift=0.3)
    alone = Critic(normal(30, 6, 0), 4, steps=1, learning_rate=0.01)
    counts, start = (50.0, 70.0), alone.weights.clone()
    parts = []
    for rows, others in ((slice(0, 20), slice(0, 45)), (slice(20, 50), slice(45, 70))):
        weights = start.clone().requires_grad_()
        loss = logistic_loss(logits(weights, human[rows], 4), logits(weights, generated[others], 4), counts)
        parts.append(torch.autograd.grad(loss, weights)[0])
    alone.learn(human, generated, lambda tensor: tensor)
    torch.testing.assert_close(alone.first, 0.1 * (parts[0] + parts[1]), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("form", FORMS)
def test_state_is_everything(form: str) -> None:
    """Another statistic, begun on other text, continues exactly with the first one's state."""
    first, second = made(form), made(form)
    first.begin(normal(100, len(TOKENS), 0))
    second.begin(normal(100, len(TOKENS), 9, shift=4.0))
    same = lambda tensor: tensor  # noqa: E731
    batches = [(normal(40, len(TOKENS), seed), normal(60, len(TOKENS), seed + 50, shift=1.0)) for seed in (1, 2)]
    first.learn(*batches[0], same)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    for statistic in (first, second):
        statistic.learn(*batches[1], same)
    points = normal(10, len(TOKENS), 5)
    assert torch.equal(first.features(points), second.features(points))
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


# Options.


def test_credit_0_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError, match=r"hidden_state.*credit is 0.*set credit above 0, such as credit: 0.9"):
        parse({"statistics": ["hidden_state"]})
    parse({"statistics": ["hidden_state"], "credit": 0.9})
    parse({"statistics": ["hidden_state"], "weight": 0})  # only measured


def test_options_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="critic_steps has no effect with form random_fourier: set form: critic"):
        parse({"statistics": [{"hidden_state": {"critic_steps": 3}}], "credit": 1})
    with pytest.raises(ConfigError, match="bandwidth has no effect with form critic: set form: random_fourier"):
        parse({"statistics": [{"hidden_state": {"form": "critic", "bandwidth": 2}}], "credit": 1})


def test_features_before_begin_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden states of 6 coordinates.*call `begin` first"):
        made("linear").features(torch.zeros(3, 6))


def test_linear_needs_a_model() -> None:
    with pytest.raises(ValueError, match="as many features as the model's head has columns"):
        _ = HiddenState(vocabulary(), HiddenStateOptions(form="linear")).size
