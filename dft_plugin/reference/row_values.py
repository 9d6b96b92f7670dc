"""Values of a row as they must be: JSON, UTF-8, and no text that a tokenizer does not take."""

from __future__ import annotations

import json
from typing import Any


class BadRow(ValueError):
    """Why a row cannot be used, and how many lines below its first one that shows."""

    def __init__(self, reason: str, below: int = 0) -> None:
        super().__init__(reason)
        self.below = below


def json_value(line: str) -> Any:
    """What a line of JSON says.

    Raises:
        BadRow: when it is none.
    """
    try:
        return json.loads(line)
    except RecursionError as error:
        raise BadRow("JSON nested too deep") from error
    except ValueError as error:  # JSONDecodeError, or an integer of too many digits
        raise BadRow(f"not valid JSON ({error})") from error


def decoded(raw: bytes, what: str) -> str:
    """Bytes as text.

    Raises:
        BadRow: when they are not UTF-8, naming `what`.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        reason = f"{what} is not UTF-8 (byte 0x{raw[error.start]:02x})"
        raise BadRow(reason, raw.count(b"\n", 0, error.start)) from error


def string(value: Any, what: str) -> str:
    """A text without what no tokenizer takes. Parquet files may hold texts as bytes.

    Raises:
        BadRow: when it is none, naming `what`.
    """
    text = decoded(value, what) if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise BadRow(f"{what} is {type(value).__name__}, expected a string")
    if "\0" in text:
        raise BadRow(f"{what} holds a NUL character", text.count("\n", 0, text.index("\0")))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{what} holds half a surrogate pair") from error
    return text
