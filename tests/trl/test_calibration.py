"""Next-token prediction at the deployment temperature: the host's gradient is cross-entropy's of softmax(z / T)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dft_plugin import DFTCallback
from dft_plugin.calibration import Calibration, prediction_temperature
from dft_plugin.callback import DistributionTermError
from dft_plugin.config import DFTConfig
from dft_plugin.language_model import UnsupportedModelError
from tests import tiny
from tests.training import (
    At,
    Gradient,
    Recorder,
    Stopped,
    bring_in,
    combined,
    norm_squared,
    relative_error,
    stop,
    term_options,
    train,
    trainer_of,
)
from tests.trl.test_gradient import ADAPTERS, DATA, FAMILIES

TEMPERATURE = 0.7
EXACT = 1e-5


def cross_entropy_at(temperature: float) -> Callable[..., Tensor]:
    """Explicitly, from the model's logits, for the Trainer's `compute_loss_func`."""

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs.logits[:, :-1].float() / temperature
        total = functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
        return total / num_items_in_batch

    return loss


def difference(minuend: Gradient, subtrahend: Gradient) -> Gradient:
    return combined(minuend, subtrahend, -1.0)


def check(
    family: str,
    adapter: str,
    data: str,
    *,
    options: dict[str, Any] | None = None,
    term: dict[str, Any] | None = None,
    expected_at: float = TEMPERATURE,
) -> None:
    """What calibration changes in the first step's gradient, beside what the temperature changes in cross-entropy's."""
    rows, needed = DATA[data]
    model, rows = tiny.model(family), rows(48)
    arguments = {**needed, **ADAPTERS[adapter], **(options or {})}
    given = {"weight": 0.3, "rollout": {"temperature": TEMPERATURE}, "statistics": ["token_frequency"], **(term or {})}
    explicit = [
        train(model, rows, compute_loss_func=cross_entropy_at(temperature), loss_type="nll", **arguments).gradients[0]
        for temperature in (expected_at, 1.0)
    ]
    found = [
        train(model, rows, DFTCallback(**term_options(**{**given, "calibration": calibration})), **arguments)
        for calibration in (given.pop("calibration", 1.0), 0.0)
    ]
    expected = difference(*explicit)
    assert norm_squared(expected) > 0.01**2 * norm_squared(explicit[1]), "the temperature changes nothing"
    assert relative_error(difference(*(run.gradients[0] for run in found)), expected) <= EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    check(family, "full", "plain")


@pytest.mark.parametrize("data", ["completion", "chat"])
def test_data(data: str) -> None:
    check("llama", "lora", data)


@pytest.mark.parametrize("mechanism", ["own", "attached"])
def test_gradient_checkpointing_and_accumulation(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With checkpointing the decoder is in training mode in the term's passes too, where nothing may be divided."""
    bring_in(mechanism, monkeypatch)
    checkpointing = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    check("llama", "full", "plain", options={**checkpointing, "gradient_accumulation_steps": 2})


def test_compiled_after_a_run_without() -> None:
    """What the first run compiled has no hook: the second one must not use it."""
    model, rows = tiny.model(), tiny.plain_rows(48)
    compiled = {"torch_compile": True, "torch_compile_backend": "eager"}
    alone = {"statistics": [], "calibration": 1.0, "rollout": {"temperature": TEMPERATURE}}

    def gradient(*callbacks: DFTCallback, **options: Any) -> Gradient:
        found = train(model, rows, *callbacks, **options).gradients[0]
        return {name.removeprefix("_orig_mod."): entry for name, entry in found.items()}

    plain = gradient(**compiled)
    expected = gradient(DFTCallback(**alone))
    assert relative_error(expected, plain) > 0.05, "the temperature changes nothing"
    assert relative_error(gradient(DFTCallback(**alone), **compiled), expected) <= EXACT


def test_a_training_pass_that_goes_another_way_is_told_of() -> None:
    model = tiny.model().train()
    calibration = Calibration(model, TEMPERATURE)
    calibration.check_acted()  # it is not in effect
    calibration.share = 1.0
    with pytest.raises(DistributionTermError, match=r"temperature 0\.7, and no training pass"):
        calibration.check_acted()
    calibration.acting = True
    model(input_ids=torch.tensor([[1, 2, 3]]))
    calibration.check_acted()
    calibration.remove()


def test_a_run_whose_passes_go_another_way_ends() -> None:
    callback = DFTCallback(statistics=[], rollout={"temperature": TEMPERATURE})
    away = At(0, lambda state, kwargs: callback.calibration and callback.calibration.remove())
    with pytest.raises(DistributionTermError, match="no training pass went through the model's decoder"):
        train(tiny.model(), tiny.plain_rows(24), callback, away)


def test_part_of_the_way() -> None:
    check("llama", "full", "plain", term={"calibration": 0.5}, expected_at=TEMPERATURE**0.5)


def test_before_the_term_acts() -> None:
    """It slows nothing down, so it does not wait for `start_step`, nor for the warm-up."""
    check("llama", "full", "plain", term={"start_step": 1, "warmup_steps": 4}, options={"max_steps": 2})


@pytest.mark.parametrize("data", ["plain", "completion"])
def test_alone(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is matched: every step is cross-entropy's at T and nothing more, and no text is drawn."""
    rows, needed = DATA[data]
    model, rows = tiny.model("llama"), rows(48)
    options = {**needed, "max_steps": 3, "learning_rate": 0.01}
    expected = train(model, rows, compute_loss_func=cross_entropy_at(TEMPERATURE), loss_type="nll", **options)
    plain = train(model, rows, loss_type="nll", **options)
    callback = DFTCallback(statistics=[], calibration=1, rollout={"temperature": TEMPERATURE})
    found = train(model, rows, callback, **options)
    assert len(found.gradients) == len(expected.gradients) == 3
    for step in range(3):
        assert relative_error(found.gradients[step], expected.gradients[step]) <= EXACT * 10**step
        assert relative_error(plain.gradients[step], expected.gradients[step]) > 0.01
    assert callback.term is None
    trained, tokens = found.trainer.model, torch.tensor([tiny.tokenizer()("once upon a time")["input_ids"]])
    assert torch.equal(trained.train()(input_ids=tokens).logits, trained.eval()(input_ids=tokens).logits), "undone"
    assert not any(key.startswith("dft/") for line in found.logs for key in line)
    said = "dft: nothing is matched (statistics: []): next-token prediction at 0.7, and no rollouts\n"
    assert said in capsys.readouterr().err


def test_alone_with_a_head_that_it_cannot_divide() -> None:
    model = tiny.model("llama")
    model.config.final_logit_softcapping = 30.0
    callback = DFTCallback(statistics=[], rollout={"temperature": TEMPERATURE})
    with pytest.raises(DistributionTermError, match=r"bias or soft-capping\. The run would be plain SFT"):
        train(model, tiny.plain_rows(8), callback)


def test_alone_with_a_head_that_no_configuration_tells_of() -> None:
    model = tiny.model("llama")
    model.lm_head.register_forward_hook(lambda module, args, output: 5 * torch.tanh(output / 5))
    with pytest.raises(UnsupportedModelError, match="computes logits that decoder and head do not give"):
        train(model, tiny.plain_rows(8), DFTCallback(statistics=[], rollout={"temperature": TEMPERATURE}))


def test_alone_under_a_bound_on_held_out_loss() -> None:
    """Calibration is what the bound holds back there: at half of the exponent after an evaluation that is too high."""
    model, rows = tiny.model("llama"), tiny.plain_rows(48)
    callback = DFTCallback(statistics=[], calibration=1, loss_bound=0.1, rollout={"temperature": TEMPERATURE})
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "eval_rows": tiny.plain_rows(4)}
    shares: list[float] = []

    def worsen(state: Any, kwargs: Any) -> None:
        assert callback.guard.loss_bound is not None
        assert callback.calibration is not None
        callback.guard.loss_bound.lowest = 0.1
        shares.append(callback.calibration.share)

    train(model, rows, callback, At(1, worsen), At(2, worsen), max_steps=3, **evaluation)
    assert shares == [1.0, 0.5]


def test_nothing_else_is_touched() -> None:
    """Evaluation is at temperature 1, a temperature of 1 is no calibration, and the model is left as it was."""
    model, rows = tiny.model("llama"), tiny.plain_rows(48)
    evaluation = {"eval_strategy": "steps", "eval_steps": 1, "learning_rate": 0.0, "eval_rows": tiny.plain_rows(4)}
    plain = train(model, rows, **evaluation)
    callback = DFTCallback(**term_options(weight=0.3, rollout={"temperature": TEMPERATURE}))
    calibrated = train(model, rows, callback, **evaluation)
    losses = [[line["eval_loss"] for line in run.logs if "eval_loss" in line] for run in (plain, calibrated)]
    assert losses[0]
    assert losses[0] == losses[1]
    tokens = torch.tensor([tiny.tokenizer()("once upon a time")["input_ids"]])
    trained = calibrated.trainer.model.train()
    assert torch.equal(trained(input_ids=tokens).logits, plain.trainer.model.train()(input_ids=tokens).logits)
    ones = [train(model, rows, DFTCallback(**term_options(weight=0.3, calibration=share))) for share in (0.0, 1.0)]
    assert all(torch.equal(ones[0].weights[name], ones[1].weights[name]) for name in ones[0].weights)


@pytest.mark.parametrize("next_options", [None, {"calibration": 0.0, "weight": 0}, {}], ids=["plain", "off", "again"])
def test_an_interrupted_run_leaves_nothing_to_the_next(next_options: dict[str, Any] | None) -> None:
    """Its hook is still there, on the model object that the next run trains."""
    options = term_options(weight=0.3, rollout={"temperature": TEMPERATURE})
    rows, settings = tiny.plain_rows(48), {"max_steps": 3, "learning_rate": 0.0}

    def losses(interrupted: bool) -> list[float]:
        trainer = trainer_of(tiny.model("llama"), rows, [DFTCallback(**options), At(1, stop)], **settings)
        if interrupted:
            with pytest.raises(Stopped):
                trainer.train()
        callbacks = [] if next_options is None else [DFTCallback(**{**options, **next_options})]
        following = trainer_of(tiny.model("llama"), rows, callbacks, **settings)
        following.model = following.model_wrapped = trainer.model
        following.train()
        return [line["loss"] for line in following.state.log_history if "loss" in line]

    assert losses(interrupted=True) == losses(interrupted=False)


@pytest.mark.parametrize("mechanism", ["own", "attached"])
def test_training_on_without_the_callback_after_an_interruption(
    mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer is the same, hooks and all; what was to be attached at the step that was stopped is not."""
    bring_in(mechanism, monkeypatch)
    rows, settings = tiny.plain_rows(48), {"max_steps": 2, "learning_rate": 0.0}
    plain = train(tiny.model("llama"), rows, **settings)
    recorder = Recorder()
    callback = DFTCallback(**term_options(weight=0.3, rollout={"temperature": TEMPERATURE}))
    stopping = At(1, stop)
    trainer = trainer_of(tiny.model("llama"), rows, [callback, stopping, recorder], **settings)
    with pytest.raises(Stopped):
        trainer.train()
    for entry in (callback, stopping):
        trainer.remove_callback(entry)
    recorder.gradients.clear()
    trainer.train()
    assert len(recorder.gradients) == 2
    for found, expected in zip(recorder.gradients, plain.gradients, strict=True):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_human_text_is_scored_at_the_temperature_of_next_token_prediction() -> None:
    """The entropy statistic's human side: the surprisal under softmax(z / T), computed from the model's logits."""
    model, rows = tiny.model("llama"), tiny.plain_rows(48)
    callback = DFTCallback(
        **term_options(weight=0.3, statistics=["entropy"], calibration=1, rollout={"temperature": TEMPERATURE})
    )
    measured: list[tuple[float, float]] = []

    def score(state: Any, kwargs: Any) -> None:
        term = callback.term
        assert term is not None
        surprisal, count = 0.0, 0
        for window in term.human_text.scored:
            with torch.no_grad():
                logits = kwargs["model"].eval()(input_ids=torch.tensor([window.tokens])).logits[0] / TEMPERATURE
            law = torch.log_softmax(logits.double(), dim=-1)
            for position in range(window.first, len(window.tokens)):
                surprisal -= float(law[position - 1, window.tokens[position]])
                count += 1
        total, rows = term.human.tolist()
        measured.append((total / rows, surprisal / count))

    train(model, rows, At(0, score), callback)
    ((found, expected),) = measured
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_head_that_is_not_linear_is_left_alone() -> None:
    model, config = tiny.model("llama"), DFTConfig.model_validate({"rollout": {"temperature": TEMPERATURE}})
    assert prediction_temperature(config, model) == config.prediction_temperature < 1
    model.config.final_logit_softcapping = 30.0
    assert prediction_temperature(config, model) == 1
    biased = tiny.model("llama")
    biased.lm_head = torch.nn.Linear(32, tiny.VOCABULARY, bias=True)
    assert prediction_temperature(config, biased) == 1


def test_temperature_of_next_token_prediction() -> None:
    def at(**options: Any) -> float:
        return DFTConfig.model_validate({"rollout": {"temperature": 0.5}, **options}).prediction_temperature

    assert at(calibration=1) == 0.5
    assert at(calibration=0.5) == pytest.approx(0.5**0.5)
    assert at() == pytest.approx(0.5**0.85)
    assert at(calibration=0) == at(weight=0) == DFTConfig().prediction_temperature == 1.0
