"""What cannot work is refused before the first step; what goes wrong later is counted, and ends the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from peft import PromptTuningConfig, TaskType
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.training_args import OptimizerNames
from trl import SFTTrainer

from dft_plugin import DFTCallback
from dft_plugin.config import parse
from dft_plugin.host import UnsupportedRunError
from dft_plugin.language_model import UnsupportedModelError
from dft_plugin.progress import MOST_SKIPPED_IN_A_ROW, DistributionTermError, Progress
from dft_plugin.reference import HumanReferenceError
from dft_plugin.rollout import RolloutEngine
from dft_plugin.statistics.base import NoOptions, Statistic
from dft_plugin.supported_runs import _other_trainer, check_supported
from dft_plugin.term import DistributionTerm
from dft_plugin.terms import Counts, Entropy, Term
from dft_plugin.texts import Texts
from tests import tiny
from tests.training import At, registered, term_options, train, trainer_of

ROWS = tiny.plain_rows(64)


def refused(callbacks: Any, rows: Any = ROWS, model: Any = None, **options: Any) -> str:
    """The message of the error before the first step."""
    stepped: list[int] = []
    first = At(0, lambda state, kwargs: stepped.append(1))
    with pytest.raises((UnsupportedRunError, HumanReferenceError, ValueError)) as caught:
        train(model or tiny.model("llama"), rows, *callbacks, first, max_steps=3, **options)
    assert not stepped
    return str(caught.value)


def test_label_smoothing() -> None:
    message = refused([DFTCallback(**term_options())], label_smoothing_factor=0.1)
    assert "label_smoothing_factor is 0.1" in message
    assert "set it to 0" in message


def test_compute_loss_func() -> None:
    trainer = trainer_of(tiny.model("llama"), ROWS, [DFTCallback(**term_options())])
    trainer.compute_loss_func = lambda outputs, labels, num_items_in_batch=None: outputs.loss
    with pytest.raises(UnsupportedRunError, match=r"compute_loss_func is given.*leave compute_loss_func out"):
        trainer.train()


def test_a_trainer_without_a_tokenizer() -> None:
    trainer = trainer_of(tiny.model("llama"), ROWS, [DFTCallback(**term_options())])
    trainer.processing_class = trainer.callback_handler.processing_class = None
    with pytest.raises(UnsupportedRunError, match=r"no tokenizer.*processing_class=tokenizer"):
        trainer.train()


def test_two_callbacks() -> None:
    assert "2 DFTCallbacks" in refused([DFTCallback(**term_options()), DFTCallback(**term_options())])


def test_start_step_beyond_the_run() -> None:
    message = refused([DFTCallback(**term_options(start_step=3))])
    assert "start_step is 3 and training has 3 steps" in message


@pytest.mark.parametrize("optimizer", ["adalomo", "galore_adamw_layerwise"])
def test_an_optimizer_that_steps_inside_the_backward_pass(optimizer: str) -> None:
    trainer = trainer_of(tiny.model("llama"), ROWS, [DFTCallback(**term_options())])
    trainer.args.optim, given = OptimizerNames(optimizer), trainer.args.optim
    with pytest.raises(UnsupportedRunError, match=rf"optim is {optimizer}, which steps inside the backward pass"):
        check_supported(trainer, trainer.state, DFTCallback(**term_options()).config)
    trainer.args.optim = given
    trainer.state.max_steps = 3
    check_supported(trainer, trainer.state, DFTCallback(**term_options()).config)


def test_one_process_with_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Trainer would spread its batches over them by nn.DataParallel, with which nothing was ever run."""
    trainer = trainer_of(tiny.model("llama"), ROWS)
    monkeypatch.setattr(type(trainer.args), "n_gpu", 2)
    with pytest.raises(UnsupportedRunError, match="one process has 2 GPUs"):
        check_supported(trainer, trainer.state, DFTCallback(**term_options()).config)


@pytest.mark.parametrize(
    ("name", "base", "refused"),
    [
        ("AxolotlTrainer", object, False),
        ("AxolotlMambaTrainer", object, False),
        ("AxolotlKDTrainer", object, True),
        ("DiffusionTrainer", object, True),
        ("MySFTTrainer", SFTTrainer, False),
    ],
)
def test_trainers_of_axolotl_and_ones_own(name: str, base: type, refused: bool) -> None:
    of_axolotl = {} if base is SFTTrainer else {"__module__": "axolotl.core.trainers"}
    kind: Any = type(name, (base,), of_axolotl)
    assert (_other_trainer(kind.__new__(kind)) == name) == refused


def test_one_text_at_a_step() -> None:
    message = refused([DFTCallback(**term_options(rollout={"batch_size": 1}))])
    assert "rollout.batch_size is 1 on one process" in message


@pytest.mark.parametrize("options", [{}, {"statistics": [], "rollout": {"temperature": 0.7}}])
def test_a_trainer_of_another_loss(options: dict[str, Any], tmp_path: Path) -> None:
    """DPO's margins would be taken at two temperatures, and the term would act beside them."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [{"prompt": "Once", "chosen": " upon a time.", "rejected": " more."}] * 8
    trainer = DPOTrainer(
        tiny.model("llama"),
        ref_model=tiny.model("llama"),
        args=DPOConfig(str(tmp_path), max_steps=1, use_cpu=True, bf16=False, report_to=[], disable_tqdm=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny.tokenizer(),
        callbacks=[DFTCallback(**options)],
    )
    with pytest.raises(UnsupportedRunError, match=r"the trainer is a DPOTrainer.*use SFTTrainer"):
        trainer.train()


def test_model_without_language_modelling_head() -> None:
    from transformers import Trainer, TrainingArguments

    class Regression(nn.Module):
        """A decoder with a head of its own making."""

        def __init__(self) -> None:
            super().__init__()
            self.decoder = tiny.model("llama").model
            self.score = nn.Linear(32, 1)
            self.config = self.decoder.config

        def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
            score = self.score(self.decoder(input_ids).last_hidden_state).mean()
            return {"loss": score.square()}

    tokens = tiny.tokenizer()(tiny.paragraphs()[0])["input_ids"][:40]
    rows = [{"input_ids": tokens, "labels": tokens}] * 64
    settings = TrainingArguments("unused", max_steps=2, use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = Trainer(
        Regression(),
        settings,
        train_dataset=rows,
        processing_class=tiny.tokenizer(),
        callbacks=[DFTCallback(**term_options())],
    )
    with pytest.raises(UnsupportedModelError, match=r"Regression has no language-modelling head.*AutoModelForCausalLM"):
        trainer.train()


def test_prompt_learning() -> None:
    adapter = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=4)
    message = refused([DFTCallback(**term_options())], peft_config=adapter)
    assert "PROMPT_TUNING" in message
    assert "LORA" in message


def test_tokenizer_without_end_of_text() -> None:
    model = tiny.model("llama")
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    trainer = trainer_of(model, ROWS, [DFTCallback(**term_options(statistics=["text_length"], weight=0.5))])
    trainer.processing_class.eos_token = None
    with pytest.raises(ValueError, match=r"'text_length' wants the event 'end_of_text'.*eos_token"):
        trainer.train()


def test_too_small_a_data_set_says_how_many_tokens_are_needed() -> None:
    message = refused([DFTCallback(**term_options())], rows=tiny.plain_rows(3, characters=60))
    assert "the training set has" in message
    assert "at least 32 windows are needed, about 512 tokens" in message


NO_TABLE = {"max_position_embeddings": None, "logit_scale": 1.0}  # of no scale TRL 1.9 makes an error


@pytest.mark.parametrize(
    ("family", "positions"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 36}),
        ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 36, "attention": "eager", **NO_TABLE}),
        ("llama", {}),
    ],
)
def test_more_text_than_the_model_has_positions(
    family: str, positions: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A table of them ends; rotary ones go on where the model was never trained. 20 + 16 tokens have room in 36."""
    model = tiny.model(family, **{"max_position_embeddings": 36, **positions})
    train(model, ROWS, DFTCallback(**term_options(weight=0, rollout={"context_tokens": 20})), max_length=36)
    assert not caplog.records
    callback, said = DFTCallback(**term_options(weight=0)), r"32 tokens .* is 16, together more than .* 36 positions"
    if family == "llama":
        train(model, ROWS, callback, max_length=36)
        (record,) = caplog.records
        assert re.search(said, record.getMessage())
        return
    with pytest.raises(HumanReferenceError, match=rf"{said}.*of more than 20 tokens"):
        train(model, ROWS, callback, max_length=36)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nothing.jsonl", "there is no such file"), ("trian", 'Did you mean "train"')],
)
def test_reference_that_is_not_there(name: str, expected: str) -> None:
    assert expected in refused([DFTCallback(**term_options(reference=name))])


class Sick(Statistic[NoOptions]):
    """The entropy, or infinity at the steps in `at`."""

    name = "sick"
    support = "vector"
    distance = "l2"
    at: ClassVar[set[int]] = set()
    step: ClassVar[int] = -1

    def terms(self, texts: Texts) -> Sequence[Term]:
        row = torch.arange(texts.rows)
        return [Entropy(), Counts(row, torch.zeros_like(row), 1)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        total, count = accumulators
        return {"sick": total / count * (float("inf") if self.step in self.at else 1.0)}


class SickTerms(Sick):
    """Its human side measured under the model, as the built-in entropy's."""

    needs_model = True


def sick(*steps: int, **options: Any) -> tuple[DFTCallback, list[At]]:
    SickTerms.at, SickTerms.step = set(steps), -1
    clock = [At(step, lambda state, kwargs: setattr(SickTerms, "step", state.global_step)) for step in range(20)]
    settings = {"weight": 0.5, "statistics": ["token_frequency", "sick"], **options}
    return DFTCallback(**term_options(**settings)), clock


class Endless(RolloutEngine):
    """Does not stop at `max_new_tokens`."""

    name = "endless"

    def generate(self, model: Any, contexts: Any, sampler: Any, max_new_tokens: int, *rest: Any) -> list[list[int]]:
        return [[9] * (max_new_tokens + 1) for _ in contexts]


def test_an_engine_that_does_not_stop() -> None:
    with registered(engines=[Endless]):
        callback = DFTCallback(**term_options(weight=0.5, rollout={"engine": "endless"}))
        with pytest.raises(ValueError, match=r"endless returned 17 new tokens, and rollout\.max_new_tokens is 16"):
            train(tiny.model("llama"), ROWS, callback)


def test_a_step_that_is_not_finite_is_skipped_and_counted() -> None:
    with registered(statistics=[SickTerms]):
        callback, clock = sick(1, 2)
        found = train(tiny.model("llama"), ROWS, *clock, callback, max_steps=5)
    assert [line.get("dft/skipped") for line in found.logs[:5]] == [None, 1, 2, None, None]
    assert [("dft/loss" in line) for line in found.logs[:5]] == [True, False, False, True, True]
    assert all(torch.isfinite(torch.tensor(line["dft/loss"])) for line in found.logs[:5] if "dft/loss" in line)
    assert callback.progress == Progress(acted=3, skipped=2, skipped_in_a_row=0)


def test_a_skipped_step_is_plain_sft() -> None:
    plain = train(tiny.model("llama"), ROWS, max_steps=1)
    with registered(statistics=[SickTerms]):
        callback, clock = sick(0)
        found = train(tiny.model("llama"), ROWS, *clock, callback, max_steps=2)
    assert all(torch.equal(plain.gradients[0][name], found.gradients[0][name]) for name in plain.gradients[0])


def test_ten_skipped_in_a_row_end_the_run() -> None:
    with registered(statistics=[SickTerms]):
        callback, clock = sick(*range(2, 20))
        with pytest.raises(DistributionTermError, match=r"10 steps in a row \(last: step 11\)"):
            train(tiny.model("llama"), ROWS, *clock, callback, max_steps=15)
    assert callback.progress.skipped == MOST_SKIPPED_IN_A_ROW


class Empties(TrainerCallback):
    """After the term has left its gradient there."""

    def __init__(self, set_to_none: bool) -> None:
        self.set_to_none = set_to_none

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        model.zero_grad(set_to_none=self.set_to_none)


@pytest.mark.parametrize("set_to_none", [False, True])
def test_a_gradient_that_is_emptied_again(set_to_none: bool) -> None:
    callback = DFTCallback(**term_options(weight=0.5))
    with pytest.raises(DistributionTermError, match=r"gone before .* put DFTCallback last in `callbacks`"):
        train(tiny.model("llama"), ROWS, callback, Empties(set_to_none), gradient_accumulation_steps=2)


def test_no_memory_for_the_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `auto_find_batch_size`, which takes every error of memory for want of a smaller training batch."""

    def full(*given: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(DistributionTerm, "evaluate", full)
    with pytest.raises(DistributionTermError, match=r"lower rollout\.micro_batch_size \(now 4\)"):
        train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight=0.5)), auto_find_batch_size=True)


def test_a_callback_that_was_removed_does_nothing() -> None:
    trainer = trainer_of(tiny.model("llama"), ROWS, [callback := DFTCallback(**term_options())], max_steps=3)
    trainer.train()
    trainer.remove_callback(callback)
    trainer.model.get_input_embeddings().weight.requires_grad_(False)
    trainer.train()
    assert not any(name.startswith("dft/") for line in trainer.state.log_history[-4:] for name in line)


@pytest.mark.parametrize("credit", [0.0, 1.0])
def test_a_model_gone_bad_ends_the_run_with_the_reason(credit: float) -> None:
    def spoil(state: Any, kwargs: Any) -> None:
        kwargs["model"].lm_head.weight.data.fill_(float("nan"))

    callback = DFTCallback(**term_options(weight=0.5, credit=credit))
    with pytest.raises(DistributionTermError, match="the model's own weights are not finite, 10 steps in a row"):
        train(tiny.model("llama"), ROWS, At(2, spoil), callback, max_steps=15)
    assert callback.progress == Progress(acted=2, skipped=10, skipped_in_a_row=10)


def test_a_passing_fault_of_the_model_leaves_no_trace() -> None:
    """The running accumulators and the human side measured under the model must not keep the NaN."""
    kept: list[Tensor] = []

    def spoil(state: Any, kwargs: Any) -> None:
        kept.append(kwargs["model"].lm_head.weight.data.clone())
        kwargs["model"].lm_head.weight.data.fill_(float("nan"))

    class Mend(At):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == self.step:
                kwargs["model"].lm_head.weight.data.copy_(kept[0])

    callback = DFTCallback(**term_options(weight=0.5))
    found = train(tiny.model("llama"), ROWS, At(1, spoil), callback, Mend(1, spoil), max_steps=4)
    assert callback.progress.skipped == 1
    assert [("dft/loss" in line) for line in found.logs[:4]] == [True, False, True, True]


def test_gradient_that_is_not_finite_is_left_out() -> None:
    """Finite distances, and a gradient that is not: the step is plain SFT's."""
    plain = train(tiny.model("llama"), ROWS, max_steps=1)
    callback = DFTCallback(**term_options(weight=0.5))

    class Overflow(At):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            parameter = kwargs["model"].model.norm.weight
            if state.global_step == self.step:
                self.handle = parameter.register_hook(lambda gradient: gradient * float("inf"))
            else:
                self.handle.remove()

    class Mended(At):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            overflow.handle.remove()

    overflow = Overflow(0, lambda state, kwargs: None)
    found = train(tiny.model("llama"), ROWS, overflow, callback, Mended(0, lambda state, kwargs: None), max_steps=2)
    assert found.logs[0]["dft/skipped"] == 1
    assert all(torch.equal(plain.gradients[0][name], found.gradients[0][name]) for name in plain.gradients[0])


def test_a_run_in_which_the_term_never_acted_ends_in_an_error() -> None:
    with registered(statistics=[SickTerms]):
        callback, clock = sick(0, 1, 2)
        with pytest.raises(DistributionTermError, match="3 steps without the distribution term having acted"):
            train(tiny.model("llama"), ROWS, *clock, callback, max_steps=3)


def test_a_run_that_is_stopped_before_the_term_acts_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    """As early stopping does: an error there would cost the host the model it has trained."""

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 2

    found = train(tiny.model("llama"), ROWS, Stop(), DFTCallback(**term_options(start_step=3)), max_steps=6)
    assert len(found.gradients) == 2
    assert "training ended after 2 steps without the distribution term having acted (start_step 3" in caplog.text
    assert "it was stopped before that, at 2 of 6" in caplog.text


@pytest.mark.parametrize("calibration", [0.0, 1.0])
def test_a_choice_by_a_loss_that_calibration_raises_is_told(
    calibration: float, caplog: pytest.LogCaptureFixture
) -> None:
    callbacks = [EarlyStoppingCallback(2)]
    args = SimpleNamespace(metric_for_best_model="eval_loss")
    trainer = SimpleNamespace(
        args=args,
        accelerator=SimpleNamespace(distributed_type="NO"),
        callback_handler=SimpleNamespace(callbacks=callbacks),
        processing_class=object(),
    )
    config = parse({"calibration": calibration, "rollout": {"temperature": 0.7}})
    check_supported(trainer, SimpleNamespace(max_steps=10), config)
    told = "EarlyStoppingCallback goes by eval_loss, which is measured at temperature 1"
    assert (told in caplog.text) == (calibration > 0)
    caplog.clear()
    callbacks.clear()
    check_supported(trainer, SimpleNamespace(max_steps=10), config)
    assert caplog.text == ""


def test_auto_in_a_run_of_one_step() -> None:
    """It needs cross-entropy's norm of an earlier step."""
    with pytest.raises(UnsupportedRunError, match=r"weight is auto.*train for more steps"):
        train(tiny.model("llama"), ROWS, DFTCallback(**term_options(weight="auto")), max_steps=1)


def test_what_another_run_did_does_not_count() -> None:
    with registered(statistics=[SickTerms]):
        callback, clock = sick()
        train(tiny.model("llama"), ROWS, *clock, callback, max_steps=1)
        _, clock = sick(0)
        with pytest.raises(DistributionTermError, match="1 steps without the distribution term having acted"):
            train(tiny.model("llama"), ROWS, *clock, callback, max_steps=1)


def test_config_and_options_at_once() -> None:
    from dft_plugin import DFTConfig

    with pytest.raises(TypeError, match="not both"):
        DFTCallback(DFTConfig(), weight=0.5)


def test_callback_outside_a_trainer() -> None:
    callback = DFTCallback(**term_options())
    with pytest.raises(UnsupportedRunError, match="callbacks="):
        callback.on_train_begin(None, None, None)
