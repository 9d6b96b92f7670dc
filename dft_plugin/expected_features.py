"""The primitive: expectations under the next-token law, in chunks that never hold N x V.

Hidden states and the lm_head weight go in; expected features, entropy, log-probability of the drawn token,
gathered probabilities and marginals come out, differentiable in the hidden states and the head. The softmax
is recomputed in the backward pass, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dft_plugin.law import Law, Request
from dft_plugin.texts import Texts

Warp = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, V), drawn (n,)) -> logits of the law the sampler draws from, -inf where it never does."""

CHUNK_ENTRIES = 1 << 24
"""Rows x vocabulary held at once: 64 MiB in float32."""


@dataclass(frozen=True)
class Head:
    """The language-modelling head: logits = cap(scale * (hidden @ weight.T + bias)).

    Attributes:
        weight: (V, D).
        bias: (V,) or None.
        scale: the family's factor on the logits (Cohere `logit_scale`, Granite 1 / `logits_scaling`).
        soft_cap: c in c * tanh(logits / c) (Gemma-2 `final_logit_softcapping`), or None.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    soft_cap: float | None = None

    def finish(self, linear: Tensor) -> Tensor:
        """From the linear map's output to logits, in float32 or wider."""
        logits = linear if linear.dtype == torch.float64 else linear.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.soft_cap is not None:
            logits = self.soft_cap * torch.tanh(logits / self.soft_cap)
        return logits


@dataclass(frozen=True)
class _Rows:
    """The part of a request that concerns the rows start <= n < stop."""

    drawn: Tensor
    text: Tensor
    pair_row: Tensor
    pair_token: Tensor
    marginal_mask: Tensor
    pairs: slice


def _outputs(logits: Tensor, rows: _Rows, request: Request, warp: Warp, texts: int) -> tuple[Tensor, ...]:
    """The six outputs of `Law` for one chunk, as a differentiable function of its logits (n, V)."""
    log_law = torch.log_softmax(warp(logits, rows.drawn), dim=-1)
    law = log_law.exp()
    # 0 * log 0 = 0: entries the sampler never draws have log-probability -inf.
    entropy = -(law * log_law.masked_fill(law == 0, 0.0)).sum(-1)
    log_probability = log_law.gather(1, rows.drawn[:, None]).squeeze(1)
    expected = law @ request.table.to(law.dtype)
    paired = law[rows.pair_row, rows.pair_token]
    count = rows.marginal_mask.shape[0]
    if request.witness is None:
        witnessed = law.new_zeros(law.shape[0], 0)
        marginal = (
            torch.stack(
                [
                    law.new_zeros(texts, law.shape[1]).index_add(0, rows.text, law * mask[:, None].to(law.dtype))
                    for mask in rows.marginal_mask
                ]
            )
            if count
            else law.new_zeros(0, texts, law.shape[1])
        )
    else:
        marginal = law.new_zeros(count, texts, 0)
        witnessed = (
            torch.stack([(law * values[rows.text].to(law.dtype)).sum(-1) for values in request.witness], dim=1)
            if count
            else law.new_zeros(law.shape[0], 0)
        )
    return expected, entropy, log_probability, paired, marginal, witnessed


def _chunks(texts: Texts, request: Request, vocabulary_size: int) -> list[tuple[int, int, _Rows]]:
    size = max(1, CHUNK_ENTRIES // vocabulary_size)
    bounds = [(start, min(start + size, texts.rows)) for start in range(0, texts.rows, size)]
    edges = torch.tensor([start for start, _ in bounds] + [texts.rows], device=request.pair_row.device)
    pair_edges = torch.searchsorted(request.pair_row.contiguous(), edges).tolist()
    chunks = []
    for number, (start, stop) in enumerate(bounds):
        pairs = slice(pair_edges[number], pair_edges[number + 1])
        rows = _Rows(
            texts.drawn[start:stop],
            texts.text[start:stop],
            request.pair_row[pairs] - start,
            request.pair_token[pairs],
            request.marginal_mask[:, start:stop],
            pairs,
        )
        chunks.append((start, stop, rows))
    return chunks


def _gradient_at_linear(
    linear: Tensor,
    head: Head,
    rows: _Rows,
    where: slice,
    request: Request,
    warp: Warp,
    texts: int,
    gradients: Sequence[Tensor | None],
) -> Tensor:
    """(C, V): the outputs' gradients taken back to the head's matrix product of one chunk, the rows `where`."""
    with torch.enable_grad():
        leaf = linear.detach().requires_grad_()
        outputs = _outputs(head.finish(leaf), rows, request, warp, texts)
        parts = (where, where, where, rows.pairs, slice(None), where)
        wanted = [
            (output, gradient[part])
            for output, gradient, part in zip(outputs, gradients, parts, strict=True)
            if gradient is not None and output.numel() and output.requires_grad
        ]
        if not wanted:
            return torch.zeros_like(linear)
        reached, upstream = zip(*wanted, strict=True)
        (gradient_at_linear,) = torch.autograd.grad(reached, [leaf], upstream)
    return gradient_at_linear


class _ExpectedFeatures(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        head: Head,
        texts: Texts,
        request: Request,
        warp: Warp,
        dtype: torch.dtype,
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(hidden, weight, bias)
        # One statistic reads few of the outputs: those that it does not have no gradient, and cost none.
        ctx.set_materialize_grads(False)
        ctx.rest = (head, texts, request, warp, dtype)
        collected: list[list[Tensor]] = [[], [], [], [], []]
        marginal: Tensor | None = None
        with torch.autocast(hidden.device.type, enabled=False):
            cast_weight, cast_bias = weight.to(dtype), None if bias is None else bias.to(dtype)
            for start, stop, rows in _chunks(texts, request, weight.shape[0]):
                linear = torch.nn.functional.linear(hidden[start:stop].to(dtype), cast_weight, cast_bias)
                *by_row, chunk_marginal, witnessed = _outputs(head.finish(linear), rows, request, warp, len(texts))
                for store, output in zip(collected, [*by_row, witnessed], strict=True):
                    store.append(output)
                marginal = chunk_marginal if marginal is None else marginal.add_(chunk_marginal)
        assert marginal is not None
        expected, entropy, log_probability, paired, witnessed = (torch.cat(store) for store in collected)
        return expected, entropy, log_probability, paired, marginal, witnessed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        head, texts, request, warp, dtype = ctx.rest
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        hidden_gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # Sums over many chunks are kept in float32 also where the matrix products run in bfloat16.
        weight_gradient = torch.zeros_like(weight, dtype=wide) if ctx.needs_input_grad[1] else None
        bias_gradient = torch.zeros_like(bias, dtype=wide) if bias is not None and ctx.needs_input_grad[2] else None
        cast_weight, cast_bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        # Autograd's own thread may still be under the host's autocast, of another dtype than this one's.
        with torch.autocast(hidden.device.type, enabled=False):
            for start, stop, rows in _chunks(texts, request, weight.shape[0]):
                piece = hidden[start:stop].to(dtype)
                linear = torch.nn.functional.linear(piece, cast_weight, cast_bias)
                linear_gradient = _gradient_at_linear(
                    linear, head, rows, slice(start, stop), request, warp, len(texts), gradients
                )
                if hidden_gradient is not None:
                    hidden_gradient[start:stop] = (linear_gradient @ cast_weight).to(hidden.dtype)
                if weight_gradient is not None:
                    weight_gradient += linear_gradient.T @ piece
                if bias_gradient is not None:
                    bias_gradient += linear_gradient.sum(0, dtype=wide)
        return (
            hidden_gradient,
            None if weight_gradient is None else weight_gradient.to(weight.dtype),
            None if bias_gradient is None else bias_gradient.to(bias.dtype),
            None,
            None,
            None,
            None,
            None,
        )


def expected_features(hidden: Tensor, head: Head, texts: Texts, request: Request, warp: Warp) -> Law:
    """Expectations under the sampler's next-token law at every row (DESIGN section 2).

    p_n = softmax(warp(logits_n)), logits_n = head(hidden_n); see `Law` for what is computed. The naive
    equivalent is `softmax(warp(hidden @ W.T)) @ table` and its like, with N x V held.

    Args:
        hidden: (N, D), the decoder's output at the position *before* each row's token.
        head: the language-modelling head; gradients flow into its weight and bias.
        texts: the texts whose N rows these are.
        request: what to compute.
        warp: the sampler's map of logits (temperature, top-k, top-p, min-p); differentiable.

    Returns:
        A `Law` in float32 (float64 when `hidden` is). The matrix products run in the ambient autocast
        dtype, or in `hidden`'s; sums, softmax and the head's gradient are kept in float32.

    Raises:
        ValueError: when there are no rows, or `hidden` has another number of them.
    """
    if hidden.shape[0] != texts.rows or texts.rows == 0:
        raise ValueError(f"hidden has {hidden.shape[0]} rows, the texts {texts.rows}; both must be equal and > 0")
    device_type = hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype
    order = torch.argsort(request.pair_row, stable=True)  # a chunk's pairs must lie side by side
    by_row = replace(request, pair_row=request.pair_row[order], pair_token=request.pair_token[order])
    outputs = _ExpectedFeatures.apply(hidden, head.weight, head.bias, head, texts, by_row, warp, dtype)
    law = Law(*outputs)
    return replace(law, paired=law.paired[torch.argsort(order)], hidden=hidden.detach())
