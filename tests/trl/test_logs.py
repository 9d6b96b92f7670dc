"""What the trainer's own log line says, and who gets it; the weight that `auto` chooses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from dft_plugin import DFTCallback
from dft_plugin.automatic_weight import CROSS_ENTROPY_MEMORY
from dft_plugin.gradients import finite, gradients_of
from tests import tiny
from tests.training import At, Stopped, combined, norm_squared, stop, term_options, train, trainer_of

ROWS = tiny.plain_rows(64)


class Reporter(TrainerCallback):
    """Stands where TensorBoard's stands: among the reporters, before the user's callbacks."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.lines.append(dict(logs))


def test_log_lines_of_history_and_reporters() -> None:
    callback = DFTCallback(**term_options(weight=0.5, sample_every=2, statistics=["token_frequency", "novelty"]))
    reporter = Reporter()
    trainer = trainer_of(tiny.model("llama"), ROWS, [callback], max_steps=3)
    trainer.callback_handler.callbacks.insert(1, reporter)
    trainer.train()
    for lines in (trainer.state.log_history, reporter.lines):
        for line in lines[:3]:
            for name in ("token_frequency", "novelty"):
                assert line[f"dft/distance/{name}"] > 0
                assert line[f"dft/floor_ratio/{name}"] > 0
            assert line["dft/weight"] == 0.5
            assert line["dft/gradient_ratio"] > 0
            assert 0 < line["dft/rollout_seconds"] < line["dft/step_seconds"]
            assert line["dft/loss"] > 0
        for index in (1, 2, 3):
            assert " >>> " in lines[0][f"dft/sample_{index}"]
            assert f"dft/sample_{index}" not in lines[1]
            assert f"dft/sample_{index}" in lines[2]


def test_a_line_over_several_steps_is_their_mean() -> None:
    one = train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.5)), max_steps=4)
    two = train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.5)), max_steps=4, logging_steps=2)
    for key in ("dft/loss", "dft/distance/entropy", "dft/gradient_ratio"):
        each = [line[key] for line in one.logs[:4]]
        assert [line[key] for line in two.logs[:2]] == pytest.approx([sum(each[:2]) / 2, sum(each[2:]) / 2])


def test_the_line_that_ends_the_run_holds_what_no_other_did() -> None:
    """Lines come less often than the run is long; evaluations, which come between, take nothing."""
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "eval_rows": ROWS[:4]}
    each = train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.5)), max_steps=3, **evaluation)
    one = train(
        tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.5)), max_steps=3, logging_steps=10, **evaluation
    )
    lines = [line for line in one.logs if "dft/loss" in line]
    assert len(lines) == 1
    assert "train_loss" in lines[0]
    for key in ("dft/loss", "dft/distance/entropy", "dft/gradient_ratio"):
        steps = [line[key] for line in each.logs if "loss" in line]
        assert lines[0][key] == pytest.approx(sum(steps) / 3)
    assert not any(key.startswith("dft/") for key in each.logs[-1])


def test_a_run_logs_its_own_numbers_alone() -> None:
    """An interrupted run has measured what it did not log."""
    stopping = At(3, stop)
    callback = DFTCallback(**term_options(weight=0.5, start_step=2))
    trainer = trainer_of(tiny.model("llama"), ROWS, [callback, stopping], max_steps=4, logging_steps=2)
    with pytest.raises(Stopped):
        trainer.train()
    trainer.remove_callback(stopping)
    trainer.train()
    assert ["dft/loss" in line for line in trainer.state.log_history if "loss" in line] == [False, True]


def test_interval_start_end_and_warmup() -> None:
    settings = term_options(weight=0.8, start_step=1, end_step=6, warmup_steps=4, rollout={"interval": 2})
    callback = DFTCallback(**settings)
    found = train(tiny.model("llama"), ROWS, callback, max_steps=8)
    weights = [line.get("dft/weight") for line in found.logs[:8]]
    assert weights == [None, pytest.approx(0.2), None, pytest.approx(0.6), None, pytest.approx(0.8), None, None]
    assert callback.progress.acted == 3


def test_shares_of_the_run() -> None:
    callback = DFTCallback(**term_options(weight=0.8, start_step=0.5, end_step=0.9, warmup_steps=0.3))
    found = train(tiny.model("llama"), ROWS, callback, max_steps=7)
    weights = [line.get("dft/weight") for line in found.logs[:7]]
    assert weights == [None, None, None, pytest.approx(0.4), pytest.approx(0.8), pytest.approx(0.8), None]


def test_before_the_start_training_is_plain() -> None:
    """To the last bit: the loss of a step is that of the weights before it."""
    plain = train(tiny.model("llama"), ROWS, max_steps=4)
    late = train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.8, start_step=2)), max_steps=4)
    losses = [[line["loss"] for line in run.logs if "loss" in line] for run in (plain, late)]
    assert losses[0][:3] == losses[1][:3]
    assert losses[0][3] != losses[1][3]


@pytest.mark.parametrize(
    ("clipped", "interval", "fade"),
    [(False, 1, 2.0), (True, 1, 2.0), (False, 2, 2.0), (False, 1, 1.0), (False, 1, 0.0)],
)
def test_auto_holds_the_stated_fraction(clipped: bool, interval: int, fade: float) -> None:
    """||term|| = fraction x interval x strength^fade x running norm of cross-entropy's, norms from whole gradients."""
    fraction = 0.25
    auto = {"weight": "auto", "gradient_fraction": fraction, "fade": fade}
    callback = DFTCallback(**term_options(**auto, rollout={"interval": interval}))
    # At learning rate 0 plain SFT's gradients are those of the run with the term.
    options = {"max_steps": 5, "learning_rate": 0.0, "gradient_accumulation_steps": 2}
    plain = train(tiny.model("llama"), ROWS, **options)
    found = train(tiny.model("llama"), ROWS, callback, **{**options, "max_grad_norm": 0.01 if clipped else 1e9})
    norms = [norm_squared(gradient) ** 0.5 for gradient in plain.gradients]
    running = norms[0]
    assert found.logs[0]["dft/weight"] == 0
    for step in range(1, 5):
        line, acts = found.logs[step], step % interval == 0
        assert ("dft/strength" in line) == acts
        assert not acts or 0 < line["dft/strength"] < 1
        wanted = fraction * interval * line["dft/strength"] ** fade * running if acts else 0.0
        if not clipped:  # the recorded gradient is the one after clipping
            own = norm_squared(combined(found.gradients[step], plain.gradients[step], -1.0)) ** 0.5
            assert own == pytest.approx(wanted, rel=1e-4)
        assert line.get("dft/gradient_ratio", 0.0) == pytest.approx(wanted / norms[step], rel=1e-4)
        running = CROSS_ENTROPY_MEMORY * running + (1 - CROSS_ENTROPY_MEMORY) * norms[step]
    assert callback.backward.cross_entropy_norm == pytest.approx(running, rel=1e-4)


def test_auto_without_clipping() -> None:
    """max_grad_norm 0 means no clipping; the norms must be measured all the same."""
    callback = DFTCallback(**term_options(weight="auto"))
    found = train(tiny.model("llama"), ROWS, callback, max_steps=3, max_grad_norm=0.0)
    assert [line["dft/weight"] > 0 for line in found.logs[:3]] == [False, True, True]


def test_snapshot_is_exact_for_small_models_and_close_for_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from dft_plugin import gradients

    model = tiny.model("llama")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    parameters = gradients.trainable(model)
    exact = norm_squared({str(index): parameter.grad for index, parameter in enumerate(parameters)}) ** 0.5
    snapshot = gradients.GradientSnapshot(parameters)
    assert snapshot.stride == 1
    assert snapshot.norm(snapshot.take()) == pytest.approx(exact, rel=1e-6)
    assert snapshot.norm(snapshot.take(scale=4.0)) == pytest.approx(exact / 4, rel=1e-6)
    monkeypatch.setattr(gradients, "SAMPLED_ENTRIES", 4096)
    sampled = gradients.GradientSnapshot(parameters)
    assert sampled.stride > 4
    assert sampled.norm(sampled.take()) == pytest.approx(exact, rel=0.05)
    whole, parameters[0].grad = sampled.take(), None  # as of a parameter that no text has reached
    kept = -(-parameters[0].numel() // sampled.stride)
    assert torch.equal(sampled.take(), torch.cat([torch.zeros(kept), whole[kept:]]))


@pytest.mark.parametrize("entry", [float("inf"), -float("inf"), float("nan")])
def test_one_entry_that_is_not_finite_is_seen(entry: float) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
    assert finite(gradients_of(parameters))  # where nothing has a gradient yet
    parameters[0].grad, parameters[2].grad = torch.ones(3), torch.ones(3)
    assert finite(gradients_of(parameters))
    parameters[2].grad[1] = entry
    assert not finite(gradients_of(parameters))
