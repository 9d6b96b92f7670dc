"""What a trainer's checkpoint keeps of a callback: JSON, tensors as a compressed safetensors string."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def stored(state: Any, name: str) -> dict[str, Any]:
    """The attributes a trainer's state keeps of the callback of this name; empty when there are none."""
    entry = state.stateful_callbacks.get(name)
    if isinstance(entry, list):
        entry = entry[-1] if entry else None
    attributes: dict[str, Any] = (entry or {}).get("attributes", {})
    return attributes


def encode(tensors: Mapping[str, Tensor]) -> str:
    """Tensors as text; `decode` gives them back."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return base64.b64encode(zlib.compress(save(contiguous))).decode()


def decode(text: str) -> dict[str, Tensor]:
    """The tensors that `encode` wrote, on the CPU."""
    from safetensors.torch import load

    tensors: dict[str, Tensor] = load(zlib.decompress(base64.b64decode(text)))
    return tensors
