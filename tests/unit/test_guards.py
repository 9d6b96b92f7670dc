"""The guards against their definitions: divergence, clipping, the bound on held-out loss, the rule of `auto`."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin import expected_features
from dft_plugin.accumulation import Accumulation
from dft_plugin.automatic_weight import CROSS_ENTROPY_MEMORY, automatic_weight, running_norm
from dft_plugin.config import ConfigError, parse
from dft_plugin.distances import energy, jensen_shannon
from dft_plugin.drift import kl_of_rows
from dft_plugin.expected_features import Head
from dft_plugin.host import UnsupportedRunError
from dft_plugin.law import observed_law
from dft_plugin.loss_bound import LossBound
from dft_plugin.matched import match
from dft_plugin.objective import Matched, Objective, clipped
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.statistics.base import NoOptions
from dft_plugin.statistics.frequency import TokenFrequency
from dft_plugin.statistics.intervals import IntervalOptions, SentenceLength
from dft_plugin.supported_runs import check_supported
from tests.chain import TOKENS, Chain, vocabulary

# ---- the divergence ------------------------------------------------------------------------------------

ROWS, WIDTH, SIZE = 7, 5, 11
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.3},
    "soft cap": {"bias": True, "scale": 2.0, "soft_cap": 1.5},
}


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def heads(name: str) -> tuple[Head, Head]:
    settings = dict(HEADS[name])
    biased = settings.pop("bias", False)
    made = [Head(random(SIZE, WIDTH, seed=i), random(SIZE, seed=9 + i) if biased else None, **settings) for i in (1, 2)]
    return made[0], made[1]


def plainly(hidden: Tensor, head: Head, start_hidden: Tensor, start_head: Head) -> Tensor:
    """KL by its definition, N x V held, logits written out."""

    def law(rows: Tensor, of: Head) -> Tensor:
        logits = of.scale * (rows @ of.weight.T + (0 if of.bias is None else of.bias))
        logits = logits if of.soft_cap is None else of.soft_cap * torch.tanh(logits / of.soft_cap)
        return logits.exp() / logits.exp().sum(1, keepdim=True)

    p, q = law(hidden, head), law(start_hidden, start_head)
    return (p * (p / q).log()).sum(1)


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("rows_per_chunk", [1, 3, 100])
def test_divergence_and_its_gradient(name: str, rows_per_chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_features, "CHUNK_ENTRIES", rows_per_chunk * SIZE)
    head, start_head = heads(name)
    hidden, start_hidden = random(ROWS, WIDTH, seed=3), random(ROWS, WIDTH, seed=4)
    differentiated = [entry.requires_grad_() for entry in (hidden, head.weight, head.bias) if entry is not None]
    found = kl_of_rows(hidden, head, start_hidden, start_head)
    expected = plainly(hidden, head, start_hidden, start_head)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert float(found.detach().min()) > 0.01
    upstream = random(ROWS, seed=5)
    gradients = torch.autograd.grad(found, differentiated, upstream)
    for mine, theirs in zip(gradients, torch.autograd.grad(expected, differentiated, upstream), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)


def test_gradient_by_finite_differences() -> None:
    head, start_head = heads("soft cap")
    hidden, start_hidden = random(ROWS, WIDTH, seed=3).requires_grad_(), random(ROWS, WIDTH, seed=4)
    assert torch.autograd.gradcheck(
        lambda rows, weight: kl_of_rows(rows, Head(weight, head.bias, 2.0, 1.5), start_hidden, start_head),
        (hidden, head.weight.requires_grad_()),
    )


def test_no_divergence_from_oneself() -> None:
    head, _ = heads("bias")
    hidden = random(ROWS, WIDTH, seed=3).requires_grad_()
    found = kl_of_rows(hidden, head, hidden.detach(), head)
    assert float(found.detach().abs().max()) == 0
    (gradient,) = torch.autograd.grad(found.sum(), hidden)
    assert float(gradient.abs().max()) < 1e-14


def test_divergence_never_holds_all_rows_times_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """What autograd keeps for the backward pass is less than one N x V; without recomputation it is more."""
    rows, vocabulary_size = 64, 300
    head = Head(random(vocabulary_size, WIDTH, seed=0).requires_grad_())
    hidden, start = random(rows, WIDTH, seed=1).requires_grad_(), random(rows, WIDTH, seed=2)

    def kept() -> int:
        sizes: dict[int, int] = {}  # by address: every chunk keeps the same head

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            found = kl_of_rows(hidden, head, start, head)
        assert found.requires_grad
        return sum(sizes.values())

    monkeypatch.setattr(expected_features, "CHUNK_ENTRIES", 2 * vocabulary_size)
    assert kept() < rows * vocabulary_size
    monkeypatch.setattr("dft_plugin.drift.checkpoint", lambda function, *given, **options: function(*given))
    assert kept() > rows * vocabulary_size


def test_rows_must_agree() -> None:
    head, _ = heads("plain")
    with pytest.raises(ValueError, match="hidden has 3 rows, start_hidden 2"):
        kl_of_rows(random(3, WIDTH, seed=0), head, random(2, WIDTH, seed=0), head)


# ---- clipping ------------------------------------------------------------------------------------------


def test_clipping_counted_by_hand() -> None:
    # Root mean squares of what is not 0: sqrt((1 + 1 + 49 + 49) / 4) = 5 and sqrt((9 + 16) / 2) = 3.5355...
    rows = [[1.0, -1.0, 7.0, 0.0, -7.0], [0.0, 3.0, 0.0, -4.0, 0.0], [0.0] * 5]
    derivative = torch.tensor(rows, dtype=torch.float64)
    assert clipped(derivative, 1.2).tolist() == [[1.0, -1.0, 6.0, 0.0, -6.0], rows[1], rows[2]]
    found = clipped(derivative, 1.0).tolist()
    assert found[0] == [1.0, -1.0, 5.0, 0.0, -5.0]
    assert found[1] == pytest.approx([0.0, 3.0, 0.0, -(12.5**0.5), 0.0])
    assert torch.equal(clipped(derivative, 1.5), derivative)
    torch.testing.assert_close(clipped(1e-3 * derivative, 1.5), 1e-3 * clipped(derivative, 1.5))


def test_clipping_is_one_statistics_own() -> None:
    tables = vocabulary()
    token, sentence = TokenFrequency(tables, NoOptions()), SentenceLength(tables, IntervalOptions(longest=4))
    accumulation = Accumulation([token, sentence], len(TOKENS))

    def sampled(count: int, seed: int) -> Tensor:
        texts = Chain.random(0).sample(count, torch.Generator().manual_seed(seed))
        plan = accumulation.plan(texts)
        return accumulation.accumulate(plan, observed_law(texts, plan.request))

    def derivative(clip: float | None) -> Tensor:
        matched = [Matched(token, jensen_shannon, 1.0, clip), Matched(sentence, energy)]
        objective = Objective(matched, accumulation, 1.0)
        without = objective.leave_one_out(sampled(200, 0)).without
        floors = {"token_frequency": {"token": 0.02}, "sentence_length": {"sentence_end": 0.03}}
        return objective.derivative(without, sampled(60, 1).mean(0), floors)

    free, limited = derivative(None), derivative(1.0)
    own, other = accumulation.part(token), accumulation.part(sentence)
    assert torch.equal(free[:, other], limited[:, other])
    bound = free[:, own].square().mean(1, keepdim=True).sqrt()
    assert bool((free[:, own].abs() > bound).any())
    expected = torch.where(free[:, own].abs() > bound, free[:, own].sign() * bound, free[:, own])
    torch.testing.assert_close(limited[:, own], expected)
    assert bool(((free * limited).sum(1) > 0).all())


def test_clipping_is_an_option_of_a_statistic() -> None:
    config = parse({"statistics": [{"token_frequency": {"derivative_clip": 8}}, "entropy"]})
    assert [entry.derivative_clip for entry in config.statistics] == [8.0, None]
    assert config.statistics[0].own_options == {}
    entry = DFTStatisticConfig(name="token_frequency", derivative_clip=8)
    assert match(entry, TokenFrequency(vocabulary(), NoOptions())).derivative_clip == 8
    with pytest.raises(ConfigError, match="derivative_clip"):
        parse({"statistics": [{"token_frequency": {"derivative_clip": 0.5}}]})


# ---- the bound on held-out loss ------------------------------------------------------------------------


def factors(bound: LossBound, losses: list[float], first: int = 0) -> list[float]:
    found = []
    for step, loss in enumerate(losses, start=first):
        before = bound.factor
        line = bound.evaluated({"eval_loss": loss, "eval_runtime": 9.0}, step)
        assert (line is None) == (bound.factor == before)
        found.append(bound.factor)
    return found


LOSSES = [2.0, 2.1, 2.3, 2.21, math.nan, 1.0, 1.2, 1.1, 1.05, 1.04, 1.2]
FACTORS = [1.0, 1.0, 0.5, 0.25, 0.125, 0.25, 0.125, 0.25, 0.5, 1.0, 0.5]


def test_the_factor_falls_above_the_bound_and_recovers_within() -> None:
    assert factors(LossBound(0.1), LOSSES) == FACTORS
    assert factors(LossBound(0.1), [math.nan, 2.0, 2.1]) == [1.0, 1.0, 1.0]  # what is no number is not the lowest


@pytest.mark.parametrize("at", range(1, len(LOSSES)))
def test_a_restored_bound_goes_on(at: int) -> None:
    before = LossBound(0.1)
    factors(before, LOSSES[:at])
    after = LossBound(0.1)
    after.restore(before.state(), step=at - 1)
    after.evaluated({"eval_loss": 99.0}, at - 1)  # eval_on_start of a resumed run
    assert factors(after, LOSSES[at:], first=at) == FACTORS[at:]


def test_one_of_several_evaluation_sets_counts() -> None:
    bound = LossBound(0.1)
    for step, (first, second) in enumerate([(2.0, 1.0), (2.0, 9.0), (3.0, 1.0)]):
        bound.evaluated({"eval_news_loss": first}, step)
        bound.evaluated({"eval_law_loss": second}, step)
        assert bound.factor == (0.5 if step == 2 else 1.0)
    assert bound.evaluated({"eval_law_loss": 99.0}, 6) is None  # not even where it is evaluated by itself
    assert bound.evaluated({"eval_runtime": 1.0}, 7) is None


def test_the_line_says_what_happened() -> None:
    bound = LossBound(0.03)
    bound.evaluated({"eval_loss": 2.0}, 0)
    line = bound.evaluated({"eval_loss": 2.5}, 40)
    assert line == (
        "dft: step 40: eval_loss 2.5 is above 1.03 times the lowest so far (2): "
        "the term's weight is lowered to 0.5 of what is set"
    )


def test_a_bound_without_evaluations_is_refused() -> None:
    trainer = SimpleNamespace(
        args=SimpleNamespace(eval_strategy="no"),
        accelerator=SimpleNamespace(distributed_type="NO"),
        callback_handler=SimpleNamespace(callbacks=[]),
        processing_class=object(),
    )
    state = SimpleNamespace(max_steps=10)
    with pytest.raises(UnsupportedRunError, match=r"loss_bound is 0\.03 and eval_strategy is no"):
        check_supported(trainer, state, parse({"loss_bound": 0.03}))


@pytest.mark.parametrize(
    ("strategy", "every", "epochs", "on_start", "acts"),
    [
        ("steps", 3, 1, False, True),
        ("steps", 5, 1, False, False),
        ("steps", 5, 1, True, True),
        ("steps", 500, 1, False, False),
        ("epoch", 500, 3, False, True),
        ("epoch", 500, 2, False, False),
    ],
)
def test_a_bound_that_no_evaluation_can_move_is_told(
    strategy: str, every: int, epochs: int, on_start: bool, acts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Of ten steps' evaluations the first sets the lowest loss, and the one after the last step comes too late."""
    trainer = SimpleNamespace(
        args=SimpleNamespace(eval_strategy=strategy, eval_on_start=on_start),
        accelerator=SimpleNamespace(distributed_type="NO"),
        callback_handler=SimpleNamespace(callbacks=[]),
        processing_class=object(),
    )
    state = SimpleNamespace(max_steps=10, eval_steps=every, num_train_epochs=epochs)
    check_supported(trainer, state, parse({"loss_bound": 0.03}))
    assert ("cannot act: fewer than 2 evaluations" in caplog.text) != acts


@pytest.mark.parametrize("block", [{"loss_bound": 0}, {"loss_bound": 11}, {"kl_weight": -1}])
def test_bounds_of_the_options(block: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(block))):
        parse(block)
    assert (parse({}).loss_bound, parse({}).kl_weight) == (None, 0.0)


# ---- the rule of weight: auto --------------------------------------------------------------------------


def test_automatic_weight_holds_the_fraction() -> None:
    for fraction, cross_entropy, own in [(0.3, 2.0, 0.01), (0.1, 1e-3, 50.0)]:
        assert automatic_weight(fraction, cross_entropy, own) * own == pytest.approx(fraction * cross_entropy)
    for nothing in (0.0, 1e-25):  # a norm whose square is no float32 was not measured
        assert automatic_weight(0.3, 2.0, nothing) == 0.0


def test_running_norm() -> None:
    norms, running = [4.0, 1.0, 2.0], None
    for norm in norms:
        running = running_norm(running, norm)
    keep = CROSS_ENTROPY_MEMORY
    expected = keep**2 * norms[0] + keep * (1 - keep) * norms[1] + (1 - keep) * norms[2]
    assert running == pytest.approx(expected)
    assert running_norm(2.0, 5.9) == pytest.approx(keep * 2 + (1 - keep) * 5.9)
    for spike in (6.0, 100.0, 1e30):  # plain SFT clips such a step
        assert running_norm(2.0, spike) == pytest.approx(keep * 2 + (1 - keep) * 6)
    for nothing in (0.0, math.inf, math.nan):
        assert running_norm(running, nothing) == running
        assert running_norm(None, nothing) is None
