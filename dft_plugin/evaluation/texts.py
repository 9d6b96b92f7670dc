"""Texts to measure: from files, folders and data sets, with the prompts they continue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from dft_plugin.reference.rows import Row

Item = TypeVar("Item")


class TextsError(ValueError):
    """Texts that cannot be measured; the message says why and how to mend it."""


@dataclass(frozen=True)
class Text:
    """A text, and what it continues or answers.

    Attributes:
        text: what is measured.
        prompt: what came before it; None if nothing did.
        messages: the turns of a chat before it; None if it is no answer in a chat.
        template: what the chat's template is told beside them.
    """

    text: str
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    template: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> str | None:
        """The same for texts that go on from the same; None if nothing came before. A chat of one turn asks what its
        prompt does."""
        if self.messages is not None and len(self.messages) > 1:
            return json.dumps(self.messages, sort_keys=True, default=str)
        return self.prompt or None


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
        column: the column with the text; default: `text`, or `completion` beside `prompt`, or each answer
            of `messages`.

    Raises:
        HumanReferenceError: when the file or the column is not there, or it cannot be read to its end.
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
    notes = unreadable(path, bad)
    if empty:
        notes.append(f"{path}: {empty} empty {'text was' if empty == 1 else 'texts or lines were'} left out")
    return Texts(str(path), found, notes)


def unreadable(path: str | Path, bad: Sequence[str]) -> list[str]:
    """A note on the rows of a file that cannot be read, if there are any."""
    more = "" if len(bad) == 1 else f" and {len(bad) - 1} more"
    return [f"{path}: left out rows that cannot be read: {bad[0]}{more}"] if bad else []


def read_texts_or_column(path: str | Path, column: str | None) -> Texts:
    """As `read_texts` without a column; from that column, if one is given, where there are none of the default ones."""
    from dft_plugin.reference.errors import HumanReferenceError

    try:
        return read_texts(path)
    except HumanReferenceError:
        if column is None:
            raise
        return read_texts(path, column)


def _text(row: Row) -> Text:
    if row.messages is None:
        return Text(row.text, row.prompt)
    before = row.messages[:-1]
    return Text(row.text, str(before[-1]["content"]) if before else None, before, row.template)


def name_of(path: str) -> str:
    """What a file, a folder or a hub name is called in tables: without what says how it is read."""
    from dft_plugin.reference.corpus import SUFFIXES

    name = Path(path).name
    suffix = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(suffix)] or name


def in_random_order(items: Sequence[Item]) -> list[Item]:
    """The same in one random order, always the same one: what is taken of files from their beginning is a sample then,
    whatever they are sorted by."""
    return [items[index] for index in np.random.default_rng(0).permutation(len(items))]


def digest(texts: Sequence[Text]) -> str:
    """sha256 over the texts, in whichever order they are."""
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(text.text.encode()).digest() for text in texts))).hexdigest()
