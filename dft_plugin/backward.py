"""Two exact ways to bring the term's gradient into the optimizer step, and the choice between them."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from dft_plugin.config import DFTConfig
from dft_plugin.host import UnsupportedRunError
from dft_plugin.language_model import has_dropout
from dft_plugin.term import DistributionTerm, Evaluation

Backward = Literal["own", "attached"]


def choose_backward(accelerator: Any, config: DFTConfig) -> Backward:
    """`own` (its own backward pass on the bare module) wherever that is exact; `attached` on DeepSpeed, whose
    engine must own every backward pass.

    Raises:
        UnsupportedRunError: for `weight: auto` on DeepSpeed, where the term's gradient is never alone.
    """
    kind = str(getattr(accelerator, "distributed_type", "NO")).rsplit(".", 1)[-1]
    if kind != "DEEPSPEED":
        return "own"
    if config.weight == "auto":
        raise UnsupportedRunError(
            "weight is auto and DeepSpeed is on: its engine never shows the term's gradient alone; give a number"
        )
    return "attached"


class _Attach(torch.autograd.Function):
    """Identity on hidden states; in the backward pass the attached loss receives a given gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, loss: Tensor, gradient: float) -> Tensor:
        ctx.gradient = gradient
        ctx.like = (loss.dtype, loss.device)
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        dtype, device = ctx.like
        return upstream[0], torch.tensor(ctx.gradient, dtype=dtype, device=device), None


class Attachment:
    """Attaches the term's loss to the first training forward pass of an optimizer step.

    One backward pass, owned by the engine, then carries both gradients. The term's is neither divided by
    the number of accumulation steps nor by the world size, so it enters once per optimizer step.

    Args:
        decoder: the module whose output carries the loss.
    """

    def __init__(self, decoder: nn.Module) -> None:
        self._waiting: tuple[DistributionTerm, Evaluation, float] | None = None
        self._handle = decoder.register_forward_hook(self._hook)

    @property
    def armed(self) -> bool:
        """Whether a loss waits for its forward pass."""
        return self._waiting is not None

    def arm(self, term: DistributionTerm, evaluation: Evaluation, gradient: float) -> None:
        """The next training forward pass carries this evaluation's loss, times `gradient`."""
        self._waiting = (term, evaluation, gradient)

    def remove(self) -> None:
        self._handle.remove()

    def _hook(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self._waiting is None or not torch.is_grad_enabled():
            return None
        term, evaluation, gradient = self._waiting
        self._waiting = None  # the surrogate calls the decoder too
        # The engine's backward pass comes later, in training mode: with dropout, recomputed layers would differ.
        recompute = not has_dropout(term.live.module)
        loss = torch.stack(list(term.surrogates(evaluation, recompute=recompute))).sum()
        if isinstance(output, tuple):
            return (_Attach.apply(output[0], loss, gradient), *output[1:])
        output.last_hidden_state = _Attach.apply(output.last_hidden_state, loss, gradient)
        return output
