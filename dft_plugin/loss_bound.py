"""Less weight for the term while held-out loss is too far above the lowest seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class LossBound:
    """The factor on the term's weight, by what each evaluation finds.

    When loss > (1 + bound) * lowest loss before, the factor is halved; otherwise it is doubled, up to 1. A loss that
    is no number counts as above. Losses of one evaluation set are compared: the first that is seen.

    Attributes:
        bound: by which fraction the loss may rise.
        factor: at present.
        lowest: loss so far; None before the first.
        key: whose loss it is, such as `eval_loss`.
        step: the last one whose evaluation counted. One evaluation of a step counts: a resumed run may repeat it.
    """

    bound: float
    factor: float = 1.0
    lowest: float | None = None
    key: str | None = None
    step: int = -1

    def evaluated(self, metrics: Mapping[str, float], step: int) -> str | None:
        """Takes the held-out loss in; returns a line that says so when the factor changed.

        Args:
            metrics: of an evaluation.
            step: the optimizer step it was made at.
        """
        losses = [key for key in metrics if key.startswith("eval") and key.endswith("_loss")]
        if self.key is None and losses:
            self.key = losses[0]
        if self.key is None or self.key not in metrics or step <= self.step:
            return None
        loss, before, lowest = float(metrics[self.key]), self.factor, self.lowest
        self.step = step
        if lowest is None:
            self.lowest = loss if loss == loss else None
            return None
        within = loss <= (1 + self.bound) * lowest
        self.factor = min(1.0, 2 * before) if within else before / 2
        self.lowest = min(lowest, loss) if within else lowest
        if self.factor == before:
            return None
        place, moved = ("within", "raised") if within else ("above", "lowered")
        return (
            f"dft: step {step}: {self.key} {loss:.4g} is {place} {1 + self.bound:g} times the lowest so far "
            f"({lowest:.4g}): the term's weight is {moved} to {self.factor:g} of what is set"
        )

    def start(self) -> None:
        """A new training, whose steps count from 0; what was measured before it still counts."""
        self.step = -1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: JSON."""
        return {"factor": self.factor, "lowest": self.lowest, "key": self.key}

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Goes on from a checkpoint written at `step`, with what `state` gave."""
        self.factor, self.lowest, self.key, self.step = state["factor"], state["lowest"], state["key"], step
