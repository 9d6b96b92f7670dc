"""Real SFTTrainer runs on tiny models, with the gradient of every optimizer step kept."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from dft_plugin import DFTCallback
from dft_plugin.backward import Attachment
from dft_plugin.hookspecs import hookimpl
from dft_plugin.language_model import decoder_of
from dft_plugin.plugins import manager
from dft_plugin.rollout import RolloutEngine
from dft_plugin.statistics.base import Statistic
from tests import naive, tiny

Gradient = dict[str, Tensor]

_FOLDERS = tempfile.TemporaryDirectory(prefix="dft-test-")
"""Of all runs of this process; removed at its end."""

TINY_TERM: dict[str, Any] = {
    "statistics": ["token_frequency", "sentence_length", "entropy"],
    "reference_windows": 64,
    "rollout": {"batch_size": 6, "micro_batch_size": 4, "max_new_tokens": 16, "context_tokens": 32},
    "start_step": 0,
    "sample_every": 0,
    "report": False,
}
"""Small enough for a second per step; micro_batch_size does not divide batch_size."""


def term_options(**options: Any) -> dict[str, Any]:
    """`TINY_TERM` with other options laid over it."""
    rollout = {**TINY_TERM["rollout"], **options.pop("rollout", {})}
    return {**TINY_TERM, **options, "rollout": rollout}


def relative_error(found: Gradient, expected: Gradient) -> float:
    """||found - expected|| / ||expected|| over the whole gradient vector, in float64."""
    assert found.keys() == expected.keys()
    difference = sum(float((found[name].double() - expected[name].double()).square().sum()) for name in expected)
    return (difference / norm_squared(expected)) ** 0.5


def norm_squared(gradient: Gradient) -> float:
    return sum(float(entry.double().square().sum()) for entry in gradient.values())


def combined(first: Gradient, second: Gradient, factor: float = 1.0) -> Gradient:
    """first + factor * second, in float64."""
    return {name: first[name].double() + factor * second[name].double() for name in first}


def gradient_of(model: nn.Module) -> Gradient:
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def bring_in(mechanism: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brings the term in on one process by its "own" backward pass, as there is chosen, or "attached"."""
    if mechanism == "attached":
        monkeypatch.setattr(
            "dft_plugin.callback.choose_backward", lambda accelerator, config, model: Attachment(decoder_of(model))
        )


class Recorder(TrainerCallback):
    """Keeps the gradient of each step. `max_grad_norm` of these runs never clips, so it is the one before."""

    def __init__(self) -> None:
        self.gradients: list[Gradient] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.gradients.append(gradient_of(kwargs["model"]))


@dataclass
class Expected:
    """The term's gradient at each acting step, by `naive.gradient`, computed while the run stands still."""

    gamma: float
    gradients: list[Gradient] = field(default_factory=list)
    past: list[tuple[Tensor, int]] = field(default_factory=list)
    """Of each acting step before, the texts' summed accumulators and how many they are."""

    def latest(self, most: int) -> tuple[Tensor, float] | None:
        """The sum over the steps before: each lessens itself and all before it, until a thirty-second is left."""
        lessened = [max(0.0, 1 - count / most) for _, count in self.past]
        weights = [math.prod(lessened[step:]) for step in range(len(lessened))]
        held = [(weight, *past) for weight, past in zip(weights, self.past, strict=True) if weight >= 1 / 32]
        if not held:
            return None
        return sum(weight * total for weight, total, _ in held), sum(weight * count for weight, _, count in held)


class NaiveBeside(TrainerCallback):
    """Wraps the term's `evaluate`, and computes the same gradient naively from the same texts."""

    def __init__(self, callback: DFTCallback) -> None:
        self.callback = callback
        self.expected = Expected(callback.config.credit)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        term = self.callback.term
        assert term is not None
        original = term.evaluate
        vocabulary = term.objective.accumulation.statistics[0].vocabulary.to("cpu")

        def evaluate(texts: Any, step: int) -> Any:
            evaluation = original(texts, step)
            under_model = term.human[-2:].cpu()
            human = naive.human_summaries(vocabulary, term.human_text.scored, under_model)
            floors = {name: next(iter(by.values())) for name, by in evaluation.floors.items()}
            expected, config = self.expected, self.callback.config
            found, summed = naive.gradient(
                kwargs["model"],
                vocabulary,
                naive.read(texts),
                human,
                floors,
                temperature=self.callback.config.rollout.temperature,
                gamma=expected.gamma,
                past=expected.latest(min(config.window, config.derivative_window or config.window)),
            )
            expected.gradients.append(found)
            expected.past.append((summed, len(texts)))
            return evaluation

        term.evaluate = evaluate  # type: ignore[method-assign]


@dataclass
class Run:
    """What a training left behind."""

    trainer: SFTTrainer
    gradients: list[Gradient]
    logs: list[dict[str, Any]]

    @property
    def weights(self) -> Gradient:
        return {name: tensor.detach().clone() for name, tensor in self.trainer.model.state_dict().items()}


def arguments(**options: Any) -> SFTConfig:
    """Arguments of a short run on the CPU that reports to nobody and never clips."""
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(dir=_FOLDERS.name),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_grad_norm": 1e9,
        "max_length": 96,
        "disable_tqdm": True,
        "seed": 3,
    }
    return SFTConfig(**{**settings, **options})


def trainer_of(
    model: nn.Module,
    rows: Sequence[dict[str, Any]],
    callbacks: Sequence[TrainerCallback] = (),
    *,
    peft_config: Any = None,
    tokenizer: Any = None,
    eval_rows: Sequence[dict[str, Any]] | None = None,
    compute_loss_func: Callable[..., Tensor] | None = None,
    **options: Any,
) -> SFTTrainer:
    """A trainer on a copy of the model; of `rows`, or a stream of them."""
    from datasets import Dataset, IterableDataset

    torch.manual_seed(11)  # of LoRA's initial weights
    return SFTTrainer(
        copy.deepcopy(model),
        args=arguments(**options),
        train_dataset=rows if isinstance(rows, IterableDataset) else Dataset.from_list(list(rows)),
        eval_dataset=None if eval_rows is None else Dataset.from_list(list(eval_rows)),
        processing_class=tokenizer or tiny.tokenizer(),
        peft_config=peft_config,
        compute_loss_func=compute_loss_func,
        callbacks=list(callbacks),
    )


def train(model: nn.Module, rows: Sequence[dict[str, Any]], *callbacks: TrainerCallback, **options: Any) -> Run:
    """Trains a copy of the model."""
    recorder = Recorder()
    trainer = trainer_of(model, rows, [*callbacks, recorder], **options)
    trainer.train()
    return Run(trainer, recorder.gradients, trainer.state.log_history)


@contextmanager
def registered(
    *, statistics: Sequence[type[Statistic]] = (), engines: Sequence[type[RolloutEngine]] = ()
) -> Iterator[None]:
    """A third party's plugin for as long as the block runs."""

    class Plugin:
        @hookimpl
        def dft_statistics(self) -> Sequence[type[Statistic]]:
            return list(statistics)

        @hookimpl
        def dft_rollout_engines(self) -> Sequence[type[RolloutEngine]]:
            return list(engines)

    plugin = Plugin()
    manager().register(plugin)
    try:
        yield
    finally:
        manager().unregister(plugin)


Hook = Callable[[Any, Any], None]


class At(TrainerCallback):
    """Calls a function with (state, kwargs) at the beginning of one step."""

    def __init__(self, step: int, action: Hook) -> None:
        self.step, self.action = step, action

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.action(state, kwargs)


class Stopped(BaseException):
    """As KeyboardInterrupt, which would end the tests."""


def stop(state: Any, kwargs: Any) -> None:
    """Interrupts a run, as an action of `At`."""
    raise Stopped
