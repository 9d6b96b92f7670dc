"""Prompts to generate from: given ones, chats, or the first words of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dft_plugin.evaluation.texts import Text, Texts, TextsError, unreadable
from dft_plugin.evaluation.words import word_starts
from dft_plugin.token_ids import continued, opened

if TYPE_CHECKING:
    from dft_plugin.reference.rows import Row


@dataclass(frozen=True)
class Prompt:
    """A prompt as a person reads it, and the chat it is part of, if it is one, with what its template is told."""

    text: str
    messages: tuple[Mapping[str, Any], ...] | None = None
    template: Mapping[str, Any] = field(default_factory=dict)

    def tokens(self, tokenizer: Any, longest: int) -> list[int]:
        """Its token ids, the last `longest` of them.

        Raises:
            TextsError: when the tokenizer has no chat template for a chat, or one that refuses it, or gives no tokens.
        """
        (ids,) = opened(tokenizer, [self._written(tokenizer)], add_special_tokens=self.messages is None)
        if not ids:
            raise TextsError(f"the prompt {self.text[:60]!r} has no tokens")
        return ids[-longest:]

    def continued(self, tokenizer: Any, text: str) -> tuple[list[int], int]:
        """The token ids of the prompt with what goes on with it, and where those begin that are not the prompt's own.

        Raises:
            TextsError: as `tokens`.
        """
        return continued(tokenizer, [self._written(tokenizer)], [text], add_special_tokens=self.messages is None)[0]

    def _written(self, tokenizer: Any) -> str:
        """The prompt, a chat as its template writes it with all special tokens."""
        if self.messages is None:
            return self.text
        if tokenizer.chat_template is None:
            raise TextsError(
                "the prompts are chats, and the tokenizer has no chat template; give prompts as plain text"
            )
        try:
            options = {"add_generation_prompt": True, "tokenize": False}
            return str(tokenizer.apply_chat_template(list(self.messages), **options, **self.template))
        except Exception as error:  # templates are programs: they raise what they like
            raise TextsError(
                f"the tokenizer's chat template does not take the chat that ends {self.text[:60]!r} ({error})"
            ) from error


def read_prompts(path: str | Path, words: int, column: str | None = None) -> tuple[list[Prompt], list[str]]:
    """The prompts of a file, a folder or a data set, and a note on rows that cannot be read, if there are any.

    Args:
        path: rows with a column `prompt`, plain or a chat; chats (`messages`), up to each answer, or to the user's last
            turn; or texts, whose first words are the prompt.
        words: how many of them.
        column: of the texts, where there are none of these columns.

    Raises:
        HumanReferenceError: when it cannot be read.
        TextsError: when it holds no prompt.
    """
    rows, bad = _rows(path, column)
    found = [prompt for row in rows if (prompt := _prompt(row, words)) and prompt.text.strip()]
    if not found:
        raise TextsError(
            f"{path} holds no prompt: no column `prompt`, no chat, and no text of more than {words} words"
            + (f"; {bad[0]}" if bad else "")
        )
    return found, unreadable(path, bad)


def _rows(path: str | Path, column: str | None) -> tuple[list[Row], list[str]]:
    """The rows, and what is wrong with those that cannot be read."""
    from dft_plugin.reference.corpus import read
    from dft_plugin.reference.errors import HumanReferenceError
    from dft_plugin.reference.rows import ReadOptions

    try:
        parsed = list(read(path, ReadOptions(prompts=True, max_bad=1.0)))
    except HumanReferenceError:
        if column is None:
            raise
        parsed = list(read(path, ReadOptions(text_column=column, max_bad=1.0)))
    return [row for chunk in parsed for row in chunk.rows], [str(line) for chunk in parsed for line in chunk.bad]


def _prompt(row: Row, words: int) -> Prompt | None:
    if row.prompt is not None:
        return Prompt(row.prompt)
    asked = row.messages and (row.messages[:-1] if row.text else row.messages)
    if asked:
        return Prompt(str(asked[-1]["content"]), asked, row.template)
    cut = cut_after(row.text, words)
    return None if cut is None else Prompt(cut[0])


def cut_after(text: str, words: int) -> tuple[str, str] | None:
    """A text's first words, and the rest; None if there is no rest."""
    starts = word_starts(text)
    if len(starts) <= words:
        return None
    head = text[: starts[words]].rstrip()
    return head, text[len(head) :]


def continuations(human: Texts, words: int) -> tuple[list[Prompt], Texts]:
    """The prompts of human texts and the texts; of those without one their first words as the prompt, and what their
    authors went on with as the text.

    Raises:
        TextsError: when there is no prompt, and no text is longer than that.
    """
    found: list[Text] = []
    for text in human.texts:
        if text.prompt:
            found.append(text)
        elif (cut := cut_after(text.text, words)) is not None:
            found.append(Text(cut[1], cut[0]))
    if not found:
        raise TextsError(f"{human.name}: no text has more than {words} words to continue; lower --prompt-words")
    notes: Sequence[str] = human.notes
    if len(found) < len(human.texts):
        notes = [*notes, f"{len(human.texts) - len(found):,} human texts of at most {words} words were left out"]
    prompts = [Prompt(text.prompt or "", text.messages, text.template) for text in found]
    return prompts, Texts(human.name, found, notes)
