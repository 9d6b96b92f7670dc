"""The plugin manager: finds statistics, distances and rollout engines by the name a user writes."""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from dft_plugin import hookspecs

if TYPE_CHECKING:
    from dft_plugin.distances import Distance
    from dft_plugin.rollout import RolloutEngine
    from dft_plugin.statistics.base import Statistic


GROUP = "dft_plugin"
"""Of entry points."""

GIVES = {
    "dft_statistics": "a list of subclasses of Statistic",
    "dft_distances": "a list of Distance objects",
    "dft_rollout_engines": "a list of subclasses of RolloutEngine",
    "dft_references": "a mapping of names to files",
}
"""hook -> what it returns."""


@cache
def manager() -> pluggy.PluginManager:
    """The one plugin manager: built-ins first, then every installed entry point of group `dft_plugin`.

    Raises:
        ValueError: for a package that cannot be loaded, naming it.
    """
    from dft_plugin import builtin

    plugins = pluggy.PluginManager("dft_plugin")
    plugins.add_hookspecs(hookspecs)
    plugins.register(builtin, name="dft-plugin itself")
    for entry in importlib.metadata.entry_points(group=GROUP):
        _load(plugins, entry)
    return plugins


def _load(plugins: pluggy.PluginManager, entry: importlib.metadata.EntryPoint) -> None:
    """Registers what an entry point names, under a name that tells whose it is."""
    package = f"package {entry.dist.name if entry.dist else '?'} (entry point {entry.name} = {entry.value})"
    try:
        plugin = entry.load()
        plugins.register(plugin, name=package)
    except Exception as error:
        raise ValueError(
            f"{package} cannot be loaded: {type(error).__name__}: {error}. Mend it, or uninstall it"
        ) from error
    hooks = plugins.get_hookcallers(plugin) or []
    if not hooks:
        raise ValueError(
            f"{package} brings nothing: decorate functions named {', '.join(GIVES)} with `dft_plugin.hookimpl`"
        )
    for hook in hooks:
        if not hook.has_spec():
            raise ValueError(f"{package}: {_unknown('hook', hook.name, GIVES)}")


def nearest(given: str, existing: Iterable[str]) -> str:
    """' Did you mean "x"?' for the existing name nearest to `given`, or an empty string."""
    close = difflib.get_close_matches(given, list(existing), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def _collect(kind: str, hook: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for implementation in getattr(manager().hook, hook).get_hookimpls():  # in the order of registering
        package = implementation.plugin_name
        for name, entry in _named(package, hook, implementation.function):
            if name in found and found[name] is not entry:
                raise ValueError(
                    f'two plugins register the {kind} "{name}", {owner[name]} and {package}: rename one of them'
                )
            found[name], owner[name] = entry, package
    return found


def _named(package: str, hook: str, function: Callable[[], Any]) -> list[tuple[str, Any]]:
    """What a package adds, by name."""
    named: list[tuple[Any, Any]]
    try:
        listed = function()
        if hook == "dft_references":
            return [(name, Path(file)) for name, file in listed.items()]
        named = [(getattr(entry, "name", None), entry) for entry in listed]
    except Exception as error:
        raise ValueError(f"{package}: {hook}: {error}; it returns {GIVES[hook]}") from error
    for name, entry in named:
        if not isinstance(name, str) or isinstance(entry, type) == (hook == "dft_distances"):
            lacks = "is none" if isinstance(name, str) else "has no `name`"
            raise ValueError(f"{package}: {hook} returns {GIVES[hook]}, and {entry!r} {lacks}")
    return named


def _unknown(kind: str, given: str, existing: Iterable[str]) -> str:
    return f'unknown {kind} "{given}".{nearest(given, existing)} There are: {", ".join(existing)}.'


def _find(kind: str, given: str, existing: dict[str, Any]) -> Any:
    if given not in existing:
        raise ValueError(_unknown(kind, given, existing))
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
