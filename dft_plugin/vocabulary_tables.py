"""A vocabulary's tables as tensors of a file, so that counts can be summarized without the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dft_plugin.vocabulary import EVENTS, Vocabulary


def to_tensors(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """events: (V,) int16, bit i is EVENTS[i]; words_outside, words_inside, state_after: (V,) int8, where words
    above 127 in one token are 127; end_of_text: (E,) int64."""
    bits = torch.zeros(vocabulary.size, dtype=torch.int16)
    for number, name in enumerate(EVENTS):
        bits |= vocabulary.events[name].cpu().to(torch.int16) << number
    tables = {
        name: getattr(vocabulary, name).cpu().clamp(max=127).to(torch.int8)
        for name in ("words_outside", "words_inside", "state_after")
    }
    return {"events": bits, **tables, "end_of_text": torch.tensor(vocabulary.end_of_text, dtype=torch.int64)}


def from_tensors(tensors: Mapping[str, Tensor], fingerprint: str) -> Vocabulary:
    """The vocabulary that `to_tensors` wrote, for summaries: its fingerprint comes from the file's metadata."""
    bits = tensors["events"]
    return Vocabulary(
        size=len(bits),
        events={name: (bits >> number & 1).bool() for number, name in enumerate(EVENTS)},
        words_outside=tensors["words_outside"].long(),
        words_inside=tensors["words_inside"].long(),
        state_after=tensors["state_after"].long(),
        end_of_text=tuple(tensors["end_of_text"].tolist()),
        fingerprint=fingerprint,
    )
