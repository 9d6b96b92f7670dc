"""Two exact ways to bring the term's gradient into the optimizer step, and the choice between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin.automatic_weight import automatic_weight, running_norm
from dft_plugin.config import DFTConfig
from dft_plugin.gradients import GradientSnapshot, finite, gradients_of, scale_, trainable
from dft_plugin.host import UnsupportedRunError, distributed_type
from dft_plugin.language_model import DecoderHook, decoder_of, has_dropout
from dft_plugin.progress import DistributionTermError
from dft_plugin.term import DistributionTerm, Evaluation


def choose_backward(accelerator: Any, config: DFTConfig, model: nn.Module) -> OwnBackward | Attachment:
    """Its own backward pass on the bare module wherever that is exact; attached on DeepSpeed, whose engine must own
    every backward pass.

    Raises:
        UnsupportedRunError: for `weight: auto` on DeepSpeed, where the term's gradient is never alone.
    """
    if distributed_type(accelerator) != "DEEPSPEED":
        return OwnBackward(model, config)
    if config.weight == "auto":
        raise UnsupportedRunError(
            "weight is auto and DeepSpeed is on: its engine never shows the term's gradient alone; give a number"
        )
    return Attachment(decoder_of(model))


class OwnBackward:
    """The term's own backward pass on the bare module, before cross-entropy's.

    Gradients are empty at the beginning of a step, so the term's can be measured and scaled before
    cross-entropy's are added.

    Args:
        model: whose trainable parameters get the gradient.
        config: the `dft:` block.

    Attributes:
        cross_entropy_norm: running mean of cross-entropy's gradient norm; None until it has been measured.
    """

    name = "own"

    def __init__(self, model: nn.Module, config: DFTConfig) -> None:
        self.model, self.config = model, config
        self.cross_entropy_norm: float | None = None
        self._watch()
        self.forget()

    def _watch(self) -> None:
        self.parameters = trainable(self.model)
        self.snapshot = GradientSnapshot(self.parameters)

    def begin_step(self) -> None:
        """At the beginning of a step, where callbacks before this one may have frozen or unfrozen parameters."""
        if self._frozen_or_unfrozen():
            self._watch()
        self.forget()

    def _frozen_or_unfrozen(self) -> list[str]:
        """Names of the parameters that are trained now and were not, or the other way round."""
        watched = {*map(id, self.parameters)}
        return [name for name, entry in self.model.named_parameters() if entry.requires_grad != (id(entry) in watched)]

    def forget(self) -> None:
        """No gradient of the term is in `.grad`."""
        self._taken: Tensor | None = None
        self._weight = 0.0
        self._unread = False

    @property
    def measuring(self) -> bool:
        """Whether `weight: auto` still waits for cross-entropy's norm."""
        return self.config.weight == "auto" and self.cross_entropy_norm is None

    def add(self, term: DistributionTerm, evaluation: Evaluation, weight: float, loss_scale: float) -> float | None:
        """Leaves the term's gradient, times its weight, in `.grad`.

        Args:
            term, evaluation: whose surrogate is back-propagated.
            weight: the term's, which `weight: auto` multiplies by its own.
            loss_scale: what the host multiplies its loss by.

        Returns:
            The weight used; None, and `.grad` empty, where the gradient is not finite.

        Raises:
            DistributionTermError: where gradients are not empty.
        """
        if any(parameter.grad is not None for parameter in self.parameters):
            raise DistributionTermError(
                "gradients are not empty at the beginning of an optimizer step: something else (an older "
                "Trainer, zero_grad(set_to_none=False), another callback) writes them; the term cannot be scaled"
            )
        for loss in term.surrogates(evaluation):
            (loss * loss_scale).backward()
        if not term.everywhere(finite(gradients_of(self.parameters))):
            for parameter in self.parameters:
                parameter.grad = None
            return None
        taken = term.processes.mean(self.snapshot.take(loss_scale))
        norm = self.snapshot.norm(taken)
        if self.config.weight == "auto":
            assert self.cross_entropy_norm is not None
            # Of every step, acting or not: a longer interval saves time and does not make the term weaker.
            fraction = self.config.gradient_fraction * self.config.rollout.interval
            fraction *= evaluation.strength**self.config.fade
            weight *= automatic_weight(fraction, self.cross_entropy_norm, norm)
        scale_(self.parameters, weight)
        self._taken, self._weight = taken, weight
        self._unread = weight > 0 and norm > 0
        return weight

    def check_kept(self) -> None:
        """Before the host's first forward pass of a step, when the term's gradient alone lies in `.grad`.

        Raises:
            DistributionTermError: where something has emptied it since.
        """
        if self._unread and not any(entry.grad is not None and bool(entry.grad.any()) for entry in self.parameters):
            raise DistributionTermError(
                "the term's gradient is gone before the step's first forward pass, so that the run would be plain SFT: "
                "something after DFTCallback empties gradients when a step begins (zero_grad); put DFTCallback last in "
                "`callbacks`"
            )
        self._unread = False

    def ratio(self, loss_scale: float) -> float | None:
        """The term's gradient norm in multiples of cross-entropy's, which is taken into the running mean.

        Just before clipping, when both gradients lie summed in `.grad`; None where the term has none there.

        Raises:
            DistributionTermError: where other parameters are trained than at the beginning of the step.
        """
        if self.config.weight != 0 and (changed := self._frozen_or_unfrozen()):
            others = f" and {len(changed) - 1} parameters more" if len(changed) > 1 else ""
            raise DistributionTermError(
                f"{changed[0]}{others}: frozen or unfrozen after DFTCallback had begun the step, so that the term's "
                "gradient is not that of what is trained; put DFTCallback last in `callbacks`"
            )
        final = self.snapshot.take(loss_scale)
        norm = self.snapshot.norm(final if self._taken is None else final - self._weight * self._taken)
        self.cross_entropy_norm = running_norm(self.cross_entropy_norm, norm)
        own = None if self._taken is None else self._weight * self.snapshot.norm(self._taken)
        self.forget()
        return own / norm if own is not None and norm > 0 else None

    def check_acted(self) -> None:
        """At the end of a step: it was brought in at once."""


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


class Attachment(DecoderHook):
    """Attaches the term's loss to the first training forward pass of an optimizer step.

    One backward pass, owned by the engine, then carries both gradients. The term's is neither divided by
    the number of accumulation steps nor by the world size, so it enters once per optimizer step.

    Args:
        decoder: the module whose output carries the loss.
    """

    name = "attached"
    measuring = False

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__(decoder)
        self._waiting: tuple[DistributionTerm, Evaluation, float] | None = None

    def begin_step(self) -> None:
        """The engine has the parameters."""

    def add(self, term: DistributionTerm, evaluation: Evaluation, weight: float, loss_scale: float) -> float:
        """The next training forward pass carries this evaluation's loss, times its weight, which is returned."""
        self._waiting = (term, evaluation, weight * loss_scale)
        return weight

    def ratio(self, loss_scale: float) -> None:
        """The two gradients are never apart."""

    def check_acted(self) -> None:
        """At the end of a step.

        Raises:
            DistributionTermError: where no training pass went through the decoder.
        """
        if self._waiting is not None:
            raise DistributionTermError(
                "the model's decoder was not called during the step, so the term was not attached: this "
                "Trainer's forward pass does not go through the model's decoder"
            )

    def changed(self, hidden: Tensor) -> Tensor:
        if self._waiting is None or not torch.is_grad_enabled():
            return hidden
        term, evaluation, gradient = self._waiting
        self._waiting = None  # the surrogate calls the decoder too
        # The engine's backward pass comes later, in training mode: with dropout, recomputed layers would differ.
        recompute = not has_dropout(term.live.module)
        loss = torch.stack(list(term.surrogates(evaluation, recompute=recompute))).sum()
        attached: Tensor = _Attach.apply(hidden, loss, gradient)
        return attached
