"""Corpora of every kind are read whole and in little memory, and what is bad is named, counted and skipped."""

from __future__ import annotations

import bz2
import gzip
import json
import pickle
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet
from tokenizers.processors import TemplateProcessing

from dft_plugin.documents import Document
from dft_plugin.evaluation.perplexity import human_windows
from dft_plugin.evaluation.prompts import continuations, read_prompts
from dft_plugin.evaluation.texts import read_texts
from dft_plugin.reference import HumanReferenceError, read_documents
from dft_plugin.reference import readers as kinds
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.corpus import chunks, parse, read, read_rows, sources
from dft_plugin.reference.rows import BadLine, Parsed, ReadOptions, Row
from dft_plugin.reference.tokenized import HumanText, tokenize
from tests import tiny

TEXTS = [f"Text {number} of the corpus. It is short, {'very ' * (number % 7)}short!" for number in range(300)]
ROWS = [{"text": text, "title": number} for number, text in enumerate(TEXTS)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
OPTIONS = ReadOptions()


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def parquet_file(path: Path, rows: Sequence[dict[str, Any]] = ROWS, **options: Any) -> None:
    parquet.write_table(pa.Table.from_pylist(list(rows)), path, **options)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.jsonl": lambda path: path.write_bytes(LINES),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES)),
    "two members.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES[:999]) + gzip.compress(LINES[999:])),
    "a.jsonl.zst": lambda path: path.write_bytes(zstd(LINES)),
    "two frames.jsonl.zst": lambda path: path.write_bytes(zstd(LINES[:999]) + zstd(LINES[999:])),
    "crlf.jsonl": lambda path: path.write_bytes(LINES.replace(b"\n", b"\r\n")),
    "byte order mark.jsonl": lambda path: path.write_bytes(b"\xef\xbb\xbf" + LINES),
    "no newline at the end.jsonl": lambda path: path.write_bytes(LINES[:-1]),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "byte order mark.json": lambda path: path.write_text(json.dumps(ROWS), encoding="utf-8-sig"),
    "a.parquet": parquet_file,
    "row groups.parquet": lambda path: parquet_file(path, row_group_size=7),
    "saved": lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path),
    "saved splits": lambda path: datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(path),
}


def texts_of(path: str | Path, options: ReadOptions = OPTIONS) -> list[str]:
    return [row.text for row in read_rows(path, options)]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("size", [100, 4 << 20])
def test_every_kind_gives_the_same_rows(tmp_path: Path, name: str, size: int) -> None:
    WRITERS[name](tmp_path / name)
    cut = list(chunks(sources([tmp_path / name], OPTIONS), OPTIONS, size))
    parsed = [parse(pickle.loads(pickle.dumps(chunk)), OPTIONS) for chunk in cut]
    assert [(row.line, row.text) for part in parsed for row in part.rows] == list(enumerate(TEXTS, start=1))
    assert not any(part.bad or part.empty for part in parsed)
    assert {chunk.source for chunk in cut} == {str(tmp_path / name)}
    assert (len(cut) > 100) == (size == 100)
    assert cut == list(chunks(sources([tmp_path / name], OPTIONS), OPTIONS, size))


def test_a_suffix_that_lies(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(bz2.compress(LINES))
    with pytest.raises(HumanReferenceError, match=r"a\.jsonl\.zst: cannot be read to its end"):
        texts_of(tmp_path / "a.jsonl.zst")


# Plain text.


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".txt.zst"])
def test_a_text_file_is_one_document(tmp_path: Path, suffix: str) -> None:
    packed = {".txt": bytes, ".txt.gz": gzip.compress, ".txt.zst": zstd}[suffix]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(packed("\ufeffOne line.\r\n\r\nAnother, après.\rLast.\n".encode()))
    assert list(read_rows(path)) == [Row(1, "One line.\n\nAnother, après.\nLast.\n")]


@pytest.mark.parametrize(
    ("unit", "ends"),
    [
        ("One paragraph of text.\nIt has lines.\n\n", "\n\n"),
        ("One line of text, but no blank one.\n", "\n"),
        ("words ", " "),
        ("é한😀", ""),
    ],
    ids=["paragraphs", "lines", "words", "characters"],
)
def test_a_long_text_is_cut_where_it_hurts_least(tmp_path: Path, unit: str, ends: str) -> None:
    whole = unit * (5_000_000 // len(unit.encode())) + "end"
    (tmp_path / "a.txt").write_text(whole, encoding="utf-8")
    cut = list(chunks(sources([tmp_path / "a.txt"], OPTIONS), OPTIONS, size=2 << 20))
    assert [len(chunk.lines or ()) for chunk in cut] == [3, 2]
    rows = [row for chunk in cut for row in parse(chunk, OPTIONS).rows]
    assert "".join(row.text for row in rows) == whole
    assert len(rows) == 5
    for row, following in pairwise(rows):
        assert 900_000 < len(row.text.encode()) <= kinds.DOCUMENT
        assert row.text.endswith(ends)
        assert following.line == row.line + row.text.count("\n")


def test_bad_text_names_its_line(tmp_path: Path) -> None:
    long = "A line.\n" * 250_000
    for content, line in [
        (b"One.\nTw\xe9.\n", 2),
        (b"One.\n\nTwo.\nThr\0ee", 4),
        (f"{long}Z".encode() + b"\xff", 250_001),
    ]:
        (tmp_path / "a.txt").write_bytes(content)
        with pytest.raises(HumanReferenceError, match=rf"a\.txt, line {line}: the text (is not UTF-8|holds a NUL)"):
            texts_of(tmp_path / "a.txt")


# Formats of rows.

TURNS = [("user", "Hello."), ("assistant", "Good day."), ("user", "And?"), ("assistant", "That is all.")]
MESSAGES = [{"role": role, "content": content} for role, content in TURNS]
SHARED = [{"from": {"user": "human", "assistant": "gpt"}[role], "value": content} for role, content in TURNS]


ANSWERS = [Row(1, MESSAGES[at]["content"], messages=tuple(MESSAGES[: at + 1])) for at in (1, 3)]


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "Plain."}, [Row(1, "Plain.")]),
        ({"text": "Plain.", "prompt": "P", "completion": "C"}, [Row(1, "Plain.")]),
        ({"text": None, "prompt": "P", "completion": "C"}, [Row(1, "C", prompt="P")]),
        ({"prompt": "", "completion": " C "}, [Row(1, " C ", prompt="")]),
        ({"prompt": MESSAGES[:3], "completion": MESSAGES[3:]}, [replace(ANSWERS[1], apart=True)]),
        ({"prompt": MESSAGES[:1], "completion": MESSAGES[1:]}, [replace(answer, apart=True) for answer in ANSWERS]),
        ({"messages": MESSAGES}, ANSWERS),
        ({"conversations": SHARED}, ANSWERS),
        ({"conversations": MESSAGES}, ANSWERS),
        ({"messages": SHARED}, ANSWERS),
        ({"messages": [*MESSAGES, MESSAGES[0]]}, ANSWERS),  # what stands after the last answer counts nothing
        ({"text": " \n\u2003"}, []),
        ({"prompt": "P", "completion": "  "}, []),
        ({"messages": MESSAGES[:1]}, []),
        ({"messages": [{"role": "assistant", "content": None}]}, []),
    ],
)
def test_formats(tmp_path: Path, kind: str, row: dict[str, Any], expected: list[Row]) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        parquet_file(path, [row])
    else:
        path.write_text(json.dumps([row] if kind == "json" else row))
    (parsed,) = read(path)
    assert parsed == Parsed(str(path), expected, [], 0 if expected else 1, 1 if expected else 0)


def test_text_column(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "This.", "text": "Not this."}\n')
    assert texts_of(tmp_path / "a.jsonl", ReadOptions(text_column="body")) == ["This."]
    parquet_file(tmp_path / "a.parquet", [{"body": "This.", "text": "Not this."}])
    assert texts_of(tmp_path / "a.parquet", ReadOptions(text_column="body")) == ["This."]


MISSING = r'rows need a column "text".*"prompt" and "completion".*there are "body", "prompt"$'


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "saved"])
def test_a_column_that_no_row_has(tmp_path: Path, kind: str) -> None:
    path, rows = tmp_path / f"a.{kind}", [{"body": "This.", "prompt": "P"}] * 5000
    if kind == "saved":
        datasets.Dataset.from_list(rows).save_to_disk(path)
    elif kind == "parquet":
        parquet_file(path, rows)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    for options, said in [
        (OPTIONS, MISSING),
        (
            ReadOptions(text_column="bodi", max_bad=1),
            'no column "bodi"; there are "body", "prompt". Did you mean "body"',
        ),
    ]:
        with pytest.raises(HumanReferenceError, match=said):
            texts_of(path, options)


def test_a_column_that_some_row_has(tmp_path: Path) -> None:
    """One such row is a bad line, and the others are read; a later chunk without any says nothing of the source."""
    lines = ['{"text": "It is."}'] * 2000
    lines[0] = lines[1999] = '{"body": "This."}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    options = ReadOptions(max_bad=0.01)
    found = list(chunks(sources([tmp_path / "a.jsonl"], options), options, size=1 << 14))
    parsed = [parse(chunk, options) for chunk in found]
    assert len(parsed[-1].rows) == 0
    assert [bad.line for part in parsed for bad in part.bad] == [1, 2000]
    assert sum(len(part.rows) for part in parsed) == 1998


# Bad lines.

BAD = {
    b'{"text": "cut off': "not valid JSON",
    b"[1, 2]": "expected an object, found list",
    b'"text"': "expected an object, found str",
    b"null": "expected an object, found NoneType",
    b'{"text": "\xff"}': "not UTF-8 (byte 0xff)",
    b'{"text": "a\\u0000b"}': "NUL",
    b'{"text": "a\0b"}': "not valid JSON",
    b'{"text": "\\ud800"}': "surrogate",
    b'{"text": 3}': 'column "text" is int, expected a string',
    b'{"text": null}': 'column "text" is null',
    b'{"body": "x"}': 'there are "body"',
    b"[" * 100_000: "nested too deep",
    b"1" * 10_000: "not valid JSON",
    b'{"prompt": "x", "completion": ["y"]}': 'column "completion" is list',
    b'{"messages": "x"}': 'column "messages" is str, expected a list',
    b'{"messages": ["x"]}': 'column "messages" holds str, expected a message',
    b'{"messages": [{"role": "user"}]}': 'has no "role" and "content"',
    b'{"messages": [{"role": 1, "content": "x"}]}': 'a role in column "messages" is int',
    b'{"messages": [{"role": "user", "content": [1]}]}': 'a content in column "messages" is list',
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad[:40].decode(errors="replace"))
def test_bad_lines_are_skipped_and_named(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES + bad + b"\n\n" + LINES)
    (parsed,) = read(path, ReadOptions(max_bad=0.01))
    assert len(parsed.rows) == 600
    assert parsed.empty == 1  # the blank line
    (line,) = parsed.bad
    assert (line.source, line.line) == (str(path), 301)
    assert BAD[bad] in line.reason
    with pytest.raises(
        HumanReferenceError, match=r"a\.jsonl, line 301: .* \(1 of 602 rows are bad.*build` .* --max-bad"
    ):
        list(read_rows(path))


def test_bad_rows_of_parquet(tmp_path: Path) -> None:
    """A text that is not UTF-8 spoils no other, whether the column says string or bytes."""
    good = [text.encode() for text in TEXTS]
    raw = pa.array([*good[:70], b"\xff", *good[70:]], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    for name, column in (("bytes", raw), ("strings", strings)):
        parquet.write_table(pa.table({"text": column}), tmp_path / f"{name}.parquet")
        (parsed,) = read(tmp_path / f"{name}.parquet", ReadOptions(max_bad=0.01))
        assert [row.text for row in parsed.rows] == TEXTS
        (bad,) = parsed.bad
        assert "not UTF-8" in bad.reason
        assert str(bad).startswith(f"{tmp_path / name}.parquet, row 71: ")


def parsed_rows(good: int, bad: int, first: int = 1) -> Parsed:
    rows = [Row(first + line, "x") for line in range(good)]
    return Parsed("a.jsonl", rows, [BadLine("a.jsonl", 7 + line, "wrong") for line in range(bad)], 0, len(rows))


def test_bad_lines_are_judged_late_and_by_their_share() -> None:
    lines = BadLines(0.01)
    lines.add(parsed_rows(500, 300))  # too few to judge
    with pytest.raises(
        HumanReferenceError, match=r"line 7: wrong \(300 of 1,000 rows are bad, more than a share of 0.01"
    ):
        lines.add(parsed_rows(200, 0))
    lines = BadLines(0.01)
    lines.add(parsed_rows(9, 1))
    with pytest.raises(HumanReferenceError, match=r"1 of 10 rows"):
        lines.finish()
    lines = BadLines(0.01)
    for _ in range(20):
        lines.add(parsed_rows(990, 10))  # just as many as are allowed
    lines.finish()
    assert (lines.good, lines.bad, lines.empty) == (19_800, 200, 0)
    assert [bad.line for bad in lines.kept] == [7, 8, 9, 10, 11]
    BadLines(0).finish()


# Files and folders.


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.jsonl", "there is no such file"),
        ("no/where/at/all", "there is no such file"),
        ("table.csv", r"unknown kind of corpus; there are \.txt"),
        ("empty.jsonl", r"is empty \(0 bytes\)"),
        ("folder", r"folder: the folder has no corpus file; these end in \.txt"),
        ("*.html", r"html: the pattern has no corpus file"),
        ("object.json", "expected a JSON list of rows, found dict"),
        ("lines.json", "name it .jsonl"),
        ("latin.json", "name it .jsonl"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "table.csv").write_text("text\nx\n")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.md").write_text("Notes.")
    (tmp_path / "object.json").write_text('{"text": "x"}')
    (tmp_path / "lines.json").write_bytes(LINES)
    (tmp_path / "latin.json").write_bytes(b'[{"text": "\xe9"}]')
    with pytest.raises(HumanReferenceError, match=said):
        texts_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated(tmp_path: Path, name: str, share: float) -> None:
    WRITERS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: max(3, int(len(content) * share))])
    with pytest.raises(HumanReferenceError, match=rf"{name}: cannot be read to its end"):
        texts_of(tmp_path / name)


def test_folders_globs_and_repeats(tmp_path: Path) -> None:
    for name in ("b/two.txt", "a/one.jsonl", "b/.git/hidden.txt", "b/notes.md", "three.json", "b/c/four.txt.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("[]")

    def named(*given: str) -> list[str]:
        found = sources([tmp_path / name for name in given], OPTIONS)
        return [str(Path(source.name).relative_to(tmp_path)) for source in found]

    assert named(".") == ["a/one.jsonl", "b/c/four.txt.gz", "b/two.txt", "three.json"]
    assert named("three.json", "a") == ["three.json", "a/one.jsonl"]
    assert named("*/*.txt") == ["b/two.txt"]
    assert named("**/*") == ["a/one.jsonl", "b/c/four.txt.gz", "b/two.txt", "three.json"]
    assert named("b/two.txt", "b", "**/*.txt", "a/../b") == ["b/two.txt", "b/c/four.txt.gz"]


def test_a_name_with_glob_characters_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes [1].txt").write_text("Mine.")
    assert texts_of(tmp_path / "notes [1].txt") == ["Mine."]


# Data sets.


def test_a_folder_is_a_data_set_if_a_split_is_asked_for(tmp_path: Path) -> None:
    parquet_file(tmp_path / "train-0.parquet", ROWS[:200])
    parquet_file(tmp_path / "test-0.parquet", ROWS[200:])
    assert texts_of(tmp_path, ReadOptions(split="test")) == TEXTS[200:]
    assert texts_of(tmp_path, ReadOptions(split="train")) == TEXTS[:200]
    assert texts_of(tmp_path) == TEXTS[200:] + TEXTS[:200]  # both files, by name
    with pytest.raises(HumanReferenceError, match=r"cannot be read to its end as a data set.*tests"):
        texts_of(tmp_path, ReadOptions(split="tests"))


def test_saved_splits(tmp_path: Path) -> None:
    made = {name: datasets.Dataset.from_list(ROWS[part]) for name, part in (("train", slice(200)), ("test", slice(9)))}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    assert texts_of(tmp_path / "saved") == TEXTS[:200]
    assert texts_of(tmp_path / "saved", ReadOptions(split="test")) == TEXTS[:9]
    with pytest.raises(HumanReferenceError, match=r'no split "tset"; there are train, test\. Did you mean "test"'):
        texts_of(tmp_path / "saved", ReadOptions(split="tset"))


def test_a_data_set_that_is_not_there() -> None:
    """No network in the tests: the name is asked for on the hub, and the answer named."""
    with pytest.raises(
        HumanReferenceError, match=r"nobody/nothing: there is no such file or folder, and no Hugging Face"
    ):
        texts_of("nobody/nothing")


# Memory.


def megabytes_used(path: Path, options: ReadOptions = OPTIONS) -> tuple[float, int]:
    tracemalloc.start()
    rows = sum(len(parse(chunk, options).rows) for chunk in chunks(sources([path], options), options, size=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6, rows


@pytest.mark.parametrize("kind", ["jsonl.gz", "txt.zst", "parquet"])
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, kind: str) -> None:
    path, text = tmp_path / f"a.{kind}", "It is a line of some length. " * 100
    used = []
    for count in (4_000, 16_000):  # 12 and 46 MB of text
        if kind == "parquet":
            parquet_file(path, [{"text": text}] * count, row_group_size=2_000, use_dictionary=False)
        elif kind == "txt.zst":
            path.write_bytes(zstd(f"{text}\n".encode() * count))
        else:
            path.write_bytes(gzip.compress((json.dumps({"text": text}) + "\n").encode() * count, 1))
        megabytes, rows = megabytes_used(path)
        assert rows == count or kind == "txt.zst"
        used.append(megabytes)
    assert used[1] < min(12, 1.3 * used[0])


def test_a_line_of_five_megabytes(tmp_path: Path) -> None:
    text = "A long text it is. " * 270_000
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": entry}) for entry in ("Before.", text, "After.")))
    assert texts_of(tmp_path / "a.jsonl") == ["Before.", text, "After."]


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "LONGEST_LINE", 6 << 20)
    (tmp_path / "a.jsonl").write_text('{"text": "Before."}\n' + "x" * (13 << 20))
    with pytest.raises(HumanReferenceError, match=r"a\.jsonl, line 2: longer than 6 MB"):
        texts_of(tmp_path / "a.jsonl")


# Tokens.


def test_tokens_are_those_of_one_text_at_a_time() -> None:
    """Plain text and completions end with the end-of-text token; a chat's row counts its last turn alone."""
    tokenizer = tiny.tokenizer()
    end = [tokenizer.eos_token_id]
    rows = [
        Row(1, "Plain."),
        Row(2, "And the answer.", prompt="A question."),
        Row(3, "That is all.", messages=tuple(MESSAGES)),
        Row(4, "More plain text."),
        Row(5, "Unasked.", prompt=""),
    ]
    made = tokenize(rows, tokenizer)
    assert [human.text for human in made] == [row.text for row in rows]
    for human, row in zip(made, rows, strict=True):
        document = human.document
        tokens = list(document.tokens)
        assert document.stop == len(tokens)
        assert document.prompted == (row.line in (2, 3, 5))
        counted = tokens[document.start :]
        assert tokenizer.decode(counted) == row.text + tiny.END
        if row.messages is None:
            assert counted == tokenizer(row.text)["input_ids"] + end
        before = tokenizer.decode(tokens[: document.start])
        if row.messages is not None:
            assert before == "<|user|>Hello.<|assistant|>Good day.<|end|><|user|>And?<|assistant|>"
        else:
            assert before == (row.prompt or "")


def test_a_completion_is_read_together_with_its_prompt() -> None:
    """As TRL reads a training set's: a token over the border is the completion's first."""
    tokenizer = tiny.tokenizer()
    (human,) = tokenize([Row(1, "e end of it", prompt="So th")], tokenizer)
    whole = tokenizer(f"So the end of it{tiny.END}")["input_ids"]
    assert human == HumanText(
        Document(tuple(whole), len(tokenizer("So")["input_ids"]), len(whole), True), "e end of it"
    )


def test_answers_of_a_chat_follow_all_before_them(tmp_path: Path) -> None:
    """Also one that nobody asked: it begins after what the template writes before it."""
    greeting = {"role": "assistant", "content": "Welcome."}
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [greeting, *MESSAGES, MESSAGES[0]]}))
    tokenizer, asked = tiny.tokenizer(), "<|assistant|>"
    found = []
    for document in read_documents(tmp_path / "a.jsonl", tokenizer):
        cut = document.tokens[: document.start], document.tokens[document.start : document.stop]
        found.append(tuple(map(tokenizer.decode, cut)))
    first, second = f"{asked}Welcome.{tiny.END}<|user|>Hello.{asked}", f"Good day.{tiny.END}<|user|>And?{asked}"
    assert found == [
        (asked, f"Welcome.{tiny.END}"), (first, f"Good day.{tiny.END}"), (first + second, f"That is all.{tiny.END}"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("tools", [[{"name": "clock"}], '[{"name": "clock"}]'])
def test_a_template_is_told_a_rows_tools_and_options(tmp_path: Path, kind: str, tools: Any) -> None:
    """As TRL tells it, tools also as JSON."""
    tokenizer, path = tiny.tokenizer(), tmp_path / f"a.{kind}"
    told = "{% for tool in tools or [] %}{{ tool['name'] }}{% endfor %}{{ mood }}"
    tokenizer.chat_template = told + tiny.CHAT_TEMPLATE
    row = {"messages": MESSAGES[:2], "tools": tools, "chat_template_kwargs": {"mood": "calm"}}
    parquet_file(path, [row]) if kind == "parquet" else path.write_text(json.dumps(row))
    (document,) = read_documents(path, tokenizer)
    assert tokenizer.decode(document.tokens[: document.start]) == "clockcalm<|user|>Hello.<|assistant|>"
    (prompts, _), human = read_prompts(path, 3), read_texts(path)
    assert prompts == continuations(human, 3)[0]
    assert [prompt.tokens(tokenizer, 100) for prompt in prompts] == [list(document.tokens[: document.start])]
    assert [window.first for window in human_windows(human.texts, tokenizer, 100)] == [document.start]


def test_tools_of_another_kind_are_bad(tmp_path: Path) -> None:
    for name, value in (("tools", 5), ("tools", "{"), ("chat_template_kwargs", "calm")):
        (tmp_path / "a.jsonl").write_text(json.dumps({"messages": MESSAGES, name: value}))
        with pytest.raises(HumanReferenceError, match=rf'line 1: column "{name}" '):
            texts_of(tmp_path / "a.jsonl")


def test_batches_of_the_tokenizer_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(line, text) for line, text in enumerate(TEXTS, start=1)]
    whole = tokenize(rows, tiny.tokenizer())
    monkeypatch.setattr("dft_plugin.reference.tokenized.BATCH", 100)
    assert tokenize(rows, tiny.tokenizer()) == whole


def test_a_text_that_holds_ends_of_text_is_several() -> None:
    """As in files of stories one after the other: no rollout goes on after an end. Their words stay with them."""
    tokenizer = tiny.tokenizer()
    row = Row(1, f"Once upon a time.{tiny.END}\n\nA king.{tiny.END}")
    made = tokenize([row], tokenizer)
    assert [tokenizer.decode(human.document.tokens) for human in made] == [
        f"Once upon a time.{tiny.END}",
        f"\n\nA king.{tiny.END}",
    ]
    assert [human.text for human in made] == ["Once upon a time.", "\n\nA king."]
    assert tokenize([Row(1, f"{tiny.END}{row.text}{tiny.END}")], tokenizer) == made  # an end alone is no text
    other = tokenizer.convert_tokens_to_ids(tiny.USER)
    cut = tokenize([Row(1, f"Once.{tiny.USER}Twice.")], tokenizer, end_of_text=(tokenizer.eos_token_id, other))
    assert [human.text for human in cut] == ["Once.", "Twice."]


def test_a_begin_of_text_that_is_its_end_as_well_ends_nothing() -> None:
    """As OPT's."""
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tiny.END} $A", special_tokens=[(tiny.END, 0)]
    )
    (human,) = tokenize([Row(1, "Once upon a time.")], tokenizer)
    assert human.text == "Once upon a time."
    assert tokenizer.decode(human.document.tokens) == f"{tiny.END}Once upon a time.{tiny.END}"


def test_a_tokenizer_without_end_of_text_or_chat_template() -> None:
    tokenizer = tiny.tokenizer(end_of_text=False)
    tokenizer.chat_template = None
    (human,) = tokenize([Row(1, "Plain.")], tokenizer)
    assert list(human.document.tokens) == tokenizer("Plain.")["input_ids"]
    with pytest.raises(HumanReferenceError, match=r"a\.jsonl, line 8: .*chat template"):
        tokenize([Row(8, "x", messages=tuple(MESSAGES))], tokenizer, "a.jsonl")


def test_a_template_that_refuses_a_chat() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{{ raise_exception('the first turn must be the system\\'s') }}"
    with pytest.raises(HumanReferenceError, match=r"line 3: .*the first turn must be the system's"):
        tokenize([Row(3, "x", messages=tuple(MESSAGES))], tokenizer)


def test_read_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.txt").write_text("Another text.")
    tokenizer = tiny.tokenizer()
    one, both = read_documents(tmp_path / "a.jsonl", tokenizer), read_documents([tmp_path], tokenizer)
    assert [tokenizer.decode(document.tokens) for document in one] == [text + tiny.END for text in TEXTS]
    assert both == [*one, *read_documents(tmp_path / "b.txt", tokenizer)]
    (tmp_path / "blank.jsonl").write_text('\n{"text": " "}\n\n')
    with pytest.raises(HumanReferenceError, match=r"blank\.jsonl: holds no text"):
        read_documents(tmp_path / "blank.jsonl", tokenizer)


def test_files_of_a_folder_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("A.TXT", "b.jsonl", "c.csv", "d.csv", "e.json.gz", "LICENSE"):
        content = '{"text": "Of a row."}\n' if name == "b.jsonl" else "Of a file."
        (tmp_path / name).write_text(content, encoding="utf-8")
    for given in (tmp_path, tmp_path / "*"):
        caplog.clear()
        assert texts_of(given) == ["Of a file.", "Of a row."]
        (said,) = [record.getMessage() for record in caplog.records]
        assert "4 files that are not read (.csv, .json.gz, LICENSE)" in said
    caplog.clear()
    assert texts_of(tmp_path / "A.TXT") == ["Of a file."]
    assert not caplog.records


def test_compression_by_a_suffix_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A.TXT.GZ").write_bytes(gzip.compress(b"Of a file."))
    assert texts_of(tmp_path / "A.TXT.GZ") == ["Of a file."]


def test_files_have_no_split(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Of a file.", encoding="utf-8")
    with pytest.raises(HumanReferenceError, match=r'a split \("test"\) is asked for, and .*a\.txt has none'):
        texts_of(tmp_path / "a.txt", ReadOptions(split="test"))
