"""Loading a model, its tokenizer and an adapter, with errors that say what is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dft_plugin.evaluation.texts import TextsError


@dataclass(frozen=True)
class Loaded:
    """A model ready to generate, and what to tell about it."""

    model: Any
    tokenizer: Any
    notes: tuple[str, ...] = ()


def load(name: str, adapter: str | None = None) -> Loaded:
    """Loads a causal language model in evaluation mode, on the GPU if there is one.

    Raises:
        TextsError: when the model, its tokenizer or the adapter is not there or cannot be loaded, or the adapter
            belongs to another base model.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    check_there(name)
    tokenizer = load_tokenizer(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype="auto")
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise TextsError(f"{name}: cannot be loaded as a causal language model ({_first_line(error)})") from error
    notes: tuple[str, ...] = ()
    if adapter is not None:
        model, notes = with_adapter(model, name, adapter)
    return Loaded(model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer, notes)


def check_there(name: str) -> None:
    """Raises TextsError where a path is meant that does not exist, and where a folder holds no model."""
    path = Path(name)
    if path.is_file():
        raise TextsError(f"{name} is a file; a model is a folder or a hub name. To measure texts: --texts {name}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            adapter = (path / "adapter_config.json").is_file()
            mend = f"it holds an adapter: give its base model, and --adapter {name}" if adapter else "no config.json"
            raise TextsError(f"{name} holds no model: {mend}")
    elif name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/"):
        raise TextsError(f"{name}: there is no such folder")


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a folder or hub name; TextsError when it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise TextsError(f"{name}: no tokenizer can be loaded from it ({_first_line(error)})") from error


def with_adapter(model: Any, name: str, adapter: str) -> tuple[Any, tuple[str, ...]]:
    """The model with a PEFT adapter on it, and notes.

    Raises:
        TextsError: when there is no adapter, or its weights do not fit the model: it was trained on another.
    """
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict, load_peft_weights
    from safetensors import SafetensorError

    described = Path(adapter) / "adapter_config.json"
    if not described.is_file():
        raise TextsError(f"{adapter} holds no adapter (no adapter_config.json)")
    base = json.loads(described.read_text(encoding="utf-8")).get("base_model_name_or_path") or "another model"
    mismatch = f"{adapter} does not fit {name}: it is an adapter of {base}"
    try:
        adapted = PeftModel.from_pretrained(model, adapter)
        saved = set(load_peft_weights(adapter, device="cpu"))
    except (ValueError, RuntimeError, KeyError, OSError, SafetensorError) as error:
        raise TextsError(f"{mismatch} ({_first_line(error)})") from error
    # PEFT leaves out weights of layers that the model lacks, and keeps untrained ones where the file has none.
    if strays := saved ^ set(get_peft_model_state_dict(adapted)):
        raise TextsError(f"{mismatch} ({len(strays)} of its weights have no counterpart, such as {min(strays)})")
    if Path(base).name != Path(name).name:
        return adapted, (f"the adapter names {base} as its base model; it was loaded onto {name}",)
    return adapted, ()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    # Shape mismatches are told one a line, after a heading.
    return " ".join(line.strip() for line in lines[:2])[:300] if lines else type(error).__name__
