"""What to do where an acting step of the term finds no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dft_plugin.progress import DistributionTermError


@contextmanager
def told_of_memory(micro_batch_size: int) -> Iterator[None]:
    """Names the mend where an acting step finds no memory, which fewer training rows (`auto_find_batch_size`) are not.

    Args:
        micro_batch_size: texts per forward pass of the term.

    Raises:
        DistributionTermError: in the place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        # Not torch's words, by which accelerate would take it for want of a smaller training batch.
        raise DistributionTermError(
            f"no memory was left for the distribution term: lower rollout.micro_batch_size (now {micro_batch_size}), "
            "which changes memory alone, then rollout.batch_size or max_new_tokens"
        ) from error
