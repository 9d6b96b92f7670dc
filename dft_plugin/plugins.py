"""The plugin manager: finds statistics, distances and rollout engines by the name a user writes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from dft_plugin import hookspecs

if TYPE_CHECKING:
    from dft_plugin.distances import Distance
    from dft_plugin.rollout import RolloutEngine
    from dft_plugin.statistics.base import Statistic


@cache
def manager() -> pluggy.PluginManager:
    """The one plugin manager: built-ins first, then every installed entry point of group `dft_plugin`."""
    from dft_plugin import builtin

    plugins = pluggy.PluginManager("dft_plugin")
    plugins.add_hookspecs(hookspecs)
    plugins.register(builtin, name="builtin")
    plugins.load_setuptools_entrypoints("dft_plugin")
    return plugins


def nearest(given: str, existing: Iterable[str]) -> str:
    """' Did you mean "x"?' for the existing name nearest to `given`, or an empty string."""
    close = difflib.get_close_matches(given, list(existing), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def _collect(kind: str, hook: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # pluggy calls the last registered first; users see built-ins first.
    for listed in reversed(getattr(manager().hook, hook)()):
        named = listed.items() if isinstance(listed, Mapping) else ((entry.name, entry) for entry in listed)
        for name, entry in named:
            if name in found and found[name] is not entry:
                raise ValueError(f'two plugins register the {kind} "{name}": rename one of them')
            found[name] = entry
    return found


def _find(kind: str, given: str, existing: dict[str, Any]) -> Any:
    if given not in existing:
        raise ValueError(f'unknown {kind} "{given}".{nearest(given, existing)} There are: {", ".join(existing)}.')
    return existing[given]


def statistics() -> dict[str, type[Statistic]]:
    """All statistics by name."""
    return _collect("statistic", "dft_statistics")


def distances() -> dict[str, Distance]:
    """All distances by name."""
    return _collect("distance", "dft_distances")


def rollout_engines() -> dict[str, type[RolloutEngine]]:
    """All rollout engines by name."""
    return _collect("rollout engine", "dft_rollout_engines")


def references() -> dict[str, Path]:
    """All references that come with a package, by the name that `reference:` gives them."""
    return _collect("reference", "dft_references")


def statistic(name: str) -> type[Statistic]:
    """The statistic of that name; ValueError naming the nearest otherwise."""
    found: type[Statistic] = _find("statistic", name, statistics())
    return found


def distance(name: str) -> Distance:
    """The distance of that name; ValueError naming the nearest otherwise."""
    found: Distance = _find("distance", name, distances())
    return found


def rollout_engine(name: str) -> type[RolloutEngine]:
    """The rollout engine of that name; ValueError naming the nearest otherwise."""
    found: type[RolloutEngine] = _find("rollout engine", name, rollout_engines())
    return found
