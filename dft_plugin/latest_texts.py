"""A sum over the texts that came last, each batch's counting less than the next one's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor

LEAST = 1 / 32
"""What would count less is left out."""


class LatestTexts:
    """Accumulators summed over the last batches: once a batch of n texts is past, all so far counts 1 - n / `size`.

    As in `DecayingSum`, but cut off at `LEAST`: an age that no text had reached for k batches would be left with 2^-k
    of an interval at risk, and the derivative of a hazard, 1 / at risk, would double with every batch.

    Args:
        size: of a batch of as many texts, or more, nothing counts once it is past.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.batches: list[tuple[Tensor, int]] = []
        """Of each batch before, the latest last, the sum (A,) of its texts' accumulators and how many these are."""

    def empty(self) -> LatestTexts:
        """Another of the same size."""
        return LatestTexts(self.size)

    def joined(self, total: Tensor, count: int) -> tuple[Tensor, float]:
        """(A,) the weighted sum together with a batch's (A,), and the sum of the weights."""
        before = list(zip(self._weights(), self.batches, strict=True))
        summed = sum((past.to(total.device) * weight for weight, (past, _) in before), start=total)
        return summed, count + sum(weight * texts for weight, (_, texts) in before)

    def add(self, total: Tensor, count: int) -> None:
        """Moves on by the sum (A,) of a batch of `count` texts."""
        self.batches.append((total.detach(), count))
        kept = zip(self._weights(), self.batches, strict=True)
        self.batches = [batch for weight, batch in kept if weight >= LEAST]

    def _weights(self) -> list[float]:
        """Of the batches before, the latest last."""
        lessened = (max(0.0, 1 - texts / self.size) for _, texts in reversed(self.batches))
        return list(accumulate(lessened, mul))[::-1]

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        totals = [total.cpu() for total, _ in self.batches]
        return {
            f"{prefix}totals": torch.stack(totals) if totals else torch.zeros(0, 0, dtype=torch.float64),
            f"{prefix}counts": torch.tensor([count for _, count in self.batches], dtype=torch.long),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        counts = state[f"{prefix}counts"].tolist()
        self.batches = list(zip(state[f"{prefix}totals"], counts, strict=True))
