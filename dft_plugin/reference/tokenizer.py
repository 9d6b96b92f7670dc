"""The tokenizer of a model that will be trained, and what its folder says, with no model loaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dft_plugin.reference.errors import ReferenceError
from dft_plugin.vocabulary import end_of_text_ids


def rows_of_head(name: str) -> int | None:
    """The rows of a local model's lm_head by its config.json; None where there is none."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        return None
    size = getattr(config.get_text_config(), "vocab_size", None)
    return None if size is None else int(size)


def end_of_text_of(tokenizer: Any, name: str) -> tuple[int, ...]:
    """The ids that end a text in a run of that model: the tokenizer's and its generation config's."""
    from transformers import GenerationConfig

    try:
        generation_config = GenerationConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        generation_config = None
    model: Any = SimpleNamespace(generation_config=generation_config)
    return end_of_text_ids(tokenizer, model)


def load_tokenizer(name: str) -> Any:
    """A tokenizer from a folder, the cache or the hub.

    Raises:
        ReferenceError: when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ReferenceError(f"the tokenizer of {name} could not be loaded: {reason}") from error
