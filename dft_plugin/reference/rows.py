"""Rows of human text: what the raw lines of a chunk say, and which of them are bad."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dft_plugin import plugins
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.messages import TEMPLATE_COLUMNS, messages_of, template_options
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
        text: what is counted: a plain text, a completion, or an answer in a chat; "" after a prompt alone.
        prompt: what comes before a completion; None for other rows.
        messages: the turns of a chat up to that of `text`, this included; None for other rows.
        apart: whether a chat's answer stands in a column of its own, `completion`.
        template: what a chat's template is told beside the messages (tools, whether to think).
    """

    line: int
    text: str
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    apart: bool = False
    template: Mapping[str, Any] = field(default_factory=dict)


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
    """What a chunk holds: its lines are `good + len(bad) + empty`.

    Attributes:
        source: of the chunk.
        rows: of a chat one for each answer.
        bad: lines that cannot be used.
        empty: blank lines, blank texts, and chats without an answer (nor, where prompts are read, a user's last turn).
        good: lines with rows.
    """

    source: str
    rows: list[Row]
    bad: list[BadLine]
    empty: int
    good: int


def columns(there: Collection[str], options: ReadOptions) -> list[str]:
    """Of the columns that are there, those that a row is read from; none if no format is complete."""
    formats = FORMATS if options.text_column is None else ((options.text_column,),)
    formats = (("prompt", "completion"), ("prompt",), *formats) if options.prompts else formats
    return [name for wanted in formats if set(wanted) <= set(there) for name in wanted]


def columns_to_read(there: Collection[str], options: ReadOptions) -> list[str]:
    """Those of `columns`, and what a chat's template is told beside its turns; none if no format is complete."""
    found = columns(there, options)
    return [*found, *(name for name in TEMPLATE_COLUMNS if found and name in there)]


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
    good, empty, lacking = 0, 0, ""
    for number, item in _items(chunk):
        try:
            found = _rows(number, item, chunk.kind, options)
        except BadRow as error:
            line = number + (error.below if chunk.kind == "text" else 0)
            bad.append(BadLine(chunk.source, line, str(error), "row" if chunk.kind == "rows" else "line"))
            if isinstance(error, _MissingColumns):
                lacking = lacking or str(error)
            continue
        rows += found
        good, empty = good + bool(found), empty + (not found)
    if lacking and chunk.first == 1 and not rows:
        raise HumanReferenceError(f"{chunk.source}: {lacking}")
    return Parsed(chunk.source, rows, bad, empty, good)


def _items(chunk: Chunk) -> Iterator[tuple[int, Any]]:
    """The line at which each item of a chunk begins, and the item."""
    number = chunk.first
    for item in (chunk.rows if chunk.kind == "rows" else chunk.lines) or ():
        # The mark that Windows editors put before UTF-8.
        yield number, item.removeprefix(b"\xef\xbb\xbf") if number == 1 and isinstance(item, bytes) else item
        number += item.count(b"\n") if chunk.kind == "text" else 1


def _rows(number: int, item: Any, kind: str, options: ReadOptions) -> list[Row]:
    """The rows of an item: none of an empty one, of a chat one for each answer."""
    if kind == "text":
        text = string(item, "the text").replace("\r\n", "\n").replace("\r", "\n")
        return [Row(number, text)] if text.strip() else []
    if kind == "json":
        if not item.strip():
            return []
        item = json_value(decoded(item, "the line"))
    if isinstance(item, Unreadable):
        raise BadRow(item.reason)
    if not isinstance(item, Mapping):
        raise BadRow(f"expected an object, found {type(item).__name__}")
    return _rows_of_columns(number, item, options)


def _rows_of_columns(number: int, row: Mapping[str, Any], options: ReadOptions) -> list[Row]:
    there = columns(row.keys(), options)
    if not there:
        raise _MissingColumns(missing_columns(row.keys(), options))
    filled = columns([name for name in row if row[name] is not None], options)
    if not filled:
        raise BadRow(f'column "{there[0]}" is null')
    name = filled[0]
    if name == options.text_column or name == "text":
        text = string(row[name], f'column "{name}"')
        return [Row(number, text)] if text.strip() else []
    if name == "prompt":
        found = _prompted(number, row["prompt"], row["completion"] if "completion" in filled else None, options)
    else:
        found = _answers(number, messages_of(row[name], name), 0, options)
    template = template_options(row) if any(answer.messages for answer in found) else {}
    return [replace(answer, template=template) for answer in found] if template else found


def _prompted(number: int, prompt: Any, completion: Any, options: ReadOptions) -> list[Row]:
    """Of a prompt and what completes it. A prompt's own answers are part of it, but for the last turn of one alone."""
    if isinstance(prompt, list) and (completion is None or isinstance(completion, list)):
        asked = messages_of(prompt, "prompt")
        if completion is None:
            return _answers(number, asked, len(asked) - 1, options)
        answers = _answers(number, (*asked, *messages_of(completion, "completion")), len(asked), options)
        return [replace(answer, apart=True) for answer in answers]
    prompt = string(prompt, 'column "prompt"')
    text = "" if completion is None else string(completion, 'column "completion"')
    if not text.strip():
        return [Row(number, "", prompt=prompt)] if options.prompts and prompt.strip() else []
    return [Row(number, text, prompt=prompt)]


def _answers(number: int, turns: tuple[Mapping[str, Any], ...], first: int, options: ReadOptions) -> list[Row]:
    """The assistant's turns from `first` on, each after all before it, as where answers alone are trained on.

    What stands after the last counts nothing but where prompts are read, of which a last turn of the user's is one.
    """
    answered = [at for at, turn in enumerate(turns) if turn["role"] == "assistant" and turn["content"].strip()]
    found = [Row(number, turns[at]["content"], messages=turns[: at + 1]) for at in answered if at >= first]
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns = turns[:-1]
    if options.prompts and turns and turns[-1]["role"] == "user":
        found.append(Row(number, "", messages=turns))
    return found
