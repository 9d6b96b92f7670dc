"""What is read from, and hung on, the Trainer that calls the callback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dft_plugin.config import DFTConfig
from dft_plugin.schedule import never_acts
from dft_plugin.sharing import Processes

logger = logging.getLogger("dft_plugin")


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
        handler = getattr(owner, "callback_handler", None)
        if handler is not None and any(entry is callback for entry in handler.callbacks):
            return owner
        frame = frame.f_back  # type: ignore[assignment]
    raise UnsupportedRunError("DFTCallback was not called by a transformers Trainer: pass it in `callbacks=`")


def check_supported(trainer: Any, state: Any, config: DFTConfig) -> None:
    """Refuses what would make the term inexact or inactive, before the first step.

    Raises:
        UnsupportedRunError: naming what was given and the mend.
    """
    args, accelerator = trainer.args, trainer.accelerator
    callbacks = [entry for entry in trainer.callback_handler.callbacks if type(entry).__name__ == "DFTCallback"]
    if len(callbacks) > 1:
        raise UnsupportedRunError(f"{len(callbacks)} DFTCallbacks are registered: keep one")
    other = _other_trainer(trainer)
    if other is not None:
        raise UnsupportedRunError(
            f"the trainer is a {other}: the term and `calibration` are defined beside supervised fine-tuning's "
            "cross-entropy; use SFTTrainer, or leave DFTCallback out"
        )
    if getattr(args, "label_smoothing_factor", 0):
        raise UnsupportedRunError(
            f"label_smoothing_factor is {args.label_smoothing_factor}: the Trainer then takes the labels away "
            "before the forward pass; set it to 0"
        )
    if getattr(trainer, "compute_loss_func", None) is not None:
        raise UnsupportedRunError(
            "compute_loss_func is given: the term is defined beside the Trainer's own cross-entropy; leave "
            "compute_loss_func out"
        )
    parallel = getattr(accelerator, "parallelism_config", None)
    for size, name in (("sp_size", "sequence"), ("cp_size", "context"), ("tp_size", "tensor")):
        if (getattr(parallel, size, 1) or 1) > 1:
            raise UnsupportedRunError(
                f"{name} parallelism is on ({size} {getattr(parallel, size)}): each process then holds a part of "
                f"a text only; use data parallelism"
            )
    kind = str(getattr(accelerator, "distributed_type", "NO")).rsplit(".", 1)[-1]
    if kind not in ("NO", "MULTI_GPU", "MULTI_CPU", "DEEPSPEED"):
        raise UnsupportedRunError(
            f"distributed type {kind} is not supported: the term was shown exact on one process, DDP and "
            "DeepSpeed; use one of these"
        )
    stage = accelerator.state.deepspeed_plugin.zero_stage if kind == "DEEPSPEED" else 0
    if stage > 2:
        raise UnsupportedRunError(
            f"DeepSpeed ZeRO stage {stage} is on: each process then holds a part of every weight, and the term reads "
            "the language-modelling head's as a whole; set zero_optimization.stage to 2"
        )
    if config.loss_bound is not None:
        _check_evaluated(args, state, config.loss_bound)
    if config.statistics and config.rollout.batch_size * getattr(accelerator, "num_processes", 1) < 2:
        raise UnsupportedRunError(
            "rollout.batch_size is 1 on one process: a text's derivative is taken at the others of its step; set it to "
            "2 or more"
        )
    problem = never_acts(config, state.max_steps)
    if problem is not None:
        raise UnsupportedRunError(problem)


def _check_evaluated(args: Any, state: Any, loss_bound: float) -> None:
    strategy = getattr(args, "eval_strategy", None)
    kind = str(getattr(strategy, "value", strategy))
    if kind == "no":
        raise UnsupportedRunError(
            f"loss_bound is {loss_bound} and eval_strategy is no: held-out loss is never measured; set "
            "eval_strategy to steps or epoch, or leave loss_bound out"
        )
    between = state.num_train_epochs - 1 if kind == "epoch" else (state.max_steps - 1) // max(1, state.eval_steps)
    # The first only sets the lowest loss.
    if between + bool(getattr(args, "eval_on_start", False)) < 2:
        logger.warning(
            "dft: loss_bound cannot act: fewer than 2 evaluations come before the last of %d steps; evaluate more "
            "often",
            state.max_steps,
        )


def _other_trainer(trainer: Any) -> str | None:
    """The class of TRL's whose loss is not SFTTrainer's, if the trainer is one, as DPOTrainer or GKDTrainer."""
    names = (kind.__name__ for kind in type(trainer).__mro__ if kind.__module__.split(".")[0] == "trl")
    known = ("SFTTrainer", "BaseTrainer", "_BaseTrainer")
    return next((name for name in names if name.endswith("Trainer") and name not in known), None)


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


def add_to_logs(trainer: Any, drain: Callable[[], dict[str, Any]]) -> None:
    """Adds what `drain` returns to each training log line, before any reporter sees it."""
    original = _unhooked(trainer.log)

    def log(logs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if "loss" in logs:
            logs = {**logs, **drain()}
        return original(logs, *args, **kwargs)

    log.dft_original = original  # type: ignore[attr-defined]
    trainer.log = log


def before_clipping(trainer: Any, ready: Callable[[], None]) -> None:
    """Calls `ready` once per optimizer step, when all gradients are there and none is clipped."""
    accelerator = trainer.accelerator
    original = _unhooked(accelerator.clip_grad_norm_)

    def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
        ready()
        return original(*args, **kwargs)

    clip_grad_norm_.dft_original = original  # type: ignore[attr-defined]
    accelerator.clip_grad_norm_ = clip_grad_norm_


def on_inputs(trainer: Any, take: Callable[[Any], None]) -> Callable[[], None]:
    """Calls `take` with the inputs of each training step; returns what ends that."""
    original = _unhooked(trainer.training_step)

    def training_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        take(inputs)
        return original(model, inputs, *args, **kwargs)

    def release() -> None:
        trainer.training_step = original

    training_step.dft_original = original  # type: ignore[attr-defined]
    trainer.training_step = training_step
    return release


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


def _unhooked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without the hook that an earlier `train()` on the same trainer left."""
    original: Callable[..., Any] = getattr(function, "dft_original", function)
    return original
