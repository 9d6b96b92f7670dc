"""A running sum over the texts that came last."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class DecayingSum:
    """Accumulators summed over texts, the latest ones counting most.

    What came before a batch of n texts counts 1 - n / reach after it, and nothing where the batch alone has as many.
    Not a number of batches: human floors, and with them how strong the term is, are those of so many texts.

    Args:
        size: over how many texts, of all processes, it runs at least.
        growth: over which share of all texts it runs, once that is more.
    """

    def __init__(self, size: int, growth: float = 0.0) -> None:
        self.size, self.growth = size, growth
        self.seen = 0
        """Texts so far."""
        self.total: Tensor | None = None
        """(A,) weighted sum of the texts before."""
        self.weight = 0.0
        """Sum of their weights, and of these squared."""
        self.squared = 0.0

    def empty(self) -> DecayingSum:
        """Another of the same size and growth."""
        return DecayingSum(self.size, self.growth)

    @property
    def reach(self) -> float:
        """Over how many texts it runs by now."""
        return max(self.size, self.growth * self.seen)

    def sample_size(self, texts: int) -> float:
        """Effective number of texts behind the sum once `texts` more arrive: (sum w)^2 / sum w^2."""
        return (self.weight + texts) ** 2 / (self.squared + texts)

    def joined(self, total: Tensor, count: int) -> tuple[Tensor, float]:
        """(A,) the weighted sum together with a batch's (A,), and the sum of the weights."""
        return (total if self.total is None else self.total.to(total.device) + total), self.weight + count

    def add(self, total: Tensor, count: int) -> None:
        """Moves on: all that was seen, and the sum (A,) of a batch of `count` texts, count less from now on."""
        self.seen += count
        decay = max(0.0, 1.0 - count / self.reach)
        everything, weight = self.joined(total.detach(), count)
        self.total, self.weight = everything * decay, weight * decay
        self.squared = (self.squared + count) * decay**2

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        total = torch.zeros(0, dtype=torch.float64) if self.total is None else self.total.cpu()
        counts = torch.tensor([self.weight, self.squared, self.seen], dtype=torch.float64)
        return {f"{prefix}past": total, f"{prefix}counts": counts}

    def load_state_dict(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        total = state[f"{prefix}past"]
        self.total = total if total.numel() else None
        self.weight, self.squared, seen = state[f"{prefix}counts"].tolist()
        self.seen = int(seen)
