"""Human text as the live model reads it: for statistics measured under the model, and for those that learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation, Plan
from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import head_of
from dft_plugin.law import Law, observed_law
from dft_plugin.live_model import LiveModel
from dft_plugin.rollout import seed_of
from dft_plugin.sampling import Sampler
from dft_plugin.sharing import Processes, share
from dft_plugin.texts import Texts, Window, in_pieces, stack

HUMAN_BATCHES = 8
"""Over how many batches the human side's surprisal runs; the model it is measured under moves slowly."""


@dataclass(frozen=True)
class HumanUnderModel:
    """Human windows, some of which the live model reads at each acting step.

    Attributes:
        live: the model.
        accumulation: of the statistics.
        scored: windows for the statistics measured under the model.
        studied: windows, none of them scored, for the statistics that learn.
        scoring: the law they are scored under, at the temperature next-token prediction is trained at.
        each: windows per process and acting step.
        micro_batch_size: windows per forward pass.
        processes: the data-parallel ones.
        seed: of the run.
    """

    live: LiveModel
    accumulation: Accumulation
    scored: Sequence[Window]
    studied: Sequence[Window]
    scoring: Sampler
    each: int
    micro_batch_size: int
    processes: Processes
    seed: int

    def updated(self, human: Tensor, step: int) -> Tensor:
        """(A,) the human accumulators on the device, those measured under the model brought up to date.

        The windows scored at a step depend on the texts over all processes, not on micro-batches.
        """
        under_model = [statistic for statistic in self.accumulation.statistics if statistic.needs_model]
        if not under_model:
            return human.to(self.live.device)
        gained = [
            self.accumulation.accumulate(*self.scored_under_model(self.accumulation.plan(piece))).sum(0)
            for piece in in_pieces(self._share(self.scored, seed_of(self.seed, step, -1)), self.micro_batch_size)
        ]
        fresh = self.processes.reduce(torch.stack(gained).sum(0)) / (self.each * self.processes.count)
        human = human.to(self.live.device, copy=True)
        for statistic in under_model:
            part = self.accumulation.part(statistic)
            started = bool(human[part].abs().sum() > 0)
            keep = 1 - 1 / HUMAN_BATCHES if started else 0.0
            human[part] = keep * human[part] + (1 - keep) * fresh[part]
        return human

    def learn(self, step: int, generated: Sequence[Tensor]) -> None:
        """Lets statistics learn from a step's rollouts, which have been scored, and from other human text.

        Args:
            step: the optimizer step, which picks the human windows.
            generated: (M, D) hidden states of each micro-batch.
        """
        learning = [statistic for statistic in self.accumulation.statistics if statistic.learns]
        if not learning:
            return
        human = self.hidden_of(self._share(self.studied, seed_of(self.seed, step, -2)))
        for statistic in learning:
            statistic.learn(human, torch.cat(list(generated)), self.processes.reduce)

    def _share(self, windows: Sequence[Window], seed: int) -> Texts:
        """This process's share of windows drawn for a step, on the device."""
        return stack(share(windows, self.each, self.processes, seed)).to(self.live.device)

    def hidden_of(self, texts: Texts) -> Tensor:
        """The live model's hidden states at the rows of texts: (N, D), without gradient."""
        with self.live.read():
            return torch.cat([self.live.hidden(piece) for piece in in_pieces(texts, self.micro_batch_size)])

    def scored_under_model(self, plan: Plan) -> tuple[Plan, Law]:
        """The law of human texts with their surprisal under the live model, and its hidden states."""
        with self.live.read():
            hidden, request = self.live.hidden(plan.texts), plan.request.without_expectations()
            law = expected_features(hidden, head_of(self.live.module), plan.texts, request, self.scoring)
        return plan, observed_law(plan.texts, plan.request, surprisal=-law.log_probability, hidden=law.hidden)
