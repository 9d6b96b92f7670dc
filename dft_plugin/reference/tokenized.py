"""Rows of human text as tokens."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from dft_plugin.documents import Document, cut_at_ends
from dft_plugin.reference.corpus import read
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.readers import grouped
from dft_plugin.reference.rows import Row
from dft_plugin.shared_beginning import shared_beginning
from dft_plugin.token_ids import continued, token_ids

BATCH = 1 << 20
"""Characters given to the tokenizer at once: its intermediate results take a few hundred bytes a token."""


@dataclass(frozen=True)
class HumanText:
    """A document, and the text of its tokens from `start` to `stop`: the completion only, as it was written."""

    document: Document
    text: str


def tokenize(
    rows: Sequence[Row], tokenizer: Any, source: str = "corpus", end_of_text: Collection[int] = ()
) -> list[HumanText]:
    """The tokens of rows, in their order.

    Plain text and completions end with the tokenizer's end-of-text token, as in training; what ends a chat's
    turn is its template's. A text without any token is left out.

    Args:
        rows: of one source.
        tokenizer: of transformers; a fast one takes texts in batches.
        source: named in errors.
        end_of_text: ids that end a generated text, at which these end too; by default the tokenizer's alone.

    Raises:
        HumanReferenceError: when the tokenizer has no chat template for a chat, or its template refuses one.
    """
    end = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
    made: list[HumanText] = []
    for batch in grouped(rows, lambda row: len(row.text) + len(row.prompt or ""), BATCH):
        found = _plain(batch, tokenizer, end) | _completions(batch, tokenizer) | _chats(batch, tokenizer, source)
        for index, row in enumerate(batch):
            made += _ended_texts(found[index], row.text, tokenizer, end_of_text or end)
    return made


def _ended_texts(document: Document, text: str, tokenizer: Any, ends: Collection[int]) -> list[HumanText]:
    """A document up to its end, or, of a plain text that holds ends of text, its parts."""
    parts = cut_at_ends([document], ends)
    if len(parts) < 2:
        return [HumanText(part, text) for part in parts or [document] if part.tokens]
    written = re.split("|".join(map(re.escape, tokenizer.convert_ids_to_tokens(list(ends)))), text)
    texts = [*filter(None, written), *[""] * len(parts)]
    begun = [part for part in parts if part.tokens[part.start + part.added] not in ends]  # others are an end alone
    return [HumanText(part, own) for part, own in zip(begun, texts, strict=False)]


def _plain(batch: Sequence[Row], tokenizer: Any, end: tuple[int, ...]) -> dict[int, Document]:
    at = [index for index, row in enumerate(batch) if row.prompt is None and row.messages is None]
    tokens = [_ended(ids, end) for ids in token_ids(tokenizer, [batch[index].text for index in at])]
    special = set(tokenizer.all_special_ids)
    before = [*takewhile(special.__contains__, token_ids(tokenizer, [""])[0])]  # what is put after a text may follow
    return {
        index: Document(ids, 0, len(ids), False, shared_beginning(before, ids))
        for index, ids in zip(at, tokens, strict=True)
    }


def _completions(batch: Sequence[Row], tokenizer: Any) -> dict[int, Document]:
    """Prompt and completion are read together, with the end of text, as TRL reads those of a training set."""
    at = [index for index, row in enumerate(batch) if row.prompt is not None]
    end = tokenizer.eos_token or ""
    texts = [text if not text or text.endswith(end) else text + end for text in (batch[index].text for index in at)]
    together = continued(tokenizer, [batch[index].prompt or "" for index in at], texts)
    return {
        index: Document(tuple(tokens), start, len(tokens), True)
        for index, (tokens, start) in zip(at, together, strict=True)
    }


def _ended(ids: Sequence[int], end: tuple[int, ...]) -> tuple[int, ...]:
    """With the end-of-text token, once: a text may end with it as it was written."""
    return tuple(ids) if tuple(ids[-1:]) == end else (*ids, *end)


def _chats(batch: Sequence[Row], tokenizer: Any, source: str) -> dict[int, Document]:
    """Chats count their last turn, if that is the assistant's, after the template's generation prompt, or from where a
    generation prompt says more than the template writes before an answer (as `<think>`)."""
    found = {}
    for index, row in enumerate(batch):
        if row.messages is None:
            continue
        answered = row.messages[-1]["role"] == "assistant"
        asked = row.messages[:-1] if answered else row.messages
        try:
            before = _before_answer(tokenizer, asked, row)
            tokens = _templated(tokenizer, row.messages, row) if answered else before
        except Exception as error:  # templates are programs: they raise what they like
            raise HumanReferenceError(
                f"{source}, line {row.line}: the tokenizer's chat template does not take this chat ({error})"
            ) from error
        start = len(before)
        if tokens[:start] != before:
            shared = shared_beginning(before, tokens)
            # Less is shared where the template writes what was asked otherwise once it is answered.
            start = shared if not asked or shared >= len(_templated(tokenizer, asked, row)) else start
        found[index] = Document(tuple(tokens), start, len(tokens), True)
    return found


def _before_answer(tokenizer: Any, asked: Sequence[Any], row: Row) -> list[int]:
    """What a template writes before an answer; where nothing was asked, all that it writes of an empty one."""
    if asked:
        return _templated(tokenizer, asked, row, add_generation_prompt=True)
    return _templated(tokenizer, [{**turn, "content": ""} for turn in row.messages or ()], row)


def _templated(tokenizer: Any, messages: Sequence[Any], row: Row, **options: Any) -> list[int]:
    """Some of a row's messages as its template writes them."""
    ids = tokenizer.apply_chat_template(list(messages), tokenize=True, **options, **row.template)
    found: list[int] = ids["input_ids"] if hasattr(ids, "keys") else ids  # by transformers' version
    return found


def read_documents(
    corpora: str | Path | Sequence[str | Path],
    tokenizer: Any,
    end_of_text: Collection[int] = (),
) -> list[Document]:
    """Tokenizes a whole corpus: plain text, `prompt` and `completion`, and chats (see `tokenize`).

    Raises:
        HumanReferenceError: as `read` and `tokenize`, and when the corpus holds no text.
    """
    documents = [
        human.document
        for parsed in read(corpora)
        for human in tokenize(parsed.rows, tokenizer, parsed.source, end_of_text)
    ]
    if not documents:
        named = corpora if isinstance(corpora, str | Path) else ", ".join(map(str, corpora))
        raise HumanReferenceError(f"{named}: holds no text")
    return documents
