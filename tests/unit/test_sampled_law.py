"""The excess surprisal of rollouts: by enumeration, by the model's own logits, and of engines that draw otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import head_of
from dft_plugin.law import Law, Request
from dft_plugin.live_model import LiveModel
from dft_plugin.rollout import TransformersEngine, continued
from dft_plugin.sampled_law import LEAST_TEXTS, SampledLaw, excess_surprisal
from dft_plugin.sampling import Sampler
from dft_plugin.sharing import Processes
from dft_plugin.texts import Texts, Window, stack
from tests import tiny


def law_of(entropy: Tensor, log_probability: Tensor) -> Law:
    nothing = torch.zeros(len(entropy), 0, dtype=torch.float64)
    return Law(nothing, entropy, log_probability, entropy[:0], nothing, nothing)


def probability(law: Tensor, tokens: Sequence[int]) -> float:
    """Of tokens after a first one, where the law of each is a row, that of the token before it."""
    return math.prod(float(law[before, token]) for before, token in itertools.pairwise(tokens))


@pytest.mark.parametrize("other", [False, True])
def test_its_mean_over_all_texts(other: bool) -> None:
    """0 where texts are weighted by p; by q, the sum over all beginnings of q(beginning) sum_v (q - p)(v) (-log p(v)).

    Token 0 ends a text, three tokens are the most.
    """
    generator = torch.Generator().manual_seed(1)
    p, q = (torch.softmax(2 * torch.randn(3, 3, generator=generator, dtype=torch.float64), -1) for _ in range(2))
    weights = q if other else p
    mean = 0.0
    for written in [(0,), (1, 0), (2, 0), *itertools.product((1, 2), (1, 2), range(3))]:
        tokens = (1, *written)
        rows = p[list(tokens[:-1])]
        law = law_of(-(rows * rows.log()).sum(-1), rows.log()[range(len(written)), list(written)])
        found = excess_surprisal(law, stack([Window(tokens, 0, 1, True)]))
        mean += probability(weights, tokens) * float(found)
    beginnings = [(1, *rest) for length in range(3) for rest in itertools.product((1, 2), repeat=length)]
    differences = -((weights - p) * p.log()).sum(-1)
    expected = sum(probability(weights, tokens) * float(differences[tokens[-1]]) for tokens in beginnings)
    assert mean == pytest.approx(expected, abs=1e-12)
    assert (abs(mean) > 0.1) == other


def rollouts(drawn: Sampler, read: Sampler, contexts: int, seed: int = 0) -> tuple[LiveModel, Texts, Law]:
    """Texts that are drawn by one sampler, and what the law of another says to them."""
    model = tiny.model("llama").eval()
    tokens = tiny.tokenizer()(" ".join(tiny.paragraphs()[:40]))["input_ids"]
    windows = [Window(tuple(tokens[7 * row : 7 * row + 3 + row % 5]), 0, 3 + row % 5, False) for row in range(contexts)]
    generated = TransformersEngine().generate(model, [window.tokens for window in windows], drawn, 24, [2, 7], seed)
    texts, live = continued(windows, generated), LiveModel(model, read)
    none = torch.zeros(0, dtype=torch.long)
    request = Request(torch.zeros(tiny.VOCABULARY, 0), none, none, torch.zeros(0, texts.rows))
    with live.read():
        law = expected_features(live.hidden(texts), head_of(model), texts, request, read)
    return live, texts, law


def test_it_is_what_the_models_own_logits_say() -> None:
    sampler = Sampler(temperature=0.7, top_k=50)
    live, texts, law = rollouts(sampler, sampler, 5)
    found = excess_surprisal(law, texts)
    for row in range(len(texts)):
        first, end = int(texts.first[row]), int(texts.end[row])
        with torch.no_grad():
            logits = live.module(input_ids=texts.tokens[row : row + 1, :end], use_cache=False).logits[0].double() / 0.7
        total = 0.0
        for position in range(first, end):
            kept = logits[position - 1].topk(50)
            logs = torch.log_softmax(kept.values, -1)
            own = logs[kept.indices == texts.tokens[row, position]]
            total += float(-own + (logs.exp() * logs).sum())
        assert float(found[row]) == pytest.approx(total, abs=1e-3)


def judged(drawn: Sampler, read: Sampler, *, own_step: bool = True) -> SampledLaw:
    run = SampledLaw(Processes())
    for seed in range(4):
        _, texts, law = rollouts(drawn, read, 32, seed)
        run.measured(excess_surprisal(law, texts), texts.rows, own_step)
    return run


SAMPLERS = [Sampler(), Sampler(temperature=0.7), Sampler(top_p=0.8), Sampler(temperature=1.3, top_k=20, min_p=0.05)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_texts_of_the_law_are_said_nothing_of(sampler: Sampler) -> None:
    run = judged(sampler, sampler)
    assert run.texts == 128
    assert abs(run.standard_errors) < 4
    assert run.problem() is None


@pytest.mark.parametrize(("drawn", "side"), [(Sampler(temperature=1.0), "above"), (Sampler(temperature=0.4), "below")])
def test_texts_of_another_law_are_told_once(drawn: Sampler, side: str) -> None:
    run = judged(drawn, Sampler(temperature=0.6))
    said = run.problem()
    assert said is not None
    assert f"nats {side} its entropy" in said
    assert run.problem() is None


def test_what_was_sampled_at_an_earlier_step_says_nothing() -> None:
    run = judged(Sampler(temperature=1.0), Sampler(temperature=0.6), own_step=False)
    assert (run.texts, run.excess) == (0, 0)
    assert run.problem() is None


def test_few_texts_are_not_judged() -> None:
    run, excess = SampledLaw(Processes()), torch.full((LEAST_TEXTS - 1,), 30.0, dtype=torch.float64)
    run.measured(excess, 100, own_step=True)
    assert run.problem() is None
    run.measured(excess[:1], 1, own_step=True)
    assert run.problem() is not None


def test_rounding_is_no_fault() -> None:
    run = SampledLaw(Processes())
    run.measured(torch.full((10_000,), 1.0, dtype=torch.float64), 1_000_000, own_step=True)
    assert run.standard_errors > 50
    assert run.problem() is None


def test_all_processes_count() -> None:
    """Two processes with the same texts: twice as many, and the mean of one."""
    excess = torch.tensor([3.0, -1.0], dtype=torch.float64)
    alone, both = SampledLaw(Processes()), SampledLaw(Processes(0, 2, lambda tensor: 2 * tensor))
    assert alone.measured(excess, 8, own_step=True) == both.measured(excess, 8, own_step=True) == 0.25
    assert (both.texts, both.tokens, both.excess, both.square) == (4, 16, 4, 20)
    assert both.standard_errors == pytest.approx(4 / math.sqrt(20))
