"""The distribution term of one run: samples the live model, measures it, gives the loss to differentiate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dft_plugin.balance import factors, mean_strength, strengths
from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import decoder_of, deterministic, head_of, hidden_rows
from dft_plugin.law import Law, observed_law
from dft_plugin.objective import (
    Distances,
    Floors,
    Objective,
    Plan,
    leave_one_out_baseline,
    reward_to_go,
    surrogate,
)
from dft_plugin.reference.human_floor import Curves, FloorCurve, at_size
from dft_plugin.rollout import RolloutEngine, continued, seed_of
from dft_plugin.rollout_queue import RolloutQueue
from dft_plugin.sampling import Sampler
from dft_plugin.sharing import Processes, share
from dft_plugin.terms import rewards, witnesses
from dft_plugin.texts import Texts, Window, stack

if TYPE_CHECKING:
    from dft_plugin.drift import Drift

HUMAN_BATCHES = 8
"""Over how many batches the human side's surprisal runs; the model it is measured under moves slowly."""
TEXTS_PER_SCORED = 4
"""Generated texts to each human window whose surprisal is measured at a step."""


@dataclass(frozen=True)
class RolloutSettings:
    """What one acting step samples, per process.

    Attributes:
        batch_size: texts.
        micro_batch_size: texts per forward and backward pass.
        max_new_tokens: longest generated text.
        seed: of the run.
        steps_per_generation: acting steps whose texts are sampled in one call of the engine.
    """

    batch_size: int
    micro_batch_size: int
    max_new_tokens: int
    seed: int
    steps_per_generation: int = 1


@dataclass(frozen=True)
class Evaluation:
    """One acting step's rollouts, measured.

    Attributes:
        texts: this process's texts, on the device.
        plans: of each micro-batch.
        derivative: (B, A), D' for each text.
        advantage: (B, S) G_t - b_t by step, or None where no credit is given.
        distances: over the window and all processes.
        floors: at the window's sample size.
        strength: how far the texts are from human, 0 to 1 (`balance.mean_strength`).
        finite: whether distances, derivatives and advantages are, on every process.
    """

    texts: Texts
    plans: Sequence[Plan]
    derivative: Tensor
    advantage: Tensor | None
    distances: Distances
    floors: Floors
    strength: float
    finite: bool


def by_rows(plans: Sequence[Plan]) -> Iterator[tuple[slice, Plan]]:
    """Each micro-batch's plan, with where its texts stand among the B of all of them."""
    start = 0
    for plan in plans:
        rows = slice(start, start + len(plan.texts))
        start = rows.stop
        yield rows, plan


class DistributionTerm:
    """Evaluates rollouts of the live model and yields the surrogate loss, micro-batch by micro-batch.

    Args:
        model: the live causal language model, unwrapped from data parallelism.
        objective: distances to the human reference.
        human: (A,) human accumulators; the parts of statistics measured under the model are replaced.
        curves: human-versus-human floors by sample size.
        contexts: windows whose contexts are continued.
        scored: human windows for the statistics measured under the model.
        studied: human windows, none of them scored, for the statistics that learn.
        sampler, engine, settings, credit: how text is sampled, and gamma.
        end_of_text: ids that end a text.
        processes: the data-parallel ones.
        autocast: context manager of mixed precision.
        drift: the divergence from the model training began with, part of the loss; None leaves it out.
        prediction_temperature: of the law human text is scored under: the one next-token prediction is trained at.
        balanced: whether each statistic's gradient is brought to one size times its strength (`balance`).
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        human: Tensor,
        curves: Curves,
        contexts: Sequence[Window],
        scored: Sequence[Window],
        sampler: Sampler,
        engine: RolloutEngine,
        settings: RolloutSettings,
        credit: float,
        end_of_text: Sequence[int],
        processes: Processes | None = None,
        autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
        studied: Sequence[Window] = (),
        drift: Drift | None = None,
        prediction_temperature: float = 1.0,
        balanced: bool = False,
    ) -> None:
        self.model, self.objective, self.human, self.curves = model, objective, human, curves
        self.contexts, self.scored, self.studied = contexts, scored, studied
        self.sampler, self.engine, self.settings, self.credit = sampler, engine, settings, credit
        self.end_of_text = tuple(end_of_text)
        self.processes = processes or Processes()
        self.autocast, self.drift, self.balanced = autocast, drift, balanced
        self.scoring = Sampler(prediction_temperature)
        longest = max(window.first for window in contexts) + settings.max_new_tokens
        self.queue = RolloutQueue(settings.batch_size, settings.steps_per_generation, longest, self.processes)
        self.decoder = decoder_of(model)
        self.device = next(model.parameters()).device

    def rollout(self, step: int) -> Texts:
        """This process's texts of an acting step, on the CPU, sampled now or together with an earlier one's."""
        return self.queue.take(partial(self._sampled, step))

    def _sampled(self, step: int) -> Texts:
        """Contexts shared out over the processes, then continued."""
        settings, processes = self.settings, self.processes
        windows = share(
            self.contexts,
            settings.batch_size,
            processes,
            seed_of(settings.seed, step, 0),
            settings.steps_per_generation,
        )
        with self.autocast():
            generated = self.engine.generate(
                self.model,
                [window.tokens[: window.first] for window in windows],
                self.sampler,
                settings.max_new_tokens,
                self.end_of_text,
                seed_of(settings.seed, step, 1 + processes.rank),
            )
        return continued(windows, generated)

    def evaluate(self, texts: Texts, step: int) -> Evaluation:
        """Accumulates the texts under the live model and takes the derivative of the distance.

        Args:
            texts: this process's rollouts, on any device.
            step: the optimizer step, which picks the human windows scored under the model.
        """
        texts = texts.to(self.device)
        plans, hidden, own = [], [], []
        human = self._human(step)
        with torch.no_grad(), deterministic(self.model, recompute=False), self.autocast():
            for piece in self._micro_batches(texts):
                plans.append(self.objective.accumulation.plan(piece))
                hidden.append(hidden_rows(self.decoder, piece))
                law = self._law(plans[-1], hidden[-1])
                own.append(self.objective.accumulation.accumulate(plans[-1], law))
            without, mean, count = self.objective.leave_one_out(torch.cat(own))
            floors = at_size(self.curves, self.objective.sample_size(count))
            derivative = self.objective.derivative(without, human, floors)
            distances = self.objective.distances(mean, human, floors)
            strength = strengths(self.objective.matched, distances, floors)
            if self.balanced:
                derivative = self._balanced(texts, plans, hidden, derivative, strength)
            advantage = self._advantages(texts, plans, hidden, derivative)[0] if self.credit > 0 else None
        parts = [derivative.sum(), distances.loss] + ([] if advantage is None else [advantage.sum()])
        finite = self.everywhere(all(bool(torch.isfinite(part)) for part in parts))
        if finite:  # a running mean that holds a NaN once holds it for ever
            self.objective.remember(mean, count)
            self.human = human.cpu()
            self._learn(step, hidden)
        overall = mean_strength(self.objective.matched, strength)
        return Evaluation(texts, plans, derivative, advantage, distances, floors, overall, finite)

    def everywhere(self, condition: bool) -> bool:
        """Whether a condition holds on every process: all of them must go the same way."""
        failed = torch.tensor(0.0 if condition else 1.0, device=self.device)
        return float(self.processes.reduce(failed)) == 0

    def surrogates(self, evaluation: Evaluation, *, recompute: bool = True) -> Iterator[Tensor]:
        """The loss of each micro-batch in turn; their gradients add up to the term's (at weight 1).

        Until the next is asked for the model stays in evaluation mode: gradient checkpointing runs the layers
        again in the backward pass, and dropout must be as in the forward pass. Losses that are only
        back-propagated later need `recompute=False` where the model has dropout.
        """
        for rows, plan in by_rows(evaluation.plans):
            derivative = evaluation.derivative[rows]
            advantage = None if evaluation.advantage is None else plan.texts.from_steps(evaluation.advantage[rows])
            with deterministic(self.model, recompute=recompute):
                with self.autocast(), torch.enable_grad():
                    hidden = hidden_rows(self.decoder, plan.texts)
                    law = self._law(plan, hidden, derivative)
                    loss, _ = surrogate(plan, law, derivative, advantage, len(evaluation.texts))
                    if self.drift is not None:
                        divergence = self.drift.loss(plan.texts, hidden, len(evaluation.texts))
                        loss = loss + self.drift.weight * divergence
                yield loss

    def _micro_batches(self, texts: Texts) -> list[Texts]:
        size = self.settings.micro_batch_size
        return [texts.select(slice(start, start + size)) for start in range(0, len(texts), size)]

    def _law(self, plan: Plan, hidden: Tensor, derivative: Tensor | None = None, *, fixed_head: bool = False) -> Law:
        request, head = plan.request, head_of(self.model)
        if derivative is not None:
            request = replace(request, witness=witnesses(plan.layout, derivative.to(torch.float32)))
        if fixed_head:
            bias = None if head.bias is None else head.bias.detach()
            head = replace(head, weight=head.weight.detach(), bias=bias)
        return expected_features(hidden, head, plan.texts, request, self.sampler)

    def _balanced(
        self,
        texts: Texts,
        plans: Sequence[Plan],
        hidden: Sequence[Tensor],
        derivative: Tensor,
        strength: Mapping[str, float],
    ) -> Tensor:
        """D' (B, A), each statistic's part brought to one gradient norm at the hidden states times its strength."""
        matched, accumulation = self.objective.matched, self.objective.accumulation
        parts = [accumulation.part(entry.statistic) for entry in matched]
        advantages: Sequence[Tensor | None] = [None] * len(parts)
        if self.credit > 0:
            advantages = self._advantages(texts, plans, hidden, derivative, parts)
        squares = torch.zeros(len(parts), dtype=torch.float64, device=self.device)
        for (rows, plan), states in zip(by_rows(plans), hidden, strict=True):
            with torch.enable_grad():
                leaf = states.detach().requires_grad_()
                # Only the gradient at the hidden states is read; the head's is (V, D) large for each statistic.
                law = self._law(plan, leaf, derivative[rows], fixed_head=True)
                for number, (part, advantage) in enumerate(zip(parts, advantages, strict=True)):
                    given = None if advantage is None else plan.texts.from_steps(advantage[rows])
                    loss, _ = surrogate(plan, law, derivative[rows], given, len(texts), part)
                    if loss.requires_grad:
                        (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True)
                        squares[number] += gradient.double().square().sum()
        return derivative * factors(matched, accumulation, strength, self.processes.reduce(squares))

    def _advantages(
        self,
        texts: Texts,
        plans: Sequence[Plan],
        hidden: Sequence[Tensor],
        derivative: Tensor,
        parts: Sequence[slice] = (slice(0, None),),
    ) -> list[Tensor]:
        """G_t - b_t (B, S) by step, of the accumulators in each part alone."""
        steps = self.settings.max_new_tokens
        earned = derivative.new_zeros(len(parts), len(texts), steps)
        alive = torch.zeros(len(texts), steps, dtype=torch.bool, device=self.device)
        for (rows, plan), states in zip(by_rows(plans), hidden, strict=True):
            law = self._law(plan, states, derivative[rows])
            for number, part in enumerate(parts):
                reward = rewards(law, plan.layout, plan.texts, derivative[rows], part).double()
                by_step = plan.texts.by_step(reward)
                earned[number, rows, : by_step.shape[1]] = by_step
            lengths = plan.texts.end - plan.texts.first
            alive[rows] = torch.arange(steps, device=self.device) < lengths[:, None]
        return [
            future - leave_one_out_baseline(future, alive, self.processes.reduce)
            for future in reward_to_go(earned, self.credit)
        ]

    def _human(self, step: int) -> Tensor:
        """The human accumulators, those measured under the model brought up to date.

        The windows scored at a step depend on the texts over all processes, not on micro-batches.
        """
        accumulation = self.objective.accumulation
        under_model = [statistic for statistic in accumulation.statistics if statistic.needs_model]
        if not under_model:
            return self.human.to(self.device)
        gained = [
            accumulation.accumulate(*self.scored_under_model(accumulation.plan(piece))).sum(0)
            for piece in self._micro_batches(self._share(self.scored, seed_of(self.settings.seed, step, -1)))
        ]
        fresh = self.processes.reduce(torch.stack(gained).sum(0)) / (self._scored_texts * self.processes.count)
        human = self.human.to(self.device, copy=True)
        for statistic in under_model:
            part = accumulation.part(statistic)
            started = bool(human[part].abs().sum() > 0)
            keep = 1 - 1 / HUMAN_BATCHES if started else 0.0
            human[part] = keep * human[part] + (1 - keep) * fresh[part]
        return human

    def _learn(self, step: int, generated: Sequence[Tensor]) -> None:
        """Lets statistics learn from this step's rollouts, which have been scored, and from other human text.

        Args:
            step: the optimizer step, which picks the human windows.
            generated: (M, D) hidden states of each micro-batch.
        """
        learning = [statistic for statistic in self.objective.accumulation.statistics if statistic.learns]
        if not learning:
            return
        human = self.hidden_of(self._share(self.studied, seed_of(self.settings.seed, step, -2)))
        for statistic in learning:
            statistic.learn(human, torch.cat(list(generated)), self.processes.reduce)

    @property
    def _scored_texts(self) -> int:
        """Human windows per process and acting step."""
        return max(1, self.settings.batch_size // TEXTS_PER_SCORED)

    def _share(self, windows: Sequence[Window], seed: int) -> Texts:
        """This process's share of windows drawn for a step, on the device."""
        return stack(share(windows, self._scored_texts, self.processes, seed)).to(self.device)

    def hidden_of(self, texts: Texts) -> Tensor:
        """The live model's hidden states at the rows of texts: (N, D), without gradient."""
        with torch.no_grad(), deterministic(self.model, recompute=False), self.autocast():
            return torch.cat([hidden_rows(self.decoder, piece) for piece in self._micro_batches(texts)])

    def scored_under_model(self, plan: Plan) -> tuple[Plan, Law]:
        """The law of human texts with their surprisal under the live model, and its hidden states."""
        with torch.no_grad(), deterministic(self.model, recompute=False), self.autocast():
            nothing = replace(
                plan.request,
                table=plan.request.table[:, :0],
                pair_row=plan.request.pair_row[:0],
                pair_token=plan.request.pair_token[:0],
                marginal_mask=plan.request.marginal_mask[:0],
            )
            hidden = hidden_rows(self.decoder, plan.texts)
            law = expected_features(hidden, head_of(self.model), plan.texts, nothing, self.scoring)
        return plan, observed_law(plan.texts, plan.request, surprisal=-law.log_probability, hidden=law.hidden)

    def state_dict(self) -> Mapping[str, Tensor]:
        # The floors of what is measured under the model are those of the model training began with.
        lines = [astuple(curve) for curves in self.curves.values() for curve in curves.values()]
        curves = torch.tensor(lines, dtype=torch.float64)
        own = {"human": self.human, "curves": curves}
        return {**self.objective.state_dict(), **own, **self.queue.state_dict(), **self._found()}

    def _found(self) -> dict[str, Tensor]:
        """What the statistics have found out, each under `statistic/name`."""
        return {
            f"{statistic.name}/{name}": tensor
            for statistic in self.objective.accumulation.statistics
            for name, tensor in statistic.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        count = sum(len(curves) for curves in self.curves.values())
        own = {name: tensor.shape for name, tensor in self._found().items()}
        given = {name: tensor.shape for name, tensor in state.items() if "/" in name}
        if state["human"].shape != self.human.shape or len(state["curves"]) != count or own != given:
            raise ValueError(
                f"the checkpoint's distribution term has {len(state['human'])} accumulators and "
                f"{len(state['curves'])} components, this run's has {len(self.human)} and {count}: resume with the "
                "`statistics` (and their options) and the reference that it was written with"
            )
        self.objective.load_state_dict(state)
        self.human = state["human"]
        self.queue.load_state_dict(state)
        for statistic in self.objective.accumulation.statistics:
            prefix = f"{statistic.name}/"
            statistic.load_state_dict(
                {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            )
        lines = iter(state["curves"].tolist())
        self.curves = {
            name: {component: FloorCurve(*next(lines)) for component in curves} for name, curves in self.curves.items()
        }
