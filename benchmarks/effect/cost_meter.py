"""What a training run took: seconds and peak memory per optimizer step."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback


class CostMeter(TrainerCallback):
    """Times optimizer steps from one's end to the next one's; the first and all set-up apart.

    Peak memory is the device's where there is a GPU, else the process's resident set (Linux resets its high-water
    mark; elsewhere it is the largest since the process began).
    """

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.started = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        else:
            reset_peak()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def gaps(self) -> list[float]:
        """Seconds of each step but the first."""
        return [later - earlier for earlier, later in zip(self.ends, self.ends[1:], strict=False)]

    def figures(self, tokens_per_step: float) -> dict[str, float]:
        gaps = self.gaps
        return {
            "steps": len(self.ends),
            "train_seconds": time.perf_counter() - self.started,
            "seconds_per_step": sum(gaps) / len(gaps) if gaps else self.ends[0] - self.started,
            "peak_megabytes": peak_megabytes(),
            "tokens_per_step": tokens_per_step,
        }


def reset_peak() -> None:
    """Linux: the high-water mark of resident memory starts again at what is used now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_megabytes() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
