"""Human text as the live model reads it: for statistics measured under the model, and for those that learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation, Plan
from dft_plugin.expected_features import expected_features
from dft_plugin.language_model import head_of
from dft_plugin.law import Law, observed_law
from dft_plugin.live_model import LiveModel
from dft_plugin.objective import Matched
from dft_plugin.prefixed import under
from dft_plugin.reference.human_floor import Curves, renewed
from dft_plugin.reference.human_side import of_rows
from dft_plugin.rollout import seed_of
from dft_plugin.sampling import Sampler
from dft_plugin.sharing import Processes, share
from dft_plugin.texts import Texts, Window, in_pieces, stack

PREFIX = "scored."
"""Of the names in a checkpoint."""
FIRST_WINDOWS = 64
"""Windows whose hidden states others are standardised by."""
CARRIED_OVER = 0.25
"""Of how windows that are read again have changed since, how much the others are moved by at once.

Without it windows are half a round old, and hidden states of a small model that learns fast up to 3 floors from what
they are; with all of it the noise of four windows is added. With a quarter it is a tenth of a floor on average."""


class Present(NamedTuple):
    """The human side of an acting step.

    Attributes:
        human: (A,) accumulators, on the device.
        curves: human-versus-human floors.
        rows: (K, M) what each scored window gains under the model; None where nothing is measured under it.
    """

    human: Tensor
    curves: Curves
    rows: Tensor | None


@dataclass
class HumanUnderModel:
    """Human windows that the live model reads: all of them at the first acting step, some at each that follows.

    The human side is the mean over all K windows: as each was last read, moved since by how others have changed. It is
    of as many windows as the floors are, and of the model that the term acts on: what was measured before training
    only tells early what cannot be measured.

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
        rows: (K, M) what each scored window gains, so far as is known; None before the first acting step.
        turn: the window that has waited longest.
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
    rows: Tensor | None = None
    turn: int = 0

    @cached_property
    def measured(self) -> Accumulation:
        """Of the statistics measured under the model alone."""
        kept = [statistic for statistic in self.accumulation.statistics if statistic.needs_model]
        return Accumulation(kept, self.accumulation.vocabulary_size)

    def begin(self, tick: Callable[[int], None] | None = None) -> Tensor:
        """(K, M) what each scored window gains under the live model; hidden states are standardised as they are now.

        Args:
            tick: called with the number of windows read.
        """
        if reading := [statistic for statistic in self.measured.statistics if statistic.needs_hidden]:
            first = self.hidden_of(stack(self.scored[:FIRST_WINDOWS]).to(self.live.device))
            for statistic in reading:
                statistic.begin(first)
        return self._read(self.scored, tick)

    def present(self, human: Tensor, curves: Curves, matched: Sequence[Matched]) -> Present:
        """The human side under the model as it is now; nothing is kept until `remember`.

        Args:
            human, curves: as they were.
            matched: the statistics with their distances.
        """
        if not self.measured.statistics:
            return Present(human.to(self.live.device), curves, None)
        if self.rows is not None:
            rows = self._renewed(self.rows)
            return Present(self.placed(human, rows), curves, rows)
        rows = self.begin()
        under_model = [entry for entry in matched if entry.statistic.needs_model]
        side = of_rows(rows)
        floors = renewed(curves, side.measured(self.measured, under_model), side.windows)
        return Present(self.placed(human, rows), floors, rows)

    def remember(self, rows: Tensor | None) -> None:
        """Keeps what `present` found."""
        if self.rows is not None:
            self.turn = (self.turn + self.each * self.processes.count) % len(self.scored)
        self.rows = rows

    def placed(self, human: Tensor, rows: Tensor) -> Tensor:
        """(A,) the human accumulators on the device, those measured under the model as the rows (K, M) say."""
        human, mean = human.to(self.live.device, copy=True), rows.mean(0).to(self.live.device)
        for statistic in self.measured.statistics:
            human[self.accumulation.part(statistic)] = mean[self.measured.part(statistic)]
        return human

    def _renewed(self, rows: Tensor) -> Tensor:
        """The rows (K, M), those of the windows that have waited longest read again, the others moved along.

        The windows are shared out over processes; which they are depends on how many are read over all of these.
        """
        count, first = self.each * self.processes.count, self.each * self.processes.rank
        turn = [(self.turn + number) % len(rows) for number in range(count)]
        fresh = rows.new_zeros(count, rows.shape[1], device=self.live.device)
        own = slice(first, first + self.each)
        fresh[own] = self._read([self.scored[index] for index in turn[own]]).to(fresh.device)
        found = self.processes.reduce(fresh).cpu()
        rows = rows + CARRIED_OVER * (found - rows[turn]).mean(0)
        rows[turn] = found
        return rows

    def _read(self, windows: Sequence[Window], tick: Callable[[int], None] | None = None) -> Tensor:
        """(n, M) what windows gain under the live model, on the CPU."""
        gained, read = [], 0
        for piece in in_pieces(stack(windows).to(self.live.device), self.micro_batch_size):
            gained.append(self.measured.accumulate(*self.scored_under_model(self.measured.plan(piece))).cpu())
            read += len(piece)
            if tick is not None:
                tick(read)
        return torch.cat(gained)

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

    def state_dict(self) -> dict[str, Tensor]:
        """What was read, and whose turn it is; empty before the first acting step."""
        return {} if self.rows is None else {f"{PREFIX}rows": self.rows, f"{PREFIX}turn": torch.tensor(self.turn)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on with what was read.

        Raises:
            ValueError: when that is of another number of windows.
        """
        held = under(PREFIX, state)
        self.rows = held.get("rows")
        self.turn = int(held.get("turn", 0))
        if self.rows is not None and len(self.rows) != len(self.scored):
            raise ValueError(
                f"the checkpoint's distribution term has read {len(self.rows)} human windows, this run has "
                f"{len(self.scored)}: resume with the `reference_windows` and the human text that it was written with"
            )
