"""Everything a third-party plugin can add, on one screen.

Write a module with functions of these names, decorate them with `dft_plugin.hookimpl`, and name the module in
your package's entry-point group `dft_plugin`. The built-ins are registered the same way (`dft_plugin.builtin`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from dft_plugin.distances import Distance
    from dft_plugin.rollout import RolloutEngine
    from dft_plugin.statistics.base import Statistic

hookspec = pluggy.HookspecMarker("dft_plugin")
hookimpl = pluggy.HookimplMarker("dft_plugin")


@hookspec
def dft_statistics() -> Sequence[type[Statistic]]:  # type: ignore[empty-body]
    """Statistics to add: subclasses of `dft_plugin.statistics.base.Statistic`, under their `name`."""


@hookspec
def dft_distances() -> Sequence[Distance]:  # type: ignore[empty-body]
    """Distances to add: pure functions with the supports they are defined on."""


@hookspec
def dft_rollout_engines() -> Sequence[type[RolloutEngine]]:  # type: ignore[empty-body]
    """Rollout engines to add: how text is sampled from the live model, under their `name`."""


@hookspec
def dft_references() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Tokenizer-independent references to add (`dft_plugin.reference.domain`): name -> file."""
