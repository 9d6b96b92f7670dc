"""The law of a number of words from one event to the next, as far as the windows it was counted in can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dft_plugin import plugins
from dft_plugin.reference.accumulated import Reference

if TYPE_CHECKING:
    from dft_plugin.reference.domain import Domain

UNSEEN = 0.0005
"""Share of intervals that are longer than any window holds, from which on a law ends there."""


@dataclass(frozen=True)
class IntervalLaw:
    """The law of the number of words from one event to the next.

    Attributes:
        probability: entry i: an interval of 1 + i * width words, or up to width - 1 more; the last: a longer one.
        width: words told apart.
        window: tokens of the windows it was counted in, where no longer interval fits into one: what is longer was
            never seen, and is in no mean. None where the statistic's options end it.
    """

    probability: tuple[float, ...]
    width: int = 1
    window: int | None = None

    @property
    def words(self) -> tuple[float, ...]:
        """The words of each entry: the middle of its bin; of the last, the fewest it may have."""
        bins = len(self.probability) - 1
        middle = (self.width - 1) / 2
        return (*(1 + index * self.width + middle for index in range(bins)), 1.0 + bins * self.width)

    @property
    def mean(self) -> float:
        """Mean of the words, longer intervals taken as `longest` + 1, or left out where none was seen."""
        return float(np.dot(self._known, self.words))

    @property
    def deviation(self) -> float:
        """Standard deviation of the words, likewise."""
        return math.sqrt(max(0.0, float(np.dot(self._known, np.square(self.words))) - self.mean**2))

    @property
    def _known(self) -> npt.NDArray[np.float64]:
        """What means are taken over."""
        if self.window is None:
            return np.array(self.probability)
        seen = np.array([*self.probability[:-1], 0.0])
        known: npt.NDArray[np.float64] = seen / seen.sum()
        return known

    @property
    def median(self) -> float:
        """The words that half of the intervals do not pass; `longest` + 1 where they do."""
        return self.words[int(np.searchsorted(np.cumsum(self.probability), 0.5 - 1e-9))]

    @property
    def longest(self) -> int:
        """The longest interval told apart, in words."""
        return (len(self.probability) - 1) * self.width

    @property
    def longer(self) -> float:
        """The share of longer ones."""
        return self.probability[-1]


def interval_law(reference: Reference | Domain, statistic: str, component: str) -> IntervalLaw | None:
    """The law of a component; None where there is none, or nothing ever ended such an interval."""
    law = reference.laws.get(statistic, {}).get(component)
    if law is None or float(law[-1]) > 1 - 1e-9:
        return None
    record = reference.metadata.get("statistics", {}).get(statistic, {})
    options: Any = plugins.statistic(statistic).Options.model_validate(record.get("options", {}))
    probability = [float(value) for value in law]
    seen = _ages_at_risk(reference, statistic, component)
    if seen is None or sum(probability[seen:]) < UNSEEN or seen == len(probability) - 1:
        return IntervalLaw(tuple(probability), options.width)
    window = int(reference.metadata["sampling"]["max_new_tokens"])
    return IntervalLaw((*probability[:seen], sum(probability[seen:])), options.width, window)


def _ages_at_risk(reference: Reference | Domain, statistic: str, component: str) -> int | None:
    """Bins of a law in which any interval was at risk of ending, in the windows of a reference; None for a domain,
    whose windows hold every age that is told apart."""
    if not isinstance(reference, Reference):
        return None
    kinds: Any = plugins.statistic(statistic)
    present = [kind for kind in kinds.kinds if bool(reference.vocabulary.events[kind].any())]
    counted = reference.totals[statistic].reshape(len(present), 2, -1)
    return int(counted[present.index(component), 1].nonzero().max()) + 1
