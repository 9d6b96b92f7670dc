"""A batch of texts, and the rows (counted positions) at which a statistic looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Texts:
    """Human or generated texts, right-padded.

    A *position* t concerns the token at index t, drawn given the tokens before it. The positions
    `first <= t < end` are counted: those the model generated, or a human wrote after the same kind of
    context. Tokens before `begin` (a chat prompt) belong to no text. Rows are the counted positions of all
    texts, flattened: N = sum(end - first).

    Attributes:
        tokens: (B, T) long, right-padded with any id.
        begin: (B,) long, index of the first token that belongs to the text.
        first: (B,) long, index of the first counted token, at least 1 and at least `begin`.
        end: (B,) long, one past the last counted token.
        starts_at_begin: (B,) bool, whether the text really starts at `begin` (False: its earlier tokens
            are unknown, as in a window cut from a long document).
    """

    tokens: Tensor
    begin: Tensor
    first: Tensor
    end: Tensor
    starts_at_begin: Tensor

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @cached_property
    def counted(self) -> Tensor:
        """(B, T) bool: which positions are counted."""
        index = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (index >= self.first[:, None]) & (index < self.end[:, None])

    @cached_property
    def _rows(self) -> tuple[Tensor, Tensor]:
        text, position = self.counted.nonzero(as_tuple=True)
        return text, position

    @property
    def text(self) -> Tensor:
        """(N,) long: the text each row belongs to."""
        return self._rows[0]

    @property
    def position(self) -> Tensor:
        """(N,) long: the index in `tokens` of the token each row draws."""
        return self._rows[1]

    @cached_property
    def drawn(self) -> Tensor:
        """(N,) long: the token drawn at each row."""
        return self.at_rows(self.tokens)

    @property
    def rows(self) -> int:
        """N, the number of counted positions."""
        return self.text.shape[0]

    def at_rows(self, values: Tensor) -> Tensor:
        """Picks values (B, T, ...) given per position: (N, ...)."""
        return values[self.text, self.position]

    def by_step(self, values: Tensor) -> Tensor:
        """Lays values (N,) out as (B, S), S the longest `end - first`; zero after a text's end."""
        step = self.position - self.first[self.text]
        steps = int((self.end - self.first).max()) if len(self) else 0
        laid_out = values.new_zeros(len(self), steps)
        laid_out[self.text, step] = values
        return laid_out

    def from_steps(self, values: Tensor) -> Tensor:
        """The inverse of `by_step`: (B, S) back to (N,)."""
        return values[self.text, self.position - self.first[self.text]]

    def select(self, index: slice) -> Texts:
        """A slice of the texts, its padding trimmed."""
        end = self.end[index]
        longest = int(end.max()) if end.numel() else 0
        return Texts(
            self.tokens[index, :longest],
            self.begin[index],
            self.first[index],
            end,
            self.starts_at_begin[index],
        )

    def to(self, device: torch.device | str) -> Texts:
        return Texts(
            self.tokens.to(device),
            self.begin.to(device),
            self.first.to(device),
            self.end.to(device),
            self.starts_at_begin.to(device),
        )


@dataclass(frozen=True)
class Window:
    """One human window: a context and what a human wrote after it.

    Attributes:
        tokens: token ids; the context is `tokens[:first]`, the human continuation `tokens[first:]`.
        begin: index of the first token that belongs to the text (after a prompt).
        first: index of the first counted token.
        starts_at_begin: whether the document starts at `begin`.
    """

    tokens: tuple[int, ...]
    begin: int
    first: int
    starts_at_begin: bool


def stack(windows: Sequence[Window]) -> Texts:
    """Pads windows into one batch, every token from `first` on counted."""
    longest = max(len(window.tokens) for window in windows)
    tokens = torch.zeros(len(windows), longest, dtype=torch.long)
    for row, window in enumerate(windows):
        tokens[row, : len(window.tokens)] = torch.tensor(window.tokens, dtype=torch.long)
    return Texts(
        tokens,
        torch.tensor([window.begin for window in windows]),
        torch.tensor([window.first for window in windows]),
        torch.tensor([len(window.tokens) for window in windows]),
        torch.tensor([window.starts_at_begin for window in windows]),
    )


def in_pieces(texts: Texts, size: int) -> list[Texts]:
    """Texts in order, at most `size` at a time."""
    return [texts.select(slice(start, start + size)) for start in range(0, len(texts), size)]
