"""Tokenized human documents, of a training set or a corpus."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from torch import Tensor

IGNORED = -100
"""The label of tokens that are not trained on."""


class UsedUpError(ValueError):
    """A data set that gives its rows only once, and whose rows were read."""


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
    documents = []
    for start, stop in zip(starts, [*starts[1:], len(input_ids)], strict=True):
        documents += _spans(tuple(input_ids[start:stop]), list(labels[start:stop]), set(end_of_text))
    return documents


def _spans(tokens: tuple[int, ...], labels: list[int], end_of_text: set[int]) -> list[Document]:
    trained = [label != IGNORED for label in labels]
    documents: list[Document] = []
    left, start, stop, prompted = 0, 0, 0, False  # of the latest document, in the row
    index = 0
    while index < len(tokens):
        if not trained[index]:
            index += 1
            continue
        gap = tokens[stop:index]
        if documents and set(gap) <= end_of_text:
            # Where the padding token ends texts too, no end is trained on: another text follows.
            left, start, prompted = start, index, False
        elif len(gap) > 1 or (prompted and tokens[stop - 1] in end_of_text):
            left, start, prompted = 0, index, True
        elif documents:
            # One untrained token is no prompt, as before a packed text, whose first label is masked.
            documents.pop()
        stop = index
        while stop < len(tokens) and trained[stop]:
            stop += 1
        documents.append(Document(tokens[left:stop], start - left, stop - left, prompted))
        index = stop
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
    """One past each place of a token among those that count."""
    place = document.start
    while True:
        try:
            place = document.tokens.index(token, place, document.stop) + 1
        except ValueError:
            return
        yield place


def from_batch(batch: Any, end_of_text: Collection[int] = ()) -> list[Document]:
    """Documents of a collated training batch with `input_ids` and `labels` (and `position_ids`), as `split_row`."""
    input_ids, labels = batch["input_ids"], batch.get("labels")
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    if labels is None:
        labels = input_ids if mask is None else input_ids.masked_fill(mask == 0, IGNORED)
    documents = []
    for row in range(input_ids.shape[0]):
        keep: Any = slice(None)
        if isinstance(mask, Tensor) and mask.dim() == 2 and positions is None:
            keep = mask[row] != 0
        tokens, row_labels = input_ids[row][keep], labels[row][keep]
        trained = (row_labels != IGNORED).nonzero()
        if len(trained):
            stop = int(trained[-1]) + 1  # rows may be padded to thousands of tokens
            row_positions = None if positions is None else positions[row][:stop].tolist()
            documents += split_row(tokens[:stop].tolist(), row_labels[:stop].tolist(), row_positions, end_of_text)
    return documents


def from_dataloader(dataloader: Any, limit: int, end_of_text: Collection[int] = ()) -> list[Document]:
    """Documents of a training data set, through its own collator, so that packing, chat templates and
    completion-only masks mean what they mean to the trainer.

    Map-style data sets are read at evenly spaced rows; iterable ones from a fresh iterator.

    Args:
        dataloader: the trainer's; anything with `dataset` and `collate_fn`.
        limit: most rows read.
        end_of_text: ids that end a generated text.
    """
    dataset, collate = dataloader.dataset, dataloader.collate_fn
    documents: list[Document] = []
    for row in _rows(dataset, limit):
        # Axolotl's packing collators take a flat list of one row as one bin.
        documents += from_batch(collate([row]), end_of_text)
    return documents


def is_stream(dataset: Any) -> bool:
    """Whether a data set has no length: it is read from its beginning, and each process may be given a part of it."""
    try:
        len(dataset)
    except TypeError:
        return True
    return False


def _rows(dataset: Any, limit: int) -> Iterator[Any]:
    if is_stream(dataset):
        read = 0
        for row in islice(iter(dataset), limit):
            read += 1
            yield row
        if read < limit and next(iter(dataset), None) is None:
            raise UsedUpError(
                f"the data set has no row left after its {read} were read for human text: its source can be read only "
                "once, and training would get nothing. Open the source (a file, a generator) where reading begins, in "
                "`__iter__` or the generator function, so that it can be read again"
            )
        return
    count = len(dataset)
    for number in range(min(count, limit)):
        yield dataset[number * count // min(count, limit)]
