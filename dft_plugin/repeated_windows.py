"""Human text that is there more than once: its samples share windows, so that they differ less than people's do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from dft_plugin.config import DFTConfig
from dft_plugin.documents import Document
from dft_plugin.human_windows import window_sampler
from dft_plugin.reference.window_sample import REPEATED, repeated

logger = logging.getLogger("dft_plugin")


def warn_of_repeated_windows(config: DFTConfig, documents: Sequence[Document], *, from_start: bool, name: str) -> None:
    """Says so where many of the human windows are of documents that are there more than once, prompts included."""
    sampler = window_sampler(config, documents, from_start=from_start)
    # Copies of a document are cut at places of their own, and compared as if they were not.
    keys = [
        hash((known, piece))
        for document, known in ((document, hash(document)) for document in sampler.usable())
        for piece in range(sampler.pieces_of(document))
    ]
    drawn = np.random.default_rng(0).permutation(np.array(keys, dtype=np.int64))[: config.reference_windows]
    if (share := repeated(drawn)) > REPEATED[1]:  # what `dft reference audit` calls a problem
        logger.warning(
            "dft: %.0f%% of the human windows of %s are there more than once: samples of them are more alike than "
            "people's texts are, so that floors come out too small and the term too strong. Leave duplicates out, or "
            "give a `reference` that holds each text once",
            100 * share, name,
        )  # fmt: skip
