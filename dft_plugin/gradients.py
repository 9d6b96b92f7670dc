"""Norms of the two gradients that share `.grad`, without a second copy of either."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

SAMPLED_ENTRIES = 1 << 22
"""About how many gradient entries a snapshot keeps; models with fewer parameters are kept whole."""


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


class GradientSnapshot:
    """Every k-th gradient entry of every trainable parameter: enough for norms and differences.

    Cross-entropy's gradient is never alone in `.grad` at a step in which the term acts; its norm is that of
    the final gradient minus this snapshot. With m entries kept of n the squared norm is an estimate (exact
    when k = 1): n / m times the kept entries' squares.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        total = sum(parameter.numel() for parameter in self.parameters)
        self.stride = max(1, -(-total // SAMPLED_ENTRIES))

    def take(self, scale: float = 1.0) -> Tensor:
        """The kept entries of the present gradients divided by `scale` (the loss scale): (m,) float32."""
        kept = []
        for parameter in self.parameters:
            gradient = parameter.grad
            if gradient is None:
                length = -(-parameter.numel() // self.stride)
                kept.append(torch.zeros(length, device=parameter.device))
            else:
                kept.append(gradient.detach().flatten()[:: self.stride].float() / scale)
        return torch.cat(kept)

    def norm(self, entries: Tensor) -> float:
        """The whole gradient's norm, from kept entries."""
        return float(entries.norm()) * self.stride**0.5


def gradients_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Those that are there."""
    return [parameter.grad.detach() for parameter in parameters if parameter.grad is not None]


def finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every entry is finite."""
    sums = [tensor.float().sum() for tensor in tensors if tensor.is_floating_point()]
    return not sums or bool(torch.isfinite(torch.stack([value.to(sums[0].device) for value in sums])).all())


def scale_(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiplies every gradient in place."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
