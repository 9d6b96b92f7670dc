"""The tokens of pieces of text, as a tokenizer cuts them inside a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.pieces import AFTER_BREAK, BLANK_LINE, END, GLUED, LINE_BREAK, START, core, written
from dft_plugin.written import Integers

TOGETHER = 256
"""Pieces laid into one text."""


@dataclass(frozen=True)
class PieceTokens:
    """Tokens of each of P pieces, one after the other.

    Attributes:
        tokens: (T,) ids.
        start: (P + 1,) where each piece's begin, and their end.
    """

    tokens: Integers
    start: Integers

    @property
    def lengths(self) -> Integers:
        return np.diff(self.start)


def piece_tokens(tokenizer: Any, names: Sequence[str], end_of_text: int | None) -> PieceTokens:
    """Cuts pieces into tokens where they stand in a text: after a word, a line break or nothing.

    Args:
        tokenizer: a fast one of transformers.
        names: pieces.
        end_of_text: the id that follows a text's last piece, as in training; None for none.

    Raises:
        HumanReferenceError: when the tokenizer cannot say which characters a token stands for.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise HumanReferenceError(
            f"a domain needs a fast tokenizer, and {type(tokenizer).__name__} is none: load it with use_fast=True, "
            "or build a reference of a corpus with `dft reference build`"
        )
    # What begins a text can only be seen at the beginning of one.
    first = [number for number, name in enumerate(names) if name[0] == START]
    others = [number for number, name in enumerate(names) if name[0] != START]
    groups = [[number] for number in first]
    groups += [others[start : start + TOGETHER] for start in range(0, len(others), TOGETHER)]
    laid = [_laid([names[number] for number in group]) for group in groups]
    texts = [text for text, _ in laid]
    found = (
        tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False)
        if texts
        else {"input_ids": [], "offset_mapping": []}
    )
    pieces, ids = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for group, (_, bounds), tokens, offsets in zip(
        groups, laid, found["input_ids"], found["offset_mapping"], strict=True
    ):
        ends = np.array([end for _, end in offsets], dtype=np.int64)
        # The bounds are where each piece and what was laid between them end, in turn.
        at = np.searchsorted(bounds, ends)
        own = at % 2 == 1
        pieces.append(np.array(group, dtype=np.int64)[at[own] // 2])
        ids.append(np.array(tokens, dtype=np.int64)[own])
    if end_of_text is not None:
        last = [number for number, name in enumerate(names) if name[-1] == END]
        pieces.append(np.array(last, dtype=np.int64))
        ids.append(np.full(len(last), end_of_text))
    piece = np.concatenate(pieces)
    order = np.argsort(piece, kind="stable")
    start = np.searchsorted(piece[order], np.arange(len(names) + 1))
    return PieceTokens(np.concatenate(ids)[order], start)


def _laid(names: Sequence[str]) -> tuple[str, Integers]:
    """A text that holds the pieces, and where in it each stretch between them and each piece ends."""
    parts: list[str] = []
    after_break = True
    for name in names:
        parts += [_between(name, after_break), written(name)]
        after_break = name[-1] in (LINE_BREAK, BLANK_LINE)
    if after_break:
        parts[-1:] = [parts[-1], "x"]  # line breaks at the end of a text are cut differently
    return "".join(parts), np.cumsum([len(part) for part in parts])


def _between(name: str, after_break: bool) -> str:
    """What stands before a piece: a word, a digit where letters were cut off from a mark, a line break, or nothing."""
    if name[0] == START:
        return ""
    word = "1" if name[0] == GLUED and core(name)[:1].isalpha() else "x"
    before = word + ("\n\n" if name[0] == AFTER_BREAK else "")
    return before if after_break else " " + before
