"""The options of a distance: the parameters of its function, read and tried before a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, ValidationError, create_model

from dft_plugin.block import Block
from dft_plugin.distances import Distance, default_options, mmd
from dft_plugin.explained import explain

_SUMMARIES = 2
"""The first parameters of every distance; `positions` is not the user's either."""


class _Listed(Block):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class _Any(Block):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


def checked_options(distance: Distance, support: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the user gave, in the types the distance takes (YAML reads 1e-6 as text).

    Raises:
        ValueError: for a key or value that the distance does not take, or a missing one that it needs.
    """
    model = _model(distance)
    try:
        options = model.model_validate(dict(given)).model_dump(exclude_unset=True)
        if given:
            _measure(distance, support, {**default_options(distance.name, support), **options})
    except ValidationError as error:
        said = explain(error, list(model.model_fields))
    except (TypeError, ValueError) as error:
        said = str(error).removeprefix(f"{distance.name}: ")
    else:
        return options
    raise ValueError(f"distance_options of {distance.name}: {said}")


def _model(distance: Distance) -> type[Block]:
    parameters = list(inspect.signature(distance.function).parameters.values())[_SUMMARIES:]
    hints = get_type_hints(distance.function) if inspect.isfunction(distance.function) else {}
    fields: dict[str, Any] = {
        entry.name: (hints.get(entry.name, Any), ... if entry.default is entry.empty else entry.default)
        for entry in parameters
        if entry.name != "positions" and entry.kind in (entry.KEYWORD_ONLY, entry.POSITIONAL_OR_KEYWORD)
    }
    base = _Any if any(entry.kind is entry.VAR_KEYWORD for entry in parameters) else _Listed
    return create_model("DistanceOptions", __base__=base, **fields)


def _measure(distance: Distance, support: str, options: Mapping[str, Any]) -> None:
    """Two small laws: a distance says itself which values it does not take, but not what its positions mean."""
    law = torch.tensor([0.5, 0.5])
    distance.function(law, law, **options)
    if distance.function is mmd and support != "ordered" and options["kernel"] != "delta":
        raise ValueError(
            f"kernel {options['kernel']!r} compares positions on a line, and this statistic's summary is {support}: "
            "its positions say nothing; use delta, the default there"
        )


__all__ = ["checked_options"]
