"""Distribution Fine-Tuning (DFT): match the distribution of generated text to human text while fine-tuning.

Not Dynamic Fine-Tuning (TRL's `loss_type="dft"`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dft_plugin.callback import DFTCallback
    from dft_plugin.config import DFTConfig
    from dft_plugin.hookspecs import hookimpl

__all__ = ["DFTCallback", "DFTConfig", "__version__", "hookimpl"]

_HOME = {
    "DFTCallback": "dft_plugin.callback",
    "DFTConfig": "dft_plugin.config",
    "hookimpl": "dft_plugin.hookspecs",
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is asked for, so that `import dft_plugin` does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'dft_plugin' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
