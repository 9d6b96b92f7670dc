"""A reference: counts of human text, what they say, and the file that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dft_plugin.prefixed import under
from dft_plugin.reference.container import Kind, narrow, read, write
from dft_plugin.reference.count import Count
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.window_sample import Drawn, Rows, WindowSample
from dft_plugin.reference.word_counts import WordCounts
from dft_plugin.statistics.base import Statistic
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.vocabulary_tables import from_tensors, to_tensors
from dft_plugin.written import Written

_WRITTEN = ("tokens", "begin", "first", "end", "starts_at_begin")
KIND = Kind("dft-plugin reference", 2, "build it again with `dft reference build`")


@dataclass(frozen=True)
class Reference:
    """The statistics of a body of human text.

    Attributes:
        count: the accumulators, by statistic and of sampled windows, and words.
        vocabulary: the tables of the tokenizer it was counted with.
        laws: statistic -> component -> summary, for those of at most `LONGEST_LAW` numbers.
        metadata: what the file records: tokenizer, sampling windows, statistics' versions and options, floors.
    """

    count: Count
    vocabulary: Vocabulary
    laws: Mapping[str, Mapping[str, Tensor]]
    metadata: Mapping[str, Any]

    @property
    def totals(self) -> dict[str, Tensor]:
        """statistic -> (A_k,) float64, summed over windows."""
        return {name: torch.from_numpy(total) for name, total in self.count.totals.items()}

    @property
    def windows(self) -> int:
        return self.count.windows

    @property
    def token_frequency(self) -> Tensor:
        """(V,) float64: relative frequency of each token."""
        return torch.from_numpy(self.count.tokens / self.count.tokens.sum())

    @property
    def words(self) -> WordCounts:
        return self.count.words

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, complete or not at all."""
        tensors = {f"count/{name}": tensor for name, tensor in count_tensors(self.count).items()}
        tensors |= {f"vocabulary/{name}": tensor for name, tensor in to_tensors(self.vocabulary).items()}
        for statistic, laws in self.laws.items():
            tensors |= {f"law/{statistic}/{component}": law for component, law in laws.items()}
        write(path, KIND, tensors, self.metadata)

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Reads a file that `save` wrote.

        Raises:
            HumanReferenceError: when it is missing, empty, truncated, altered, or not ours.
        """
        tensors, metadata = read(path, KIND)
        laws: dict[str, dict[str, Tensor]] = {}
        for name in tensors:
            if name.startswith("law/"):
                _, statistic, component = name.split("/", 2)
                laws.setdefault(statistic, {})[component] = tensors[name]
        vocabulary = from_tensors(under("vocabulary/", tensors), metadata["tokenizer"])
        return cls(count_of(under("count/", tensors), metadata), vocabulary, laws, metadata)

    def check(
        self, path: str, statistics: Sequence[Statistic], vocabulary: Vocabulary, sampling: Mapping[str, int]
    ) -> None:
        """Whether the file can serve these statistics on this tokenizer with these windows.

        Raises:
            HumanReferenceError: saying what differs and the mend.
        """
        if self.metadata["tokenizer"] != vocabulary.fingerprint:
            raise HumanReferenceError(
                f"reference {path} was built with another tokenizer ({self.metadata['tokenizer'][:12]}, this model's "
                f"is {vocabulary.fingerprint[:12]}): build it again with `dft reference build --tokenizer` and this "
                "model or, where the run adds tokens, the tokenizer in its output directory"
            )
        if self.vocabulary.size != vocabulary.size:
            raise HumanReferenceError(
                f"reference {path} was built for a head of {self.vocabulary.size} rows, this model's has "
                f"{vocabulary.size}: build it again with `dft reference build --vocabulary-size {vocabulary.size}`"
            )
        for key, value in sampling.items():
            built = self.metadata["sampling"].get(key)
            if built != value:
                raise HumanReferenceError(
                    f"reference {path} was built with windows of {key} {built}, the run has rollout.{key} {value}: "
                    f"set rollout.{key}: {built}, or build it again with {value}"
                )
        for statistic in statistics:
            record = self.metadata["statistics"].get(statistic.name)
            if record is None:
                raise HumanReferenceError(
                    f"reference {path} holds no {statistic.name}; it holds "
                    f"{', '.join(self.metadata['statistics'])}: build it again with that statistic"
                )
            if record != describe(statistic):
                raise HumanReferenceError(
                    f"reference {path} holds {statistic.name} with {record}, the run asks for "
                    f"{describe(statistic)}: use the same options, or build it again"
                )


def describe(statistic: Statistic) -> dict[str, Any]:
    """Version and options of a statistic, as a reference file records them."""
    return {"version": statistic.version, "options": statistic.options.model_dump(mode="json")}


def count_tensors(count: Count) -> dict[str, Tensor]:
    """The arrays of a count, in the smallest integers that hold them."""
    arrays: dict[str, np.ndarray] = {"tokens": count.tokens, "lengths": count.lengths, "sample/keys": count.sample.keys}
    arrays |= {f"total/{name}": total for name, total in count.totals.items()}
    if isinstance(count.sample, Drawn):
        arrays |= {f"drawn/{name}": getattr(count.sample.windows, name) for name in _WRITTEN}
    else:
        for name, rows in count.sample.rows.items():
            arrays |= {f"sample/{name}/{part}": getattr(rows, part) for part in ("offset", "index", "value")}
    arrays = {name: array.astype(np.int8) if array.dtype == bool else array for name, array in arrays.items()}
    tensors = {name: narrow(torch.from_numpy(np.ascontiguousarray(array))) for name, array in arrays.items()}
    return tensors | {f"words/{name}": tensor for name, tensor in count.words.tensors().items()}


def numbers_of(count: Count) -> dict[str, Any]:
    """The single numbers of a count."""
    return {
        "windows": count.windows,
        "documents": count.documents,
        "tokens": int(count.tokens.sum()),
        "words": count.words.total,
        "counted_words": count.counted_words,
        "bad_lines": count.bad_lines,
        "empty_documents": count.empty_documents,
        "content": f"{count.content:032x}",
    }


def count_of(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> Count:
    """The count that `count_tensors` and `numbers_of` describe."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items() if not name.startswith("words/")}
    totals = {name: arrays[f"total/{name}"].astype(np.float64) for name in _names(arrays)}
    keys = arrays["sample/keys"].astype(np.int64)
    sample: WindowSample | Drawn
    if "drawn/tokens" in arrays:
        tokens, begin, first, end, starts = (arrays[f"drawn/{name}"].astype(np.int64) for name in _WRITTEN)
        sample = Drawn(keys, Written(tokens, begin, first, end, starts.astype(bool)))
    else:
        sample = WindowSample(keys, {name: _rows(arrays, name, len(total)) for name, total in totals.items()})
    return Count(
        totals,
        arrays["tokens"].astype(np.float64),
        sample,
        WordCounts.from_tensors(under("words/", tensors)),
        arrays["lengths"].astype(np.int64),
        numbers["windows"],
        numbers["counted_words"],
        numbers["documents"],
        numbers["bad_lines"],
        numbers["empty_documents"],
        int(numbers["content"], 16),
    )


def _rows(arrays: Mapping[str, np.ndarray], name: str, size: int) -> Rows:
    offset, index, value = (arrays[f"sample/{name}/{part}"] for part in ("offset", "index", "value"))
    return Rows(offset.astype(np.int64), index.astype(np.int64), value.astype(np.float64), size)


def _names(arrays: Mapping[str, Any]) -> list[str]:
    return list(under("total/", arrays))


__all__ = ["HumanReferenceError", "Reference"]
