"""One acting step's rollouts as the live model read them, and what follows from that without reading them again."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.accumulation import Plan
from dft_plugin.balance import Balance
from dft_plugin.credit import leave_one_out_baseline, reward_to_go
from dft_plugin.layout import rewards, side_by_side
from dft_plugin.live_model import LiveModel
from dft_plugin.objective import surrogate
from dft_plugin.sharing import Reduce
from dft_plugin.texts import Texts


def by_rows(plans: Sequence[Plan]) -> Iterator[tuple[slice, Plan]]:
    """Each micro-batch's plan, with where its texts stand among the B of all of them."""
    return zip(side_by_side(len(plan.texts) for plan in plans), plans, strict=True)


@dataclass(frozen=True)
class RolloutStates:
    """This process's rollouts with their hidden states.

    Attributes:
        live: the model that read them.
        texts: all B of them.
        plans: of each micro-batch.
        hidden: (N, D) of each micro-batch.
        steps: longest generated text, S.
        reduce: sums over processes.
    """

    live: LiveModel
    texts: Texts
    plans: Sequence[Plan]
    hidden: Sequence[Tensor]
    steps: int
    reduce: Reduce

    def advantages(self, derivative: Tensor, credit: float, parts: Sequence[slice] = (slice(0, None),)) -> list[Tensor]:
        """G_t - b_t (B, S) by step, of the accumulators in each part alone.

        Args:
            derivative: (B, A) D' of each text.
            credit: gamma.
            parts: where accumulators stand among the A.
        """
        earned = derivative.new_zeros(len(parts), len(self.texts), self.steps)
        alive = torch.zeros(len(self.texts), self.steps, dtype=torch.bool, device=derivative.device)
        for (rows, plan), states in zip(by_rows(self.plans), self.hidden, strict=True):
            law = self.live.law(plan, states, derivative[rows])
            for number, part in enumerate(parts):
                reward = rewards(law, plan.layout, plan.texts, derivative[rows], part).double()
                by_step = plan.texts.by_step(reward)
                earned[number, rows, : by_step.shape[1]] = by_step
            lengths = plan.texts.end - plan.texts.first
            alive[rows] = torch.arange(self.steps, device=derivative.device) < lengths[:, None]
        return [future - leave_one_out_baseline(future, alive, self.reduce) for future in reward_to_go(earned, credit)]

    def squared_norms(
        self, balance: Balance, derivative: Tensor, advantages: Sequence[Tensor | None], parts: Sequence[slice]
    ) -> Tensor:
        """(K,) float64 squared norms over all processes of each part's gradient, as `balance` takes them.

        Args:
            balance: which norm.
            derivative: (B, A) D' of each text.
            advantages: (B, S) of each part, or None for the pathwise part of the gradient alone.
            parts: where accumulators stand among the A.
        """
        gathered = [
            torch.stack([balance.gathered(*pair) for pair in self._gradients(batch, derivative, advantages, parts)])
            for batch in zip(by_rows(self.plans), self.hidden, strict=True)
        ]
        return balance.squared_norm(self.reduce(functools.reduce(torch.add, gathered)))

    def _gradients(
        self,
        batch: tuple[tuple[slice, Plan], Tensor],
        derivative: Tensor,
        advantages: Sequence[Tensor | None],
        parts: Sequence[slice],
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The gradient (N, D) of each part's surrogate at one micro-batch's hidden states, and these."""
        (rows, plan), hidden = batch
        leaf = hidden.detach().requires_grad_()
        with torch.enable_grad():
            # Only the gradient at the hidden states is read; the head's is (V, D) large for each statistic.
            law = self.live.law(plan, leaf, derivative[rows], fixed_head=True)
        for part, advantage in zip(parts, advantages, strict=True):
            given = None if advantage is None else plan.texts.from_steps(advantage[rows])
            gradient = torch.zeros_like(leaf)
            with torch.enable_grad():
                loss = surrogate(plan, law, derivative[rows], given, len(self.texts), part)
            if loss.requires_grad:
                (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True)
            yield gradient, leaf.detach()
