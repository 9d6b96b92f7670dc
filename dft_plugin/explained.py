"""What pydantic found wrong, in the words of the user's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import ValidationError


def explain(error: ValidationError, keys: Sequence[str], inner: Mapping[str, Sequence[str]] | None = None) -> str:
    """Every problem; an unknown key with those that exist and the nearest.

    Args:
        error: of one block.
        keys: of that block.
        inner: block inside it -> its keys.
    """
    from dft_plugin.plugins import nearest

    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *outer, given = map(str, problem["loc"])
            existing = (inner or {}).get(".".join(outer), keys)
            known = f"There are: {', '.join(existing)}" if existing else "There are none"
            lines.append(f'unknown key "{place}".{nearest(given, existing)} {known}.')
        else:
            message = problem["msg"].removeprefix("Value error, ")
            given_value = "" if problem["type"] == "value_error" else f" (given: {problem['input']!r})"
            if problem["type"] == "literal_error":
                given_value += "." + nearest(
                    str(problem["input"]), re.findall(r"'([^']*)'", problem["ctx"]["expected"])
                )
            lines.append(f"{place + ': ' if place else ''}{message}{given_value}")
    return "; ".join(lines)


__all__ = ["explain"]
