"""The accumulators of several statistics side by side: what texts ask of a law, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dft_plugin.law import Law, Request
from dft_plugin.layout import Layout, TableCache, accumulate, lay_out, side_by_side
from dft_plugin.statistics.base import Statistic
from dft_plugin.terms import Term
from dft_plugin.texts import Texts, Window
from dft_plugin.written import Integers, Written


@dataclass(frozen=True)
class Plan:
    """What one batch of texts asks of the law, for all statistics at once."""

    texts: Texts
    request: Request
    layout: Layout


@dataclass(frozen=True)
class Accumulation:
    """Lays the accumulators of all statistics side by side: A numbers per text."""

    statistics: Sequence[Statistic]
    vocabulary_size: int
    _cache: TableCache = field(default_factory=TableCache)
    _sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def plan(self, texts: Texts) -> Plan:
        """Asks every statistic for its terms on these texts."""
        collected: list[Term] = []
        for statistic in self.statistics:
            listed = list(statistic.terms(texts))
            self._sizes[statistic.name] = tuple(term.size for term in listed)
            collected += listed
        request, layout = lay_out(collected, texts, self.vocabulary_size, self._cache)
        return Plan(texts, request, layout)

    def accumulate(self, plan: Plan, law: Law) -> Tensor:
        """(B, A) float64: the accumulators of each text."""
        return accumulate(law, plan.layout, plan.texts).double()

    def count(self, written: Written, group: Integers, groups: int) -> npt.NDArray[np.float64]:
        """(groups, A): the accumulators of written text, summed by group (W,) of windows."""
        parts: list[npt.NDArray[np.float64]] = []
        for statistic in self.statistics:
            counted = statistic.count(written, group, groups)
            self._sizes[statistic.name] = tuple(part.shape[1] for part in counted)
            parts += counted
        return np.concatenate(parts, axis=1)

    @property
    def size(self) -> int:
        """A."""
        if len(self._sizes) < len(self.statistics):  # sizes do not depend on the texts: any will tell
            self.count(Written.of([Window((0, 0), 0, 1, True)]), np.zeros(1, dtype=np.int64), 1)
        return sum(sum(sizes) for sizes in self._sizes.values())

    def part(self, statistic: Statistic) -> slice:
        """Where a statistic's accumulators stand among the A."""
        assert self.size
        parts = side_by_side(sum(self._sizes[other.name]) for other in self.statistics)
        for other, part in zip(self.statistics, parts, strict=True):
            if other is statistic:
                return part
        raise KeyError(statistic.name)

    def summarize(self, statistic: Statistic, accumulators: Tensor) -> Mapping[str, Tensor]:
        """The summary of one statistic from accumulators (..., A)."""
        own = accumulators[..., self.part(statistic)]
        return statistic.summarize([own[..., piece] for piece in side_by_side(self._sizes[statistic.name])])
