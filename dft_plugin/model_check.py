"""Whether a model's next-token law is what decoder and head give, and reads nothing after it: once, before training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin.language_model import UnsupportedModelError, base_model, decoder_of, deterministic, head_of

FUTURE = 0.1
"""Root mean square, in standard deviations of the logits, by which a text's end may move those before it: rounding."""


@torch.no_grad()
def check_model(model: nn.Module, tokens: Tensor) -> None:
    """Compares the model's own logits with decoder and head, and those of half a text with those of the whole.

    Args:
        model: the causal language model.
        tokens: (1, T) long, any text.

    Raises:
        UnsupportedModelError: when the former differ by more than the dtype's rounding: the model family does
            something to its logits that `Head` does not know; or the latter: its attention sees what follows.
    """
    name = type(base_model(model)).__name__
    with deterministic(model, recompute=False):
        theirs = getattr(base_model(model)(input_ids=tokens, use_cache=False), "logits", None)
        if theirs is None:
            return
        ours, dtype = _logits(model, tokens)
        half = _logits(model, tokens[:, : (tokens.shape[1] + 1) // 2])[0]
    theirs = theirs.to(ours.dtype)
    spread = float(theirs.std().clamp(min=1e-6))
    worst = float((theirs - ours).abs().max()) / spread
    if not worst < (1e-2 if theirs.dtype == torch.float32 and dtype == torch.float32 else 0.2):
        raise UnsupportedModelError(
            f"{name} computes logits that decoder and head do not give (off by {worst:.2g} "
            "standard deviations): what it does between them, or to its logits (a layer, scaling, soft-capping), is "
            "not supported"
        )
    moved = float((ours[:, : half.shape[1]] - half).square().mean().sqrt()) / spread
    if not moved < FUTURE:
        raise UnsupportedModelError(
            f"{name} is not causal here: what follows in a text moves the logits before it (by {moved:.2g} standard "
            "deviations), so that it reads in training what it has to predict; load it with an attention that sees "
            "only what came before (a config's use_bidirectional_attention: false)"
        )


def _logits(model: nn.Module, tokens: Tensor) -> tuple[Tensor, torch.dtype]:
    """(1, T, V) by decoder and head, and the dtype of the head's matrix product."""
    hidden: Any = decoder_of(model)(input_ids=tokens, use_cache=False).last_hidden_state
    head = head_of(model)
    linear = nn.functional.linear(hidden.to(head.weight.dtype), head.weight, head.bias)
    return head.finish(linear), linear.dtype
