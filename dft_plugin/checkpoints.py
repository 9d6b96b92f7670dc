"""What a trainer's checkpoint keeps of a callback: JSON, tensors as a compressed safetensors string."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dft_plugin import plugins
from dft_plugin.config import DFTConfig
from dft_plugin.distances import default_options
from dft_plugin.host import UnsupportedRunError
from dft_plugin.statistic_config import DFTStatisticConfig


def stored(state: Any, name: str, part: str = "attributes") -> dict[str, Any]:
    """What a trainer's state keeps of the callback of this name, "attributes" or "args"; empty where it has none."""
    entry = state.stateful_callbacks.get(name)
    if isinstance(entry, list):
        entry = entry[-1] if entry else None
    found: dict[str, Any] = (entry or {}).get(part, {})
    return found


def check_same_term(config: DFTConfig, kept: Mapping[str, Any]) -> None:
    """Refuses to go on with other human text or other statistics than those a checkpoint holds counted.

    Statistics lie there one after the other, so that their order counts; their weights and clipping may change.

    Args:
        config: of this run.
        kept: the checkpoint's `dft:` block, dumped; an empty one tells nothing.

    Raises:
        UnsupportedRunError: naming the options that differ.
    """
    if not kept:
        return
    block = config.model_dump(mode="json")
    if differing := list(_differing(_of_human_text(kept), _of_human_text(block))):
        raise UnsupportedRunError(
            f"the checkpoint's human text was counted with {'; '.join(differing)}: resume with what it was written "
            "with, or begin a new run from its weights"
        )
    before, now = kept["statistics"], block["statistics"]
    names = [[entry["name"] for entry in listed] for listed in (before, now)]
    if names[0] != names[1]:
        differing = [f"{', '.join(names[0])}, here {', '.join(names[1])}"]
    else:
        differing = [
            f"{then['name']}: {option}"
            for then, here in zip(before, now, strict=True)
            for option in _differing(_of_statistic(then), _of_statistic(here))
        ]
    if differing:
        raise UnsupportedRunError(
            f"the checkpoint's texts were counted for {'; '.join(differing)}: resume with the `statistics` that it was "
            "written with, in their order (weight and derivative_clip may differ), or begin a new run from its weights"
        )


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name} {then[name]!r}, here {now[name]!r}" for name in now if then[name] != now[name])


def _of_human_text(block: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dumped `dft:` block says which human text is counted."""
    windows = {f"rollout.{name}": block["rollout"][name] for name in ("max_new_tokens", "context_tokens")}
    # Its folder may have another name on another machine.
    return {"reference": Path(block["reference"]).name, **windows}


def _of_statistic(dumped: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dumped entry of `statistics` says what is counted, and in whose floors; defaults written out."""
    entry = DFTStatisticConfig.model_validate(dumped)
    statistic = plugins.statistic(entry.name)
    distance = entry.distance or statistic.distance
    options = {**default_options(distance, statistic.support), **entry.distance_options}
    own = statistic.Options.model_validate(entry.own_options).model_dump(mode="json")
    return {"distance": distance, "distance_options": options, **own}


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
