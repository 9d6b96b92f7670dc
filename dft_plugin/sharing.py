"""Which windows a process takes at a step: drawn for the whole step, then shared out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from dft_plugin.texts import Window

Reduce = Callable[[Tensor], Tensor]
"""Sums a tensor over all processes."""


@dataclass(frozen=True)
class Processes:
    """The data-parallel processes.

    Attributes:
        rank: of this one.
        count: of all.
        reduce: sums a tensor over all of them.
    """

    rank: int = 0
    count: int = 1
    reduce: Reduce = lambda tensor: tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """What data-parallel averaging makes of a tensor that differs between processes."""
        return self.reduce(tensor) / self.count if self.count > 1 else tensor


def share(windows: Sequence[Window], each: int, processes: Processes, seed: int, steps: int = 1) -> list[Window]:
    """This process's windows of a step, `each` of them, from one draw over all processes; of `steps` steps in turn.

    All windows are taken once before any is taken again.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = each * processes.count * steps
    order: list[int] = []
    while len(order) < wanted:
        order += torch.randperm(len(windows), generator=generator).tolist()
    firsts = [(step * processes.count + processes.rank) * each for step in range(steps)]
    return [windows[index] for first in firsts for index in order[first : first + each]]


def share_in_turn(
    kinds: Sequence[Sequence[Window]], each: int, processes: Processes, seed: int, first: int, steps: int
) -> list[Window]:
    """This process's windows of acting steps `first`, `first` + 1 ..., `each` of them, which take the kinds in turn.

    A step's windows are all of one kind; with one kind it is `share`.
    """
    order = [(first + step) % len(kinds) for step in range(steps)]
    drawn = {kind: iter(share(kinds[kind], each, processes, seed + kind, order.count(kind))) for kind in set(order)}
    return [window for kind in order for window in islice(drawn[kind], each)]
