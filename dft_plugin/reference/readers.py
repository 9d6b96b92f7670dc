"""One reader for each kind of corpus: its content in chunks, decompressed but not parsed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dft_plugin import plugins
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.rows import Chunk, ReadOptions, Unreadable, columns_to_read, missing_columns

CHUNK = 8 << 20
DOCUMENT = 1 << 20
"""Bytes of a .txt file that make a document, where it has more."""
LONGEST_LINE = 256 << 20
"""Bytes; a longer line of a .jsonl file is taken for another kind of file."""
BATCH = 64
"""Rows of a parquet file decoded at once."""

Item = TypeVar("Item")


def lines(source: str, size: int) -> Iterator[Chunk]:
    """JSON lines of a file, unparsed."""
    first, rest = 1, b""
    for block in _blocks(source, size):
        whole, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest += block
            if len(rest) > LONGEST_LINE:
                raise HumanReferenceError(
                    f"{source}, line {first}: longer than {LONGEST_LINE >> 20} MB. Is it JSON lines, one object "
                    "a line? A list of objects is a .json file"
                )
            continue
        found = (rest + whole).split(b"\n")
        yield Chunk(source, first, "json", lines=found)
        first, rest = first + len(found), tail
    if rest:
        yield Chunk(source, first, "json", lines=[rest])


def documents(source: str, size: int) -> Iterator[Chunk]:
    """A .txt file as one document, or several if it is over `DOCUMENT` bytes."""
    first = 1
    for pieces in grouped(_pieces(source), len, size):
        yield Chunk(source, first, "text", lines=pieces)
        first += sum(document.count(b"\n") for document in pieces)


def json_list(source: str) -> Iterator[Any]:
    """The rows of a .json file, which is read whole."""
    try:
        content = json.loads(b"".join(_blocks(source, CHUNK)).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise HumanReferenceError(
            f"{source}: cannot be read to its end as one JSON list ({error}); if it holds one object a line, name it "
            ".jsonl"
        ) from error
    if not isinstance(content, list):
        raise HumanReferenceError(f"{source}: expected a JSON list of rows, found {type(content).__name__}")
    yield from content


def parquet_rows(source: str, options: ReadOptions) -> Iterator[Any]:
    """The rows of a .parquet file, with the columns that are wanted."""
    import pyarrow
    from pyarrow import parquet

    try:
        # Read as it is decoded: by default a whole row group, which may be the file, is fetched before.
        with parquet.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as file:
            there = file.schema_arrow.names
            wanted = columns_to_read(there, options)
            if not wanted:
                raise HumanReferenceError(f"{source}: {missing_columns(there, options)}")
            for batch in file.iter_batches(batch_size=BATCH, columns=wanted):
                yield from _batch_rows(batch)
    except (pyarrow.ArrowException, OSError) as error:
        raise HumanReferenceError(f"{source}: cannot be read to its end ({error}): fetch or write it again") from error


def dataset_rows(name: str, saved: bool, options: ReadOptions) -> Iterator[Any]:
    """The rows of a Hugging Face data set by name or folder; `saved`: `save_to_disk` wrote the folder."""
    try:
        data = _saved(name, options) if saved else _streamed(name, options)
        there = data.column_names or ()  # unknown for some streams: then `parse` says what is missing
        wanted = columns_to_read(there, options)
        if there and not wanted:
            raise HumanReferenceError(f"{name}: {missing_columns(there, options)}")
        yield from data.select_columns(wanted) if wanted else data
    except HumanReferenceError:
        raise
    except Exception as error:  # the hub's, the network's, a reader's: datasets has no class for them all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = "cannot be read to its end as a data set"
        if not Path(name).exists():
            what = "there is no such file or folder, and no Hugging Face data set can be read by that name"
        raise HumanReferenceError(f"{name}: {what} ({reason})") from error


def in_chunks(source: str, rows: Iterable[Any], size: int) -> Iterator[Chunk]:
    """Rows of a source, put together to about `size` bytes."""
    first = 1
    for group in grouped(rows, _weight, size):
        yield Chunk(source, first, "rows", rows=group)
        first += len(group)


def _blocks(source: str, size: int) -> Iterator[bytes]:
    """A file's bytes, decompressed. pyarrow tells of a stream that ends too early, in gzip and zstd."""
    import pyarrow

    compression = {".gz": "gzip", ".zst": "zstd"}.get(Path(source).suffix.lower())
    try:
        with pyarrow.input_stream(source, compression=compression) as stream:
            while block := stream.read(size):
                yield block
    except OSError as error:
        raise HumanReferenceError(f"{source}: cannot be read to its end ({error}): fetch or write it again") from error


def _pieces(source: str) -> Iterator[bytes]:
    """A text in pieces of at most `DOCUMENT` bytes that joined give it back."""
    rest = b""
    for block in _blocks(source, DOCUMENT):
        rest += block
        while len(rest) > DOCUMENT:
            cut = _cut(rest)
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest


def _cut(text: bytes) -> int:
    """Where the first document of a longer text ends: the last blank line, line end, space or character."""
    half = DOCUMENT // 2
    for mark in (b"\n\n", b"\n\r\n", b"\n", b" "):
        at = text.rfind(mark, half, DOCUMENT)
        if at >= 0:
            return at + len(mark)
    at = DOCUMENT
    while at > half and text[at] & 0xC0 == 0x80:  # inside a character
        at -= 1
    return at


def _batch_rows(batch: Any) -> Iterator[Any]:
    """The rows of a batch, those apart whose text is not UTF-8: pyarrow decodes texts only here."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(len(batch)):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield Unreadable(f"not UTF-8 ({error.reason})")


def _streamed(name: str, options: ReadOptions) -> Any:
    import datasets

    return datasets.load_dataset(name, split=options.split or "train", streaming=True)


def _saved(folder: str, options: ReadOptions) -> Any:
    import datasets

    data = datasets.load_from_disk(folder)
    if not isinstance(data, datasets.DatasetDict):
        return data
    split = options.split or (next(iter(data)) if len(data) == 1 else "train")
    if split not in data:
        raise HumanReferenceError(
            f'{folder}: no split "{split}"; there are {", ".join(data)}.{plugins.nearest(split, data)}'
        )
    return data[split]


def _weight(value: Any) -> int:
    """About the bytes of a row."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return 8 + sum(map(_weight, value.values()))
    return 8 + (sum(map(_weight, value)) if isinstance(value, list) else 0)


def grouped(items: Iterable[Item], weight: Callable[[Item], int], size: int) -> Iterator[list[Item]]:
    """Items in order, in groups that are closed once they weigh `size`."""
    group: list[Item] = []
    total = 0
    for item in items:
        group.append(item)
        total += weight(item)
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group
