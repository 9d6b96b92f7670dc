"""A second device on a machine that has none: storages labelled as its own, and an error where both devices meet.

Everything is computed on the CPU. A tensor whose storage is labelled says it is on `cuda:0`, and hands the label on to
what is computed from it; an operation on tensors of both devices raises as CUDA's would, unless CUDA allows it (numbers
without dimension, copies, indices).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("cuda", 0)
_GETTERS: dict[Any, Any] = {Tensor.device.__get__: lambda on: DEVICE if on else torch.device("cpu")}  # type: ignore[attr-defined]
_GETTERS[Tensor.is_cuda.__get__] = bool  # type: ignore[attr-defined]
_INDEXING = ("aten.index.", "aten.index_put")


class Labels:
    """The storages on the second device; held, so that no address is used again."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}

    def has(self, tensor: Tensor) -> bool:
        return torch._C.TensorBase.untyped_storage(tensor)._cdata in self.held

    def add(self, tensor: Tensor) -> None:
        storage = torch._C.TensorBase.untyped_storage(tensor)
        self.held[storage._cdata] = storage

    def moved(self, tensor: Tensor, there: bool) -> Tensor:
        if self.has(tensor) == there:
            return tensor
        copy = tensor.clone()  # of the other storage; autograd follows
        if there:
            self.add(copy)
        else:
            del self.held[torch._C.TensorBase.untyped_storage(copy)._cdata]
        return copy


def tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


class Operations(TorchDispatchMode):
    """Checks each operation and labels what it makes."""

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self.labels = labels

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tensors_in((args, kwargs))
        on = [self.labels.has(tensor) for tensor in given]
        name = str(func)
        into_first = "copy_" in name
        # Autograd makes zeros of its own, which carry no label.
        if any(on) and not all(on) and not into_first and torch._C._current_graph_task_id() == -1:
            checked = given[:1] if name.startswith(_INDEXING) else given
            others = [tensor for tensor in checked if not self.labels.has(tensor) and tensor.dim()]
            if others:
                shapes = ", ".join(str(tuple(tensor.shape)) for tensor in others)
                raise RuntimeError(f"{name}: tensors on cuda:0 and, of shape {shapes}, on cpu")
        made = func(*args, **(kwargs or {}))
        if on and (on[0] if into_first else any(on)):
            for tensor in tensors_in(made):
                self.labels.add(tensor)
        return made


class Functions(TorchFunctionMode):
    """Answers where a tensor is, moves it, and makes new ones there."""

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self.labels = labels

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func in _GETTERS:
            return _GETTERS[func](self.labels.has(args[0]))
        if name in ("numpy", "__array__") and self.labels.has(args[0]):
            raise TypeError("can't convert a cuda:0 tensor to numpy; use Tensor.cpu() first")
        if name in ("cpu", "cuda") and isinstance(args[0], Tensor):
            return self.labels.moved(args[0], name == "cuda")
        if name == "to" and isinstance(args[0], Tensor):
            return self._to(func, args[0], args[1:], kwargs)
        there = "device" in kwargs and _is_second(kwargs["device"])
        if there:
            kwargs["device"] = torch.device("cpu")
        made = func(*args, **kwargs)
        if there:
            for tensor in tensors_in(made):
                self.labels.add(tensor)
        return made

    def _to(self, func: Any, tensor: Tensor, options: Any, kwargs: dict[str, Any]) -> Tensor:
        there = self.labels.has(tensor)
        rest = []
        for option in (*options, *([kwargs.pop("device")] if "device" in kwargs else [])):
            if isinstance(option, Tensor):
                there = self.labels.has(option)
                rest.append(option.dtype)
            elif isinstance(option, str | torch.device):
                there = _is_second(option)
            elif option is not None:
                rest.append(option)
        moved = self.labels.moved(tensor, there)
        return func(moved, *rest, **kwargs) if rest or kwargs else moved


def _is_second(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


@contextmanager
def second_device(model: nn.Module) -> Iterator[None]:
    """The model is on the second device, and it exists, for as long as the block runs."""
    labels = Labels()
    for tensor in (*model.parameters(), *model.buffers()):
        labels.add(tensor.data)
    state = {"get_rng_state": lambda device=None: torch.zeros(1), "set_rng_state": lambda state, device=None: None}
    with mock.patch.multiple(torch.cuda, **state), Functions(labels), Operations(labels):
        yield
