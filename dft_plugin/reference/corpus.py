"""Human text from files: plain text, JSON lines, JSON, parquet; prompt/completion and chat rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dft_plugin.documents import Document
from dft_plugin.reference.accumulated import ReferenceError

SUFFIXES = (".txt", ".jsonl", ".json", ".parquet", ".jsonl.gz", ".txt.gz")


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Rows of a corpus file; a .txt file is one row per paragraph block separated by blank lines.

    Raises:
        ReferenceError: when the file is missing, of an unknown kind, empty, or a line is not valid, naming
            the line.
    """
    path = Path(path)
    if not path.is_file():
        raise ReferenceError(f"{path}: there is no such file")
    name = path.name
    if not name.endswith(SUFFIXES):
        raise ReferenceError(f"{path}: unknown kind of corpus; there are {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise ReferenceError(f"{path} is empty (0 bytes)")
    if name.endswith(".parquet"):
        import pyarrow.parquet

        yield from pyarrow.parquet.read_table(path).to_pylist()
        return
    with gzip.open(path, "rt", encoding="utf-8") if name.endswith(".gz") else path.open(encoding="utf-8") as lines:
        try:
            if name.endswith((".txt", ".txt.gz")):
                yield {"text": lines.read()}
            elif name.endswith(".json"):
                content = json.load(lines)
                if not isinstance(content, list):
                    raise ReferenceError(f"{path}: expected a JSON list of rows, found {type(content).__name__}")
                yield from content
            else:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _json_row(path, number, line)
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, json.JSONDecodeError) as error:
            raise ReferenceError(f"{path}: cannot be read to its end ({error})") from error


def _json_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ReferenceError(f"{path}, line {number}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise ReferenceError(f"{path}, line {number}: expected an object, found {type(row).__name__}")
    return row


def read_documents(path: str | Path, tokenizer: Any) -> list[Document]:
    """Tokenizes a corpus: `text` rows as plain text, `prompt` + `completion` and `messages` as completions.

    Text ends with the tokenizer's end-of-text token, as in training.

    Raises:
        ReferenceError: as `read_rows`, and when a row has none of these columns.
    """
    documents = []
    for row in read_rows(path):
        document = _document(path, row, tokenizer)
        if document is not None:
            documents.append(document)
    if not documents:
        raise ReferenceError(f"{path}: holds no text")
    return documents


def _document(path: str | Path, row: dict[str, Any], tokenizer: Any) -> Document | None:
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if isinstance(row.get("text"), str):
        tokens = tokenizer(row["text"])["input_ids"] + end if row["text"].strip() else []
        return Document(tuple(tokens), 0, len(tokens), False) if tokens else None
    if "completion" in row and "prompt" in row:
        prompt, completion = row["prompt"], row["completion"]
        if isinstance(prompt, str) and isinstance(completion, str):
            before = tokenizer(prompt)["input_ids"]
            after = tokenizer(completion, add_special_tokens=False)["input_ids"] + end
            return Document((*before, *after), len(before), len(before) + len(after), True)
        return _chat(prompt + completion, tokenizer)
    if isinstance(row.get("messages"), list):
        return _chat(row["messages"], tokenizer)
    raise ReferenceError(
        f'{path}: rows need a column "text", "prompt" and "completion", or "messages"; this one has '
        f"{', '.join(map(repr, row)) or 'none'}"
    )


def _chat(messages: list[dict[str, Any]], tokenizer: Any) -> Document | None:
    if not messages or messages[-1].get("role") != "assistant":
        return None
    before = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=True)
    tokens = tokenizer.apply_chat_template(messages, tokenize=True)
    before, tokens = (ids["input_ids"] if hasattr(ids, "keys") else ids for ids in (before, tokens))
    return Document(tuple(tokens), len(before), len(tokens), True)
