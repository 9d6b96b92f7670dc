"""How far two sequences are the same from their beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def shared_beginning(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many elements both begin with."""
    differing = (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differing, min(len(one), len(other)))
