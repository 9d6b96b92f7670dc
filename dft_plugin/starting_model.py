"""The model that training began with, kept beside the live one at the least cost."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dft_plugin.language_model import base_model, decoder_of, deterministic, head_of

logger = logging.getLogger("dft_plugin")

SAME_LAW = 1e-4
"""Greatest difference of next-token probabilities between adapters on and off that counts as none."""
SAMPLED_OF_EACH = 4096
"""About how many entries of each parameter the fingerprint reads."""


class StartingModelError(ValueError):
    """A resumed run that cannot find the model training began with; the message names the mend."""


class StartingModel(Protocol):
    """The live model's modules can stand for the starting model for a while."""

    def in_place(self) -> AbstractContextManager[None]:
        """While this lasts the live model computes what the starting model did. Without gradients only."""
        ...

    def record(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a resumed run finds the same starting model: JSON."""
        ...


class AdaptersOff:
    """Training began with the base model, its adapters without effect: nothing has to be kept.

    Args:
        model: of PEFT.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    @contextmanager
    def in_place(self) -> Iterator[None]:
        # PEFT sets requires_grad of the active adapters when it turns them on again, whatever it was before.
        trained = [(parameter, parameter.requires_grad) for parameter in self.model.parameters()]
        try:
            with self.model.disable_adapter():
                yield
        finally:
            for parameter, requires_grad in trained:
                parameter.requires_grad_(requires_grad)

    def record(self) -> dict[str, Any]:
        return {"adapters_off": True}


class Kept:
    """A copy of the trainable parameters, put in the place of the live values for a forward pass.

    Args:
        model: the live one.
        values: of every trainable parameter by name, in its dtype and on its device.
    """

    def __init__(self, model: nn.Module, values: Mapping[str, Tensor]) -> None:
        self.parameters = {name: parameter for name, parameter in model.named_parameters() if name in values}
        self.values = dict(values)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        live = {name: parameter.data for name, parameter in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = self.values[name]
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = live[name]

    def record(self) -> dict[str, Any]:
        return {"adapters_off": False, "fingerprint": fingerprint(self.values)}


def fingerprint(values: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and about `SAMPLED_OF_EACH` entries of each tensor, evenly spread."""
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        stride = max(1, value.numel() // SAMPLED_OF_EACH)
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().flatten()[::stride].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def starting_model(model: nn.Module, resumed: bool, record: Mapping[str, Any] | None = None) -> StartingModel:
    """The model training began with.

    A Trainer loads a checkpoint's weights before it says that training begins. A resumed run therefore turns the
    adapters off, or loads the weights from where the model came from and compares their fingerprint.

    Args:
        model: the live one, when training begins or goes on.
        resumed: whether its weights are a checkpoint's.
        record: what the checkpoint keeps of the starting model.

    Raises:
        StartingModelError: when a resumed run cannot load it, or what it loads is another.
    """
    if not resumed:
        if _only_adapters_train(model) and _adapters_do_nothing(model):
            return AdaptersOff(model)
        return Kept(model, {name: entry.detach().clone() for name, entry in _trainable(model).items()})
    if (record or {}).get("adapters_off", _only_adapters_train(model)):
        return AdaptersOff(model)
    found = Kept(model, _loaded(model))
    if not record:
        logger.warning("dft: the checkpoint was written without kl_weight: the divergence is from the model's source")
    elif found.record() != dict(record):
        raise StartingModelError(
            f"{_source(model)} does not hold the weights that training began with: resume with the model it began "
            "with, or without kl_weight"
        )
    return found


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _only_adapters_train(model: Any) -> bool:
    """Whether every trainable parameter belongs to a PEFT adapter, so that turning it off undoes all training."""
    prefix = getattr(getattr(model, "base_model", None), "prefix", None)
    if not hasattr(model, "disable_adapter") or not prefix:
        return False
    return all(prefix in name or "modules_to_save." in name for name in _trainable(model))


@torch.no_grad()
def _adapters_do_nothing(model: nn.Module) -> bool:
    """Whether the next-token law is the same with and without adapters: not with every way to initialise them."""
    weight = head_of(model).weight
    tokens = torch.arange(32, device=weight.device)[None] % weight.shape[0]

    def law() -> Tensor:
        head = head_of(model)
        hidden = decoder_of(model)(input_ids=tokens, use_cache=False).last_hidden_state
        linear = nn.functional.linear(hidden.to(head.weight.dtype), head.weight, head.bias)
        return torch.softmax(head.finish(linear), dim=-1)

    with deterministic(model, recompute=False):
        on = law()
        with AdaptersOff(model).in_place():
            off = law()
    return float((on - off).abs().max()) <= SAME_LAW


def _source(model: nn.Module) -> str:
    return str(getattr(base_model(model).config, "_name_or_path", "") or "")


def _loaded(model: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters' values from where the model came from."""
    trainable, source = _trainable(model), _source(model)
    base = base_model(model)
    family: Any = type(base)
    mend = "resume with a model loaded from its folder or hub name, with adapters that begin without effect, or "
    mend += "without kl_weight"
    if base is not model or not source:
        where = "adapters that had an effect" if base is not model else "a model that was made in memory"
        raise StartingModelError(f"training began with {where}, which a resumed run cannot find again: {mend}")
    # Each parameter in its own dtype afterwards; loaded in the one that most have.
    dtype = next(iter(trainable.values())).dtype
    try:
        loaded = dict(family.from_pretrained(source, dtype=dtype).named_parameters())
    except OSError as error:
        raise StartingModelError(
            f"the model training began with cannot be loaded from {source} ({error}): {mend}"
        ) from error
    other = [name for name, entry in trainable.items() if name not in loaded or loaded[name].shape != entry.shape]
    if other:
        raise StartingModelError(f"{source} has no {other[0]} of the shape that is trained: {mend}")
    return {name: loaded[name].detach().to(entry.device, entry.dtype) for name, entry in trainable.items()}
