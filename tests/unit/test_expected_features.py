"""The primitive against the naive formula: full softmax, N x V held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dft_plugin import expected_features as module
from dft_plugin.expected_features import Head, expected_features
from dft_plugin.law import Law, Request
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts, Window, stack

V, D, K = 23, 5, 4
LENGTHS = (6, 1, 9, 4)
OUTPUTS = ("expected", "entropy", "log_probability", "paired", "marginal")

SAMPLERS = {
    "plain": Sampler(),
    "temperature": Sampler(temperature=0.6),
    "top-k": Sampler(top_k=7),
    "top-p": Sampler(temperature=1.3, top_p=0.8),
    "min-p": Sampler(min_p=0.2),
    "all": Sampler(temperature=0.8, top_k=11, top_p=0.9, min_p=0.05),
}
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "soft-cap": {"soft_cap": 3.0},
    "scale": {"scale": 0.4},
    "both": {"scale": 1 / 3, "soft_cap": 2.0},
}


@dataclass(frozen=True)
class Inputs:
    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    texts: Texts
    request: Request

    @property
    def leaves(self) -> list[Tensor]:
        return [leaf for leaf in (self.hidden, self.weight, self.bias) if leaf is not None]


def inputs(
    dtype: torch.dtype = torch.float64, *, bias: bool = True, witness: bool = False, size: int = V, width: int = D
) -> Inputs:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    windows = [
        Window(tuple(torch.randint(size, (2 + length,), generator=generator).tolist()), 0, 2, True)
        for length in LENGTHS
    ]
    texts = stack(windows)
    rows = texts.rows
    pairs = 40  # in no order, with rows and pairs repeated and rows left out
    request = Request(
        table=normal(size, K).float(),
        pair_row=torch.randint(rows, (pairs,), generator=generator),
        pair_token=torch.randint(size, (pairs,), generator=generator),
        marginal_mask=torch.stack([torch.ones(rows), (torch.arange(rows) % 3 == 0).float()]),
        witness=normal(2, len(texts), size) if witness else None,
    )
    leaves = [normal(rows, width), normal(size, width), normal(size) if bias else None]
    made = [None if leaf is None else leaf.to(dtype).requires_grad_() for leaf in leaves]
    assert made[0] is not None
    assert made[1] is not None
    return Inputs(made[0], made[1], made[2], texts, request)


def compute(given: Inputs, sampler: Sampler, **family: Any) -> Law:
    head = Head(given.weight, given.bias, **family)
    return expected_features(given.hidden, head, given.texts, given.request, sampler)


def naive(given: Inputs, sampler: Sampler, *, scale: float = 1.0, soft_cap: float | None = None) -> Law:
    """By the definition, in the dtype of the inputs."""
    texts, request = given.texts, given.request
    logits = torch.nn.functional.linear(given.hidden, given.weight, given.bias) * scale
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    logits = sampler(logits, texts.drawn)
    law = logits.softmax(-1)
    masks = request.marginal_mask.to(law.dtype)
    per_text = torch.nn.functional.one_hot(texts.text, len(texts)).to(law.dtype)
    witnessed = law.new_zeros(texts.rows, 0)
    marginal = torch.einsum("mn,nb,nv->mbv", masks, per_text, law)
    if request.witness is not None:
        witnessed = torch.einsum("nv,nb,mbv->nm", law, per_text, request.witness.to(law.dtype))
        marginal = marginal[:, :, :0]
    return Law(
        expected=law @ request.table.to(law.dtype),
        entropy=-torch.special.xlogy(law, law.clamp(min=1e-300) if law.dtype == torch.float64 else law).sum(-1),
        log_probability=logits.log_softmax(-1).gather(1, texts.drawn[:, None]).squeeze(1),
        paired=law[request.pair_row, request.pair_token],
        marginal=marginal,
        witnessed=witnessed,
    )


def outputs(law: Law, witness: bool) -> dict[str, Tensor]:
    names = [*OUTPUTS[:4], "witnessed" if witness else "marginal"]
    return {name: getattr(law, name) for name in names}


def gradients(law: Law, given: Inputs, only: str | None = None) -> list[Tensor]:
    """Of a random linear function of all outputs (or one)."""
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros((), dtype=torch.float64)
    for name, output in outputs(law, given.request.witness is not None).items():
        weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        if only in (None, name):
            total = total + (output.double() * weight).sum()
    return list(torch.autograd.grad(total, given.leaves))


def chunks_of(rows: int, monkeypatch: pytest.MonkeyPatch, size: int = V) -> None:
    monkeypatch.setattr(module, "CHUNK_ENTRIES", rows * size)


@pytest.mark.parametrize("witness", [False, True], ids=["marginals", "witnesses"])
@pytest.mark.parametrize("family", HEADS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_values_and_gradients(sampler: str, family: str, witness: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks_of(3, monkeypatch)
    given = inputs(witness=witness)
    ours = compute(given, SAMPLERS[sampler], **HEADS[family])
    theirs = naive(given, SAMPLERS[sampler], **HEADS[family])
    for name, output in outputs(theirs, witness).items():
        torch.testing.assert_close(getattr(ours, name), output, rtol=1e-10, atol=1e-12)
    for found, exact in zip(gradients(ours, given), gradients(theirs, given), strict=True):
        assert exact.abs().max() > 1e-3
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [*OUTPUTS, "witnessed"])
def test_each_output_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks of one row: some of them have no pair, so nothing of `paired` reaches them."""
    chunks_of(1, monkeypatch)
    given = inputs(witness=name == "witnessed")
    assert len(given.request.pair_row.unique()) < len(given.hidden)
    ours = gradients(compute(given, SAMPLERS["all"]), given, only=name)
    theirs = gradients(naive(given, SAMPLERS["all"]), given, only=name)
    for found, exact in zip(ours, theirs, strict=True):
        assert exact.abs().max() > 1e-4
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-11)


def test_gradcheck() -> None:
    given = inputs(size=7)

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        law = compute(Inputs(*leaves, given.texts, given.request), Sampler(0.9), soft_cap=4.0)
        return tuple(outputs(law, witness=False).values())

    assert torch.autograd.gradcheck(function, given.leaves)


@pytest.mark.parametrize("rows", [1, 2, 7, sum(LENGTHS) - 1, sum(LENGTHS), 1000])
@pytest.mark.parametrize("witness", [False, True], ids=["marginals", "witnesses"])
def test_chunk_size_changes_nothing(rows: int, witness: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(witness=witness)
    whole = compute(given, SAMPLERS["all"])
    expected = gradients(whole, given)
    chunks_of(rows, monkeypatch)
    pieces = compute(given, SAMPLERS["all"])
    for name, output in outputs(whole, witness).items():
        torch.testing.assert_close(getattr(pieces, name), output, rtol=1e-12, atol=1e-13)
    for found, exact in zip(gradients(pieces, given), expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-12)


def test_without_bias_and_with_empty_requests() -> None:
    given = inputs(bias=False)
    given = replace(given, request=given.request.without_expectations())
    ours, theirs = compute(given, Sampler()), naive(given, Sampler())
    assert ours.expected.shape == (given.texts.rows, 0)
    assert ours.paired.shape == (0,)
    assert ours.marginal.shape == (0, len(given.texts), V)
    torch.testing.assert_close(ours.entropy, theirs.entropy)
    for found, exact in zip(gradients(ours, given), gradients(theirs, given), strict=True):
        torch.testing.assert_close(found, exact)


def test_tied_head_gets_both_gradients() -> None:
    """An embedding that is the head as well: hidden states are a function of the same tensor."""
    given = inputs(bias=False)
    previous = given.texts.tokens[given.texts.text, given.texts.position - 1]
    found = []
    for function in (compute, naive):
        tied = given.weight.detach().clone().requires_grad_()
        law = function(replace(given, hidden=torch.tanh(tied)[previous], weight=tied), Sampler())
        found += torch.autograd.grad(law.expected.square().sum() + law.log_probability.sum(), [tied])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("frozen", [0, 1, 2], ids=["hidden", "weight", "bias"])
def test_frozen_inputs_get_no_gradient(frozen: int) -> None:
    """LoRA trains the decoder under a frozen head; linear probing the head alone."""
    given = inputs()
    given.leaves[frozen].requires_grad_(False)
    kept = [leaf for leaf in given.leaves if leaf.requires_grad]
    ours = torch.autograd.grad(compute(given, Sampler()).expected.square().sum(), kept)
    theirs = torch.autograd.grad(naive(given, Sampler()).expected.square().sum(), kept)
    for found, exact in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, exact)


def rounding(function: Callable[[], tuple[Law, list[Tensor]]], exact: tuple[Law, list[Tensor]]) -> dict[str, float]:
    law, gradient = function()
    errors = {name: getattr(law, name) - output for name, output in outputs(exact[0], witness=False).items()}
    for name, found, right in zip(("hidden", "weight", "bias"), gradient, exact[1], strict=True):
        errors[name] = (found.double() - right) / right.abs().max()
    return {name: float(error.detach().double().abs().max()) for name, error in errors.items()}


@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16 inputs", "autocast"])
def test_bfloat16_errs_no_more_than_the_naive_formula(autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is float64 on the same rounded inputs; the bound the naive formula's own error there."""
    chunks_of(8, monkeypatch, 512)
    low = inputs(torch.bfloat16, size=512, width=64)
    double = [leaf.detach().double().requires_grad_() for leaf in low.leaves]
    wide = Inputs(*double, low.texts, low.request)
    exact_law = naive(wide, Sampler(0.8), soft_cap=30.0)
    exact = exact_law, gradients(exact_law, wide)
    given = low
    if autocast:
        given = Inputs(*[leaf.detach().float().requires_grad_() for leaf in low.leaves], low.texts, low.request)

    def run(function: Callable[..., Law]) -> Callable[[], tuple[Law, list[Tensor]]]:
        def measured() -> tuple[Law, list[Tensor]]:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                law = function(given, Sampler(0.8), soft_cap=30.0)
            return law, gradients(law, given)

        return measured

    ours, theirs = rounding(run(compute), exact), rounding(run(naive), exact)
    for name, error in ours.items():
        assert error <= 1.1 * theirs[name] + 1e-3, (name, ours, theirs)
    # Sums, softmax and the head's gradient are kept in float32: that is worth something.
    assert sum(ours.values()) < sum(theirs.values())


def test_the_heads_gradient_is_summed_wide_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 256 + 1 is 256: summed in it, the gradient of a thousand like rows would stop at a quarter."""
    texts = stack([Window((0, *[1] * 1000), 0, 1, True)])
    request = Request(torch.zeros(V, 0), torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, texts.rows))
    leaves = [torch.ones(size, requires_grad=True) for size in [(texts.rows, D), (V, D), (V,)]]
    given = Inputs(*leaves, texts, request)

    def of_weight_and_bias() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            law = compute(given, Sampler())
        return list(torch.autograd.grad(law.log_probability.sum(), leaves[1:]))

    whole = of_weight_and_bias()
    chunks_of(1, monkeypatch)
    for found, exact in zip(of_weight_and_bias(), whole, strict=True):
        torch.testing.assert_close(found, exact, rtol=2**-7, atol=0)


def test_autocast_gives_wide_outputs() -> None:
    given = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        law = compute(given, Sampler())
    assert {output.dtype for output in outputs(law, witness=False).values()} == {torch.float32}


def test_a_backward_pass_under_the_hosts_autocast_is_that_without() -> None:
    given = inputs(torch.float32)
    expected = gradients(compute(given, Sampler()), given)
    law = compute(given, Sampler())
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(law, given)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


class Largest(TorchDispatchMode):
    """Sees every tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        made = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.entries = max([self.entries, *made])
        return result


def test_never_holds_rows_by_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither forward nor backward makes a tensor beyond one chunk, the head, or texts x vocabulary."""
    size, width, length, rows_at_once = 1000, 4, 300, 2
    generator = torch.Generator().manual_seed(0)
    texts = stack(
        [Window(tuple(torch.randint(size, (length,), generator=generator).tolist()), 0, 1, True) for _ in range(2)]
    )
    rows = texts.rows
    hidden = torch.randn(rows, width, generator=generator).requires_grad_()
    weight = torch.randn(size, width, generator=generator).requires_grad_()
    marginals = Request(
        torch.randn(size, 3, generator=generator),
        torch.arange(rows),
        texts.drawn,
        torch.ones(1, rows),
    )
    chunks_of(rows_at_once, monkeypatch, size)
    sampler = Sampler(0.8, top_k=50, top_p=0.9)
    for request in (marginals, replace(marginals, witness=torch.randn(1, len(texts), size, generator=generator))):
        with Largest() as seen:
            law = expected_features(hidden, Head(weight), texts, request, sampler)
            total = law.expected.sum() + law.entropy.sum() + law.log_probability.sum() + law.paired.sum()
            (total + law.marginal.sum() + law.witnessed.sum()).backward()
        allowed = max(rows_at_once * size, len(texts) * size, weight.numel(), hidden.numel())
        assert seen.entries <= allowed < rows * size / 50

    # The check sees what it should: the naive formula fails it.
    with Largest() as seen:
        naive(Inputs(hidden, weight, None, texts, marginals), Sampler())
    assert seen.entries >= rows * size


def test_wrong_number_of_rows() -> None:
    given = inputs()
    with pytest.raises(ValueError, match="hidden has 3 rows"):
        compute(replace(given, hidden=given.hidden[:3]), Sampler())
    with pytest.raises(ValueError, match="hidden has 0 rows"):
        compute(replace(given, hidden=given.hidden[:0]), Sampler())


def test_the_drawn_token_keeps_its_probability() -> None:
    """Rounding between generation and this pass may filter a drawn token away: its log-probability stays finite."""
    given = inputs()
    law = compute(given, Sampler(top_k=1))
    assert torch.isfinite(law.log_probability).all()
    assert torch.isfinite(torch.stack([gradient.sum() for gradient in gradients(law, given)])).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_samplers_law_is_that_of_generate(name: str) -> None:
    """Filters agree with transformers' own list of processors, in its order."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    sampler = SAMPLERS[name]
    options = GenerationConfig(**sampler.generation_options())
    config = LlamaConfig(vocab_size=V, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = LlamaForCausalLM(config)
    processors = model._get_logits_processor(options, input_ids_seq_length=1, device="cpu")
    logits = torch.randn(50, V, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    theirs = processors(torch.zeros(50, 1, dtype=torch.long), logits)
    ours = sampler(logits, logits.argmax(1))
    torch.testing.assert_close(ours, theirs)
