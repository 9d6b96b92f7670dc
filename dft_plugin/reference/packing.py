"""Sorted strings and whole numbers as few bytes: LEB128 and front coding, then LZMA, in a tensor of bytes."""

from __future__ import annotations

import lzma
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dft_plugin.reference.arrays import packed, unpacked
from dft_plugin.shared_beginning import shared_beginning
from dft_plugin.written import Integers

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]
_SEPARATOR = "\n"


def pack_integers(values: Integers) -> Tensor:
    """(N,) int64 as bytes."""
    return _compressed(packed(values).numpy().tobytes())


def unpack_integers(content: Tensor) -> Integers:
    """What `pack_integers` was given."""
    values: Integers = unpacked(torch.from_numpy(np.frombuffer(_restored(content), dtype=np.uint8).copy()))
    return values


def pack_names(names: Sequence[str]) -> Tensor:
    """Strings without line breaks as bytes: of each, how much it shares with the one before, and the rest."""
    shared = [shared_beginning(*pair) for pair in zip(["", *names], names, strict=False)]
    rest = "".join(name[same:] + _SEPARATOR for name, same in zip(names, shared, strict=True))
    prefix = packed(np.array(shared, dtype=np.int64)).numpy().tobytes()
    return _compressed(len(prefix).to_bytes(8, "little") + prefix + rest.encode())


def unpack_names(content: Tensor) -> tuple[str, ...]:
    """What `pack_names` was given."""
    whole = _restored(content)
    end = 8 + int.from_bytes(whole[:8], "little")
    shared = unpacked(torch.from_numpy(np.frombuffer(whole[8:end], dtype=np.uint8).copy())).tolist()
    names, name = [], ""
    for same, rest in zip(shared, whole[end:].decode().split(_SEPARATOR), strict=False):
        name = name[:same] + rest
        names.append(name)
    return tuple(names)


def _compressed(content: bytes) -> Tensor:
    small = lzma.compress(content, format=lzma.FORMAT_RAW, filters=_FILTERS)
    return torch.from_numpy(np.frombuffer(small, dtype=np.uint8).copy())


def _restored(content: Tensor) -> bytes:
    return lzma.decompress(content.numpy().tobytes(), format=lzma.FORMAT_RAW, filters=_FILTERS)
