"""Texts to measure: from files, folders and data sets, with the prompts they continue."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dft_plugin.reference.rows import Row


class TextsError(ValueError):
    """Texts that cannot be measured; the message says why and how to mend it."""


@dataclass(frozen=True)
class Text:
    """A text, and what it continues or answers.

    Attributes:
        text: what is measured.
        prompt: what came before it; None if nothing did.
        messages: the turns of a chat before it; None if it is no answer in a chat.
    """

    text: str
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True)
class Texts:
    """Texts of one source, and what was left out of it."""

    name: str
    texts: Sequence[Text]
    notes: Sequence[str] = ()


def read_texts(path: str | Path, column: str | None = None) -> Texts:
    """The texts of a file, a folder of files or a data set, empty ones left out.

    Args:
        path: .txt (one text a file) and .jsonl, also .gz or .zst; .json, .parquet; all that references are built from.
        column: the column with the text; default: `text`, or `completion` beside `prompt`, or the last turn of
            `messages`.

    Raises:
        ReferenceError: when the file or the column is not there, or it cannot be read to its end.
        TextsError: when there is no text in it.
    """
    # The one place that knows how corpora are read.
    from dft_plugin.reference.corpus import read
    from dft_plugin.reference.rows import ReadOptions

    found: list[Text] = []
    bad: list[str] = []
    empty = 0
    # Whatever a model wrote is measured: bad rows are told of, they do not end the evaluation.
    for parsed in read(path, ReadOptions(text_column=column, max_bad=1.0)):
        found += map(_text, parsed.rows)
        bad += map(str, parsed.bad)
        empty += parsed.empty
    if not found:
        raise TextsError(f"{path} holds no text" + (f"; {bad[0]}" if bad else ""))
    notes = []
    if bad:
        more = "" if len(bad) == 1 else f" and {len(bad) - 1} more"
        notes.append(f"{path}: left out rows that cannot be read: {bad[0]}{more}")
    if empty:
        notes.append(f"{path}: {empty} empty {'text was' if empty == 1 else 'texts or lines were'} left out")
    return Texts(str(path), found, notes)


def _text(row: Row) -> Text:
    if row.messages is None:
        return Text(row.text, row.prompt)
    before = row.messages[:-1]
    return Text(row.text, str(before[-1]["content"]) if before else None, before)


def digest(texts: Sequence[Text]) -> str:
    """sha256 over the texts in their order."""
    sha = hashlib.sha256()
    for text in texts:
        sha.update(text.text.encode() + b"\0")
    return sha.hexdigest()
