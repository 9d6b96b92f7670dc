"""Arrays that word counts are made of: runs of equal values, and how they are written to a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Names = npt.NDArray[Any]  # strings, or where they can be found


def runs(values: npt.NDArray[Any]) -> Integers:
    """Where each run of equal values begins."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = values[1:] != values[:-1]
    return np.flatnonzero(new)


def sums(values: Integers, start: Integers) -> Integers:
    """The sum of each run."""
    return np.add.reduceat(values, start) if len(start) else values[:0]


def smallest(values: Hashes, start: Integers) -> Hashes:
    """The smallest value of each run."""
    return np.minimum.reduceat(values, start) if len(start) else values[:0]


def narrow(values: Integers) -> Tensor:
    """The same whole numbers in the fewest bytes that hold them all."""
    low, high = values.min(initial=0), values.max(initial=0)
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return torch.from_numpy(values.astype(kind))
    return torch.from_numpy(values.copy())


def wide(tensor: Tensor) -> Integers:
    """What `narrow` was given."""
    numbers: Integers = tensor.numpy().astype(np.int64)
    return numbers


def packed_names(names: Names) -> Tensor:
    """Strings as UTF-8, a line each."""
    lines = "".join(f"{name}\n" for name in names).encode()
    return torch.from_numpy(np.frombuffer(lines, dtype=np.uint8).copy())


def unpacked_names(tensor: Tensor) -> Names:
    """What `packed_names` was given."""
    lines = tensor.numpy().tobytes().decode().split("\n")[:-1]
    names = np.empty(len(lines), dtype=object)
    names[:] = lines
    return names
