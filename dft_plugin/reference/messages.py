"""The turns of a chat, whichever names they came with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dft_plugin.reference.row_values import BadRow, json_value, string

ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}
"""What `from` calls a role in ShareGPT's `conversations`; other names are roles already."""

TEMPLATE_COLUMNS = ("tools", "chat_template_kwargs")
"""What a chat's row tells its template beside the turns, as TRL reads it."""


def messages_of(turns: Any, column: str) -> tuple[Mapping[str, Any], ...]:
    """Turns as messages with `role` and `content`.

    Raises:
        BadRow: when they are none, naming the column.
    """
    if not isinstance(turns, Sequence) or isinstance(turns, str | bytes):
        raise BadRow(f'column "{column}" is {type(turns).__name__}, expected a list of messages')
    return tuple(_message(turn, column) for turn in turns)


def template_options(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is told by a row's `TEMPLATE_COLUMNS`; tools may be a string of JSON.

    Raises:
        BadRow: when it is of another kind, naming the column.
    """
    tools, others = (row.get(name) for name in TEMPLATE_COLUMNS)
    try:
        tools = json_value(tools) if isinstance(tools, str) else tools
    except BadRow as error:
        raise BadRow(f'column "tools" is {error}') from error
    if not isinstance(tools, list | None):
        raise BadRow(f'column "tools" is {type(tools).__name__}, expected a list of tools, or one as JSON')
    if not isinstance(others, Mapping | None):
        raise BadRow(f'column "chat_template_kwargs" is {type(others).__name__}, expected an object')
    return {**({} if tools is None else {"tools": tools}), **(others or {})}


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
