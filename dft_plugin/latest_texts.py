"""An exact sum over the texts that came last, in whole batches."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class LatestTexts:
    """Accumulators summed over the last batches that hold no more than `size` texts, each of them counting fully.

    Not a sum that forgets by degrees, as `DecayingSum` is: an age that no text has reached for k batches would be left
    with 2^-k of an interval at risk, and the derivative of a hazard, 1 / at risk, would double with every batch.

    Args:
        size: how many texts at most; a batch of more stands alone.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.batches: list[tuple[Tensor, int]] = []
        """Of each batch before, the latest last, the sum (A,) of its texts' accumulators and how many these are."""

    def empty(self) -> LatestTexts:
        """Another of the same size."""
        return LatestTexts(self.size)

    def joined(self, total: Tensor, count: int) -> tuple[Tensor, int]:
        """(A,) the sum together with a batch's (A,), and of how many texts."""
        before = self._kept(count)
        summed = sum((past.to(total.device) for past, _ in before), start=total)
        return summed, count + sum(texts for _, texts in before)

    def add(self, total: Tensor, count: int) -> None:
        """Moves on by the sum (A,) of a batch of `count` texts."""
        self.batches = [*self._kept(count), (total.detach(), count)]

    def _kept(self, count: int) -> list[tuple[Tensor, int]]:
        """The batches that are still among the latest texts when `count` more have come."""
        kept: list[tuple[Tensor, int]] = []
        for total, texts in reversed(self.batches):
            count += texts
            if count > self.size:
                break
            kept.insert(0, (total, texts))
        return kept

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        totals = [total.cpu() for total, _ in self.batches]
        return {
            f"{prefix}totals": torch.stack(totals) if totals else torch.zeros(0, 0, dtype=torch.float64),
            f"{prefix}counts": torch.tensor([count for _, count in self.batches], dtype=torch.long),
        }

    def load_state_dict(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        counts = state[f"{prefix}counts"].tolist()
        self.batches = list(zip(state[f"{prefix}totals"], counts, strict=True))
