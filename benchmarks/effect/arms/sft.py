"""Plain SFT: TRL's SFTTrainer, cross-entropy."""

from __future__ import annotations

import json

from benchmarks.effect.result_files import run_path
from benchmarks.effect.scenario import SamplerBlock
from benchmarks.effect.task import Task
from benchmarks.effect.training import Trained, fine_tune, load_model, sft_model


def untrained(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    """The model that training begins with."""
    return Trained(load_model(task.base_model), {})


def train(task: Task, seed: int, sampler: SamplerBlock) -> Trained:
    return sft_model(task, seed)


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
