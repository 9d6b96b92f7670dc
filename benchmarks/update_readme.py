"""Writes the generated parts of the README and of the effect benchmark's findings: options and measured tables.

    python benchmarks/update_readme.py          # or --check: exit 1 when one of them is not up to date

Each part stands between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dft_plugin.schema import option_table

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "benchmarks/effect/FINDINGS.md")
RESULTS = {
    "results": ROOT / "benchmarks/effect/results/readme.md",
    "by-contexts": ROOT / "benchmarks/effect/results/by-contexts.md",
    "by-calibration": ROOT / "benchmarks/effect/results/by-calibration.md",
    "smaller-models": ROOT / "benchmarks/effect/results/smaller-models.md",
    "variance": ROOT / "benchmarks/estimator/results/variance.md",
    "balance": ROOT / "benchmarks/estimator/results/balance.md",
    "domains": ROOT / "benchmarks/domains/results.md",
    "throughput": ROOT / "benchmarks/reference/results/throughput.md",
}


def parts() -> dict[str, str]:
    """The generated parts by name."""
    found = {"options": option_table()}
    found.update({name: path.read_text(encoding="utf-8") for name, path in RESULTS.items() if path.exists()})
    return found


def filled(document: str) -> str:
    """A document with every generated part that it has a place for."""
    for name, text in parts().items():
        pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        replacement = text.strip() + "\n"
        document = pattern.sub(lambda match, new=replacement: match.group(1) + new + match.group(2), document)
    return document


def main() -> None:
    before = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    after = {path: filled(text) for path, text in before.items()}
    if "--check" in sys.argv:
        sys.exit(before != after)
    for path, text in after.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
