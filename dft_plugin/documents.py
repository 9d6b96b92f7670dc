"""Tokenized human documents: where their text begins and ends in a row or a corpus's text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

IGNORED = -100
"""The label of tokens that are not trained on."""


@dataclass(frozen=True)
class Document:
    """One tokenized human document.

    Attributes:
        tokens: token ids, prompt included.
        start: index of the first token of the text: after the prompt, or what is kept of an earlier text.
        stop: one past the last such token.
        prompted: whether tokens before `start` are a prompt, so that generation starts at `start`;
            otherwise a plain text, continued from a random prefix.
        added: how many tokens of a plain text, from `start` on, the tokenizer put before it (BOS).
    """

    tokens: tuple[int, ...]
    start: int
    stop: int
    prompted: bool
    added: int = 0


def counted_from_start(document: Document) -> Document:
    """A plain text as an answer to a prompt of one token: all of its own tokens count, and nothing of a BOS.

    Its first token must be drawn after one. Where the tokenizer puts none before a text that is the text's last: an end
    of text as a rule, as stands there in a packed row.
    """
    start = document.start if document.prompted else document.start + document.added
    if start > 0:
        return replace(document, start=start, prompted=True, added=0)
    return Document((document.tokens[document.stop - 1], *document.tokens), 1, document.stop + 1, prompted=True)


def split_row(
    input_ids: Sequence[int],
    labels: Sequence[int],
    positions: Sequence[int] | None,
    end_of_text: Collection[int] = (),
) -> list[Document]:
    """Documents of one row of a training batch: packed texts apart, each trained-on span one document.

    Args:
        input_ids: (T,) the row's tokens.
        labels: (T,) -100 where not trained on.
        positions: (T,) position ids, 0 where a packed text begins, or None for a row of one text.
        end_of_text: ids that end a generated text.
    """
    starts = [0]
    if positions is not None:
        # A row may begin in the middle of a text: its first piece counts too.
        starts += [index for index, position in enumerate(positions) if position == 0 and index > 0]
        # Padding repeats position 0 in some collators: such texts of one untrained token fall out below.
    documents, ends, packed = [], set(end_of_text), positions is not None
    for start, stop in zip(starts, [*starts[1:], len(input_ids)], strict=True):
        documents += _spans(tuple(input_ids[start:stop]), list(labels[start:stop]), ends, packed)
    return documents


def _spans(tokens: tuple[int, ...], labels: list[int], end_of_text: set[int], packed: bool) -> list[Document]:
    trained = [label != IGNORED for label in labels]
    documents: list[Document] = []
    left, start, stop, prompted = 0, 0, 0, False  # of the latest document, in the row
    index = 0
    while index < len(tokens):
        if not trained[index]:
            index += 1
            continue
        gap, begins = tokens[stop:index], index
        while index < len(tokens) and trained[index]:
            index += 1
        # Where the padding token ends texts too, no end is trained on: another text follows.
        only_ends = set(gap) <= end_of_text
        follows = bool(documents) and only_ends
        # One untrained token is no prompt where a packed text begins, whose first label is masked, nor inside a text.
        is_prompt = len(gap) > 1 or not (documents or packed or only_ends)
        answers = not follows and (is_prompt or (prompted and tokens[stop - 1] in end_of_text))
        if (follows or answers) and set(tokens[begins:index]) <= end_of_text:
            continue  # no text: a prompt's end, trained on as every end may be (Axolotl's `train_on_eos: all`)
        if follows:
            left, start, prompted = start, begins, False
        elif answers:
            left, start, prompted = 0, begins, True
        elif documents:
            documents.pop()
        stop = index
        documents.append(Document(tokens[left:stop], start - left, stop - left, prompted))
    return documents


def cut_at_ends(documents: Iterable[Document], end_of_text: Collection[int], past: int = 0) -> list[Document]:
    """Documents none of which goes on after an end of text, as no rollout does.

    What a chat template writes after an answer's end falls away. A plain document goes on as another one after each
    end: a chat that is trained on as a whole, or packed texts that no position ids tell apart.

    Args:
        documents: of the training set or a corpus.
        end_of_text: ids that end a generated text.
        past: tokens before an end that the document after it keeps, as context.
    """
    return [piece for document in documents for piece in _until_ends(document, end_of_text, past)]


def _until_ends(document: Document, end_of_text: Collection[int], past: int) -> Iterator[Document]:
    start = document.start
    for stop in sorted({document.stop, *(stop for token in end_of_text for stop in _stops(document, token))}):
        if start < stop:
            begins = start == document.start
            left, added = (0, document.added) if begins else (max(0, start - past), 0)
            yield Document(document.tokens[left:stop], start - left, stop - left, document.prompted, added)
            if document.prompted:
                return
            start = stop


def _stops(document: Document, token: int) -> Iterator[int]:
    """One past each place of a token among those that count; a BOS ends nothing where it is an end of text as well."""
    place = document.start + document.added
    while True:
        try:
            place = document.tokens.index(token, place, document.stop) + 1
        except ValueError:
            return
        yield place
