"""Plain SFT: TRL's SFTTrainer, cross-entropy."""

from __future__ import annotations

import json
from typing import Any

from transformers import TrainerCallback

from benchmarks.effect.result_files import run_path
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune, load_model, sft_model
from dft_plugin.calibration import Calibration, prediction_temperature
from dft_plugin.config import DFTConfig


def untrained(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The model that training begins with."""
    return Trained(load_model(task.base_model), {})


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    return sft_model(task, seed)


def train_calibrated(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """Cross-entropy at the temperature that DFT's default has it at, without its rollouts."""
    config = task.config(sampler, seed)
    trained = fine_tune(task, seed, callbacks=[_Calibrated(config)])
    trained.notes["prediction_temperature"] = config.prediction_temperature
    return trained


class _Calibrated(TrainerCallback):
    """DFT's calibration from the first step to the last."""

    def __init__(self, config: DFTConfig) -> None:
        self.config = config
        self.calibration: Calibration | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = kwargs["model"]
        self.calibration = Calibration(model, prediction_temperature(self.config, model))
        self.calibration.share = 1.0

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.calibration is not None
        self.calibration.remove()


def train_for_dfts_seconds(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """SFT for as many steps as fit into the seconds that DFT's run of this seed and sampler took.

    A step takes what it took SFT's own run, which stood beside DFT's: machines are shared, and seconds of another hour
    are not comparable.

    Raises:
        FileNotFoundError: when one of the two has not been run yet.
    """

    def cost(arm: str) -> dict[str, float]:
        path = run_path(task.folder, arm, seed, sampler.key)
        if not path.exists():
            raise FileNotFoundError(f"{path}: sft_wallclock needs the seconds of SFT and DFT: run both arms before it")
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["cost"]
        return found

    steps = round(cost("dft")["train_seconds"] / cost("sft")["seconds_per_step"])
    return fine_tune(task, seed, steps=max(1, steps))
