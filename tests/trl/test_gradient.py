"""The gradient of one optimizer step is cross-entropy's plus weight times the term's, computed independently.

Cross-entropy's is taken from the same training without the callback, the term's from its definition
(`tests.naive`): full softmax, Python loops, leave-one-out derivative text by text.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import TrainerCallback

from dft_plugin import DFTCallback
from dft_plugin.progress import DistributionTermError
from dft_plugin.term import DistributionTerm
from tests import tiny
from tests.training import (
    NaiveBeside,
    bring_in,
    combined,
    norm_squared,
    relative_error,
    term_options,
    train,
    trainer_of,
)

EXACT = 1e-5
WEIGHT = 0.7

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
ADAPTERS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"peft_config": LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)},
}
DROPOUT = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, lora_dropout=0.2)
ADAPTERS["dropout"] = {"peft_config": DROPOUT}
DATA: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (tiny.plain_rows, {}),
    "completion": (tiny.prompt_rows, {"completion_only_loss": True}),
    "chat": (tiny.chat_rows, {"assistant_only_loss": True}),
    "packed": (tiny.plain_rows, {"packing": True}),
    "packed-wrapped": (tiny.plain_rows, {"packing": True, "packing_strategy": "wrapped"}),
}


def check(
    family: str,
    adapter: str,
    data: str,
    *,
    tolerance: float = EXACT,
    options: dict[str, Any] | None = None,
    term: dict[str, Any] | None = None,
    shape: dict[str, Any] | None = None,
) -> None:
    """Trains with and without the term, and compares each step's gradient."""
    rows, needed = DATA[data]
    arguments = {**needed, **ADAPTERS[adapter], **(options or {})}
    model = tiny.model(family, **(shape or {}))
    rows = rows(48)
    without = train(model, rows, **arguments)
    callback = DFTCallback(**term_options(**{"weight": WEIGHT, "credit": 1.0, **(term or {})}))
    beside = NaiveBeside(callback)
    found = train(model, rows, callback, beside, **arguments)
    assert len(found.gradients) == len(without.gradients) == len(beside.expected.gradients) > 0
    for got, cross_entropy, naive in zip(found.gradients, without.gradients, beside.expected.gradients, strict=True):
        share = WEIGHT**2 * norm_squared(naive) / norm_squared(cross_entropy)
        assert share > 0.01**2, "the term is too small beside cross-entropy for an error to show"
        error = relative_error(got, combined(cross_entropy, naive, WEIGHT))
        print(f"{family} {adapter} {data}: relative error {error:.1e}, share {share**0.5:.2f}")
        assert error <= tolerance


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, adapter: str) -> None:
    # A window shorter than the texts: Mistral's own mask must be at work in the term as well.
    check(family, adapter, "plain", shape={"sliding_window": 12} if family == "mistral" else {})


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("data", [name for name in DATA if name != "plain"])
def test_data(data: str, adapter: str) -> None:
    check("llama", adapter, data)


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
def test_a_mixture_of_experts_beside_its_load_balancing_loss(family: str) -> None:
    """TRL turns router logits on, in which rollouts have no part."""
    experts = {"num_local_experts": 4} if family == "mixtral" else {"num_experts": 4, "moe_intermediate_size": 16}
    check(family, "full", "plain", shape={"num_experts_per_tok": 2, "router_aux_loss_coef": 0.5, **experts})


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("adapter", ["full", "lora", "dropout"])
def test_gradient_checkpointing(adapter: str, reentrant: bool) -> None:
    options = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": reentrant}}
    check("llama", adapter, "plain", options=options)


@pytest.mark.parametrize("adapter", ["full", "dropout"])
def test_accumulation(adapter: str) -> None:
    check("qwen2", adapter, "completion", options={"gradient_accumulation_steps": 4})


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_credit_and_temperature(gamma: float) -> None:
    check("llama", "full", "plain", term={"credit": gamma, "calibration": 0.0, "rollout": {"temperature": 0.7}})


def test_tied_head() -> None:
    check("qwen3", "full", "plain", shape={"tied": True})


@pytest.mark.parametrize("accumulation", [1, 2])
def test_running_window(accumulation: int) -> None:
    """Three steps at learning rate 0: the window's accumulators are part of the second and third."""
    options = {"max_steps": 3, "learning_rate": 0.0, "gradient_accumulation_steps": accumulation}
    check("llama", "full", "plain", options=options)


class Thaw(TrainerCallback):
    """Freezes the first layer, and unfreezes it at the second step, as gradual unfreezing does."""

    def on_init_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        model.model.layers[0].requires_grad_(False)

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == 1:
            model.model.layers[0].requires_grad_(True)


def test_parameters_unfrozen_on_the_way_have_the_term_at_its_weight() -> None:
    model, rows, options = tiny.model("llama"), tiny.plain_rows(48), {"max_steps": 2, "learning_rate": 0.0}
    callback = DFTCallback(**term_options(weight=0.2))
    beside = NaiveBeside(callback)
    plain = train(model, rows, Thaw(), **options).gradients[1]
    found = train(model, rows, Thaw(), callback, beside, **options).gradients[1]
    naive = beside.expected.gradients[1]
    thawed = {name for name in naive if name.startswith("model.layers.0.")}
    assert norm_squared({name: naive[name] for name in thawed}) > 0
    for names in (thawed, naive.keys() - thawed):
        got, cross_entropy, term = ({name: part[name] for name in names} for part in (found, plain, naive))
        assert relative_error(got, combined(cross_entropy, term, 0.2)) <= EXACT


def test_parameters_frozen_or_unfrozen_behind_the_callback_are_refused() -> None:
    """The term would train what the other callback freezes (LISA), and leave out what it unfreezes."""
    model, rows, options = tiny.model("llama"), tiny.plain_rows(48), {"max_steps": 2, "learning_rate": 0.0}
    with pytest.raises(
        DistributionTermError, match=r"model\.layers\.0\.self_attn\.q_proj\.weight and 8 param.*put DFTCallback last"
    ):
        train(model, rows, DFTCallback(**term_options(weight=0.2)), Thaw(), **options)
    train(model, rows, DFTCallback(**term_options(weight=0)), Thaw(), **options)  # only measures


@pytest.mark.parametrize("mechanism", ["own", "attached"])
def test_shorter_last_accumulation_of_an_epoch(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 batches in windows of 10, 10 and 4: the term enters each step once, whatever its window."""
    bring_in(mechanism, monkeypatch)
    epoch = {"max_steps": -1, "num_train_epochs": 1, "gradient_accumulation_steps": 10, "learning_rate": 0.0}
    check("llama", "lora", "plain", options=epoch)


@pytest.mark.parametrize("mechanism", ["own", "attached"])
def test_evaluation_between_steps(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is in evaluation mode when a step begins, and evaluation's forward passes carry nothing."""
    bring_in(mechanism, monkeypatch)
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "eval_rows": tiny.plain_rows(4)}
    check("llama", "dropout", "plain", options={"max_steps": 2, "learning_rate": 0.0, **evaluation})


def test_a_schedule_free_optimizers_averaged_weights_are_not_sampled_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an evaluation they lie in the model until the Trainer's training step."""

    class Averaging(torch.optim.SGD):
        averaged = False

        def train(self) -> None:
            self.averaged = False

        def eval(self) -> None:
            self.averaged = True

    found, rollout = [], DistributionTerm.rollout
    monkeypatch.setattr(
        DistributionTerm, "rollout", lambda self, step: found.append(optimizer.averaged) or rollout(self, step)
    )
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "eval_rows": tiny.plain_rows(4)}
    callback, rows = DFTCallback(**term_options(weight=0.2)), tiny.plain_rows(48)
    trainer = trainer_of(tiny.model("llama"), rows, [callback], max_steps=2, **evaluation)
    optimizer = trainer.optimizer = Averaging(trainer.model.parameters(), lr=0.0)
    trainer.train()
    assert optimizer.averaged  # by the last evaluation
    assert found == [False, False]


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", ["full", "lora", "dropout"])
def test_attached_backward(
    adapter: str, checkpointing: bool, accumulation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mechanism that DeepSpeed needs, forced on one process, where it must be as exact."""
    bring_in("attached", monkeypatch)
    options = {
        "gradient_accumulation_steps": accumulation,
        "gradient_checkpointing": checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }
    check("llama", adapter, "plain", options=options)


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_bf16(adapter: str) -> None:
    """Under autocast the tolerance is the reference's own error plus a margin.

    The reference's own error is what bf16 does to cross-entropy's gradient: the same training without the
    callback, in bf16 against float32.
    """
    model, rows = tiny.model("llama"), tiny.plain_rows(48)
    options = ADAPTERS[adapter]
    exact, rounded = train(model, rows, **options), train(model, rows, bf16=True, **options)
    (own_error,) = (relative_error(*pair) for pair in zip(rounded.gradients, exact.gradients, strict=True))
    assert 1e-4 < own_error < 0.1, "autocast is not at work, or the reference is no reference"
    callback = DFTCallback(**term_options(weight=WEIGHT, credit=1.0))
    beside = NaiveBeside(callback)
    found = train(model, rows, callback, beside, bf16=True, **options)
    expected = combined(exact.gradients[0], beside.expected.gradients[0], WEIGHT)
    error = relative_error(found.gradients[0], expected)
    print(f"bf16 {adapter}: relative error {error:.1e}, cross-entropy's own {own_error:.1e}")
    assert error <= 2 * own_error
