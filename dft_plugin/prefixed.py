"""Names in a checkpoint or reference file, each part's under a prefix of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def under(prefix: str, entries: Mapping[str, Value]) -> dict[str, Value]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}
