"""How far the model's next-token law has moved from that of the model training began with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dft_plugin import expected_features
from dft_plugin.expected_features import Head
from dft_plugin.language_model import decoder_of, deterministic, head_of, hidden_rows
from dft_plugin.starting_model import StartingModel
from dft_plugin.term import Evaluation
from dft_plugin.texts import Texts


def kl_of_rows(hidden: Tensor, head: Head, start_hidden: Tensor, start_head: Head) -> Tensor:
    """KL(p || q) at each row, at temperature 1 and over the whole vocabulary.

    KL_n = sum_v p_n(v) (log p_n(v) - log q_n(v)), p_n = softmax(head(hidden_n)), q_n = softmax(start_head(start_n)).
    Rows are taken in chunks whose softmax is computed again in the backward pass: N x V is never held.

    Args:
        hidden: (N, D), differentiable.
        head: its head; gradients flow into weight and bias.
        start_hidden: (N, D') of the other law.
        start_head: its head.

    Returns:
        (N,) nats, float32 (float64 when `hidden` is). Matrix products run in the ambient autocast dtype, or `hidden`'s.

    Raises:
        ValueError: when the two have different numbers of rows.
    """
    if len(hidden) != len(start_hidden):
        raise ValueError(f"hidden has {len(hidden)} rows, start_hidden {len(start_hidden)}; both must be equal")
    device_type = hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype

    def log_law(rows: Tensor, weight: Tensor, bias: Tensor | None, of: Head) -> Tensor:
        # Cast here, so that the head's gradient is summed over the chunks in its own dtype.
        linear = nn.functional.linear(rows.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
        return torch.log_softmax(of.finish(linear), dim=-1)

    def chunk(rows: Tensor, start_rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        with torch.autocast(device_type, enabled=False):
            live = log_law(rows, weight, bias, head)
            with torch.no_grad():
                start = log_law(start_rows, start_head.weight, start_head.bias, start_head)
            return (live.exp() * (live - start)).sum(-1)

    size = max(1, expected_features.CHUNK_ENTRIES // head.weight.shape[0])
    pieces = [
        checkpoint(
            chunk, *pair, head.weight, head.bias, use_reentrant=False, preserve_rng_state=False
        )
        for pair in zip(hidden.split(size), start_hidden.split(size), strict=True)
    ]  # fmt: skip
    return torch.cat(pieces)


class Drift:
    """The divergence from the model training began with, on the texts the live model wrote.

    loss = (1 / B) sum_b (1 / N_b) sum_{n of text b} KL(p_theta,n || p_start,n): the pathwise part, which holds the
    prefixes fixed. Every text counts alike, so micro-batches and processes of equally many texts add up.

    Args:
        weight: of the divergence beside the distance.
        model: the live causal language model.
        start: the one training began with.
    """

    def __init__(self, weight: float, model: nn.Module, start: StartingModel) -> None:
        self.weight, self.model, self.start = weight, model, start
        self.decoder = decoder_of(model)
        self._measured: list[Tensor] = []

    def loss(self, texts: Texts, hidden: Tensor, count: int) -> Tensor:
        """The part of some texts (a micro-batch) in the loss of `count` texts: a scalar, not weighted yet.

        Args:
            texts: B texts of N rows.
            hidden: (N, D), the live decoder's output before each row's token.
            count: the number of texts this process averages over.
        """
        start_hidden, start_head = self._at_start(texts)
        divergence = kl_of_rows(hidden, head_of(self.model), start_hidden, start_head)
        per_text = (texts.end - texts.first)[texts.text].to(divergence.dtype)
        part = (divergence / per_text).sum() / count
        self._measured.append(part.detach())
        return part

    def measure(self, evaluation: Evaluation) -> None:
        """Only measures: where the term is not differentiated."""
        for plan in evaluation.plans:
            with torch.no_grad(), deterministic(self.model, recompute=False):
                self.loss(plan.texts, hidden_rows(self.decoder, plan.texts), len(evaluation.texts))

    def measured(self) -> Tensor | None:
        """The divergence over this process's texts since the last call; None when nothing was measured."""
        parts, self._measured = self._measured, []
        return torch.stack(parts).sum() if parts else None

    def _at_start(self, texts: Texts) -> tuple[Tensor, Head]:
        device = texts.tokens.device.type
        autocast, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        # Autocast remembers a weight's rounded copy by the weight, and would mix up the two models' values.
        own_cache = torch.autocast(device, dtype=dtype, enabled=autocast, cache_enabled=False)
        with torch.no_grad(), own_cache, deterministic(self.model, recompute=False), self.start.in_place():
            hidden, head = hidden_rows(self.decoder, texts), head_of(self.model)
            bias = None if head.bias is None else head.bias.detach()
            # Detached tensors keep pointing at the starting values once the live ones are back.
            return hidden, Head(head.weight.detach(), bias, head.scale, head.soft_cap)
