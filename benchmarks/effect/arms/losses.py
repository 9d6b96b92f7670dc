"""Teacher-forced losses of the arms, on logits and labels, and the trainer that uses one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from trl import SFTTrainer

TokenLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, V), next token (n,)) -> loss of each (n,)."""


def gem(logits: Tensor, target: Tensor, beta: float) -> Tensor:
    """GEM with linear h (Li et al., "Preserving Diversity in Supervised Fine-tuning of LLMs", ICLR 2025).

    L = sum_v q(v) [log p(v) - log p(y)],  p = softmax(z),  q = softmax(z / beta) held fixed.

    Its gradient in z is q - 1_y: stationary where q, not p, is the law of the data, so p = data^beta is flatter.

    Args:
        logits: z (n, V).
        target: y (n,).
        beta: below 1 keeps entropy; the paper uses 0.7.
    """
    log_law = functional.log_softmax(logits, dim=-1)
    held = functional.softmax(logits / beta, dim=-1).detach()
    return (held * log_law).sum(-1) - log_law.gather(-1, target[:, None]).squeeze(-1)


def unlikelihood(logits: Tensor, target: Tensor, candidates: Tensor, alpha: float) -> Tensor:
    """Cross-entropy and token-level unlikelihood (Welleck et al., "Neural Text Generation with Unlikelihood
    Training", ICLR 2020).

    L = -log p(y) - alpha sum_{c in C, c != y} log(1 - p(c))

    Args:
        logits: (n, V).
        target: y (n,).
        candidates: C, (V,) bool: the tokens that are produced too often.
        alpha: weight of the second part; the paper uses 1.
    """
    log_law = functional.log_softmax(logits, dim=-1)
    likely = -log_law.gather(-1, target[:, None]).squeeze(-1)
    # A probability of 1 on a candidate would make the loss infinite; its gradient is bounded by this.
    avoided = torch.log1p(-log_law.exp().clamp(max=1 - 1e-5))
    others = candidates[None, :] & (torch.arange(logits.shape[-1], device=logits.device)[None, :] != target[:, None])
    return likely - alpha * (avoided * others).sum(-1)


class LossTrainer(SFTTrainer):
    """SFTTrainer with another loss of each token; tokens are weighted alike, as cross-entropy's are."""

    def __init__(self, *args: Any, token_loss: TokenLoss, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.token_loss = token_loss

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"][:, 1:]
        outputs = model(**{key: value for key, value in inputs.items() if key != "labels"}, use_cache=False)
        trained = labels != -100
        losses = self.token_loss(outputs.logits[:, :-1][trained].float(), labels[trained])
        loss = losses.sum() / (trained.sum() if num_items_in_batch is None else num_items_in_batch)
        return (loss, outputs) if return_outputs else loss
