"""From counts to a reference: laws, floors and what the file says of itself; and the merging of references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from dft_plugin import __version__
from dft_plugin.accumulation import Accumulation
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.objective import Matched
from dft_plugin.reference.accumulated import Reference, describe, numbers_of
from dft_plugin.reference.count import Count, counted
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.human_side import HumanSide, check_enough, of_totals
from dft_plugin.reference.scripts import as_shares, notes
from dft_plugin.reference.window_sample import Drawn, WindowSample, repeated
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.vocabulary import EVENTS, Vocabulary

LONGEST_LAW = 4096
SAME = ("tokenizer", "vocabulary_size", "sampling", "from_start", "seed", "statistics", "tool")
"""What references must have in common to be merged."""


def finished(
    count: Count, vocabulary: Vocabulary, entries: Sequence[DFTStatisticConfig], record: Mapping[str, Any]
) -> Reference:
    """The reference of a count.

    Args:
        count: of all the text.
        vocabulary: it was counted with, on the CPU.
        entries: the configured statistics, in the order of the accumulators; none needs a model.
        record: what else the file says: tokenizer_name, sampling, from_start, seed, corpus, letters (by script).

    Raises:
        HumanReferenceError: when there is too little text.
    """
    length = record["sampling"]["max_new_tokens"]
    check_enough("the corpus", int(count.tokens.sum()), count.windows, length, one_each=record["from_start"])
    statistics = make_statistics(entries, vocabulary)
    accumulation = Accumulation(statistics, vocabulary.size)
    if isinstance(count.sample, Drawn):
        count = replace(count, sample=counted(count.sample, accumulation))
    side = human_side(count, accumulation)
    laws = {
        statistic.name: {
            component: law.contiguous()
            for component, law in accumulation.summarize(statistic, side.total).items()
            if law.numel() <= LONGEST_LAW
        }
        for statistic in statistics
    }
    metadata = {
        **record,
        "tool": __version__,
        "tokenizer": vocabulary.fingerprint,
        "vocabulary_size": vocabulary.size,
        **numbers_of(count),
        "document_tokens": count.lengths.tolist(),
        "scripts": as_shares(record["letters"]),
        "notes": notes(as_shares(record["letters"]), [statistic.name for statistic in statistics]),
        "marks": _marks(count, vocabulary),
        "repeated_windows": round(repeated(count.sample.keys), 6),
        "statistics": {statistic.name: describe(statistic) for statistic in statistics},
        "entries": [entry.model_dump(mode="json") for entry in entries],
        "floors": _floors(accumulation, match_all(entries, statistics), side, entries),
    }
    return Reference(count, vocabulary, laws, metadata)


def human_side(count: Count, accumulation: Accumulation) -> HumanSide:
    """A count as a model is compared with it."""
    assert isinstance(count.sample, WindowSample)
    totals: dict[str, Tensor] = {name: torch.from_numpy(total) for name, total in count.totals.items()}
    return of_totals(accumulation, totals, float(count.windows), count.sample.rows)


def merged(references: Mapping[str, Reference]) -> Reference:
    """The reference of the corpora of several, as if all had been counted at once.

    Args:
        references: by the name to use in messages.

    Raises:
        HumanReferenceError: when there are fewer than two, they were built differently, or two hold the same text.
    """
    if len(references) < 2:
        raise HumanReferenceError("merging takes two references or more")
    (name, first), *others = references.items()
    content = {first.metadata["content"]: name}
    for other_name, other in others:
        for key in SAME:
            if other.metadata[key] != first.metadata[key]:
                raise HumanReferenceError(
                    f"{name} and {other_name} were built differently: {key} is {_short(first.metadata[key])} and "
                    f"{_short(other.metadata[key])}; build them again with the same tokenizer and options"
                )
        twice = content.setdefault(other.metadata["content"], other_name)
        if twice != other_name:
            raise HumanReferenceError(f"{twice} and {other_name} hold the same text: leave one out")
    entries = [DFTStatisticConfig.model_validate(entry) for entry in first.metadata["entries"]]
    record = {key: first.metadata[key] for key in ("tokenizer_name", "sampling", "from_start", "seed")}
    record["corpus"] = sorted({corpus for each in references.values() for corpus in each.metadata["corpus"]})
    letters = Counter[str]()
    for each in references.values():
        letters.update(each.metadata["letters"])
    record["letters"] = dict(sorted(letters.items()))
    count = reduce(add, (each.count for each in references.values()))
    return finished(count, first.vocabulary, entries, record)


def _marks(count: Count, vocabulary: Vocabulary) -> dict[str, int]:
    return {event: int(count.tokens[vocabulary.events[event].numpy()].sum()) for event in EVENTS}


def _floors(
    accumulation: Accumulation, matched: Sequence[Matched], side: HumanSide, entries: Sequence[DFTStatisticConfig]
) -> dict[str, Any]:
    points = side.measured(accumulation, matched)
    return {
        entry.name: {
            "distance": entry.distance or matched_entry.statistic.distance,
            "components": {
                component: [[point.size, float(f"{point.distance:.6g}")] for point in found]
                for component, found in points[entry.name].items()
            },
        }
        for entry, matched_entry in zip(entries, matched, strict=True)
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
