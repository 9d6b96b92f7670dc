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
        generation_config = _by_model_config(name)
    model: Any = SimpleNamespace(generation_config=generation_config)
    return end_of_text_ids(tokenizer, model)


def _by_model_config(name: str) -> Any:
    """As transformers makes one for a model that has none; None for a folder without a model."""
    from transformers import AutoConfig, GenerationConfig

    try:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(name, local_files_only=True))
    except (OSError, ValueError):
        return None


def load_tokenizer(name: str) -> Any:
    """A tokenizer from a folder, the cache or the hub.

    Raises:
        ReferenceError: when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # `tokenizers` raises no class of its own for a file that it cannot read
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not isinstance(error, OSError | ValueError):
            reason = f"{type(error).__name__}: {reason}; is its tokenizer.json whole?"
        raise ReferenceError(f"the tokenizer of {name} could not be loaded: {reason}") from error


def check_rows(tokenizer: Any, rows: int) -> None:
    """Whether the rows that `--vocabulary-size` gives an lm_head serve every token.

    Raises:
        ReferenceError: when there are fewer, naming both.
    """
    ids = max(tokenizer.get_vocab().values(), default=-1) + 1
    if rows < ids:
        raise ReferenceError(
            f"--vocabulary-size is {rows:,} and the tokenizer has {ids:,} ids: give the rows of the model's lm_head, "
            "which are as many or more"
        )
