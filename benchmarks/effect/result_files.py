"""Where results lie: one JSON file for each arm, seed and sampler."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


def run_path(folder: Path, arm: str, seed: int, sampler: str) -> Path:
    return folder / f"{arm}-s{seed}-{sampler}.json"


def written_path(folder: Path, arm: str, seed: int, sampler: str) -> Path:
    """Texts that are still to be measured."""
    return folder / "written" / run_path(folder, arm, seed, sampler).name


def save(path: Path, content: Any, indent: int | None = 1) -> None:
    """Writes the file, complete or not at all; numbers that are not finite become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(
        json.dumps(plain(content), indent=indent, separators=None if indent else (",", ":"), allow_nan=False) + "\n",
        encoding="utf-8",
    )
    partial.replace(path)


def plain(content: Any) -> Any:
    """JSON's own types, five significant digits."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, float):
        return float(f"{content:.5g}") if math.isfinite(content) else None
    return content
