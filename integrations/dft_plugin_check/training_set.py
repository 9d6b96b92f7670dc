"""What rows a configuration trains on, answers to prompts or others: by its settings, and first rows on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dft_plugin.documents import Document
from dft_plugin.reference.corpus import read_rows
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.rows import Row
from dft_plugin.reference.tokenized import tokenize
from dft_plugin.trainer_arguments import answers_run_together
from dft_plugin.whole_chats import TOLD
from dft_plugin_check.host_settings import AXOLOTL, TRL
from dft_plugin_check.missing_paths import entries, local_data

_WHOLE_TEXTS = ("completion", "pretrain")
"""Types of Axolotl's data sets that have no prompts."""


def answers_prompts(config: Mapping[str, Any], host: str) -> bool:
    """Whether every training text begins after a prompt; False where that cannot be told."""
    if host == AXOLOTL:
        named = [entry for entry in config.get("datasets") or () if isinstance(entry, Mapping)]
        types = [str(entry.get("type") or "completion") for entry in named]
        return bool(types) and not config.get("train_on_inputs") and not any(t.startswith(_WHOLE_TEXTS) for t in types)
    return _all_follow_prompts(_first_rows(config), config)


def notes_on_rows(config: Mapping[str, Any], host: str) -> Iterator[str]:
    """What is to be known of the rows that are made of the data sets: by the settings, and TRL's by their first row."""
    if host == AXOLOTL and any(_trains_on_users(entry, config) for entry in config.get("datasets") or ()):
        yield TOLD
    if host != TRL:
        return
    rows = _first_rows(config)
    chats = [row for row in rows if row is not None and row.messages is not None]
    if any(not _follows_prompt(row, config) for row in chats):
        yield TOLD
    strategy = str(config.get("packing_strategy") or "")
    answers = _all_follow_prompts(rows, config)
    together = answers_run_together(bool(config.get("packing")), strategy, answers)
    if together is not None:
        yield together


def first_documents(config: Mapping[str, Any], tokenizer: Any, end_of_text: Collection[int]) -> list[Document]:
    """Of each of TRL's data sets the first row; none where one is not here, or a chat has no template."""
    rows = [row for row in _first_rows(config) if row is not None]
    try:
        return [text.document for text in tokenize(rows, tokenizer, end_of_text=end_of_text)]
    except HumanReferenceError:
        return []


def _trains_on_users(entry: Any, config: Mapping[str, Any]) -> bool:
    """Whether Axolotl trains on what users say in a data set of chats."""
    if not isinstance(entry, Mapping) or entry.get("type") != "chat_template":
        return False
    roles = entry.get("roles_to_train") or ()
    named = [roles] if isinstance(roles, str) else list(roles)
    return bool(config.get("train_on_inputs")) or bool({"user", "human", "all"} & set(map(str, named)))


def _first_rows(config: Mapping[str, Any]) -> list[Row | None]:
    """Of each data set of TRL's; None where it is not on this machine or cannot be read."""
    paths = [local_data(entry) for entry in entries(config.get("datasets") or config.get("dataset_name"))]
    return [_first_row(found[0]) if found else None for found in paths]


def _first_row(path: Path) -> Row | None:
    try:
        return next(read_rows(str(path)), None)
    except (HumanReferenceError, OSError):  # another layout than a reference's: its columns are the host's to judge
        return None


def _all_follow_prompts(rows: Sequence[Row | None], config: Mapping[str, Any]) -> bool:
    return bool(rows) and all(row is not None and _follows_prompt(row, config) for row in rows)


def _follows_prompt(row: Row, config: Mapping[str, Any]) -> bool:
    """Whether TRL trains on what follows a prompt in the row, and on that alone."""
    if row.prompt is not None or row.apart:
        return config.get("completion_only_loss") is not False
    return row.messages is not None and bool(config.get("assistant_only_loss"))
