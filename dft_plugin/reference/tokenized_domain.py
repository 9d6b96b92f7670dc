"""A domain's pieces as the tokens of one tokenizer, and the windows that its documents would be cut into."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dft_plugin.document_windows import spans
from dft_plugin.documents import Document
from dft_plugin.reference.domain import Domain
from dft_plugin.reference.domain_count import CLASSES
from dft_plugin.reference.piece_tokens import PieceTokens, piece_tokens
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers

Floats = npt.NDArray[np.float64]
PSEUDO_WORDS = 60_000
"""Samples of the letter chain."""
OFFSETS = 8
"""Places at which the cutting of a document of each length is tried."""


@dataclass(frozen=True)
class TokenizedDomain:
    """A domain's pieces as tokens.

    Attributes:
        domain, tokenizer, vocabulary: as in `project`.
        context_tokens, max_new_tokens: of the run's windows.
    """

    domain: Domain
    tokenizer: Any
    vocabulary: Vocabulary
    context_tokens: int
    max_new_tokens: int

    @cached_property
    def pieces(self) -> PieceTokens:
        """Of the stored pieces."""
        return piece_tokens(self.tokenizer, self.domain.pieces.names, self.tokenizer.eos_token_id)

    @cached_property
    def rare(self) -> tuple[PieceTokens, Floats]:
        """Of pseudo-words that stand for rare ones, and how many occurrences each stands for."""
        words = self.domain.letters.sample(PSEUDO_WORDS)
        return piece_tokens(self.tokenizer, list(words), self.tokenizer.eos_token_id), np.array(list(words.values()))

    @cached_property
    def frequency(self) -> Floats:
        """(V,) occurrences of each token."""
        size = self.vocabulary.size
        rare, words = self.rare
        return _spread(self.pieces, self.domain.pieces.count.astype(np.float64), size) + _spread(rare, words, size)

    @cached_property
    def fertility(self) -> float:
        """Tokens per chunk between white space, the end of text left out."""
        ends = self.domain.metadata["documents"] * (self.tokenizer.eos_token_id is not None)
        return float((self.frequency.sum() - ends) / self.domain.metadata["chunks"])

    @cached_property
    def histories(self) -> Histories:
        """The windows that the documents would be cut into."""
        return Histories.of(self)


@dataclass(frozen=True)
class Histories:
    """The counted positions of windows.

    Attributes:
        rows: (H,) positions with h = 0, 1, ... tokens of their window before them.
        windows: how many windows there are.
    """

    rows: Floats
    windows: float

    @classmethod
    def of(cls, tokens: TokenizedDomain) -> Histories:
        context, longest = tokens.context_tokens, tokens.max_new_tokens
        rows, windows = np.zeros(context + longest + 2), 0.0
        end = tokens.tokenizer.eos_token_id is not None
        special = tokens.tokenizer.num_special_tokens_to_add() + end
        for number in np.flatnonzero(tokens.domain.lengths):
            length = round(2 ** (number / CLASSES) * tokens.fertility) + special
            share = float(tokens.domain.lengths[number]) / OFFSETS
            span = min(longest, length - 1)
            for offset in range(OFFSETS if length > 1 else 0):
                at = round((offset + 0.5) / OFFSETS * span - 0.5)
                cut = spans(Document((), 0, length, False), context, longest, at)
                rows += _steps(cut.first - cut.begin, cut.end - cut.begin, len(rows)) * share
                windows += len(cut.first) * share
        return cls(rows, windows)


def _steps(first: Integers, last: Integers, size: int) -> Floats:
    """(size,): how many of the ranges first_i ... last_i - 1 hold each number."""
    edges = np.bincount(first, minlength=size + 1) - np.bincount(last, minlength=size + 1)
    counts: Floats = np.cumsum(edges[:size], dtype=np.float64)
    return counts


def _spread(tokens: PieceTokens, weight: Floats, size: int) -> Floats:
    counts = np.bincount(tokens.tokens, weights=np.repeat(weight, tokens.lengths), minlength=size)[:size]
    return counts.astype(np.float64)
