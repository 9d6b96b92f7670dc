"""One line of the bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One requirement.

    Attributes:
        what: it asks for.
        figure: what was measured.
        met: whether it holds; None where it cannot be told or asks nothing.
    """

    what: str
    figure: str
    met: bool | None
