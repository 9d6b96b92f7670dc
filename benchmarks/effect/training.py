"""One TRL run of a task: the same steps, tokens and order of the data in every arm."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from benchmarks.effect import corpora
from benchmarks.effect.cost_meter import CostMeter
from benchmarks.effect.task import Task

logger = logging.getLogger("benchmarks.effect")

EVALUATION_ROWS = 64


@dataclass(frozen=True)
class Trained:
    """A trained model and what it took.

    Attributes:
        model: adapters merged.
        cost: see `CostMeter.figures`.
        notes: what an arm has to tell about itself.
    """

    model: Any
    cost: dict[str, float]
    notes: dict[str, Any] = field(default_factory=dict)


def load_model(path: str | Path) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(device)


def lora(task: Task) -> Any:
    """The adapter's configuration, or None for full fine-tuning."""
    if task.scenario.lora_rank is None:
        return None
    from peft import LoraConfig

    rank = task.scenario.lora_rank
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def common_arguments(task: Task, seed: int, output: Path) -> dict[str, Any]:
    """What every trainer is told."""
    return {
        "output_dir": str(output),
        "lr_scheduler_type": "cosine",
        "logging_steps": 20,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "seed": seed,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
    }


def fine_tune(
    task: Task,
    seed: int,
    *,
    rows: Sequence[list[int]] | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    trainer_class: type[SFTTrainer] = SFTTrainer,
    evaluate_every: int | None = None,
    **options: Any,
) -> Trained:
    """SFT of the base model on the task's texts.

    Args:
        task: what is trained.
        seed: of the order of the data (and adapters).
        rows: other training rows than the task's.
        steps, learning_rate: the scenario's where not given.
        callbacks: an arm's own.
        trainer_class: an arm's own loss; `options` go to it.
        evaluate_every: steps between evaluations on EVALUATION_ROWS rows of held-out text; None: no evaluation.
    """
    scenario, rows = task.scenario, task.rows if rows is None else rows
    set_seed(seed)
    meter = CostMeter()
    evaluation: dict[str, Any] = {}
    if evaluate_every is not None:
        held_out = corpora.rows(task.validation, task.tokenizer, scenario.max_length)[:EVALUATION_ROWS]
        options["eval_dataset"] = Dataset.from_dict({"input_ids": held_out})
        evaluation = {"eval_strategy": "steps", "eval_steps": evaluate_every, "eval_on_start": True}
    trainer = trainer_class(
        model=load_model(task.base_model),
        args=SFTConfig(
            **common_arguments(task, seed, task.folder / "trainer"),
            **evaluation,
            max_steps=steps or scenario.steps,
            per_device_train_batch_size=scenario.batch_size,
            max_length=scenario.max_length,
            learning_rate=learning_rate or scenario.learning_rate,
        ),
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=task.tokenizer,
        callbacks=[*callbacks, meter],
        peft_config=lora(task),
        **options,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    cost = meter.figures(scenario.batch_size * sum(map(len, rows)) / len(rows))
    return Trained(merged(trainer.model), cost, {"log": short_log(trainer.state.log_history)})


def merged(model: Any) -> Any:
    """Without wrappers: the adapter's weights added to the model's, and accelerate's autocast taken off its forward
    pass, so that every arm is measured in float32.
    """
    for name in ("forward", "_original_forward"):
        model.__dict__.pop(name, None)
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def short_log(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Loss and the term's numbers of each log line."""
    kept = ("step", "loss", "grad_norm")
    return [
        {key: value for key, value in line.items() if key in kept or key.startswith("dft/")}
        for line in history
        if "loss" in line
    ]


def sft_model(task: Task, seed: int, learning_rate: float | None = None) -> Trained:
    """The plain SFT model, trained once for each seed and learning rate and kept for the arms that start from it."""
    import json

    rate = learning_rate or task.scenario.learning_rate
    folder = task.folder / "models" / f"sft-s{seed}-lr{rate:g}"
    if not (folder / "trained.json").exists():
        trained = fine_tune(task, seed, learning_rate=rate)
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        trained.model.save_pretrained(partial)
        (partial / "trained.json").write_text(json.dumps({"cost": trained.cost, "notes": trained.notes}))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return Trained(load_model(folder), **json.loads((folder / "trained.json").read_text()))
