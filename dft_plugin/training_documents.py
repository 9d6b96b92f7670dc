"""The human documents of a training or evaluation data set, through the trainer's own collator."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any

from torch import Tensor

from dft_plugin.documents import IGNORED, Document, split_row
from dft_plugin.host import UnsupportedRunError

logger = logging.getLogger("dft_plugin")

NO_TEXT = ("pixel_", "image", "video", "audio", "input_features", "input_values")
"""Beginnings of the names of what processors give a model beside text."""


class UsedUpError(ValueError):
    """A data set that gives its rows only once, and whose rows were read."""


def from_batch(batch: Any, end_of_text: Collection[int] = ()) -> list[Document]:
    """Documents of a collated training batch with `input_ids` and `labels` (and `position_ids`), as `split_row`.

    Raises:
        UnsupportedRunError: for a batch with images, video or sound.
    """
    _check_text_only(batch)
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


def _check_text_only(batch: Any) -> None:
    if given := [name for name in batch if name.startswith(NO_TEXT) and batch[name] is not None]:
        raise UnsupportedRunError(
            f"a training batch holds {', '.join(given)}: rollouts would go on without it, and the model learn to "
            "describe what it does not see; train on text alone, or without Distribution Fine-Tuning"
        )


def from_dataloader(
    dataloader: Any,
    limit: int,
    end_of_text: Collection[int] = (),
    windows: Callable[[Sequence[Document]], int] = len,
) -> list[Document]:
    """Documents of a training data set, through its own collator, so that packing, chat templates and
    completion-only masks mean what they mean to the trainer.

    Of map-style data sets random rows are read, iterable ones from a fresh iterator until there is enough.

    Args:
        dataloader: the trainer's; anything with `dataset` and `collate_fn`.
        limit: most rows read; an iterable data set is read no further than to so many windows.
        end_of_text: ids that end a generated text.
        windows: how many of them documents make.

    Raises:
        UsedUpError: where reading an iterable data set has left nothing to train on.
    """
    dataset = dataloader.dataset

    def read(row: Any) -> list[Document]:
        # Axolotl's packing collators take a flat list of one row as one bin.
        return from_batch(dataloader.collate_fn([row]), end_of_text)

    if is_stream(dataset):
        return _of_stream(dataset, limit, read, windows)
    return [document for number in _row_numbers(len(dataset), limit) for document in read(dataset[number])]


def _row_numbers(count: int, limit: int) -> list[int]:
    """All, or as many as the limit at random, the same each time: equal distances may fall in step with sources that
    take turns (`interleave_datasets`), and meet one of them alone."""
    return sorted(random.Random(0).sample(range(count), min(count, limit)))


def is_stream(dataset: Any) -> bool:
    """Whether a data set has no length: it is read from its beginning, and each process may be given a part of it."""
    try:
        len(dataset)
    except TypeError:
        return True
    return False


def _of_stream(
    dataset: Any,
    limit: int,
    read: Callable[[Any], list[Document]],
    windows: Callable[[Sequence[Document]], int],
) -> list[Document]:
    documents: list[Document] = []
    rows = enough = 0
    for row in islice(iter(dataset), limit):
        found = read(row)
        documents += found
        rows += 1
        enough += windows(found)
        if enough >= limit:
            break
    if enough >= limit or rows == limit:
        logger.warning(
            "dft: human text is of the stream's first %d rows: shuffle it where its beginning is unlike the rest", rows
        )
    again = next(iter(dataset), None)
    if again is None:
        raise UsedUpError(
            f"the data set has no row left after its {rows} were read for human text: its source can be read "
            "only once, and training would get nothing. Open the source (a file, a generator) where reading begins, in "
            "`__iter__` or the generator function, so that it can be read again"
        )
    known, first = ({document.tokens for document in each} for each in (documents, read(again)))
    if first and known.isdisjoint(first):  # packing may put the same texts into other rows
        logger.warning(
            "dft: the data set begins with another row when it is read again. Where its order is random that is well; "
            "where its source can be read only once, training misses the %d rows read for human text: open the source "
            "(a file, a generator) where reading begins, in `__iter__` or the generator function",
            rows,
        )
    return documents
