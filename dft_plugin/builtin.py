"""The built-in plugin: registered exactly as a third party's would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dft_plugin import distances
from dft_plugin.hookspecs import hookimpl
from dft_plugin.rollout import RolloutEngine, TransformersEngine
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.entropy import EntropyRate
from dft_plugin.statistics.frequency import NgramFrequency, PunctuationFrequency, TokenFrequency
from dft_plugin.statistics.hidden_state import HiddenState
from dft_plugin.statistics.intervals import ParagraphLength, PunctuationRhythm, SentenceLength, TextLength
from dft_plugin.statistics.novelty import Novelty
from dft_plugin.statistics.opening import SentenceOpening
from dft_plugin.statistics.rarity import NgramRarity


@hookimpl
def dft_statistics() -> Sequence[type[Statistic]]:
    return [
        TokenFrequency,
        NgramFrequency,
        SentenceLength,
        PunctuationFrequency,
        PunctuationRhythm,
        ParagraphLength,
        TextLength,
        Novelty,
        SentenceOpening,
        EntropyRate,
        HiddenState,
        NgramRarity,
    ]


@hookimpl
def dft_distances() -> Sequence[distances.Distance]:
    return distances.BUILTIN


@hookimpl
def dft_rollout_engines() -> Sequence[type[RolloutEngine]]:
    return [TransformersEngine]


@hookimpl
def dft_references() -> Mapping[str, Path]:
    from dft_plugin.reference.domain import shipped

    return shipped()
