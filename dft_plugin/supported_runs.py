"""Runs in which the term would be inexact or inactive, refused before the first step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from typing import Any

from dft_plugin import run_report
from dft_plugin.config import DFTConfig
from dft_plugin.host import UnsupportedRunError, distributed_type
from dft_plugin.schedule import never_acts
from dft_plugin.trainer_arguments import (
    answers_run_together,
    chosen_at_temperature_one,
    labels_taken_away,
    steps_too_early,
)

logger = logging.getLogger("dft_plugin")

OF_SFT = ("SFTTrainer", "BaseTrainer", "_BaseTrainer", "AxolotlTrainer", "AxolotlMambaTrainer")
"""Trainers of TRL and Axolotl whose loss is supervised fine-tuning's, or that have none."""


def check_supported(trainer: Any, state: Any, config: DFTConfig) -> None:
    """Refuses what would make the term inexact or inactive, before the first step.

    Raises:
        UnsupportedRunError: naming what was given and the mend.
    """
    problems = chain(_of_trainer(trainer, config), _of_processes(trainer), _of_config(trainer, state, config))
    if (problem := next(problems, None)) is not None:
        raise UnsupportedRunError(problem)
    if config.loss_bound is not None:
        _check_evaluated(trainer.args, state, config.loss_bound)
    _check_choice(trainer, config)
    if config.statistics:
        _check_packing(trainer)


def _of_trainer(trainer: Any, config: DFTConfig) -> Iterator[str]:
    args = trainer.args
    callbacks = [entry for entry in trainer.callback_handler.callbacks if type(entry).__name__ == "DFTCallback"]
    if len(callbacks) > 1:
        yield f"{len(callbacks)} DFTCallbacks are registered: keep one"
    other = _other_trainer(trainer)
    if other is not None:
        yield (
            f"the trainer is a {other}: the term and `calibration` are defined beside supervised fine-tuning's "
            "cross-entropy; use SFTTrainer, or leave DFTCallback out"
        )
    if config.statistics and getattr(trainer, "processing_class", None) is None:
        yield "the trainer has no tokenizer, by which texts are read: give it one, processing_class=tokenizer"
    early = steps_too_early(_named(args, "optim"))
    if config.statistics and early is not None:
        yield early
    if smoothing := labels_taken_away(getattr(args, "label_smoothing_factor", 0)):
        yield smoothing
    if getattr(trainer, "compute_loss_func", None) is not None:
        yield (
            "compute_loss_func is given: the term is defined beside the Trainer's own cross-entropy; leave "
            "compute_loss_func out"
        )


def _other_trainer(trainer: Any) -> str | None:
    """The class of TRL's or Axolotl's whose loss is not SFTTrainer's, if the trainer is one, as DPOTrainer."""
    hosts = [kind for kind in type(trainer).__mro__ if kind.__module__.split(".")[0] in ("trl", "axolotl")]
    return next(
        (kind.__name__ for kind in hosts if kind.__name__.endswith("Trainer") and kind.__name__ not in OF_SFT), None
    )


def _of_processes(trainer: Any) -> Iterator[str]:
    accelerator, gpus = trainer.accelerator, getattr(trainer.args, "n_gpu", 1)
    if gpus > 1:
        yield (
            f"one process has {gpus} GPUs, and the Trainer spreads its batches over them (nn.DataParallel): start one "
            "process each, with `accelerate launch` or `torchrun`, or show it one, CUDA_VISIBLE_DEVICES=0"
        )
    parallel = getattr(accelerator, "parallelism_config", None)
    for size, name in (("sp_size", "sequence"), ("cp_size", "context"), ("tp_size", "tensor")):
        if (getattr(parallel, size, 1) or 1) > 1:
            yield (
                f"{name} parallelism is on ({size} {getattr(parallel, size)}): each process then holds a part of a "
                "text only; use data parallelism"
            )
    kind = distributed_type(accelerator)
    if kind not in ("NO", "MULTI_GPU", "MULTI_CPU", "DEEPSPEED"):
        yield (
            f"distributed type {kind} is not supported: the term was shown exact on one process, DDP and DeepSpeed; "
            "use one of these"
        )
    stage = accelerator.state.deepspeed_plugin.zero_stage if kind == "DEEPSPEED" else 0
    if stage > 2:
        yield (
            f"DeepSpeed ZeRO stage {stage} is on: each process then holds a part of every weight, and the term reads "
            "the language-modelling head's as a whole; set zero_optimization.stage to 2"
        )


def _of_config(trainer: Any, state: Any, config: DFTConfig) -> Iterator[str]:
    if config.loss_bound is not None and _named(trainer.args, "eval_strategy") in ("no", ""):
        yield (
            f"loss_bound is {config.loss_bound} and eval_strategy is no: held-out loss is never measured; set "
            "eval_strategy to steps or epoch, or leave loss_bound out"
        )
    if config.statistics and config.rollout.batch_size * getattr(trainer.accelerator, "num_processes", 1) < 2:
        yield (
            "rollout.batch_size is 1 on one process: a text's derivative is taken at the others of its step; set it "
            "to 2 or more"
        )
    if config.report is True and (missing := run_report.missing_packages()):
        yield (
            f"report is true, and {' and '.join(missing)}, which it is written with, cannot be found: "
            "`pip install 'dft-plugin[report]'`, or leave report out"
        )
    never = never_acts(config, state.max_steps)
    if never is not None:
        yield never


def _check_evaluated(args: Any, state: Any, loss_bound: float) -> None:
    """Says where a bound on held-out loss cannot act: the first evaluation only sets the lowest loss."""
    by_epoch = _named(args, "eval_strategy") == "epoch"
    between = state.num_train_epochs - 1 if by_epoch else (state.max_steps - 1) // max(1, state.eval_steps)
    if between + bool(getattr(args, "eval_on_start", False)) < 2:
        logger.warning(
            "dft: loss_bound %g cannot act: fewer than 2 evaluations come before the last of %d steps; evaluate more "
            "often",
            loss_bound,
            state.max_steps,
        )


def _check_choice(trainer: Any, config: DFTConfig) -> None:
    """Says where the model of a checkpoint before the term acts would be taken as the best."""
    args = trainer.args
    stops = any(type(entry).__name__ == "EarlyStoppingCallback" for entry in trainer.callback_handler.callbacks)
    ways = {
        "EarlyStoppingCallback": stops,
        "load_best_model_at_end": getattr(args, "load_best_model_at_end", False),
        "save_strategy: best": _named(args, "save_strategy") == "best",
    }
    metric = getattr(args, "metric_for_best_model", None)
    told = chosen_at_temperature_one(ways, metric, config.prediction_temperature)
    if told is not None:
        logger.warning("dft: %s", told)


def _check_packing(trainer: Any) -> None:
    """Says where rollouts go on with answers after other texts."""
    args = trainer.args
    answers = getattr(trainer, "completion_only_loss", False) or getattr(args, "assistant_only_loss", False)
    together = answers_run_together(getattr(args, "packing", False), _named(args, "packing_strategy"), bool(answers))
    if together is not None:
        logger.warning("dft: %s", together)


def _named(args: Any, option: str) -> str:
    """An option whose values have names, as a plain string; "" where there is none."""
    value = getattr(args, option, "")
    return str(getattr(value, "value", value))
