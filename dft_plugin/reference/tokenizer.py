"""The tokenizer of a model that will be trained, and what its folder says, with no model loaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.reference.errors import HumanReferenceError


def rows_of_head(name: str) -> int | None:
    """The rows of a local model's lm_head by its config.json; None where there is none."""
    config = _configuration(name)
    size = None if config is None else getattr(config.get_text_config(), "vocab_size", None)
    return None if size is None else int(size)


def end_of_text_of(tokenizer: Any, name: str) -> tuple[int, ...]:
    """The ids that end a text in a run of that model: the tokenizer's and its generation config's."""
    from transformers import GenerationConfig

    config = _configuration(name)
    try:
        generation_config = GenerationConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):  # transformers makes one for a model that has none
        generation_config = None if config is None else GenerationConfig.from_model_config(config)
    return end_of_text_ids(tokenizer, SimpleNamespace(config=config, generation_config=generation_config))


def _configuration(name: str) -> Any:
    """A local model's config.json; None for a folder without one."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        return None


def load_tokenizer(name: str) -> Any:
    """A tokenizer from a folder, the cache or the hub.

    Raises:
        HumanReferenceError: when it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # `tokenizers` raises no class of its own for a file that it cannot read
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not isinstance(error, OSError | ValueError):
            reason = f"{type(error).__name__}: {reason}; is its tokenizer.json whole?"
        raise HumanReferenceError(f"the tokenizer of {name} could not be loaded: {reason}") from error


def check_rows(tokenizer: Any, rows: int) -> None:
    """Whether the rows that `--vocabulary-size` gives an lm_head serve every token.

    Raises:
        HumanReferenceError: when there are fewer, naming both.
    """
    ids = max(tokenizer.get_vocab().values(), default=-1) + 1
    if rows < ids:
        raise HumanReferenceError(
            f"--vocabulary-size is {rows:,} and the tokenizer has {ids:,} ids: give the rows of the model's lm_head, "
            "which are as many or more"
        )
