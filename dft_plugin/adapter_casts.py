"""Sampling with LoRA under autocast without the casts that autocast undoes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def without_input_casts(model: nn.Module) -> Iterator[None]:
    """Within it PEFT's LoRA layers leave their input as it is; values stay the same to the bit.

    Outside they cast it to their own float32, and under autocast both products cast it back: two kernels a layer and
    token, of which a GPU waits for each to be launched (`benchmarks/effect/kernels_per_token.py`). Nothing changes
    where autocast is off, nor for variants of LoRA (DoRA) and other adapters, which may compute with the input in
    float32 (`peft.helpers.disable_input_dtype_casting` is for all of them).

    Args:
        model: with or without adapters.
    """
    device = next(model.parameters()).device.type
    modules = model.modules() if torch.is_autocast_enabled(device) else ()
    layers: list[Any] = [
        module
        for module in modules
        if getattr(module, "cast_input_dtype_enabled", False) and not getattr(module, "lora_variant", True)
    ]
    for layer in layers:
        layer.cast_input_dtype_enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.cast_input_dtype_enabled = True
