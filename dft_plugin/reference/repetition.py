"""How soon n-grams of tokens come again, for tokenizers that were not known when it was counted.

Repetition is the one statistic that no count of words gives: it depends on how many tokens a word is cut into, and on
how digits and line breaks are written. It is measured with tokenizers of several kinds and sizes; another tokenizer's
is read off the kind that cuts digits and line breaks as it does, at its own number of tokens per word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dft_plugin.statistics.novelty import repeats
from dft_plugin.written import Integers

LONGEST = 8
"""The longest n-grams measured."""
GAPS = np.unique(np.round(2.0 ** np.arange(0, 12.25, 0.5)).astype(np.int64))
"""Distances in tokens at which the share of repetitions is known, 1 to 4096."""
PROBES = ("Of 1234 and 5678 or 90123456", 'a.\n\nb."\n\nc\n\n"d')
"""Texts that tell kinds of tokenizers apart: by the number of tokens of each."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Repetition:
    """Shares of n-grams that come again within a distance, by tokenizer.

    Attributes:
        probes: (K, 2) tokens of each of `PROBES`, by tokenizer; those of one kind have them in common.
        fertility: (K,) tokens per chunk between white space.
        share: (K, LONGEST, GAPS) of the n-grams with at least that many tokens of the document before them, those
            that stood within that distance before.
    """

    probes: Integers
    fertility: Floats
    share: Floats

    def of(self, probes: Sequence[int], fertility: float) -> Floats:
        """(LONGEST, GAPS) for a tokenizer: between the two of the nearest kind that are next to it in tokens per
        chunk; outside those measured, the outermost."""
        apart = np.abs(self.probes - np.asarray(probes)).sum(1)
        kind = np.flatnonzero((self.probes == self.probes[apart.argmin()]).all(1))
        kind = kind[np.argsort(self.fertility[kind])]
        place = np.interp(fertility, self.fertility[kind], np.arange(len(kind)))
        low = int(place)
        high = min(low + 1, len(kind) - 1)
        mixed: Floats = self.share[kind[low]] * (1 - (place - low)) + self.share[kind[high]] * (place - low)
        return mixed

    def tensors(self) -> dict[str, Tensor]:
        return {
            "probes": torch.from_numpy(self.probes),
            "fertility": torch.from_numpy(self.fertility),
            "share": torch.from_numpy(self.share.astype(np.float32)),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Repetition:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return cls(
            arrays["probes"].astype(np.int64),
            arrays["fertility"].astype(np.float64),
            arrays["share"].astype(np.float64),
        )


def measure(texts: Sequence[str], tokenizers: Mapping[str, Sequence[Any]]) -> Repetition:
    """Measures texts.

    Args:
        texts: documents.
        tokenizers: kind -> `tokenizers.Tokenizer`s of growing vocabularies.
    """
    measured = []
    chunks = sum(len(text.split()) for text in texts)
    for kind in tokenizers.values():
        largest = kind[-1]
        probes = probe(lambda text, largest=largest: len(largest.encode(text, add_special_tokens=False).ids))  # type: ignore[misc]
        for tokenizer in kind:
            end = tokenizer.get_vocab_size()  # each document ends with a token, as in training
            found = [[*row.ids, end] for row in tokenizer.encode_batch(texts, add_special_tokens=False)]
            documents = np.concatenate([[0], np.cumsum([len(row) for row in found])])
            tokens = np.array([token for row in found for token in row], dtype=np.int64)
            measured.append((probes, (len(tokens) - len(texts)) / chunks, shares(tokens, documents)))
    probed, fertility, share = zip(*measured, strict=True)
    return Repetition(np.array(probed), np.array(fertility), np.stack(share))


def probe(tokens_of: Callable[[str], int]) -> tuple[int, ...]:
    """How many tokens a tokenizer makes of each of `PROBES`."""
    return tuple(tokens_of(text) for text in PROBES)


def shares(tokens: Integers, documents: Integers) -> Floats:
    """(LONGEST, GAPS) shares of n-grams that stood before in their document within each distance.

    Args:
        tokens: (T,) of all documents, one after the other.
        documents: (D + 1,) where each begins, and their end.
    """
    begin = np.repeat(documents[:-1], np.diff(documents))
    place = np.arange(len(tokens)) - begin
    found = np.zeros((LONGEST, len(GAPS)))
    for n, (end, source) in enumerate(repeats(tokens, LONGEST, int(GAPS[-1])), start=1):
        own = source - (n - 1) >= begin[end]
        gap = np.full(len(tokens), len(tokens))
        gap[end[own]] = (end - source)[own]
        for column, distance in enumerate(GAPS):
            exposed = place >= distance + n - 1
            if exposed.any():
                found[n - 1, column] = (gap[exposed] <= distance).mean()
            elif column:
                found[n - 1, column] = found[n - 1, column - 1]
    return found


def within(share: Floats, distance: Integers) -> Floats:
    """Shares (GAPS,) read off at any distances (N,) from 1 on, straight lines between in the logarithm."""
    return np.interp(np.log(np.maximum(distance, 1)), np.log(GAPS), share) * (distance >= 1)
