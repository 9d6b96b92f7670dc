"""The estimator's gradient against the exact one, by enumeration of every text of a small Markov chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.credit import leave_one_out_baseline, reward_to_go
from dft_plugin.distances import default_options
from dft_plugin.law import observed_law
from dft_plugin.layout import rewards, witnesses
from dft_plugin.objective import Matched, Objective, surrogate
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window
from dft_plugin.written import Written
from tests.chain import END, TOKENS, Chain, context, vocabulary

# Options small enough that every bin, n-gram and reach matters within the horizon.
OPTIONS: dict[str, dict[str, Any]] = {
    "token_frequency": {},
    "ngram_frequency": {"n": (2, 3), "size": 16},
    "sentence_length": {"longest": 5},
    "punctuation_frequency": {},
    "punctuation_rhythm": {"longest": 6, "width": 2},
    "paragraph_length": {"longest": 6, "width": 3},
    "text_length": {"longest": 6, "width": 2},
    "novelty": {"n": (1, 2), "reach": 3},
    "sentence_opening": {},
    "entropy": {},
    "hidden_state": {"features": 8},
    "ngram_rarity": {"n": (2, 3), "classes": 2},
}
SAMPLERS = {
    "plain": Sampler(),
    "temperature": Sampler(temperature=0.7),
    "top-k": Sampler(temperature=0.9, top_k=4),
    "top-p": Sampler(top_p=0.9),
    "min-p": Sampler(min_p=0.1),
}


def cases() -> list[Any]:
    """Every statistic with every distance that is defined on what it summarizes."""
    found = []
    for name in OPTIONS:
        support = plugins.statistic(name).support
        for distance in plugins.distances().values():
            if support in distance.supports:
                found.append((name, distance.name, {}))
        if support == "ordered":
            found.append((name, "mmd", {"kernel": "linear"}))
    return [pytest.param(*case, id="-".join([*case[:2], *case[2].values()])) for case in found]


@dataclass(frozen=True)
class Task:
    """A chain to be moved towards human accumulators."""

    chain: Chain
    objective: Objective
    human: Tensor
    floors: Mapping[str, Mapping[str, float]]

    def loss(self, accumulators: Tensor) -> Tensor:
        return self.objective.distances(accumulators, self.human, self.floors).loss

    def gradient(self, texts: Texts, derivative: Tensor, gamma: float, baseline: str = "leave one out") -> Tensor:
        """The estimator's gradient in the chain's logits, by the plugin's own steps."""
        chain = self.chain.with_gradient()
        plan = self.objective.accumulation.plan(texts)
        request = replace(plan.request, witness=witnesses(plan.layout, derivative))
        law = chain.law(texts, request)
        advantage = None
        if gamma > 0:
            reward = rewards(law, plan.layout, texts, derivative).detach()
            future = reward_to_go(texts.by_step(reward), gamma)
            if baseline == "leave one out":
                alive = texts.by_step(torch.ones(texts.rows)) > 0
                future = future - leave_one_out_baseline(future, alive, lambda tensor: tensor)
            advantage = texts.from_steps(future)
        loss = surrogate(plan, law, derivative, advantage, len(texts))
        (gradient,) = torch.autograd.grad(loss, chain.logits)
        return gradient


def expected_accumulators(chain: Chain, accumulation: Accumulation) -> Tensor:
    """(A,) by enumeration: sum over all texts of probability x what stands there; differentiable.

    Nothing of the estimator is in it: features are those of the tokens drawn, gradients those of the
    texts' probabilities.
    """
    texts = chain.enumerate()
    plan = accumulation.plan(texts)
    surprisal = -chain.log_probabilities(texts)
    own = accumulation.accumulate(plan, observed_law(texts, plan.request, surprisal, chain.hidden(texts)))
    return chain.probabilities(texts) @ own


def task(chain: Chain, *entries: tuple[str, str, dict[str, Any]]) -> Task:
    text = Written.of([Window((3, 1, 2, 2, 5, 4, 1, 0), 0, 1, True), Window((4, 1, 2, 3, 3, 1, 2), 0, 1, True)])
    tables = replace(vocabulary(), human_frequency=torch.full((len(TOKENS),), 1 / len(TOKENS)), human_text=text)
    matched = []
    for name, distance_name, distance_options in entries:
        kind = plugins.statistic(name)
        statistic = kind(tables, kind.Options.model_validate(OPTIONS[name]))
        if statistic.needs_hidden:
            statistic.begin(chain.hidden(chain.enumerate()))
        options = {**default_options(distance_name, kind.support), **distance_options}
        matched.append(Matched(statistic, partial(plugins.distance(distance_name).function, **options)))
    accumulation = Accumulation([entry.statistic for entry in matched], len(TOKENS))
    objective = Objective(matched, accumulation, window=1)
    human = expected_accumulators(Chain.random(101), accumulation).detach()
    components = {entry.name: list(accumulation.summarize(entry.statistic, human)) for entry in matched}
    # Floors of the distances' own size, so that log(1 + distance / floor) is neither linear nor flat.
    ones = {name: dict.fromkeys(keys, 1.0) for name, keys in components.items()}
    here = expected_accumulators(chain, accumulation).detach()
    raw = objective.distances(here, human, ones).raw
    floors = {name: {key: max(float(value), 1e-9) for key, value in found.items()} for name, found in raw.items()}
    return Task(chain, objective, human, floors)


def exact_gradient(made: Task) -> tuple[Tensor, Tensor]:
    """Gradient of D(g(E[a])) in the chain's logits, and D' at E[a]."""
    chain = made.chain.with_gradient()
    accumulators = expected_accumulators(chain, made.objective.accumulation)
    (gradient,) = torch.autograd.grad(made.loss(accumulators), chain.logits)
    return gradient, made.objective.derivative(accumulators, made.human, made.floors)


def expected_gradient(made: Task, derivative: Tensor, gamma: float = 1.0) -> Tensor:
    """The mean of the estimator over all texts. D' of each text times its probability weighs the text, since
    everything is linear in D' once the baseline is left out."""
    texts = made.chain.enumerate()
    weight = made.chain.probabilities(texts).detach() * len(texts)
    return made.gradient(texts, weight[:, None] * derivative, gamma, baseline="none")


def cosine(first: Tensor, second: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0))


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def test_probabilities_of_all_texts_sum_to_one() -> None:
    for sampler in SAMPLERS.values():
        chain = Chain.random(0, sampler=sampler)
        assert float(chain.probabilities(chain.enumerate()).sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("name", "distance", "options"), cases())
def test_mean_of_the_estimator_is_the_exact_gradient(name: str, distance: str, options: dict[str, Any]) -> None:
    made = task(Chain.random(0), (name, distance, options))
    exact, derivative = exact_gradient(made)
    assert float(exact.norm()) > 1e-3  # something is compared
    assert relative_error(expected_gradient(made, derivative), exact) < 1e-6


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_statistic_at_once_under_each_sampler(sampler: str) -> None:
    entries = [(name, plugins.statistic(name).distance, {}) for name in OPTIONS]
    made = task(Chain.random(3, sampler=SAMPLERS[sampler]), *entries)
    exact, derivative = exact_gradient(made)
    assert relative_error(expected_gradient(made, derivative), exact) < 1e-6


def test_the_pathwise_part_alone_is_not_the_gradient() -> None:
    """gamma 0 leaves the effect on later text out: near, but measurably another direction."""
    made = task(Chain.random(0), ("token_frequency", "jensen_shannon", {}), ("sentence_length", "energy", {}))
    exact, derivative = exact_gradient(made)
    pathwise = expected_gradient(made, derivative, gamma=0.0)
    assert 0.5 < cosine(pathwise, exact) < 0.999
    # By its definition: the texts' probabilities held fixed, each row's expected features differentiated.
    chain, texts = made.chain.with_gradient(), made.chain.enumerate()
    plan = made.objective.accumulation.plan(texts)
    own = made.objective.accumulation.accumulate(plan, chain.law(texts, plan.request))
    (by_definition,) = torch.autograd.grad(chain.probabilities(texts).detach() @ own @ derivative, chain.logits)
    assert relative_error(pathwise, by_definition) < 1e-9


def test_gamma_between_is_between() -> None:
    made = task(Chain.random(0), ("sentence_length", "energy", {}))
    exact, derivative = exact_gradient(made)
    errors = [relative_error(expected_gradient(made, derivative, gamma), exact) for gamma in (0.0, 0.5, 0.9, 1.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 < errors[-2]


@pytest.mark.parametrize("name", OPTIONS)
def test_sampled_texts(name: str) -> None:
    """Everything as in a run: sampled texts, D' at leave-one-out accumulators, leave-one-out baseline."""
    made = task(Chain.random(0), (name, plugins.statistic(name).distance, {}))
    exact, _ = exact_gradient(made)
    texts = made.chain.sample(40_000, torch.Generator().manual_seed(1))
    plan = made.objective.accumulation.plan(texts)
    own = made.objective.accumulation.accumulate(plan, made.chain.law(texts, plan.request)).detach()
    means = made.objective.leave_one_out(own)
    assert means.texts == len(texts)
    derivative = made.objective.derivative(means.without, made.human, made.floors)
    found = made.gradient(texts, derivative, gamma=1.0)
    assert cosine(found, exact) >= 0.999
    assert float(found.norm() / exact.norm()) == pytest.approx(1, abs=0.05)
    expected = expected_accumulators(made.chain, made.objective.accumulation)
    torch.testing.assert_close(means.mean, expected, rtol=0.1, atol=0.02)


def test_leave_one_out_removes_the_penalty_on_own_noise() -> None:
    """At the optimum the gradient is 0. D' at accumulators that hold the text itself makes texts more alike."""
    batches, batch = 6000, 4
    logits = Chain.random(7).logits.clone()
    logits[:, END] = -1e9  # texts of one length: the summary is then linear, and only the bias sought is left
    chain = Chain(logits, contexts=(context(3),))
    made = task(chain, ("token_frequency", "l2", {}))
    human = expected_accumulators(chain, made.objective.accumulation).detach()
    made = replace(made, human=human, floors={"token_frequency": {"token": 1e3}})  # so is the loss: quadratic
    texts = chain.sample(batches * batch, torch.Generator().manual_seed(2))
    plan = made.objective.accumulation.plan(texts)
    own = made.objective.accumulation.accumulate(plan, chain.law(texts, plan.request)).detach()
    grouped = own.view(batches, batch, -1)
    total = grouped.sum(1, keepdim=True)
    without = ((total - grouped) / (batch - 1)).flatten(0, 1)
    together = (total / batch).expand_as(grouped).flatten(0, 1)

    differentiable, every = chain.with_gradient(), chain.enumerate()
    plan = made.objective.accumulation.plan(every)
    each = made.objective.accumulation.accumulate(plan, differentiable.law(every, plan.request))
    deviation = (each - human).square().sum(1)
    spread = differentiable.probabilities(every) @ deviation
    (apart,) = torch.autograd.grad(spread, differentiable.logits)
    pushes = {}
    for name, at in (("together", together), ("without", without)):
        derivative = made.objective.derivative(at, made.human, made.floors)
        parts = []  # ten independent estimates tell the standard error
        for part in range(10):
            rows = slice(part * len(texts) // 10, (part + 1) * len(texts) // 10)
            found = made.gradient(texts.select(rows), derivative[rows], gamma=1.0)
            parts.append(-float((found * apart).sum()))  # a descent step's effect on the spread of texts
        estimates = torch.tensor(parts)
        pushes[name] = float(estimates.mean()), float(estimates.std()) / 10**0.5
    mean, error = pushes["together"]
    assert mean < -5 * error
    mean, error = pushes["without"]
    assert abs(mean) < 4 * error
    assert abs(mean) < 0.2 * abs(pushes["together"][0])


def test_leave_one_out_never_holds_the_text_itself() -> None:
    made = task(Chain.random(0), ("token_frequency", "l2", {}))
    own = torch.rand(5, 6, dtype=torch.float64)
    changed = own.clone()
    changed[2] += 100
    before, after = made.objective.leave_one_out(own)[0], made.objective.leave_one_out(changed)[0]
    assert torch.allclose(before[2], after[2])
    assert not torch.isclose(before[[0, 1, 3, 4]], after[[0, 1, 3, 4]]).any()
