"""The corpora, split once and for all by a hash of each text: what is trained on, and what never is."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dft_plugin.documents import Document


@dataclass(frozen=True)
class Split:
    """Texts of one corpus.

    Attributes:
        train: may be trained on, and be a reference.
        held_out: contexts, human continuations and validation loss.
    """

    train: list[str]
    held_out: list[str]


def share_of(text: str) -> float:
    """A number in [0, 1) that depends on the text alone: equal texts fall on the same side in every corpus."""
    return int.from_bytes(hashlib.sha256(text.strip().encode()).digest()[:8], "big") / 2**64


def split(texts: Iterable[str], held_out: float) -> Split:
    """Each text on one side, in an order that does not depend on the file's."""
    ordered = sorted({text.strip() for text in texts if text.strip()}, key=share_of)
    shares = [share_of(text) for text in ordered]
    return Split(
        [text for text, share in zip(ordered, shares, strict=True) if share >= held_out],
        [text for text, share in zip(ordered, shares, strict=True) if share < held_out],
    )


def within(texts: Sequence[str], characters: int) -> list[str]:
    """The first texts that hold together as many characters as asked for, whole documents; at least one."""
    kept: list[str] = []
    for text in texts:
        if kept and characters < len(text):
            break
        kept.append(text)
        characters -= len(text)
    return kept


def read(folder: str | Path, name: str) -> list[str]:
    """The texts of one corpus file.

    Raises:
        FileNotFoundError: when it is not there, naming what is.
    """
    path = Path(folder) / f"{name}.jsonl.gz"
    if not path.is_file():
        there = ", ".join(sorted(entry.name for entry in Path(folder).glob("*.jsonl.gz"))) or "no corpus"
        raise FileNotFoundError(f"{path}: there is no such corpus; the folder holds {there}. See --corpora")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def documents(texts: Sequence[str], tokenizer: Any) -> list[Document]:
    """Plain texts, tokenized as SFTTrainer does: with the end-of-text token behind each."""
    ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    tokenized = [(*tokenizer(text)["input_ids"], *ends) for text in texts]
    return [Document(tokens, 0, len(tokens), False) for tokens in tokenized]


def rows(texts: Sequence[str], tokenizer: Any, length: int) -> list[list[int]]:
    """Training rows: each document cut into pieces of at most `length` tokens, no row holding two documents.

    Not packed: on a CPU, TRL's packing attends over the whole flattened batch, which took five times as long.
    """
    return [
        list(document.tokens[start : start + length])
        for document in documents(texts, tokenizer)
        for start in range(0, len(document.tokens) - 1, length)
    ]
