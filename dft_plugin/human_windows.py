"""The human windows that a configuration asks for: contexts to continue, text to count, text to score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dft_plugin.config import DFTConfig
from dft_plugin.document_windows import WindowSampler
from dft_plugin.documents import Document, counted_from_start
from dft_plugin.reference.human_side import check_enough
from dft_plugin.rollout import seed_of
from dft_plugin.texts import Window


def window_sampler(config: DFTConfig, documents: Sequence[Document], *, from_start: bool) -> WindowSampler:
    """Cuts windows as rollouts are; with `from_start` plain texts begin at their first token, not at a random place."""
    rollout = config.rollout
    kept = [counted_from_start(document) for document in documents] if from_start else documents
    return WindowSampler(kept, rollout.context_tokens, rollout.max_new_tokens)


def pieces(config: DFTConfig, documents: Sequence[Document]) -> int:
    """About how many windows documents make before these begin to overlap."""
    return window_sampler(config, documents, from_start=False).pieces()


def sampling_record(config: DFTConfig) -> dict[str, int]:
    """The window lengths a reference file is bound to."""
    return {
        "max_new_tokens": config.rollout.max_new_tokens,
        "context_tokens": config.rollout.context_tokens,
    }


def cut_windows(config: DFTConfig, documents: Sequence[Document], *, from_start: bool, name: str) -> list[Window]:
    """Human windows, none overlapping another as far as the text reaches.

    Raises:
        HumanReferenceError: when there is too little text, saying how much is needed.
    """
    sampler = window_sampler(config, documents, from_start=from_start)
    available = sampler.pieces()
    tokens = sum(document.stop - document.start for document in sampler.usable())
    check_enough(name, tokens, available, config.rollout.max_new_tokens, one_each=sampler.one_each)
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0))
    return sampler.sample(min(config.reference_windows, available), generator)


def token_frequency(windows: Sequence[Window], vocabulary_size: int) -> Tensor:
    """(V,) float64: relative frequency of each token among the counted ones."""
    drawn = torch.tensor([token for window in windows for token in window.tokens[window.first :]])
    counts = torch.bincount(drawn, minlength=vocabulary_size).double()
    return counts / counts.sum()
