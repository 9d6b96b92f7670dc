"""Whatever bytes a corpus or a reference file holds, reading ends in content or in a HumanReferenceError.

The same examples in every run; `FUZZ_EXAMPLES=20000 pytest tests/unit/test_reference_fuzz.py` looks for new ones.
What was found is kept in tests/unit/cases and tried first: rows/ holds corpora, reference/ holds edits as JSON.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from dft_plugin.reference import HumanReferenceError, Reference
from dft_plugin.reference import readers as kinds
from dft_plugin.reference.corpus import chunks, parse, sources
from dft_plugin.reference.rows import Parsed, ReadOptions
from dft_plugin.reference.tokenized import tokenize
from tests import tiny
from tests.unit.test_reference import made_reference

CASES = Path(__file__).parent / "cases"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FUZZ = settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
OPTIONS = ReadOptions()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# Edits of bytes.

Edit = tuple[str, float, bytes]  # what, where as a share of the content, with which bytes
edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "cut", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: Iterable[Edit]) -> bytes:
    for what, where, given_bytes in changes:
        at = int(where * len(content))
        before, after = content[:at], content[at:]
        if what == "flip" and after:
            content = before + bytes([after[0] ^ (1 << given_bytes[0] % 8)]) + after[1:]
        elif what == "insert":
            content = before + given_bytes + after
        elif what == "delete":
            content = before + after[len(given_bytes) :]
        elif what == "cut":
            content = before
        elif what == "repeat":
            content = before + after[: 40 * len(given_bytes)] + after
    return content


# Corpora.

MESSAGES = [{"role": "user", "content": "Hello, you."}, {"role": "assistant", "content": "Good day. ¿Qué?"}]
VALID: list[dict[str, Any]] = [
    {"text": "One text. 一個文本。"},
    {"prompt": "P", "completion": "And C."},
    {"messages": [*MESSAGES, *MESSAGES]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
    {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]},
    {"text": ""},
    {"text": "x" * 100, "title": "y"},
]
LINES = [json.dumps(row, ensure_ascii=number % 2 == 0).encode() for number, row in enumerate(VALID)]

names = st.sampled_from(
    ["text", "prompt", "completion", "messages", "conversations", "role", "content", "from", "value"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["assistant", "user", "gpt"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
line = (
    st.sampled_from(LINES)
    | st.builds(edited, st.sampled_from(LINES), edits)
    | st.dictionaries(names, values, min_size=1, max_size=4).map(lambda row: json.dumps(row).encode())
    | st.binary(max_size=40)
)
corpora = st.lists(line, max_size=12).map(b"\n".join) | st.binary(max_size=400)


def read_corpus(path: Path, size: int) -> list[Parsed] | None:
    """What is read; None for a HumanReferenceError. Any other exception fails the test."""
    try:
        return [parse(chunk, OPTIONS) for chunk in chunks(sources([path], OPTIONS), OPTIONS, size)]
    except HumanReferenceError as error:
        assert path.name in str(error)  # noqa: PT017
        return None


@cache
def tokenizer() -> Any:
    return tiny.tokenizer()


def check_rows(content: bytes, path: Path, size: int) -> None:
    """No line is lost or counted twice, and what was good can be tokenized."""
    path.write_bytes(content)
    parsed = read_corpus(path, size)
    if parsed is None:
        return
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    assert sum(part.good + len(part.bad) + part.empty for part in parsed) == lines
    numbers = [row.line for part in parsed for row in part.rows]
    bad = [entry.line for part in parsed for entry in part.bad]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == sum(part.good for part in parsed)
    assert bad == sorted(set(bad))
    assert not set(numbers) & set(bad)
    assert all(1 <= number <= lines for number in numbers + bad)
    for part in parsed:
        assert all(row.text.strip() and "\0" not in row.text for row in part.rows)
        texts = tokenize(part.rows, tokenizer())
        assert [human.text for human in texts] == [row.text for row in part.rows]


@FUZZ
@given(content=corpora, size=st.integers(1, 200))
def test_json_lines(folder: Path, content: bytes, size: int) -> None:
    check_rows(content, folder / "a.jsonl", size)


@pytest.mark.parametrize("case", sorted((CASES / "rows").iterdir()), ids=lambda case: case.name)
def test_corpora_found_earlier(folder: Path, case: Path) -> None:
    check_rows(case.read_bytes(), folder / "a.jsonl", 64)
    for name in ("a.json", "a.txt", "a.jsonl.gz", "a.txt.zst", "a.parquet"):
        (folder / name).write_bytes(case.read_bytes())
        read_corpus(folder / name, 64)


@FUZZ
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode), size=st.integers(8, 64))
def test_texts(folder: Path, content: bytes, size: int) -> None:
    """Pieces of a text joined are the text, and none begins inside a character."""
    path = folder / "a.txt"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "DOCUMENT", size)
        parsed = read_corpus(path, 100)
        if parsed is None:
            assert not content
            return
        pieces = [piece for chunk in chunks(sources([path], OPTIONS), OPTIONS, 100) for piece in chunk.lines or ()]
    assert b"".join(pieces) == content
    assert all(len(piece) <= size for piece in pieces)
    assert sum(part.good + len(part.bad) + part.empty for part in parsed) == len(pieces)
    if content == content.decode(errors="ignore").encode():
        assert all(piece == piece.decode(errors="ignore").encode() for piece in pieces)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


PACKED = {
    "a.jsonl.gz": gzip.compress(b"\n".join(LINES * 3), mtime=0),
    "a.txt.zst": bytes(pa.Codec("zstd").compress(b"\n".join(LINES * 3), asbytes=True)),
    "a.json": json.dumps(VALID).encode(),
    "a.parquet": _parquet([VALID[0], VALID[6]] * 20),
}


@pytest.mark.parametrize("name", PACKED)
@FUZZ
@given(changes=edits)
def test_packed_files(folder: Path, name: str, changes: list[Edit]) -> None:
    path = folder / name
    path.write_bytes(edited(PACKED[name], changes))
    read_corpus(path, 500)


# Reference files.


def valid_file(tmp_path: Path) -> Path:
    """A small reference file."""
    path = tmp_path / "human.safetensors"
    made_reference(names=("token_frequency", "sentence_length"), documents=8).save(path)
    return path


@pytest.fixture(scope="module")
def valid(folder: Path) -> bytes:
    return valid_file(folder).read_bytes()


def check_reference(content: bytes, valid: bytes, folder: Path) -> None:
    """The very content of the valid file, or a HumanReferenceError."""
    path = folder / "edited.safetensors"
    path.write_bytes(content)
    try:
        loaded = Reference.load(path)
    except HumanReferenceError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    loaded.save(folder / "again.safetensors")
    assert (folder / "again.safetensors").read_bytes() == valid


@FUZZ
@given(changes=edits)
def test_a_reference_of_edited_bytes(folder: Path, valid: bytes, changes: list[Edit]) -> None:
    check_reference(edited(valid, changes), valid, folder)


@FUZZ
@given(changes=edits)
def test_a_reference_of_an_edited_header(folder: Path, valid: bytes, changes: list[Edit]) -> None:
    """Most bytes of the file are numbers; here the edits fall into the header alone."""
    length = int.from_bytes(valid[:8], "little")
    header = edited(valid[8 : 8 + length], changes)
    check_reference(len(header).to_bytes(8, "little") + header + valid[8 + length :], valid, folder)


DTYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I32",
    "I16",
    "I8",
    "U8",
    "BOOL",
    "U16",
    "U32",
    "U64",
    "F8_E4M3",
    "C64",
    "x",
]
header_edits = st.fixed_dictionaries(
    {
        "entry": st.integers(0, 200),
        "field": st.sampled_from(["dtype", "shape", "data_offsets", "name", "drop", "record"]),
        "value": st.sampled_from(DTYPES)
        | st.lists(st.integers(-1, 1000), max_size=3)
        | st.text(max_size=5)
        | st.sampled_from(["[[", "{}", "null", "[]", "3", '{"a": 1}', "NaN"])
        | st.none(),
    }
)


def with_header(valid: bytes, changes: Iterable[dict[str, Any]]) -> bytes:
    """Changes fields of the header: a tensor's dtype, shape, offsets or name, or an entry of the file's record."""
    length = int.from_bytes(valid[:8], "little")
    header = json.loads(valid[8 : 8 + length])
    record = header.pop("__metadata__")
    for change in changes:
        tensors, fields = sorted(header), sorted(record)
        if change["field"] == "record" and fields:
            record[fields[change["entry"] % len(fields)]] = change["value"]
        elif change["field"] == "drop" and tensors:
            del header[tensors[change["entry"] % len(tensors)]]
        elif change["field"] == "name" and tensors:
            header[str(change["value"])] = header.pop(tensors[change["entry"] % len(tensors)])
        elif tensors:
            header[tensors[change["entry"] % len(tensors)]][change["field"]] = change["value"]
    made = json.dumps({**header, "__metadata__": record}).encode()
    return len(made).to_bytes(8, "little") + made + valid[8 + length :]


@FUZZ
@given(changes=st.lists(header_edits, min_size=1, max_size=3))
def test_a_reference_with_another_header(folder: Path, valid: bytes, changes: list[dict[str, Any]]) -> None:
    check_reference(with_header(valid, changes), valid, folder)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_reference_with_numbers_of_another_kind(folder: Path, valid: bytes, dtype: str) -> None:
    """Of the same width the file is well-formed: each tensor in turn, where random edits rarely hit."""
    length = int.from_bytes(valid[:8], "little")
    for entry in range(len(json.loads(valid[8 : 8 + length])) - 1):
        check_reference(with_header(valid, [{"entry": entry, "field": "dtype", "value": dtype}]), valid, folder)


def test_a_reference_whose_record_is_nested_deep(folder: Path, valid: bytes) -> None:
    for entry in range(4):
        check_reference(
            with_header(valid, [{"entry": entry, "field": "record", "value": "[" * 100_000}]), valid, folder
        )


@pytest.mark.parametrize("case", sorted((CASES / "reference").iterdir()), ids=lambda case: case.name)
def test_edits_found_earlier(folder: Path, valid: bytes, case: Path) -> None:
    check_reference(with_header(valid, json.loads(case.read_text())), valid, folder)


def test_an_unedited_file_is_read(folder: Path, valid: bytes) -> None:
    """Or every test above could pass by refusing everything."""
    check_reference(valid, valid, folder)
    check_reference(with_header(valid, []), valid, folder)
    assert (folder / "again.safetensors").read_bytes() == valid
    path = folder / "a.jsonl"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    (parsed,) = read_corpus(path, 1 << 20) or ()
    assert (len(parsed.rows), parsed.good, parsed.bad, parsed.empty) == (7, 6, [], 1)
