"""Writes the generated parts of the README: the option table and the measured tables.

    python benchmarks/update_readme.py          # or --check: exit 1 when the README is not up to date

Each part stands between `<!-- name:begin -->` and `<!-- name:end -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dft_plugin.schema import option_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = {
    "results": ROOT / "benchmarks/effect/results/readme.md",
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


def filled(readme: str) -> str:
    """The README with every generated part in its place."""
    for name, text in parts().items():
        pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        replacement = text.strip() + "\n"
        readme = pattern.sub(lambda match, new=replacement: match.group(1) + new + match.group(2), readme)
    return readme


def main() -> None:
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
