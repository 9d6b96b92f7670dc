"""Products of random signs, summed over many rows: one bit a sign, exclusive or for the product."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dft_plugin.written import Integers

Packed = npt.NDArray[np.uint64]
_WORD = 64


def pack_signs(signs: Tensor) -> Packed:
    """(V, K) of +1 and -1 to (V, ceil(K / 64)) words; a set bit is -1."""
    negative = (signs < 0).cpu().numpy()
    padded = np.zeros((len(negative), -(-negative.shape[1] // _WORD) * _WORD), dtype=bool)
    padded[:, : negative.shape[1]] = negative
    return np.packbits(padded, axis=1).view(np.uint64)


def sum_signs(bits: Packed, size: int, group: Integers, groups: int) -> npt.NDArray[np.float64]:
    """(groups, size): the sum of the signs of each column over the rows of each group.

    Args:
        bits: (N, words), rows in any order.
        size: number of columns that mean something.
        group: (N,) the group of each row.
        groups: how many there are.
    """
    total = np.zeros((groups, size))
    if groups == 1:
        total[0] = len(bits) - 2 * _column_counts(bits)[:size]
        return total
    order = np.argsort(group, kind="stable")
    present, start = np.unique(group[order], return_index=True)
    if len(present):
        ones = np.unpackbits(np.ascontiguousarray(bits[order]).view(np.uint8), axis=1)
        rows = np.diff(np.append(start, len(group)))
        dtype = np.uint8 if rows.max() < 256 else np.int64  # bytes add up without a copy, up to 255 of them
        total[present] = rows[:, None] - 2.0 * np.add.reduceat(ones, start, axis=0, dtype=dtype)[:, :size]
    return total


def _column_counts(bits: Packed) -> Integers:
    """How many rows have each bit set, by carry-save addition: three rows of weight w become one of weight w
    and one of weight 2 w (Harley & Seal)."""
    counts = np.zeros(bits.shape[1] * _WORD, dtype=np.int64)
    weight = 1
    while len(bits):
        carries = []
        while len(bits) > 2:
            third = len(bits) // 3
            a, b, c = bits[:third], bits[third : 2 * third], bits[2 * third : 3 * third]
            either = a ^ b
            carries.append((a & b) | (c & either))
            bits = np.concatenate([either ^ c, bits[3 * third :]])
        counts += weight * np.unpackbits(bits.view(np.uint8), axis=1).sum(0, dtype=np.int64)
        bits = np.concatenate(carries) if carries else bits[:0]
        weight *= 2
    return counts
