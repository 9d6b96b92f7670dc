"""The options as JSON schema, as a commented YAML block and as Markdown tables, all from `DFTConfig`."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dft_plugin import plugins
from dft_plugin.config import DFTConfig, parse
from dft_plugin.rollout_config import DFTRolloutConfig
from dft_plugin.statistic_config import DFTStatisticConfig

_WIDTH = 110
_BOUNDS = {"ge": ">= {}", "gt": "> {}", "le": "<= {}", "lt": "< {}"}


def first_line(described: Any) -> str:
    """The first sentence of a docstring, on one line and without the full stop."""
    paragraph = (inspect.getdoc(described) or "").split("\n\n")[0]
    return " ".join(paragraph.split()).removesuffix(".")


def usable_distances(support: str) -> list[str]:
    """Names of the distances that are defined on a support."""
    return [name for name, distance in plugins.distances().items() if support in distance.supports]


def json_schema() -> dict[str, Any]:
    """The JSON schema of the `dft:` block, with the options of every registered statistic."""
    schema = DFTConfig.model_json_schema()
    del schema["$defs"]["DFTStatisticConfig"]
    common = DFTStatisticConfig.model_json_schema()["properties"]
    named, keyed = [], {}
    for name, statistic in plugins.statistics().items():
        own = statistic.Options.model_json_schema()
        schema["$defs"].update(own.pop("$defs", {}))
        distance = {**common["distance"], "anyOf": [{"enum": usable_distances(statistic.support)}, {"type": "null"}]}
        options = {**common, "distance": distance, **own.get("properties", {})}
        del options["name"]
        closed = {"type": "object", "additionalProperties": False}
        named.append({**closed, "properties": {"name": {"const": name}, **options}, "required": ["name"]})
        keyed[name] = {"anyOf": [{**closed, "properties": options}, {"type": "null"}]}
    one = {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": keyed, "additionalProperties": False}
    names = {"enum": list(keyed)}
    schema["properties"]["statistics"].pop("items")
    schema["properties"]["statistics"].pop("type")
    schema["properties"]["statistics"].pop("minItems", None)
    entries = {"type": "array", "items": {"anyOf": [names, *named, one]}}
    schema["properties"]["statistics"]["anyOf"] = [names, entries]
    return schema


def yaml_block() -> str:
    """A `dft:` block of every option at its default, each with its description above it."""
    return "dft:\n" + "".join(_lines(DFTConfig, "  "))


def _lines(model: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield from _comment(_described(field), indent)
        if name == "statistics":
            yield f"{indent}{name}:\n"
            yield from (f"{indent}  - {_entry(entry)}\n" for entry in _default(field))
            yield from _comment("others, and the options of each at their defaults:", indent + "  ")
            yield from _statistics(indent + "  # ")
        elif _is_model(field):
            yield f"{indent}{name}:\n"
            yield from _lines(field.annotation, indent + "  ")  # type: ignore[arg-type]
        else:
            yield f"{indent}{name}: {_value(_default(field))}\n"


def _entry(entry: DFTStatisticConfig) -> str:
    """A default statistic as the block lists it: its name, and its weight where that is not 1."""
    return entry.name if entry.weight == 1 else f"{{name: {entry.name}, weight: {entry.weight:g}}}"


def _statistics(indent: str) -> Iterator[str]:
    for name, statistic in plugins.statistics().items():
        yield from _comment(first_line(statistic), indent)
        yield f"{indent}- name: {name}\n"
        yield f"{indent}  distance: {statistic.distance}  # of {', '.join(usable_distances(statistic.support))}\n"
        yield f"{indent}  weight: {_value(_default(DFTStatisticConfig.model_fields['weight']))}\n"
        clip = DFTStatisticConfig.model_fields["derivative_clip"]
        yield f"{indent}  derivative_clip: {_value(_default(clip))}\n"
        for option, field in statistic.Options.model_fields.items():
            yield from _comment(_described(field), indent + "  ")
            yield f"{indent}  {option}: {_value(_default(field))}\n"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(indent) - 2, break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}\n"


def option_table() -> str:
    """Markdown: one table of every option of the block, one of the statistics, one of their own options."""
    options = [
        _row(key, field)
        for prefix, model in (("", DFTConfig), ("rollout.", DFTRolloutConfig))
        for key, field in ((prefix + name, field) for name, field in model.model_fields.items())
        if not _is_model(field)
    ]
    statistics, own = [], []
    for name, statistic in plugins.statistics().items():
        weights = {entry.name: entry.weight for entry in DFTConfig().statistics}
        default = ("yes" if weights[name] == 1 else f"yes, at weight {weights[name]:g}") if name in weights else "no"
        others = [other for other in usable_distances(statistic.support) if other != statistic.distance]
        matched = f"`{statistic.distance}` ({', '.join(others)})"
        statistics.append([f"`{name}`", default, statistic.support, matched, first_line(statistic)])
        own += [_row(f"{name}: {option}", field) for option, field in statistic.Options.model_fields.items()]
    own = [_row(name, field) for name, field in DFTStatisticConfig.model_fields.items() if name != "name"] + own
    header = ["Option", "Default", "Bounds", "Description"]
    return "\n".join(
        [
            _table(header, options),
            _table(["Statistic", "On by default", "Support", "Distance (others)", "Matches"], statistics),
            _table(["Option of a statistic", *header[1:]], own),
        ]
    )


def listing() -> str:
    """The statistics and the distances, one line each."""
    on = {entry.name for entry in parse({}).statistics}
    statistics = [
        (name, f"{first_line(statistic)} [{statistic.distance}{', on by default' if name in on else ''}]")
        for name, statistic in plugins.statistics().items()
    ]
    distances = [
        (name, f"{first_line(distance.function)} [{', '.join(sorted(distance.supports))}]")
        for name, distance in plugins.distances().items()
    ]
    width = max(len(name) for name, _ in [*statistics, *distances])
    lines = ["Statistics [default distance]", *(f"  {name:<{width}}  {text}" for name, text in statistics)]
    lines += ["Distances [supports]", *(f"  {name:<{width}}  {text}" for name, text in distances)]
    return "".join(f"{line}\n" for line in lines)


def _row(key: str, field: FieldInfo) -> list[str]:
    default = _default(field)
    default = ", ".join(map(_entry, default)) if key == "statistics" else _value(default)
    return [f"`{key}`", f"`{default}`", _bounds(field), field.description or ""]


def _table(header: list[str], rows: list[list[str]]) -> str:
    written = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in written)


def _described(field: FieldInfo) -> str:
    bounds = _bounds(field)
    return (field.description or "") + (f" ({bounds})" if bounds else "")


def _bounds(field: FieldInfo) -> str:
    choices = [*_choices(field.annotation)]
    limits = [
        form.format(getattr(limit, name))
        for limit in field.metadata
        for name, form in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join([*limits, *(["one of " + ", ".join(choices)] if len(choices) > 1 else [])])


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))


def _is_model(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _value(value: Any) -> str:
    """A default as YAML writes it."""
    return value if isinstance(value, str) else json.dumps(value)


__all__ = ["first_line", "json_schema", "listing", "option_table", "usable_distances", "yaml_block"]
