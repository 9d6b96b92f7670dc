"""The turns of a chat, whichever names they came with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dft_plugin.reference.row_values import BadRow, string

ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}
"""What `from` calls a role in ShareGPT's `conversations`; other names are roles already."""


def messages_of(turns: Any, column: str) -> tuple[Mapping[str, Any], ...]:
    """Turns as messages with `role` and `content`.

    Raises:
        BadRow: when they are none, naming the column.
    """
    if not isinstance(turns, Sequence) or isinstance(turns, str | bytes):
        raise BadRow(f'column "{column}" is {type(turns).__name__}, expected a list of messages')
    return tuple(_message(turn, column) for turn in turns)


def _message(turn: Any, column: str) -> Mapping[str, Any]:
    """A message with `role` and `content`, whichever names it came with; calls of tools may have no content."""
    if not isinstance(turn, Mapping):
        raise BadRow(f'column "{column}" holds {type(turn).__name__}, expected a message')
    role, content = ("from", "value") if "from" in turn and "role" not in turn else ("role", "content")
    if role not in turn or content not in turn:
        raise BadRow(f'a message of column "{column}" has no "role" and "content" (nor "from" and "value")')
    others = {name: value for name, value in turn.items() if name not in (role, content)}
    said = string(turn[role], f'a role in column "{column}"')
    text = "" if turn[content] is None else string(turn[content], f'a content in column "{column}"')
    return {**others, "role": ROLES.get(said, said), "content": text}
