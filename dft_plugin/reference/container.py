"""One safetensors file that is written whole or not at all, and tells when it was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dft_plugin.reference.errors import HumanReferenceError

WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: what the file says it is.
        version: of its layout.
        remake: how to get a new one, for messages.
    """

    name: str
    version: int
    remake: str


def write(path: str | Path, kind: Kind, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes tensors and metadata; the same content gives the same bytes."""
    from safetensors.torch import save

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    record = {
        "format": kind.name,
        "format_version": str(kind.version),
        "digest": _digest(contiguous, metadata),
        "content": json.dumps(metadata, sort_keys=True),
    }
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(_in_order(save(contiguous, metadata=record)))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | Path, kind: Kind) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata that `write` wrote.

    Raises:
        HumanReferenceError: when the file is missing, empty, truncated, altered, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise HumanReferenceError(f"reference {path}: there is no such file")
    if Path(path).stat().st_size == 0:
        raise HumanReferenceError(f"reference {path} is empty (0 bytes): {kind.remake}")
    try:
        with safe_open(str(path), framework="pt") as file:
            record = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        raise HumanReferenceError(
            f"reference {path} is truncated or no safetensors file ({error}): {kind.remake}"
        ) from error
    if record.get("format") != kind.name:
        raise HumanReferenceError(
            f"reference {path} is a safetensors file but no {kind.name} (model weights?): give a text corpus, or a "
            "file that `dft reference build` wrote"
        )
    if record.get("format_version") != str(kind.version):
        raise HumanReferenceError(
            f"reference {path} has format version {record.get('format_version')}, this is dft-plugin with version "
            f"{kind.version}: {kind.remake}"
        )
    try:
        metadata = json.loads(record.get("content", ""))
    except (ValueError, RecursionError) as error:
        raise HumanReferenceError(
            f"reference {path} was altered after it was built ({error}): {kind.remake}"
        ) from error
    if record.get("digest") != _digest(tensors, metadata):
        raise HumanReferenceError(f"reference {path} was altered after it was built (digest differs): {kind.remake}")
    return tensors, metadata


def format_of(path: str | Path) -> str | None:
    """What a safetensors file says it is; None where it is none of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            found: str | None = (file.metadata() or {}).get("format")
    except (SafetensorError, OSError, ValueError, OverflowError):
        return None
    return found


def narrow(tensor: Tensor) -> Tensor:
    """Whole numbers in the smallest integers that hold them; others as they are."""
    if tensor.is_floating_point() and not bool((tensor == tensor.round()).all()):
        return tensor
    low, high = (int(tensor.min()), int(tensor.max())) if tensor.numel() else (0, 0)
    for dtype in WHOLE:
        bounds = torch.iinfo(dtype)
        if bounds.min <= low and high <= bounds.max:
            return tensor.to(dtype)
    return tensor


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        if tensors[name].numel():  # one without entries may have stride 0, which torch does not view as bytes
            digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: safetensors writes metadata in a random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]
