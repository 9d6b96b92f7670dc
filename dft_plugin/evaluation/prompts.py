"""Prompts to generate from: given ones, chats, or the first words of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dft_plugin.evaluation.texts import Text, Texts, TextsError, read_texts
from dft_plugin.evaluation.words import word_starts


@dataclass(frozen=True)
class Prompt:
    """A prompt as a person reads it, and the chat it is part of, if it is one."""

    text: str
    messages: tuple[Mapping[str, Any], ...] | None = None

    def tokens(self, tokenizer: Any, longest: int) -> list[int]:
        """Its token ids, the last `longest` of them.

        Raises:
            TextsError: when the tokenizer has no chat template for a chat, or gives no tokens.
        """
        if self.messages is None:
            ids = tokenizer(self.text)["input_ids"]
        elif tokenizer.chat_template is None:
            raise TextsError(
                "the prompts are chats, and the tokenizer has no chat template; give prompts as plain text"
            )
        else:
            found = tokenizer.apply_chat_template(list(self.messages), add_generation_prompt=True, tokenize=True)
            ids = found["input_ids"] if hasattr(found, "keys") else found
        if not ids:
            raise TextsError(f"the prompt {self.text[:60]!r} has no tokens")
        return list(ids)[-longest:]


def read_prompts(path: str | Path, words: int) -> list[Prompt]:
    """The prompts of a file, a folder or a data set.

    Args:
        path: rows with a column `prompt`; chats (`messages`), of which all but the last turn; or texts, whose first
            words are the prompt.
        words: how many of them.

    Raises:
        ReferenceError: when it cannot be read.
        TextsError: when it holds no prompt.
    """
    from dft_plugin.reference.corpus import TEXT_SUFFIXES, read
    from dft_plugin.reference.errors import ReferenceError
    from dft_plugin.reference.rows import ReadOptions

    try:
        rows = [row for parsed in read(path, ReadOptions(text_column="prompt", max_bad=1.0)) for row in parsed.rows]
    except ReferenceError:
        rows = []  # no such column; what else is wrong shows below
    if rows and not str(path).endswith(TEXT_SUFFIXES):
        return [Prompt(row.text) for row in rows]
    found = []
    for text in read_texts(path).texts:
        if text.prompt is not None:
            found.append(Prompt(text.prompt, text.messages))
        elif (cut := cut_after(text.text, words)) is not None:
            found.append(Prompt(cut[0]))
    found = [prompt for prompt in found if prompt.text.strip()]
    if not found:
        raise TextsError(f"{path} holds no prompt: no column `prompt`, no chat, and no text of more than {words} words")
    return found


def cut_after(text: str, words: int) -> tuple[str, str] | None:
    """A text's first words, and the rest; None if there is no rest."""
    starts = word_starts(text)
    if len(starts) <= words:
        return None
    head = text[: starts[words]].rstrip()
    return head, text[len(head) :]


def continuations(human: Texts, words: int) -> tuple[list[Prompt], Texts]:
    """The prompts of human texts, or their first words as prompts and what their authors went on with as the texts.

    Raises:
        TextsError: when no text is longer than that.
    """
    if own := [text for text in human.texts if text.prompt]:
        return [Prompt(text.prompt or "", text.messages) for text in own], replace(human, texts=own)
    found: list[Text] = []
    for text in human.texts:
        if (cut := cut_after(text.text, words)) is not None:
            found.append(Text(cut[1], cut[0]))
    if not found:
        raise TextsError(f"{human.name}: no text has more than {words} words to continue; lower --prompt-words")
    notes: Sequence[str] = human.notes
    if len(found) < len(human.texts):
        notes = [*notes, f"{len(human.texts) - len(found):,} human texts of at most {words} words were left out"]
    return [Prompt(text.prompt or "") for text in found], Texts(human.name, found, notes)
