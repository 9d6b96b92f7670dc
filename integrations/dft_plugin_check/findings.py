"""What a check found, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Findings:
    """What a check found.

    Attributes:
        host: "Axolotl" or "TRL"; "" when the file is a `dft:` block by itself.
        problems: what was given, what exists and the mend; none is good.
        notes: what could not be checked, or is to be known.
        checked: what was looked at and found good.
    """

    host: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)


def report(path: str, findings: Findings) -> str:
    """The lines to print: every problem and note, or one line of what was checked."""
    host = f" ({findings.host})" if findings.host else ""
    count = len(findings.problems)
    if count:
        lines = [f"{path}{host}: {count} problem{'s' if count > 1 else ''}"]
        lines += [f"  {number}. {problem}" for number, problem in enumerate(findings.problems, start=1)]
    else:
        lines = [f"{path}{host}: no problem found. Checked: {', '.join(findings.checked)}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"  note: {note}" for note in findings.notes)])
