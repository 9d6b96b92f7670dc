"""Human text from the batches that training takes, where the data set can be read only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dft_plugin.config import DFTConfig
from dft_plugin.documents import Document
from dft_plugin.human_windows import pieces
from dft_plugin.sharing import Processes
from dft_plugin.training_documents import from_batch, is_stream

ENOUGH_WINDOWS = 512


def can_be_read_once(dataset: Any) -> bool:
    """Whether reading a data set before training would take its rows away from training: it is its own iterator."""
    while type(dataset).__name__ == "IterableDatasetShard":  # accelerate's, one process's part
        dataset = dataset.dataset
    return is_stream(dataset) and iter(dataset) is dataset


class Gathering:
    """Keeps the documents of every batch until they make enough windows.

    Args:
        config: the `dft:` block; `ENOUGH_WINDOWS` windows are enough, or `reference_windows` if that is less.
        processes: the data-parallel ones; each sees its own batches.
        end_of_text: ids that end a generated text.
    """

    def __init__(self, config: DFTConfig, processes: Processes, end_of_text: Sequence[int]) -> None:
        self.config, self.processes, self.end_of_text = config, processes, end_of_text
        self.documents: list[Document] = []
        self.wanted = min(config.reference_windows, ENOUGH_WINDOWS)

    def take(self, inputs: Any) -> None:
        """Keeps a batch's documents."""
        self.documents += from_batch(inputs, self.end_of_text)

    def windows(self) -> int:
        """How many windows the documents of all processes make."""
        return int(self.processes.reduce(torch.tensor(float(pieces(self.config, self.documents)))))

    def waited(self) -> str:
        """What came by while there were too few windows."""
        return f"{self.windows()} of {self.wanted} human windows had come by"

    def finished(self) -> list[Document]:
        """The documents of all processes, in the same order on each."""
        return of_all_processes(self.documents, self.processes)


def of_all_processes(documents: list[Document], processes: Processes) -> list[Document]:
    """The first process's documents, the second's, ..., in the same order on each; once, where all read the same."""
    if processes.count == 1:
        return documents
    from accelerate.utils import gather_object

    parts: list[list[Document]] = gather_object([documents])
    if all(part == parts[0] for part in parts):
        return parts[0]
    return [document for part in parts for document in part]
