"""From the `statistics:` of a configuration to statistics on a vocabulary, with the distances they are matched by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dft_plugin import plugins
from dft_plugin.distances import default_options
from dft_plugin.objective import Matched
from dft_plugin.statistic_config import DFTStatisticConfig, read_options
from dft_plugin.statistics.base import Statistic
from dft_plugin.vocabulary import Vocabulary


def make_statistic(entry: DFTStatisticConfig, vocabulary: Vocabulary) -> Statistic:
    """A configured statistic on a vocabulary.

    Raises:
        ValueError: when the tokenizer lacks what the statistic needs, naming both; when it learns, and the human side
            would not be counted again.
    """
    statistic = plugins.statistic(entry.name)
    made = statistic(vocabulary, read_options(entry, statistic))
    if made.learns and not made.needs_model:
        raise ValueError(
            f"statistic {entry.name} has `learns` without `needs_model`: the human side would stay as it was counted "
            "before anything was learned; set needs_model = True"
        )
    return made


def make_statistics(entries: Sequence[DFTStatisticConfig], vocabulary: Vocabulary) -> list[Statistic]:
    """Configured statistics; raises as `make_statistic`."""
    return [make_statistic(entry, vocabulary) for entry in entries]


def match(entry: DFTStatisticConfig, statistic: Statistic) -> Matched:
    """A statistic with the distance, weight and clipping its entry gives it."""
    distance = plugins.distance(entry.distance or statistic.distance)
    options = {**default_options(distance.name, statistic.support), **entry.distance_options}
    return Matched(statistic, partial(distance.function, **options), entry.weight, entry.derivative_clip)


def match_all(entries: Sequence[DFTStatisticConfig], statistics: Sequence[Statistic]) -> list[Matched]:
    """Each statistic with the distance and weight of its entry."""
    return [match(entry, statistic) for entry, statistic in zip(entries, statistics, strict=True)]
