"""Accumulators of human windows, in folds, so that two human samples can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dft_plugin.law import Law, observed_law
from dft_plugin.objective import Accumulation, Plan
from dft_plugin.statistics.base import Statistic
from dft_plugin.texts import Window, stack

FORMAT = "dft-plugin reference"
FORMAT_VERSION = 1
FOLDS = 16
LEAST_WINDOWS = 2 * FOLDS


class ReferenceError(ValueError):
    """A reference that cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True)
class Reference:
    """Accumulators of human text by statistic and fold.

    Attributes:
        folds: statistic -> (F, A_k) float64, summed over the windows of each fold.
        windows: (F,) number of windows in each fold.
        metadata: what the file records: tokenizer, sampling windows, statistics' versions and options.
    """

    folds: Mapping[str, Tensor]
    windows: Tensor
    metadata: Mapping[str, Any]

    def joined(self, accumulation: Accumulation) -> Tensor:
        """(F, A): the folds of all of an accumulation's statistics side by side; zeros where the file has
        none (statistics measured under the model).

        Raises:
            ReferenceError: when the model's head has another number of rows than the file was built for.
        """
        parts = []
        for statistic in accumulation.statistics:
            own = accumulation.part(statistic)
            empty = torch.zeros(len(self.windows), own.stop - own.start, dtype=torch.float64)
            found = self.folds.get(statistic.name, empty)
            if found.shape != empty.shape:
                raise ReferenceError(
                    f"the reference holds {statistic.name} in {found.shape[1]} numbers, and this model's is "
                    f"{empty.shape[1]}: its head has another number of rows than the one the reference was built "
                    "for; build it again with `dft reference build --vocabulary-size`"
                )
            parts.append(found)
        return torch.cat(parts, dim=1)

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, complete or not at all."""
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in self.folds.items()}
        tensors["windows"] = self.windows.contiguous()
        record = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "digest": _digest(tensors, self.metadata),
            "reference": json.dumps(self.metadata, sort_keys=True),
        }
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(_in_order(save(tensors, metadata=record)))
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Reads a file that `save` wrote.

        Raises:
            ReferenceError: when it is missing, empty, truncated, altered, or not ours.
        """
        from safetensors import SafetensorError, safe_open

        rebuild = "build it again with `dft reference build`"
        if not Path(path).is_file():
            raise ReferenceError(f"reference {path}: there is no such file")
        if Path(path).stat().st_size == 0:
            raise ReferenceError(f"reference {path} is empty (0 bytes): {rebuild}")
        try:
            with safe_open(str(path), framework="pt") as file:
                record = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ReferenceError(
                f"reference {path} is truncated or no safetensors file ({error}): {rebuild}"
            ) from error
        if record.get("format") != FORMAT:
            raise ReferenceError(
                f"reference {path} is a safetensors file but no reference of dft-plugin (model weights?): give a "
                "text corpus, or a file that `dft reference build` wrote"
            )
        if record.get("format_version") != str(FORMAT_VERSION):
            raise ReferenceError(
                f"reference {path} has format version {record.get('format_version')}, this is dft-plugin with "
                f"version {FORMAT_VERSION}: {rebuild}"
            )
        metadata = json.loads(record.get("reference", "{}"))
        if record.get("digest") != _digest(tensors, metadata):
            raise ReferenceError(f"reference {path} was altered after it was built (digest differs): {rebuild}")
        windows = tensors.pop("windows")
        return cls(tensors, windows, metadata)

    def check(self, path: str, statistics: Sequence[Statistic], fingerprint: str, sampling: Mapping[str, int]) -> None:
        """Whether the file can serve these statistics on this tokenizer with these windows.

        Raises:
            ReferenceError: saying what differs and the mend.
        """
        if self.metadata.get("tokenizer") != fingerprint:
            raise ReferenceError(
                f"reference {path} was built with another tokenizer ({self.metadata.get('tokenizer', '?')[:12]}, "
                f"this model's is {fingerprint[:12]}): build it again with `dft reference build --tokenizer` "
                "and this model"
            )
        for key, value in sampling.items():
            built = self.metadata.get("sampling", {}).get(key)
            if built != value:
                raise ReferenceError(
                    f"reference {path} was built with windows of {key} {built}, the run has rollout.{key} "
                    f"{value}: set rollout.{key}: {built}, or build it again with {value}"
                )
        for statistic in statistics:
            if statistic.needs_model:
                continue
            record = self.metadata.get("statistics", {}).get(statistic.name)
            if record is None:
                raise ReferenceError(
                    f"reference {path} holds no {statistic.name}; it holds "
                    f"{', '.join(self.metadata.get('statistics', {}))}: build it again with that statistic"
                )
            if record != describe(statistic):
                raise ReferenceError(
                    f"reference {path} holds {statistic.name} with {record}, the run asks for "
                    f"{describe(statistic)}: use the same options, or build it again"
                )


def describe(statistic: Statistic) -> dict[str, Any]:
    """Version and options of a statistic, as a reference file records them."""
    return {"version": statistic.version, "options": statistic.options.model_dump(mode="json")}


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its header sorted: safetensors writes metadata in a random order, and the same
    reference must give the same bytes."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def build(
    accumulation: Accumulation,
    windows: Sequence[Window],
    *,
    metadata: Mapping[str, Any],
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    law_of: Callable[[Plan], Law] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Reference:
    """Accumulates human windows fold by fold.

    Args:
        accumulation: of the statistics.
        windows: human windows; at least `LEAST_WINDOWS`.
        metadata: recorded with the result.
        device: where to compute.
        batch_size: windows at a time.
        law_of: the law of a batch's texts; default: all mass on the token that stands there. Statistics
            measured under the model pass theirs.
        progress: called with the number of windows done.

    Raises:
        ReferenceError: when there are too few windows.
    """
    if len(windows) < LEAST_WINDOWS:
        length = max((len(window.tokens) - window.first for window in windows), default=0)
        raise ReferenceError(
            f"the reference has {len(windows)} windows of up to {length} tokens; at least {LEAST_WINDOWS} are "
            f"needed, about {LEAST_WINDOWS * max(length, 1):,} tokens of human text that differ: give more text, or "
            "lower rollout.max_new_tokens"
        )
    folds: list[Tensor] = []
    counts: list[int] = []
    done = 0
    for fold in range(FOLDS):
        members = windows[fold::FOLDS]
        total: Tensor | None = None
        for start in range(0, len(members), batch_size):
            texts = stack(members[start : start + batch_size]).to(device)
            plan = accumulation.plan(texts)
            law = observed_law(texts, plan.request) if law_of is None else law_of(plan)
            gained = accumulation.accumulate(plan, law).sum(0).cpu()
            total = gained if total is None else total + gained
            done += len(texts)
            if progress is not None:
                progress(done)
        assert total is not None
        folds.append(total)
        counts.append(len(members))
    joined = torch.stack(folds)
    by_statistic = {
        statistic.name: joined[:, accumulation.part(statistic)].clone() for statistic in accumulation.statistics
    }
    statistics = {statistic.name: describe(statistic) for statistic in accumulation.statistics}
    record = {**metadata, "statistics": statistics, "windows": len(windows)}
    return Reference(by_statistic, torch.tensor(counts), record)
