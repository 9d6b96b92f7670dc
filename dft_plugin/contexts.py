"""What rollouts begin with: the training set's own contexts, or those of a file (`rollout.prompts`)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dft_plugin.config import DFTConfig
from dft_plugin.documents import Document
from dft_plugin.human_windows import cut_windows, window_sampler
from dft_plugin.language_model import text_config
from dft_plugin.reference import HumanReferenceError
from dft_plugin.reference.corpus import TEXT_SUFFIXES, read
from dft_plugin.reference.rows import Parsed, ReadOptions, Row
from dft_plugin.reference.tokenized import tokenize
from dft_plugin.rollout import seed_of
from dft_plugin.texts import Window

logger = logging.getLogger("dft_plugin")

ALIKE = 2
"""Tokens at a prompt's end by which it is seen that a template wrote it."""
MOST = 0.9
"""Which share of the training set's prompts, and of a file's, tells."""


def context_windows(
    config: DFTConfig, prompts: str, tokenizer: Any, trained_on: Sequence[Document], prompted: bool
) -> list[Window]:
    """Windows whose contexts are continued, of one kind.

    Of a file's rows that have a prompt (`prompt`, with or without a completion, or a chat) that is the context. A plain
    text is a prompt as a whole where the training set has prompts, and otherwise continued from random prefixes, as the
    training texts are.

    Args:
        config: the `dft:` block.
        prompts: `train` or a file.
        tokenizer: of the model.
        trained_on: documents of the training set.
        prompted: whether most of them have a prompt.

    Raises:
        HumanReferenceError: when there are none, or the file cannot be read.
    """
    if prompts == "train":
        return cut_windows(config, trained_on, from_start=False, name="the training set")
    documents = read_prompts(prompts, tokenizer, whole=prompted)
    plain = [document for document in documents if not document.prompted]
    asked = [
        Window(document.tokens[: document.start + config.rollout.max_new_tokens], document.start, document.start, True)
        for document in documents
        if document.prompted
    ]
    if prompted and asked:
        _warn_of_other_ends(prompts, tokenizer, asked, [entry for entry in trained_on if entry.prompted])
    if not plain:
        return asked
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0))
    sampler = window_sampler(config, plain, from_start=False)
    return asked + sampler.sample(min(config.reference_windows, max(1, sampler.pieces())), generator)


def _warn_of_other_ends(prompts: str, tokenizer: Any, asked: Sequence[Window], trained_on: Sequence[Document]) -> None:
    """Says so where training prompts end alike, as a chat template's do, and those of a file do not."""
    ends = Counter(entry.tokens[: entry.start][-ALIKE:] for entry in trained_on)
    (usual, times), *_ = ends.most_common(1)
    others = [window.tokens[: window.first][-ALIKE:] for window in asked]
    if times > MOST * len(trained_on) and others.count(usual) < (1 - MOST) * len(others):
        logger.warning(
            "dft: the training set's prompts end with %r, those of %s do not (%r): write them alike, chats as "
            "`messages`, if the deployed model will be asked so",
            *(tokenizer.decode(list(usual)), prompts, tokenizer.decode(list(others[0]))),
        )


def check_room(model: nn.Module, windows: Sequence[Window], max_new_tokens: int) -> None:
    """Whether a whole text fits in the model's positions after the longest context.

    Where positions are entries of a table, a text cannot go on beyond it: refused. Rotary ones go on, where the model
    was not trained unless they were scaled: told.

    Args:
        model: the causal language model.
        windows: their contexts are continued.
        max_new_tokens: longest generated text.

    Raises:
        HumanReferenceError: when it does not fit in a table.
    """
    config = text_config(model)
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)  # MPT's
    longest = max((window.first for window in windows), default=0)
    if positions is None or longest + max_new_tokens <= positions:
        return
    said = (
        f"the longest context has {longest} tokens and rollout.max_new_tokens is {max_new_tokens}, together more than "
        f"the model's {positions} positions (max_position_embeddings): lower rollout.max_new_tokens, or leave out "
        f"contexts of more than {max(0, positions - max_new_tokens)} tokens (plain texts' by rollout.context_tokens, a "
        "data set's prompts by max_length, in Axolotl sequence_len, a file's of prompts in the file)"
    )
    if getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None):
        logger.warning("dft: %s, unless its rotary positions are scaled for more", said)
    else:
        raise HumanReferenceError(said)


def read_prompts(path: str, tokenizer: Any, *, whole: bool) -> list[Document]:
    """A file of prompts or texts, tokenized; what stands after a prompt is kept.

    Args:
        path: rows as in a corpus, or with a `prompt` alone, or chats that end with the user.
        tokenizer: of the model.
        whole: whether plain texts are prompts: each row, and each line of a .txt file.

    Raises:
        HumanReferenceError: as `read` and `tokenize`, and when no row has a prompt of one token or a text.
    """
    documents = []
    for parsed in read(path, ReadOptions(prompts=True)):
        rows = _as_prompts(parsed) if whole else parsed.rows
        found = [human.document for human in tokenize(rows, tokenizer, parsed.source)]
        documents += [document for document in found if document.start > 0 or not document.prompted]
    if not documents:
        raise HumanReferenceError(f"{path}: holds no prompt and no text")
    return documents


def _as_prompts(parsed: Parsed) -> list[Row]:
    by_line = parsed.source.lower().endswith(TEXT_SUFFIXES)
    found = []
    for row in parsed.rows:
        if row.prompt is not None or row.messages is not None:
            found.append(row)
            continue
        # Not splitlines: a prompt may hold U+2028 and its like.
        lines = row.text.split("\n") if by_line else [row.text]
        found += [replace(row, text="", prompt=line) for line in lines if line.strip()]
    return found
