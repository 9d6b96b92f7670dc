"""How far texts already written are from human text, in each statistic and as a multiple of the human floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from dft_plugin.accumulation import Accumulation
from dft_plugin.law import observed_law
from dft_plugin.objective import Matched, component_distances, floor_ratios, mean_distance
from dft_plugin.reference.human_floor import at_size
from dft_plugin.reference.human_side import of_windows
from dft_plugin.texts import Texts, Window


@dataclass(frozen=True)
class Measured:
    """One statistic of a sample of texts.

    Attributes:
        distance: from the human sample, in the distance's own unit; mean over components.
        floor_ratio: as a multiple of the distance between two human samples of this sample's size; 1 is
            indistinguishable at that size.
        components: the floor ratio of each component.
    """

    distance: float
    floor_ratio: float
    components: Mapping[str, float]


class HumanSample:
    """Human windows that samples of texts are compared with.

    Args:
        matched: statistics with their distances; those measured under a model are left out.
        vocabulary_size: V.
        windows: human windows, cut as the texts that will be compared.
    """

    def __init__(self, matched: Sequence[Matched], vocabulary_size: int, windows: Sequence[Window]) -> None:
        self.matched = [entry for entry in matched if not entry.statistic.needs_model]
        self.accumulation = Accumulation([entry.statistic for entry in self.matched], vocabulary_size)
        side = of_windows(self.accumulation, windows)
        self.human = side.total
        self.curves = side.floors(self.accumulation, self.matched)

    def measure(self, texts: Texts) -> dict[str, Measured]:
        """Compares texts with the human sample, statistic by statistic."""
        plan = self.accumulation.plan(texts)
        own = self.accumulation.accumulate(plan, observed_law(texts, plan.request)).sum(0)
        at_floor = at_size(self.curves, len(texts))
        distances = component_distances(self.accumulation, self.matched, own, self.human, at_floor)
        ratios = {name: floor_ratios(raw, at_floor[name]) for name, raw in distances.items()}
        return {
            name: Measured(mean_distance(raw), fmean(ratios[name].values()), ratios[name])
            for name, raw in distances.items()
        }
