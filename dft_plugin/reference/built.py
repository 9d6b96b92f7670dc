"""What a finished build says."""

from __future__ import annotations

from pathlib import Path

from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.description import WITHOUT_TEXT


def built(path: Path, reference: Reference, lines: BadLines) -> str:
    """Lines about a reference just built: how much text, what was skipped, what does not fit its script."""
    known = reference.metadata
    said = [
        f"{path}: {known['documents']:,} documents, {known['tokens']:,} tokens in {known['windows']:,} windows, "
        f"{known['words']:,} words; {', '.join(known['statistics'])}"
    ]
    if known["empty_documents"]:
        said.append(f"{known['empty_documents']:,} {WITHOUT_TEXT} were left out")
    if lines.bad:
        shown = "; ".join(map(str, lines.kept))
        said.append(f"{lines.bad:,} bad lines were skipped: {shown}")
    if known["repeated_windows"] > 0.01:
        said.append(f"{known['repeated_windows']:.0%} of the text is there more than once")
    said += known["notes"]
    return "".join(f"{line}\n" for line in said)
