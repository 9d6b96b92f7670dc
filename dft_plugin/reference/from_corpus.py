"""A reference file from a corpus, with no model: what `dft reference build` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dft_plugin.assembly import cut_windows, end_of_text_ids, make_statistics, sampling_record, token_frequency
from dft_plugin.config import DFTConfig
from dft_plugin.objective import Accumulation
from dft_plugin.reference import Reference, ReferenceError, build, read_documents
from dft_plugin.vocabulary import Vocabulary


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


def build_file(
    corpus: str | Path,
    output: str | Path,
    config: DFTConfig,
    tokenizer_name: str,
    *,
    vocabulary_size: int | None = None,
    from_start: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], Callable[[int], None]] | None = None,
) -> Reference:
    """Builds a reference of a corpus and writes it.

    Args:
        corpus: a file of texts.
        output: the .safetensors file to write.
        config: whose statistics, windows and seed count.
        tokenizer_name: of the model that will be trained.
        vocabulary_size: rows of its lm_head; default: what its config.json says, else the tokenizer's size.
        from_start: for training data with prompts: texts count from their first token, like answers.
        overwrite: whether an existing file is replaced.
        progress: given the number of windows, returns what is called with the number done.

    Raises:
        ReferenceError: when the corpus cannot serve, or the output exists or has another suffix.
        ValueError: when the tokenizer lacks what a statistic needs.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ReferenceError(f"{output}: a reference file ends in .safetensors, by which `reference:` knows it")
    if output.exists() and not overwrite:
        raise ReferenceError(f"{output} exists: give another name, or --overwrite")
    if not output.parent.is_dir():
        raise ReferenceError(f"{output}: there is no folder {output.parent}")
    tokenizer = load_tokenizer(tokenizer_name)
    size = vocabulary_size or rows_of_head(tokenizer_name)
    vocabulary = Vocabulary.from_tokenizer(tokenizer, size, end_of_text_of(tokenizer, tokenizer_name))
    documents = read_documents(corpus, tokenizer)
    windows = cut_windows(config, documents, from_start=from_start, name=str(corpus))
    vocabulary = replace(vocabulary, human_frequency=token_frequency(windows, vocabulary.size))
    # Statistics measured under the model have no human side without one; a run measures it at its beginning.
    statistics = [entry for entry in make_statistics(config, vocabulary) if not entry.needs_model]
    if not statistics:
        raise ReferenceError("every statistic is measured under the model: there is nothing to build")
    metadata = {
        "tokenizer": vocabulary.fingerprint,
        "sampling": sampling_record(config),
        "vocabulary_size": vocabulary.size,
        "corpus": Path(corpus).name,
        "from_start": from_start,
    }
    tick = None if progress is None else progress(len(windows))
    reference = build(Accumulation(statistics, vocabulary.size), windows, metadata=metadata, progress=tick)
    reference.save(output)
    return reference
