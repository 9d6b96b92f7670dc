"""Whether a configuration trains on answers to prompts: by its settings, and the first row of a data set on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dft_plugin.reference.corpus import read_rows
from dft_plugin.reference.errors import ReferenceError
from dft_plugin_check.host_settings import AXOLOTL
from dft_plugin_check.missing_paths import entries, local_data

_WHOLE_TEXTS = ("completion", "pretrain")
"""Types of Axolotl's data sets that have no prompts."""


def answers_prompts(config: Mapping[str, Any], host: str) -> bool:
    """Whether every training text begins after a prompt; False where that cannot be told."""
    if host == AXOLOTL:
        named = [entry for entry in config.get("datasets") or () if isinstance(entry, Mapping)]
        types = [str(entry.get("type") or "completion") for entry in named]
        return bool(types) and not config.get("train_on_inputs") and not any(t.startswith(_WHOLE_TEXTS) for t in types)
    paths = [local_data(entry) for entry in entries(config.get("datasets") or config.get("dataset_name"))]
    return bool(paths) and all(found and _has_prompts(found[0], config) for found in paths)


def _has_prompts(path: Path, config: Mapping[str, Any]) -> bool:
    """Whether TRL trains on what follows a prompt in the first row at a path; False where that cannot be read."""
    try:
        row = next(read_rows(str(path)), None)
    except (ReferenceError, OSError):  # another layout than a reference's: its columns are the host's to judge
        return False
    if row is None:
        return False
    if row.prompt is not None:
        return config.get("completion_only_loss") is not False
    return row.messages is not None and bool(config.get("assistant_only_loss"))
