"""On a CUDA device: the same gradient as on the CPU, in the memory that was promised."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dft_plugin import DFTCallback
from dft_plugin.expected_features import CHUNK_ENTRIES, Head, expected_features
from dft_plugin.law import Request
from dft_plugin.sampling import Sampler
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin.texts import Texts
from tests import tiny
from tests.invariants.runs import Hashed
from tests.training import Gradient, NaiveBeside, combined, registered, relative_error, term_options, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.mark.parametrize("bf16", [False, True])
def test_gradient_of_a_step(bf16: bool) -> None:
    """In bf16 the tolerance is what bf16 does to cross-entropy's own gradient, with a margin of 2."""
    model, rows = tiny.model("llama"), tiny.plain_rows(64)
    options = {"use_cpu": False}
    exact = train(model, rows, **options).gradients[0]
    plain = train(model, rows, bf16=bf16, **options).gradients[0]
    callback = DFTCallback(**term_options(weight=0.5, credit=1.0))
    beside = NaiveBeside(callback)
    found = train(model, rows, callback, beside, bf16=bf16, **options).gradients[0]
    error = relative_error(found, combined(exact, beside.expected.gradients[0], 0.5))
    print(f"bf16 {bf16}: relative error {error:.1e}")
    assert error <= (2 * relative_error(plain, exact) if bf16 else 1e-5)


@pytest.mark.parametrize("weight", [0.5, "auto"])
def test_every_statistic_gives_the_gradient_of_the_cpu(weight: float | str) -> None:
    """At the second step, for `auto` begins with 0. The tolerance is a hundred times what the devices differ by in
    cross-entropy's own gradient.
    """
    model, rows = tiny.model("llama"), tiny.plain_rows(64)
    statistics = [*DEFAULT_STATISTICS, "entropy", "novelty", "ngram_rarity", "hidden_state"]
    options = {"statistics": statistics, "weight": weight, "credit": 0.9, "rollout": {"engine": Hashed.name}}
    plain, found = [], []
    with registered(engines=[Hashed]):
        for use_cpu in (True, False):
            plain.append(on_cpu(train(model, rows, use_cpu=use_cpu, max_steps=2).gradients[1]))
            callback = DFTCallback(**term_options(**options))
            found.append(on_cpu(train(model, rows, callback, use_cpu=use_cpu, max_steps=2).gradients[1]))
    assert relative_error(found[0], plain[0]) > 0.01
    error, own = relative_error(found[1], found[0]), relative_error(plain[1], plain[0])
    print(f"weight {weight}: relative error {error:.1e}, cross-entropy's own {own:.1e}")
    assert error <= 100 * own


def on_cpu(gradient: Gradient) -> Gradient:
    return {name: entry.cpu() for name, entry in gradient.items()}


def test_default_options_in_bf16_with_lora() -> None:
    from peft import LoraConfig

    run = train(
        tiny.model("llama").to(torch.bfloat16),
        tiny.plain_rows(64),
        DFTCallback(reference_windows=64, start_step=0, rollout={"batch_size": 8, "max_new_tokens": 16}, report=False),
        peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
        use_cpu=False,
        bf16=True,
        max_steps=3,
    )
    lines = [line for line in run.logs if "loss" in line]
    assert len(lines) == 3
    assert lines[-1]["dft/weight"] > 0
    assert all(bool(entry.isfinite().all()) for gradient in run.gradients for entry in gradient.values())


def test_rollouts_and_their_random_state() -> None:
    from dft_plugin.rollout import TransformersEngine

    model = tiny.model("llama").cuda()
    before, before_cuda = torch.get_rng_state(), torch.cuda.get_rng_state()
    engine, contexts = TransformersEngine(), [[5, 6, 7], [8]]
    first = engine.generate(model, contexts, Sampler(), 8, [0], seed=1)
    assert engine.generate(model, contexts, Sampler(), 8, [0], seed=1) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.cuda.get_rng_state(), before_cuda)


def test_peak_memory_of_the_primitive_is_below_positions_times_vocabulary() -> None:
    texts_count, length, vocabulary, width = 32, 256, 131_072, 256
    device = torch.device("cuda")
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device, generator=generator, dtype=torch.bfloat16)

    full = torch.full((texts_count,), length, device=device)
    zeros = torch.zeros_like(full)
    tokens = torch.randint(0, vocabulary, (texts_count, length), device=device, generator=generator)
    texts = Texts(tokens, zeros, zeros + 1, full, zeros.bool())
    rows = texts.rows
    hidden, weight = normal(rows, width).requires_grad_(), nn.Parameter(normal(vocabulary, width) / width**0.5)
    none = torch.zeros(0, dtype=torch.long, device=device)
    request = Request(
        torch.randn(vocabulary, 16, device=device, generator=generator),
        none,
        none,
        torch.ones(1, rows, device=device),
        torch.randn(1, texts_count, vocabulary, device=device, generator=generator),
    )
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    law = expected_features(hidden, Head(weight), texts, request, Sampler(temperature=0.8))
    (law.expected.sum() + law.entropy.sum() + law.log_probability.sum() + law.witnessed.sum()).backward()
    peak = torch.cuda.max_memory_allocated() - held
    whole = rows * vocabulary * 4
    print(f"peak {peak / 2**20:.0f} MiB, positions x vocabulary {whole / 2**20:.0f} MiB")
    assert whole > CHUNK_ENTRIES * 4
    assert peak < whole / 2
    assert hidden.grad is not None
    assert weight.grad is not None
