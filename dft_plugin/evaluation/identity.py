"""What tells models and tokenizers of one name apart: weights trained further in their folder, vocabularies."""

from __future__ import annotations

import hashlib
import json
from typing import Any

VALUES = 64
"""Of each parameter that a digest looks at, about: training moves all of them."""


def weights_digest(model: Any) -> str:
    """sha256 over the name and the shape of every parameter, and some of its values as float32.

    The same on every device. Adapters are parameters like others.
    """
    sha = hashlib.sha256()
    for name, parameter in model.named_parameters():
        values = parameter.detach().reshape(-1)
        some = values[:: max(1, len(values) // VALUES)].float().cpu().numpy()
        sha.update(f"{name} {tuple(parameter.shape)}\n".encode() + some.tobytes())
    return sha.hexdigest()


def vocabulary_name(tokenizer: Any) -> str:
    """Eight hex digits that name a tokenizer's vocabulary: its entries and their ids."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()[:8]
