"""What keeps the term from doing harm: a bound on held-out loss, and the divergence from the starting model."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from dft_plugin.config import DFTConfig
from dft_plugin.drift import Drift
from dft_plugin.loss_bound import LossBound
from dft_plugin.metrics import Metrics
from dft_plugin.rollout import forked_rng, seed_of
from dft_plugin.sharing import Processes
from dft_plugin.starting_model import starting_model


class Guards:
    """The guards of one run, each None where it is off.

    Args:
        config: the `dft:` block.
    """

    def __init__(self, config: DFTConfig) -> None:
        self.config = config
        self.loss_bound = None if config.loss_bound is None else LossBound(config.loss_bound)
        self.drift: Drift | None = None

    def begin(self, model: nn.Module, step: int, kept: Mapping[str, Any]) -> None:
        """When training begins, or goes on; that may be long before there is a term.

        Args:
            model: the live one.
            step: the optimizer step; above 0 the weights are a checkpoint's.
            kept: what `state` gave for that checkpoint.
        """
        if self.loss_bound is not None:
            if step > 0:
                self.loss_bound.restore(kept.get("loss_bound", self.loss_bound.state()), step)
            else:
                self.loss_bound.start()
        if self.config.kl_weight > 0:
            with forked_rng(next(model.parameters()).device, seed_of(self.config.seed)):
                start = starting_model(model, step > 0, kept.get("start"))
            self.drift = Drift(self.config.kl_weight, model, start)

    def evaluated(self, metrics: Mapping[str, float], state: Any) -> None:
        """Takes an evaluation in; says on stderr when the weight's factor changes."""
        line = None if self.loss_bound is None else self.loss_bound.evaluated(metrics, state.global_step)
        if line is not None and state.is_world_process_zero:
            print(line, file=sys.stderr, flush=True)

    def log(self, metrics: Metrics, processes: Processes) -> None:
        """Logs the divergence over all processes at the end of a step; not that of a step left out for what it held."""
        measured = None if self.drift is None else self.drift.measured()
        if measured is not None:
            divergence = float(processes.mean(measured))
            if math.isfinite(divergence):
                metrics.add("dft/kl", divergence)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: JSON; empty where all guards are off."""
        kept: dict[str, Any] = {}
        if self.loss_bound is not None:
            kept["loss_bound"] = self.loss_bound.state()
        if self.drift is not None:
            kept["start"] = self.drift.start.record()
        return kept
