"""What a token is credited with for the text after it: reward-to-go, and the baseline it is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from dft_plugin.sharing import Reduce


def reward_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """G_t = sum_{s>t} gamma^(s-t-1) r_s along the last dimension: (..., S) to (..., S)."""
    future = torch.zeros_like(rewards)
    steps = rewards.shape[-1]
    for step in range(steps - 2, -1, -1):
        future[..., step] = rewards[..., step + 1] + gamma * future[..., step + 1]
    return future


def leave_one_out_baseline(future: Tensor, alive: Tensor, reduce: Reduce) -> Tensor:
    """b_t: the mean of G_t over the *other* texts that reach step t, on all ranks; 0 where there is none.

    Args:
        future: (B, S) reward-to-go.
        alive: (B, S) bool, whether the text draws a token at this step.
        reduce: sums over ranks; S must be equal on all of them.
    """
    alive = alive.to(future.dtype)
    total, count = reduce((future * alive).sum(0)), reduce(alive.sum(0))
    others = count - alive
    return torch.where(others > 0, (total - future * alive) / others.clamp(min=1), torch.zeros_like(future))
