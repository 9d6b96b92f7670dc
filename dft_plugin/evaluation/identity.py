"""What tells models and tokenizers of one name apart: weights trained further in their folder, vocabularies."""

from __future__ import annotations

import hashlib
import json
from typing import Any

VALUES = 64
"""Of each tensor that a digest looks at, about: training moves most of them."""


def weights_digest(model: Any) -> str:
    """sha256 over the name, the shape and some values, in float32, of every parameter and buffer.

    The same on every device. Adapters are parameters like others; quantised weights are buffers.
    """
    sha = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        values = tensor.detach().reshape(-1)
        some = values[:: max(1, len(values) // VALUES)].float().cpu().numpy()
        sha.update(f"{name} {tuple(tensor.shape)}\n".encode() + some.tobytes())
    return sha.hexdigest()


def vocabulary_name(tokenizer: Any) -> str:
    """Eight hex digits that name a tokenizer's vocabulary: its entries and their ids, special tokens aside.

    A pad token that fine-tuning adds changes no text's tokens.
    """
    special = set(tokenizer.all_special_tokens)
    entries = sorted(entry for entry in tokenizer.get_vocab().items() if entry[0] not in special)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:8]
