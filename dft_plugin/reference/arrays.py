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


def begins_run(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before it."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def runs(values: npt.NDArray[Any]) -> Integers:
    """Where each run of equal values begins."""
    return np.flatnonzero(begins_run(values))


def sums(values: Integers, start: Integers) -> Integers:
    """The sum of each run."""
    return np.add.reduceat(values, start) if len(start) else values[:0]


def smallest(values: Hashes, start: Integers) -> Hashes:
    """The smallest value of each run."""
    return np.minimum.reduceat(values, start) if len(start) else values[:0]


def packed(values: Integers) -> Tensor:
    """Whole numbers as bytes, small ones in few: zigzag, then seven bits a byte, the last below 128 (LEB128)."""
    zigzag = ((values << 1) ^ (values >> 63)).ravel().astype(np.uint64)
    more = [zigzag >= np.uint64(1 << 7 * place) for place in range(1, 10)]
    length = np.add.reduce(more, axis=0, dtype=np.int64, initial=1)
    begin = np.cumsum(length) - length
    content = np.empty(int(length.sum()), dtype=np.uint8)
    for place in range(int(length.max(initial=0))):
        at = np.flatnonzero(length > place)
        bits = (zigzag[at] >> np.uint64(7 * place)) & np.uint64(127)
        content[begin[at] + place] = bits + np.where(length[at] > place + 1, np.uint64(128), np.uint64(0))
    return torch.from_numpy(content)


def unpacked(tensor: Tensor) -> Integers:
    """What `packed` was given, in one row."""
    content = tensor.numpy()
    begin = np.flatnonzero(np.concatenate([[True], content < 128])[: len(content)])
    place = np.arange(len(content)) - np.repeat(begin, np.diff(begin, append=len(content)))
    bits = (content & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    zigzag = np.add.reduceat(bits, begin) if len(begin) else bits
    values: Integers = (zigzag >> np.uint64(1)).astype(np.int64) ^ -(zigzag & np.uint64(1)).astype(np.int64)
    return values


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
