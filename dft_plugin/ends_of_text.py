"""Which tokens end a generated text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def end_of_text_ids(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """Every id that ends a generated text: the tokenizer's, and the generation config's that the model can draw."""
    ids = set() if tokenizer.eos_token_id is None else {int(tokenizer.eos_token_id)}
    size = _size(model)
    return tuple(sorted(ids | {token for token in _configured_ends(model) if size is None or token < size}))


def unlikely_ends(tokenizer: Any, model: Any) -> Iterator[str]:
    """What is wrong with ids that the generation config ends texts with, as a default of another vocabulary's."""
    special, size = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}, _size(model)
    mend = (
        "Set model.generation_config.eos_token_id (and model.config.eos_token_id) to the tokenizer's, "
        f"{tokenizer.eos_token_id}, or to what is meant to end a text"
    )
    for token in _configured_ends(model):
        if size is not None and token >= size:
            yield (
                f"the generation config's eos_token_id {token} is beyond the model's vocabulary of {size:,} and ends "
                f"no text. {mend}"
            )
        elif token not in special:
            yield (
                f"the generation config's eos_token_id {token} is {tokenizer.convert_ids_to_tokens(token)!r}, no "
                f"special token of the tokenizer: texts of people and of the model end there. {mend}"
            )


def _configured_ends(model: Any) -> list[int]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if configured is None:
        return []
    return [int(token) for token in (configured if isinstance(configured, list | tuple) else [configured])]


def _size(model: Any) -> int | None:
    """Of the vocabulary that a model draws from; None where its configuration is not known."""
    config: Any = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    size = getattr(config, "vocab_size", None)
    return None if size is None else int(size)
