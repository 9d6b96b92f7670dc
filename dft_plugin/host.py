"""What is read from, and hung on, the Trainer that calls the callback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from dft_plugin.sharing import Processes


class UnsupportedRunError(ValueError):
    """A run in which the term's gradient would not be exact; the message names what stands in the way."""


def find_trainer(callback: Any) -> Any:
    """The Trainer on the call stack whose callbacks include this one.

    transformers hands callbacks everything but the trainer, and only its own `log` reaches every reporter
    and `log_history`.

    Raises:
        UnsupportedRunError: when there is none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if _calls(owner, callback):
            return owner
        frame = frame.f_back  # type: ignore[assignment]
    raise UnsupportedRunError("DFTCallback was not called by a transformers Trainer: pass it in `callbacks=`")


def tokenizer_of(given: Mapping[str, Any]) -> Any:
    """The tokenizer among what a Trainer hands its callbacks: a processor of several kinds of input has it inside."""
    passed = given.get("processing_class") or given.get("tokenizer")
    return getattr(passed, "tokenizer", passed)


def processes(accelerator: Any) -> Processes:
    """The data-parallel processes of an accelerator."""
    if accelerator.num_processes == 1:
        return Processes()

    def reduce(tensor: Tensor) -> Tensor:
        # NCCL sums what lies on the devices alone.
        summed = tensor.to(accelerator.device, copy=True)
        torch.distributed.all_reduce(summed)
        return summed.to(tensor.device)

    return Processes(accelerator.process_index, accelerator.num_processes, reduce)


def distributed_type(accelerator: Any) -> str:
    """How accelerate shares the work over processes, by its own name: "NO", "MULTI_GPU", "DEEPSPEED", ..."""
    return str(getattr(accelerator, "distributed_type", "NO")).rsplit(".", 1)[-1]


def loss_scale(accelerator: Any) -> float:
    """What the host multiplies its loss by before the backward pass (fp16), and divides from the gradients after."""
    scaler = getattr(accelerator, "scaler", None)
    if scaler is None:  # DeepSpeed scales in its own engine
        engine = getattr(getattr(accelerator, "deepspeed_engine_wrapped", None), "engine", None)
        optimizer = getattr(engine, "optimizer", None)
        scaler = getattr(optimizer, "torch_autocast_gradscaler", None)
        if scaler is None:
            return float(getattr(optimizer, "loss_scale", 1.0))
    return float(scaler.get_scale())


def put_training_weights_back(optimizer: Any) -> None:
    """Gives the model the weights that are trained, as the Trainer does only after a step has begun.

    After an evaluation a schedule-free optimizer's averaged ones lie there.
    """
    if callable(getattr(optimizer, "train", None)):
        optimizer.train()


def add_to_logs(trainer: Any, callback: Any, drain: Callable[[], dict[str, Any]]) -> None:
    """Adds what `drain` returns to each training log line and the run's last, before any reporter sees it.

    This, `before_clipping` and `during_training_steps` do nothing once the callback is no more the trainer's.
    """
    original = _unhooked(trainer.log)

    def log(logs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if ("loss" in logs or "train_loss" in logs) and _calls(trainer, callback):
            logs.update(drain())
        return original(logs, *args, **kwargs)

    log.dft_original = original  # type: ignore[attr-defined]
    trainer.log = log


def before_clipping(trainer: Any, callback: Any, ready: Callable[[], None]) -> None:
    """Calls `ready` once per optimizer step, when all gradients are there and none is clipped."""
    accelerator = trainer.accelerator
    original = _unhooked(accelerator.clip_grad_norm_)

    def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
        if _calls(trainer, callback):
            ready()
        return original(*args, **kwargs)

    clip_grad_norm_.dft_original = original  # type: ignore[attr-defined]
    accelerator.clip_grad_norm_ = clip_grad_norm_


def during_training_steps(trainer: Any, callback: Any, around: Callable[[Any], AbstractContextManager[None]]) -> None:
    """Runs each training step within what `around` makes of its inputs, while the callback is the trainer's."""
    original = _unhooked(trainer.training_step)

    def training_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with around(inputs) if _calls(trainer, callback) else nullcontext():
            return original(model, inputs, *args, **kwargs)

    training_step.dft_original = original  # type: ignore[attr-defined]
    trainer.training_step = training_step


def evaluation_dataloader(trainer: Any) -> Any:
    """Of the evaluation set, or of the first where there are several; None where there is none."""
    dataset = getattr(trainer, "eval_dataset", None)
    if isinstance(dataset, dict):
        dataset = next(iter(dataset.values()), None)
    return None if dataset is None else trainer.get_eval_dataloader(dataset)


def after_model_card(trainer: Any, add: Callable[[], None]) -> None:
    """Calls `add` whenever the trainer has written its model card again, as it does for a push to the hub."""
    original = _unhooked(trainer.create_model_card)

    def create_model_card(*args: Any, **kwargs: Any) -> Any:
        written = original(*args, **kwargs)
        add()
        return written

    create_model_card.dft_original = original  # type: ignore[attr-defined]
    trainer.create_model_card = create_model_card


def _calls(trainer: Any, callback: Any) -> bool:
    """Whether it is a Trainer, and this is one of its callbacks."""
    handler = getattr(trainer, "callback_handler", None)
    return handler is not None and any(entry is callback for entry in handler.callbacks)


def _unhooked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without the hook that an earlier `train()` on the same trainer left."""
    original: Callable[..., Any] = getattr(function, "dft_original", function)
    return original
