"""What a trainer's checkpoint keeps of a callback: JSON, tensors as a compressed safetensors string."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dft_plugin.config import DFTConfig
from dft_plugin.host import UnsupportedRunError


def stored(state: Any, name: str, part: str = "attributes") -> dict[str, Any]:
    """What a trainer's state keeps of the callback of this name, "attributes" or "args"; empty where it has none."""
    entry = state.stateful_callbacks.get(name)
    if isinstance(entry, list):
        entry = entry[-1] if entry else None
    found: dict[str, Any] = (entry or {}).get(part, {})
    return found


def check_same_human_text(config: DFTConfig, kept: Mapping[str, Any]) -> None:
    """Refuses to go on with the human text of another run, which a checkpoint holds counted.

    Args:
        config: of this run.
        kept: the checkpoint's `dft:` block, dumped; an empty one tells nothing.

    Raises:
        UnsupportedRunError: naming the options that differ.
    """
    rollout, before = config.rollout, kept.get("rollout", {})
    compared = {
        # Its folder may have another name on another machine.
        "reference": (Path(kept.get("reference", config.reference)).name, Path(config.reference).name),
        "rollout.max_new_tokens": (before.get("max_new_tokens", rollout.max_new_tokens), rollout.max_new_tokens),
        "rollout.context_tokens": (before.get("context_tokens", rollout.context_tokens), rollout.context_tokens),
    }
    differing = [f"{name} {then!r}, here {now!r}" for name, (then, now) in compared.items() if then != now]
    if differing:
        raise UnsupportedRunError(
            f"the checkpoint's human text was counted with {'; '.join(differing)}: resume with what it was written "
            "with, or begin a new run from its weights"
        )


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
