"""Rows of human text: what the raw lines of a chunk say, and which of them are bad."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dft_plugin import plugins
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.messages import messages_of
from dft_plugin.reference.row_values import BadRow, decoded, json_value, string

FORMATS = (("text",), ("prompt", "completion"), ("messages",), ("conversations",))
"""The columns that make a row; of several, the first whose values are not null counts."""


@dataclass(frozen=True)
class ReadOptions:
    """How a corpus is read.

    Attributes:
        split: of a Hugging Face data set; files have none.
        text_column: the column that holds plain text, instead of those of `FORMATS`.
        max_bad: largest share of bad rows that is skipped.
        prompts: whether a row may be a prompt that nothing answers: a column `prompt` alone, or a chat that ends with
            the user. Its `text` is empty then. A prompt goes before other columns.
    """

    split: str | None = None
    text_column: str | None = None
    max_bad: float = 0.001
    prompts: bool = False


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be decoded."""

    reason: str


@dataclass(frozen=True)
class Chunk:
    """Some rows of one source, not yet parsed.

    Attributes:
        source: its name as users know it: a path or the name of a data set.
        first: number of the chunk's first line or row, from 1.
        kind: "json" (`lines` are JSON lines), "text" (`lines` are whole documents) or "rows".
        lines: raw bytes.
        rows: objects of a parquet file, a JSON list or a data set.
    """

    source: str
    first: int
    kind: Literal["json", "text", "rows"]
    lines: list[bytes] | None = None
    rows: list[Any] | None = None


@dataclass(frozen=True)
class Row:
    """One human text.

    Attributes:
        line: its line or row in the source, from 1.
        text: what is counted: a plain text, a completion, or the last turn of a chat; "" after a prompt alone.
        prompt: what comes before a completion; None for other rows.
        messages: the turns of a chat, that of `text` included; None for other rows.
        apart: whether a chat's answer stands in a column of its own, `completion`.
    """

    line: int
    text: str
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    apart: bool = False


@dataclass(frozen=True)
class BadLine:
    """A row that cannot be used, and why."""

    source: str
    line: int
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.source}, {self.unit} {self.line}: {self.reason}"


@dataclass(frozen=True)
class Parsed:
    """What a chunk holds: its lines are `len(rows) + len(bad) + empty`.

    `empty` counts blank lines, blank texts, and chats that do not end with the assistant (nor, where prompts are read,
    with the user).
    """

    source: str
    rows: list[Row]
    bad: list[BadLine]
    empty: int


def columns(there: Collection[str], options: ReadOptions) -> list[str]:
    """Of the columns that are there, those that a row is read from; none if no format is complete."""
    formats = FORMATS if options.text_column is None else ((options.text_column,),)
    formats = (("prompt", "completion"), ("prompt",), *formats) if options.prompts else formats
    return [name for wanted in formats if set(wanted) <= set(there) for name in wanted]


def missing_columns(there: Collection[str], options: ReadOptions) -> str:
    """What to say where `columns` finds none."""
    found = ", ".join(f'"{name}"' for name in there) or "none"
    if options.text_column is not None:
        return f'no column "{options.text_column}"; there are {found}.{plugins.nearest(options.text_column, there)}'
    if options.prompts:
        return f'rows need a column "prompt", "messages", "conversations" or "text"; there are {found}'
    return (
        'rows need a column "text" (or another with --text-column), "prompt" and "completion", "messages" or '
        f'"conversations"; there are {found}'
    )


class _MissingColumns(BadRow):
    """The row is an object without the columns of any format."""


def parse(chunk: Chunk, options: ReadOptions) -> Parsed:
    """The rows of a chunk, and its bad lines.

    A row without the wanted columns is a bad line like any other, but where no row of a source's first chunk
    has them, the source is taken to have none.

    Raises:
        HumanReferenceError: when the source's first chunk shows none of the columns, naming those that are there.
    """
    rows: list[Row] = []
    bad: list[BadLine] = []
    empty, lacking = 0, ""
    for number, item in _items(chunk):
        try:
            row = _row(number, item, chunk.kind, options)
        except BadRow as error:
            line = number + (error.below if chunk.kind == "text" else 0)
            bad.append(BadLine(chunk.source, line, str(error), "row" if chunk.kind == "rows" else "line"))
            if isinstance(error, _MissingColumns):
                lacking = lacking or str(error)
            continue
        if row is None:
            empty += 1
        else:
            rows.append(row)
    if lacking and chunk.first == 1 and not rows:
        raise HumanReferenceError(f"{chunk.source}: {lacking}")
    return Parsed(chunk.source, rows, bad, empty)


def _items(chunk: Chunk) -> Iterator[tuple[int, Any]]:
    """The line at which each item of a chunk begins, and the item."""
    number = chunk.first
    for item in (chunk.rows if chunk.kind == "rows" else chunk.lines) or ():
        # The mark that Windows editors put before UTF-8.
        yield number, item.removeprefix(b"\xef\xbb\xbf") if number == 1 and isinstance(item, bytes) else item
        number += item.count(b"\n") if chunk.kind == "text" else 1


def _row(number: int, item: Any, kind: str, options: ReadOptions) -> Row | None:
    """The row of an item; None for an empty one."""
    if kind == "text":
        text = string(item, "the text").replace("\r\n", "\n").replace("\r", "\n")
        return Row(number, text) if text.strip() else None
    if kind == "json":
        if not item.strip():
            return None
        item = json_value(decoded(item, "the line"))
    if isinstance(item, Unreadable):
        raise BadRow(item.reason)
    if not isinstance(item, Mapping):
        raise BadRow(f"expected an object, found {type(item).__name__}")
    return _row_of_columns(number, item, options)


def _row_of_columns(number: int, row: Mapping[str, Any], options: ReadOptions) -> Row | None:
    there = columns(row.keys(), options)
    if not there:
        raise _MissingColumns(missing_columns(row.keys(), options))
    filled = columns([name for name in row if row[name] is not None], options)
    if not filled:
        raise BadRow(f'column "{there[0]}" is null')
    name = filled[0]
    if name == options.text_column or name == "text":
        text = string(row[name], f'column "{name}"')
        return Row(number, text) if text.strip() else None
    if name == "prompt":
        return _prompted(number, row["prompt"], row["completion"] if "completion" in filled else None, options)
    return _chat(number, row[name], name, options)


def _prompted(number: int, prompt: Any, completion: Any, options: ReadOptions) -> Row | None:
    """Of a prompt and what completes it: None where it stands alone."""
    if isinstance(prompt, list) and (completion is None or isinstance(completion, list)):
        found = _chat(number, [*prompt, *(completion or ())], "prompt" if completion is None else "completion", options)
        return found if found is None else replace(found, apart=completion is not None)
    prompt = string(prompt, 'column "prompt"')
    if completion is None:
        return Row(number, "", prompt=prompt) if prompt.strip() else None
    completion = string(completion, 'column "completion"')
    if not completion.strip():
        return Row(number, "", prompt=prompt) if options.prompts and prompt.strip() else None
    return Row(number, completion, prompt=prompt)


def _chat(number: int, turns: Any, column: str, options: ReadOptions) -> Row | None:
    """A chat counts its last turn if the assistant has it: that is what a rollout's prompt is completed with."""
    messages = messages_of(turns, column)
    if options.prompts and messages and messages[-1]["role"] == "assistant" and not messages[-1]["content"].strip():
        messages = messages[:-1]
    if options.prompts and messages and messages[-1]["role"] == "user":
        return Row(number, "", messages=messages)
    if not messages or messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        return None
    return Row(number, messages[-1]["content"], messages=messages)
