"""Texts sampled in one call of the engine for several acting steps, kept until their step comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from dft_plugin.prefixed import under
from dft_plugin.sharing import Processes
from dft_plugin.texts import Texts

PREFIX = "waiting."
"""Of the names in a checkpoint."""


class RolloutQueue:
    """Hands out each acting step's texts, and has them sampled when none are left.

    What waits is kept for all processes: a checkpoint is written by one, and is resumed by all.

    Args:
        batch_size: texts of an acting step, per process.
        steps: acting steps whose texts are sampled at once; with 1 nothing ever waits.
        longest: bound on a text's tokens, its context included, the same on every process.
        processes: the data-parallel ones.
    """

    def __init__(self, batch_size: int, steps: int, longest: int, processes: Processes) -> None:
        self.batch_size, self.steps, self.longest, self.processes = batch_size, steps, longest, processes
        self.waiting: Texts | None = None
        """(P * batch_size * steps) texts of all P processes, on the CPU: the first process's, the second's, ..."""
        self.taken = 0
        """Acting steps that have had theirs."""

    def take(self, sample: Callable[[], Texts]) -> Texts:
        """This process's texts of the acting step that has come, on the CPU: (batch_size).

        Args:
            sample: samples this process's texts of the next `steps` acting steps, one step's after the other's.
        """
        if self.steps == 1:
            return sample()
        if self.waiting is None:
            self.waiting, self.taken = self._of_all_processes(sample()), 0
        start = (self.processes.rank * self.steps + self.taken) * self.batch_size
        texts = self.waiting.select(slice(start, start + self.batch_size))
        self.taken += 1
        if self.taken == self.steps:
            self.waiting = None
        return texts

    @property
    def sampled_for_this_step(self) -> bool:
        """Whether the texts handed out last were sampled at their own step, by the model as it is then."""
        return self.steps == 1 or self.taken == 1

    def _of_all_processes(self, own: Texts) -> Texts:
        """Each process's texts in its place of one batch, which all processes then hold."""

        def gathered(name: str) -> Tensor:
            entries = getattr(own, name).long()
            everything = entries.new_zeros(self.processes.count, *entries.shape)
            everything[self.processes.rank] = entries
            return self.processes.reduce(everything).flatten(0, 1)

        own = replace(own, tokens=pad(own.tokens, (0, self.longest - own.tokens.shape[1])))
        return _texts({field.name: gathered(field.name) for field in fields(Texts)})

    def state_dict(self) -> dict[str, Tensor]:
        """What waits, and for whom; empty where nothing does."""
        if self.waiting is None:
            return {}
        held = {PREFIX + field.name: getattr(self.waiting, field.name) for field in fields(Texts)}
        return {**held, f"{PREFIX}sizes": torch.tensor(self._sizes), f"{PREFIX}taken": torch.tensor(self.taken)}

    @property
    def _sizes(self) -> list[int]:
        return [self.processes.count, self.steps, self.batch_size]

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on with what waited; where that is for other sizes than this run's, new texts are drawn instead."""
        held = under(PREFIX, state)
        self.waiting = None
        if held and held["sizes"].tolist() == self._sizes:
            self.waiting, self.taken = _texts(held), int(held["taken"])


def _texts(entries: Mapping[str, Tensor]) -> Texts:
    return Texts(
        entries["tokens"], entries["begin"], entries["first"], entries["end"], entries["starts_at_begin"].bool()
    )
