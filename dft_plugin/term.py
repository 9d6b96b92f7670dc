"""The distribution term of one run: samples the live model, measures it, gives the loss to differentiate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dft_plugin.accumulation import Plan
from dft_plugin.balance import BALANCES, Ratios, factors, mean_strength, ratios_of, shares
from dft_plugin.config import DFTConfig
from dft_plugin.generated import generated_texts
from dft_plugin.human_under_model import HumanUnderModel
from dft_plugin.language_model import deterministic
from dft_plugin.live_model import LiveModel
from dft_plugin.objective import Distances, Floors, Means, Objective, surrogate
from dft_plugin.outlook import outlook
from dft_plugin.prefixed import under
from dft_plugin.reference.human_floor import Curves, FloorCurve, at_size
from dft_plugin.rollout import RolloutEngine, continued, seed_of
from dft_plugin.rollout_queue import RolloutQueue
from dft_plugin.rollout_states import RolloutStates, by_rows
from dft_plugin.sampled_law import SampledLaw, excess_surprisal
from dft_plugin.sharing import Processes, share_in_turn
from dft_plugin.texts import Texts, Window, in_pieces

if TYPE_CHECKING:
    from dft_plugin.drift import Drift


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
        excess_surprisal: over all processes, in nats per token (`sampled_law`).
        finite: whether distances, derivatives and advantages are, on every process.
    """

    texts: Texts
    plans: Sequence[Plan]
    derivative: Tensor
    advantage: Tensor | None
    distances: Distances
    floors: Floors
    strength: float
    excess_surprisal: float
    finite: bool


class DistributionTerm:
    """Evaluates rollouts of the live model and yields the surrogate loss, micro-batch by micro-batch.

    Args:
        live: the model under the deployment sampler.
        objective: distances to the human reference; each kind of contexts has windows of its own.
        human_text: what the live model reads of human text.
        human: (A,) human accumulators; the parts of statistics measured under the model are replaced.
        curves: human-versus-human floors by sample size.
        contexts: windows whose contexts are continued, by kind; acting steps take the kinds in turn.
        config: the `dft:` block: how text is sampled, gamma, and whether each statistic's gradient is brought to one
            size times its share (`balance`), as `weight: auto` does.
        engine: samples.
        end_of_text: ids that end a text.
        processes: the data-parallel ones.
        drift: the divergence from the model training began with, part of the loss; None leaves it out.
    """

    def __init__(
        self,
        live: LiveModel,
        objective: Objective,
        human_text: HumanUnderModel,
        human: Tensor,
        curves: Curves,
        contexts: Sequence[Sequence[Window]],
        config: DFTConfig,
        engine: RolloutEngine,
        end_of_text: Sequence[int],
        processes: Processes,
        drift: Drift | None = None,
    ) -> None:
        self.sampling = sampling = config.rollout
        self.seed, self.credit = config.seed, config.credit
        self.live, self.human_text = live, human_text
        self.objectives = [objective, *(objective.another() for _ in contexts[1:])]
        self.human, self.curves, self.contexts = human, curves, contexts
        self.taken = 0
        """Acting steps that have had their texts."""
        self.engine, self.drift = engine, drift
        self.balanced, self.balance, self.lead = config.weight == "auto", BALANCES[config.balance], config.lead
        self.end_of_text = tuple(end_of_text)
        self.processes = processes
        longest = max(window.first for kind in contexts for window in kind) + sampling.max_new_tokens
        self.queue = RolloutQueue(sampling.batch_size, sampling.steps_per_generation, longest, self.processes)
        self.sampled_law = SampledLaw(self.processes)

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.live.device

    @property
    def objective(self) -> Objective:
        """Of the kind of contexts that the latest texts continue."""
        return self.objectives[max(0, self.taken - 1) % len(self.objectives)]

    def rollout(self, step: int) -> Texts:
        """This process's texts of an acting step, on the CPU, sampled now or together with an earlier one's."""
        texts = self.queue.take(partial(self._sampled, step))
        self.taken += 1
        return texts

    def _sampled(self, step: int) -> Texts:
        """Contexts shared out over the processes, then continued."""
        sampling, processes = self.sampling, self.processes
        seed, times = seed_of(self.seed, step, 0), sampling.steps_per_generation
        windows = share_in_turn(self.contexts, sampling.batch_size, processes, seed, self.taken, times)
        contexts = [window.tokens[: window.first] for window in windows]
        return continued(windows, self.generate(contexts, seed_of(self.seed, step, 1 + processes.rank)))

    def generate(self, contexts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        """The new tokens of each context, from the live model.

        Raises:
            ValueError: when the engine returns what no text can be.
        """
        limit, ends = self.sampling.max_new_tokens, self.end_of_text
        with self.live.autocast():
            returned = self.engine.generate(self.live.module, contexts, self.live.sampler, limit, ends, seed)
        return generated_texts(self.sampling.engine, returned, len(contexts), limit, ends)

    def evaluate(self, texts: Texts, step: int) -> Evaluation:
        """Accumulates the texts under the live model and takes the derivative of the distance.

        Args:
            texts: this process's rollouts, on any device.
            step: the optimizer step, which picks the human windows that statistics learn from.
        """
        texts = texts.to(self.device)
        plans, hidden, own, excess = [], [], [], []
        human, curves, rows = self.human_text.present(self.human, self.curves, self.objective.matched)
        with self.live.read():
            for piece in in_pieces(texts, self.sampling.micro_batch_size):
                plans.append(self.objective.accumulation.plan(piece))
                hidden.append(self.live.hidden(piece))
                law = self.live.law(plans[-1], hidden[-1])
                own.append(self.objective.accumulation.accumulate(plans[-1], law))
                excess.append(excess_surprisal(law, piece))
            means = self.objective.leave_one_out(torch.cat(own))
            floors = at_size(curves, self.objective.sample_size(means.texts))
            derivative = self.objective.derivative(means.without, human, floors)
            distances = self.objective.distances(means.mean, human, floors)
            ratios = ratios_of(distances, floors)
            states = RolloutStates(self.live, texts, plans, hidden, self.sampling.max_new_tokens, self.processes.reduce)
            if self.balanced:
                share = self._shares(ratios, means, human, floors)
                derivative = self._balanced(states, derivative, share)
            advantage = states.advantages(derivative, self.credit)[0] if self.credit > 0 else None
        parts = [derivative.sum(), distances.loss] + ([] if advantage is None else [advantage.sum()])
        finite = self.everywhere(all(bool(torch.isfinite(part)) for part in parts))
        if finite:  # a running mean that holds a NaN once holds it for ever
            self.objective.remember(means.total, means.texts)
            self.human, self.curves = human.cpu(), curves
            self.human_text.remember(rows)
            self.human_text.learn(step, hidden)
        strength = mean_strength(self.objective.matched, ratios)
        own_step = finite and self.queue.sampled_for_this_step
        surprisal = self.sampled_law.measured(torch.cat(excess), texts.rows, own_step)
        return Evaluation(texts, plans, derivative, advantage, distances, floors, strength, surprisal, finite)

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
            with deterministic(self.live.module, recompute=recompute):
                with self.live.autocast(), torch.enable_grad():
                    hidden = self.live.hidden(plan.texts)
                    law = self.live.law(plan, hidden, derivative)
                    loss = surrogate(plan, law, derivative, advantage, len(evaluation.texts))
                    if self.drift is not None:
                        divergence = self.drift.loss(plan.texts, hidden, len(evaluation.texts))
                        loss = loss + self.drift.weight * divergence
                yield loss

    def _shares(self, ratios: Ratios, means: Means, human: Tensor, floors: Floors) -> Mapping[str, float]:
        """statistic -> its share of the gradient."""
        matched, accumulation = self.objective.matched, self.objective.accumulation
        if self.lead is None or not self.objective.looks_ahead:
            return shares(self.balance, ratios)
        lead = self.lead * self.objective.shortening
        return shares(self.balance, ratios, outlook(accumulation, matched, means, human, floors, lead))

    def _balanced(self, states: RolloutStates, derivative: Tensor, share: Mapping[str, float]) -> Tensor:
        """D' (B, A), each statistic's part brought to one gradient norm times its share."""
        matched, accumulation = self.objective.matched, self.objective.accumulation
        parts = [accumulation.part(entry.statistic) for entry in matched]
        advantages: Sequence[Tensor | None] = [None] * len(parts)
        if self.credit > 0:
            advantages = states.advantages(derivative, self.credit, parts)
        norms = states.squared_norms(self.balance, derivative, advantages, parts)
        return derivative * factors(matched, accumulation, share, norms)

    def counted(self) -> Tensor:
        """The human accumulators that are counted once, those measured under the model left out."""
        accumulation = self.objective.accumulation
        plain = [statistic for statistic in accumulation.statistics if not statistic.needs_model]
        return torch.cat([self.human[accumulation.part(statistic)] for statistic in plain] or [self.human[:0]])

    def state_dict(self) -> Mapping[str, Tensor]:
        # The floors of what is measured under the model are those of the first acting step's.
        lines = [astuple(curve) for curves in self.curves.values() for curve in curves.values()]
        curves = torch.tensor(lines, dtype=torch.float64)
        own = {"human": self.human, "curves": curves, "taken": torch.tensor(self.taken)}
        return {**self._windows(), **own, **self.queue.state_dict(), **self._found(), **self.human_text.state_dict()}

    def _windows(self) -> dict[str, Tensor]:
        """Those of each kind of contexts, each under `contexts.kind.name`."""
        return {
            f"contexts.{kind}.{name}": tensor
            for kind, objective in enumerate(self.objectives)
            for name, tensor in objective.state_dict().items()
        }

    def _found(self) -> dict[str, Tensor]:
        """What the statistics have found out, each under `statistic/name`."""
        return {
            f"{statistic.name}/{name}": tensor
            for statistic in self.objective.accumulation.statistics
            for name, tensor in statistic.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if differing := self._windows().keys() ^ {name for name in state if name.startswith("contexts.")}:
            raise ValueError(
                f"the checkpoint's distribution term has other kinds of contexts than this run's "
                f"{len(self.contexts)} ({', '.join(sorted(differing))}): resume with the `rollout.prompts` that it was "
                "written with"
            )
        count = sum(len(curves) for curves in self.curves.values())
        own = {name: tensor.shape for name, tensor in self._found().items()}
        given = {name: tensor.shape for name, tensor in state.items() if "/" in name}
        others = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        if state["human"].shape != self.human.shape or len(state["curves"]) != count or others:
            found = f", and statistics have found out other things ({', '.join(others)})" if others else ""
            raise ValueError(
                f"the checkpoint's distribution term has {len(state['human'])} accumulators and "
                f"{len(state['curves'])} components, this run's has {len(self.human)} and {count}{found}: resume with "
                "the `statistics` (and their options) and the reference that it was written with"
            )
        for kind, objective in enumerate(self.objectives):
            objective.load_state_dict(under(f"contexts.{kind}.", state))
        self.taken = int(state["taken"])
        self.human = state["human"]
        self.queue.load_state_dict(state)
        self.human_text.load_state_dict(state)
        for statistic in self.objective.accumulation.statistics:
            statistic.load_state_dict(under(f"{statistic.name}/", state))
        lines = iter(state["curves"].tolist())
        self.curves = {
            name: {component: FloorCurve(*next(lines)) for component in curves} for name, curves in self.curves.items()
        }
