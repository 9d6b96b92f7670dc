"""The model in training as the term reads it: hidden states at rows, and expectations under its law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from dft_plugin.accumulation import Plan
from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import decoder_of, deterministic, head_of, hidden_rows
from dft_plugin.law import Law
from dft_plugin.layout import witnesses
from dft_plugin.sampling import Sampler
from dft_plugin.texts import Texts


class LiveModel:
    """A causal language model under the sampler it is deployed with.

    Args:
        module: the live model, unwrapped from data parallelism.
        sampler: the deployment sampler.
        autocast: context manager of mixed precision.
    """

    def __init__(
        self,
        module: nn.Module,
        sampler: Sampler,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.module, self.sampler, self.autocast = module, sampler, autocast
        self.decoder = decoder_of(module)
        self.device = next(module.parameters()).device

    @contextmanager
    def read(self) -> Iterator[None]:
        """Inside, the model is read: no gradient, no dropout, mixed precision."""
        with torch.no_grad(), deterministic(self.module, recompute=False), self.autocast():
            yield

    def hidden(self, texts: Texts) -> Tensor:
        """(N, D): the decoder's output before each row's token."""
        return hidden_rows(self.decoder, texts)

    def law(self, plan: Plan, hidden: Tensor, derivative: Tensor | None = None, *, fixed_head: bool = False) -> Law:
        """What a plan asks of the sampler's law at its rows.

        Args:
            plan: of the texts.
            hidden: (N, D) their hidden states.
            derivative: (B, A) D' of each text, for the witness; None leaves it out.
            fixed_head: whether gradients stop at the hidden states.
        """
        request, head = plan.request, head_of(self.module)
        if derivative is not None:
            request = replace(request, witness=witnesses(plan.layout, derivative.to(torch.float32)))
        if fixed_head:
            bias = None if head.bias is None else head.bias.detach()
            head = replace(head, weight=head.weight.detach(), bias=bias)
        return expected_features(hidden, head, plan.texts, request, self.sampler)
