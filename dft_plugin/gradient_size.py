"""How large a gradient at the hidden states is in the parameters, without a backward pass through the model."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

PROJECTED = 128
"""Numbers a hidden state is brought down to where it has more; a norm is then off by some 6 %."""


@lru_cache(maxsize=1)
def projection(width: int, device: torch.device | str = "cpu") -> Tensor:
    """(D, R) random signs with E[R R^T] = 1, the same in every process and run."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (width, PROJECTED), generator=generator) * 2.0 - 1.0
    return signs.to(device) / PROJECTED**0.5


def of_linear_map(gradient: Tensor, hidden: Tensor) -> Tensor:
    """The gradient of a linear map that gives the hidden states, sum_n g_n h_n^T: (D, R) float64, projected if R < D.

    Its norm goes with the gradient's norm in the parameters, which that of the g_n does not: what is the same at many
    positions (end a sentence sooner) adds up there, what differs (this token after that one) does not
    (`benchmarks/estimator/balance.py`). It adds up over micro-batches and processes.

    Args:
        gradient: (N, D) g_n, at the hidden states.
        hidden: (N, D) h_n.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        narrow = hidden.detach().float()
        if narrow.shape[1] > PROJECTED:
            narrow = narrow @ projection(narrow.shape[1], hidden.device)
        return (gradient.float().T @ narrow).double()
