"""The guards in real runs: the divergence's gradient, resumed runs, weight 0, the weight lowered by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import nn
from transformers import AutoModelForCausalLM, TrainerCallback

from dft_plugin import DFTCallback
from dft_plugin.starting_model import AdaptersOff, Kept, StartingModelError, starting_model
from tests import naive, tiny
from tests.training import (
    At,
    Gradient,
    bring_in,
    combined,
    norm_squared,
    relative_error,
    term_options,
    train,
    trainer_of,
)

EXACT = 1e-5
WEIGHT, KL_WEIGHT = 0.7, 3.0
ROWS = tiny.plain_rows(64)
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", lora_dropout=0.1)
EFFECTIVE = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
WITH_HEAD = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", modules_to_save=["lm_head"])


def evaluations(trainer: Any, losses: Mapping[int, float]) -> None:
    """The trainer's evaluations find these losses, by optimizer step."""
    original = trainer.evaluation_loop

    def evaluation_loop(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.metrics["eval_loss"] = losses[trainer.state.global_step]
        return output

    trainer.evaluation_loop = evaluation_loop


ADAPTERS: dict[str, tuple[dict[str, Any], type]] = {
    "full": ({}, Kept),
    "lora": ({"peft_config": LORA}, AdaptersOff),
    "head": ({"peft_config": WITH_HEAD}, AdaptersOff),
    "effective": ({"peft_config": EFFECTIVE}, Kept),
}


class KLBeside(TrainerCallback):
    """At each acting step the divergence by its definition, from a whole copy of the starting model."""

    def __init__(self, callback: DFTCallback) -> None:
        self.callback = callback
        self.gradients: list[Gradient] = []
        self.values: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        import copy

        term = self.callback.term
        assert term is not None
        model, original = kwargs["model"], term.evaluate
        frozen = copy.deepcopy(model)

        def evaluate(texts: Any, step: int) -> Any:
            evaluation = original(texts, step)
            trained = {name: entry for name, entry in model.named_parameters() if entry.requires_grad}
            total = torch.zeros((), dtype=torch.float64)
            with naive.deterministic(model), naive.deterministic(frozen):
                for text in naive.read(texts):
                    live, _ = naive.laws(model, text, 1.0)
                    with torch.no_grad():
                        start, _ = naive.laws(frozen, text, 1.0)
                    total = total + (live.exp() * (live - start)).sum(-1).mean() / len(texts)
            found = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
            self.gradients.append(
                {
                    name: torch.zeros_like(trained[name]) if entry is None else entry
                    for name, entry in zip(trained, found, strict=True)
                }
            )
            self.values.append(float(total.detach()))
            return evaluation

        term.evaluate = evaluate  # type: ignore[method-assign]


def disturb(state: Any, kwargs: Any) -> None:
    """Moves the live model away from where it began, by the same amount in every run."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in kwargs["model"].parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def run(model: nn.Module, kl_weight: float, **options: Any) -> tuple[Any, KLBeside, DFTCallback]:
    callback = DFTCallback(**term_options(weight=WEIGHT, kl_weight=kl_weight))
    beside = KLBeside(callback)
    settings = {"max_steps": 2, "learning_rate": 0.0, **options}
    # Before the callback's own on_step_begin, but after its on_train_begin.
    return train(model, ROWS, At(0, disturb), callback, beside, **settings), beside, callback


@pytest.mark.parametrize("mechanism", ["own", "attached"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_gradient_of_the_divergence(adapter: str, mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step's gradient with the divergence less that without it is weight x kl_weight x its gradient."""
    bring_in(mechanism, monkeypatch)
    options, kind = ADAPTERS[adapter]
    options = {**options, "gradient_checkpointing": True} if adapter == "lora" else options
    model = tiny.model("llama")
    without, _, _ = run(model, 0.0, **options)
    found, beside, callback = run(model, KL_WEIGHT, **options)
    assert type(callback.guard.drift.start) is kind
    for step in range(2):
        share = KL_WEIGHT * WEIGHT * norm_squared(beside.gradients[step]) ** 0.5
        assert share > 0.02 * norm_squared(without.gradients[step]) ** 0.5, "too small for an error to show"
        expected = combined(without.gradients[step], beside.gradients[step], WEIGHT * KL_WEIGHT)
        error = relative_error(found.gradients[step], expected)
        print(f"{adapter} {mechanism}: relative error {error:.1e}, KL {beside.values[step]:.3f}")
        assert error <= EXACT
        assert found.logs[step]["dft/kl"] == pytest.approx(beside.values[step], rel=1e-4)
        assert "dft/kl" not in without.logs[step]


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_gradient_under_autocast(adapter: str) -> None:
    """The rounded copies of live weights that autocast keeps must not stand in for the starting ones.

    The tolerance is bf16's own error, which is that of the whole step's gradient without the divergence, plus a margin.
    """
    model, options = tiny.model("llama"), ADAPTERS[adapter][0]
    exact = train(model, ROWS, **options)
    rounded = train(model, ROWS, bf16=True, **options)
    own_error = relative_error(rounded.gradients[0], exact.gradients[0])
    without, _, _ = run(model, 0.0, bf16=True, **options)
    found, beside, _ = run(model, KL_WEIGHT, bf16=True, **options)
    part = combined(found.gradients[0], without.gradients[0], -1.0)
    error = relative_error(part, {name: WEIGHT * KL_WEIGHT * entry for name, entry in beside.gradients[0].items()})
    print(f"bf16 {adapter}: relative error {error:.1e} of the divergence's gradient, {own_error:.1e} without it")
    assert found.logs[0]["dft/kl"] == pytest.approx(beside.values[0], rel=0.1)
    assert error <= 4 * own_error


@pytest.mark.parametrize("adapter", ["full", "lora", "effective"])
def test_it_begins_at_no_divergence_and_the_guard_slows_it(adapter: str) -> None:
    options = {"max_steps": 6, "learning_rate": 1e-2, **ADAPTERS[adapter][0]}
    last = []
    for kl_weight in (1e-6, 100.0):
        settings = term_options(weight=2.0, kl_weight=kl_weight, statistics=["token_frequency"])
        found = train(tiny.model("llama"), ROWS, DFTCallback(**settings), **options)
        assert found.logs[0]["dft/kl"] == pytest.approx(0, abs=1e-6)
        last.append(found.logs[5]["dft/kl"])
    print(f"{adapter}: KL after 5 steps {last[0]:.3f}, with the guard {last[1]:.3f}")
    assert 0 < last[1] < last[0]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_weight_zero_is_plain_sft_and_still_measures(adapter: str) -> None:
    options = {"max_steps": 3, **ADAPTERS[adapter][0], "eval_strategy": "steps", "eval_steps": 1, "eval_rows": ROWS[:4]}
    model = tiny.model("llama", attention_dropout=0.1)
    plain = train(model, ROWS, **options)
    callback = DFTCallback(**term_options(weight=0, kl_weight=1.0, loss_bound=0.01))
    measured = train(model, ROWS, callback, **options)
    assert all(torch.equal(plain.weights[name], measured.weights[name]) for name in plain.weights)
    lines = [line for line in measured.logs if "dft/loss" in line]
    assert lines[0]["dft/kl"] == pytest.approx(0, abs=1e-6)
    assert lines[2]["dft/kl"] > 0


def test_what_is_only_measured_is_the_divergence() -> None:
    callback = DFTCallback(**term_options(weight=0, kl_weight=1.0))
    beside = KLBeside(callback)
    found = train(tiny.model("llama"), ROWS, At(0, disturb), callback, beside, max_steps=2, learning_rate=0.0)
    measured = [line["dft/kl"] for line in found.logs if "dft/kl" in line]
    assert measured == pytest.approx(beside.values, rel=1e-4)
    assert min(measured) > 0.01


# ---- resumed runs --------------------------------------------------------------------------------------

STEPS, HALFWAY = 6, 3


def resumable(model: nn.Module, folder: Path, *, resume: bool, **options: Any) -> Any:
    guards = {"kl_weight": 2.0, "loss_bound": 0.1}
    settings = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "save_strategy": "steps",
        "save_steps": HALFWAY,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_on_start": True,
        "learning_rate": 2e-2,
        "eval_rows": ROWS[:4],
        **options,
    }
    trainer = trainer_of(model, ROWS, [DFTCallback(**term_options(weight="auto", **guards))], **settings)
    # Held-out loss that moves the factor before and after the checkpoint; only the resumed run evaluates at step 3.
    evaluations(trainer, {0: 2.0, 2: 3.0, HALFWAY: 9.0, 4: 3.0, 6: 2.0})
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{HALFWAY}") if resume else None)
    return trainer


def saved(folder: Path) -> nn.Module:
    """A model as a user has it: loaded from a folder."""
    tiny.model("llama").save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("restoring", [False, True])
@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_resumed_run_is_the_uninterrupted_one(adapter: str, restoring: bool, tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    options = {**ADAPTERS[adapter][0], "restore_callback_states_from_checkpoint": restoring}
    whole = resumable(model, tmp_path / "run", resume=False, **options)
    resumed = resumable(model, tmp_path / "run", resume=True, **options)
    mine, theirs = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for key in ("dft/kl", "dft/weight", "dft/weight_factor", "dft/gradient_ratio"):
        lines = [
            [line.get(key) for line in trainer.state.log_history if "loss" in line] for trainer in (whole, resumed)
        ]
        assert lines[0][HALFWAY:] == lines[1][HALFWAY:]
        assert None not in lines[0][1:]
    factors = [line["dft/weight_factor"] for line in whole.state.log_history if "dft/weight_factor" in line]
    assert factors == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_resumed_run_that_cannot_find_its_start_is_refused(tmp_path: Path) -> None:
    model = tiny.model("llama")  # made in memory: nowhere to load it from
    resumable(model, tmp_path / "run", resume=False)
    with pytest.raises(StartingModelError, match=r"made in memory.*or without kl_weight"):
        resumable(model, tmp_path / "run", resume=True)


def test_another_model_in_the_folder_is_refused(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    record = starting_model(model, resumed=False).record()
    assert starting_model(model, True, record).record() == record
    tiny.model("llama", seed=1).save_pretrained(tmp_path / "model")
    with pytest.raises(StartingModelError, match="does not hold the weights that training began with"):
        starting_model(model, True, record)
    model.config._name_or_path = str(tmp_path / "nothing")
    with pytest.raises(StartingModelError, match="cannot be loaded"):
        starting_model(model, True, record)


def test_what_peft_freezes_stays_frozen() -> None:
    trainer = trainer_of(tiny.model("llama"), ROWS, peft_config=LORA)
    frozen = [entry for name, entry in trainer.model.named_parameters() if "layers.0" in name and "lora_" in name]
    for parameter in frozen:
        parameter.requires_grad_(False)
    start = starting_model(trainer.model, resumed=False)
    assert type(start) is AdaptersOff
    with start.in_place():
        pass
    assert frozen
    assert not any(parameter.requires_grad for parameter in frozen)


# ---- the weight lowered by itself ----------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.8, "auto"])
def test_the_weight_follows_the_held_out_loss(weight: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def found(**options: Any) -> list[dict[str, Any]]:
        callback = DFTCallback(**term_options(weight=weight, **options))
        settings = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "eval_rows": ROWS[:4]}
        trainer = trainer_of(tiny.model("llama"), ROWS, [callback], max_steps=5, learning_rate=0.0, **settings)
        evaluations(trainer, dict(enumerate([2.0, 2.2, 2.2, 2.0, 2.0, 2.0])))
        trainer.train()
        return [line for line in trainer.state.log_history if "dft/loss" in line]

    free, bound = found(), found(loss_bound=0.05)
    factors = [1.0, 0.5, 0.25, 0.5, 1.0]
    assert [line["dft/weight_factor"] for line in bound] == factors
    assert not any("dft/weight_factor" in line for line in free)
    for without, line, factor in zip(free, bound, factors, strict=True):
        assert line["dft/weight"] == pytest.approx(factor * without["dft/weight"])
        if without["dft/weight"] > 0:
            assert line["dft/gradient_ratio"] == pytest.approx(factor * without["dft/gradient_ratio"], rel=1e-4)
    said = [line for line in capsys.readouterr().err.splitlines() if "the term's weight is" in line]
    assert [line.split(":")[1] for line in said] == [" step 1", " step 2", " step 3", " step 4"]


def test_another_trainers_losses_bind_nothing() -> None:
    """Training on with the same trainer goes on from them."""
    callback = DFTCallback(**term_options(weight=0.8, loss_bound=0.05))
    settings = {"eval_strategy": "steps", "eval_steps": 1, "eval_rows": ROWS[:4], "max_steps": 3}

    def factors(trainer: Any, loss: float) -> list[float]:
        evaluations(trainer, dict.fromkeys(range(4), loss))
        trainer.train()
        return [line["dft/weight_factor"] for line in trainer.state.log_history if "dft/weight_factor" in line]

    first, second = (trainer_of(tiny.model("llama"), ROWS, [callback], **settings) for _ in range(2))
    assert factors(first, 2.0) == [1.0, 1.0, 1.0]
    assert factors(first, 4.0) == [1.0, 0.5, 0.25]
    assert factors(second, 4.0) == [1.0, 1.0, 1.0]


def test_guards_off_keep_nothing() -> None:
    callback = DFTCallback(**term_options(weight=0.5))
    found = train(tiny.model("llama"), ROWS, callback)
    assert callback.state()["attributes"]["guards"] == {}
    assert not {"dft/kl", "dft/weight_factor"} & set(found.logs[0])
