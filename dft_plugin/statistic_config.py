"""An entry of `statistics:` in the `dft:` block, and which there are by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from dft_plugin.block import Block
from dft_plugin.explained import explain

if TYPE_CHECKING:
    from dft_plugin.statistics.base import Statistic

DEFAULT_STATISTICS = {
    "token_frequency": 1.0,
    "ngram_frequency": 1.0,
    "sentence_length": 1.0,
    "punctuation_frequency": 0.5,
    "punctuation_rhythm": 0.5,
    "sentence_opening": 1.0,
}
"""name -> weight. The two of punctuation share one: with 1 each, sentence length is brought less far in the same steps
(benchmarks/LOG.md, 15). Not `entropy`: a model that fits human text badly is surprised by it, and the entropy that
this asks for makes its text more varied than people's; `calibration` does what it was for (7 and 10). Not `novelty`:
a small model hardly comes to repeat as people do, so it never fades, and what it asks for is paid in perplexity and in
the other statistics (13 and 14)."""


class DFTStatisticConfig(Block):
    """One statistic: its name, the distance it is matched by, its weight and its own options."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="a statistic's name; `dft statistics` lists them")
    distance: str | None = Field(
        default=None,
        description="mmd, wasserstein, energy, jensen_shannon, hellinger, l2 or a plugin's; "
        "default: the statistic's own",
    )
    distance_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the distance, such as mmd's `kernel` and `bandwidths`"
    )
    weight: float = Field(default=1.0, gt=0, description="share of the objective relative to the others")
    derivative_clip: float | None = Field(
        default=None,
        ge=1,
        description="each entry of a text's derivative of this distance is held within this many times the root mean "
        "square of those that are not 0, so that no single token or event rules; null: no limit",
    )

    @property
    def own_options(self) -> dict[str, Any]:
        """What was given beside name, distance and weight: the statistic's own options."""
        return dict(self.model_extra or {})


def with_name(entry: Any) -> Any:
    """`name`, `{name: options}` and `{name: ..., option: ...}` to the last form."""
    if isinstance(entry, str):
        return {"name": entry}
    if isinstance(entry, Mapping) and "name" not in entry and len(entry) == 1:
        ((name, options),) = entry.items()
        if options is None:
            return {"name": name}
        if isinstance(options, Mapping):
            if "name" in options:
                raise ValueError(f"{name} has an option `name`: {options['name']!r}; give one name")
            return {"name": name, **options}
    return entry


def read_options(entry: DFTStatisticConfig, statistic: type[Statistic]) -> BaseModel:
    """The statistic's own options; no model of a third party's lets an unknown key pass.

    Raises:
        ValueError: for a key or value that the statistic does not take, or an option that no entry can reach.
    """
    options = statistic.Options
    keys = [field.alias or name for name, field in options.model_fields.items()]
    shared = list(DFTStatisticConfig.model_fields)
    if hidden := [key for key in keys if key in shared]:
        raise ValueError(
            f"statistics: {entry.name}: its Options have {', '.join(hidden)}, which every entry has for itself (as "
            f"{', '.join(shared)}): the package that brings {entry.name} has to rename it"
        )
    try:
        if options.model_config.get("extra", "ignore") == "ignore":
            strict = create_model("Strict", __base__=options, __cls_kwargs__={"extra": "forbid"})
            strict.model_validate(entry.own_options)
        return options.model_validate(entry.own_options)
    except ValidationError as error:
        raise ValueError(f"statistics: {entry.name}: {explain(error, [*keys, *shared[1:]])}") from error


def check(entry: DFTStatisticConfig) -> None:
    """Raises ValueError where the statistic, its distance or their options do not exist or do not fit each other."""
    from dft_plugin import plugins
    from dft_plugin.distance_options import checked_options

    statistic = plugins.statistic(entry.name)
    read_options(entry, statistic)
    distance = plugins.distance(entry.distance or statistic.distance)
    if statistic.support not in distance.supports:
        usable = [name for name, other in plugins.distances().items() if statistic.support in other.supports]
        raise ValueError(
            f"statistics: {entry.name}: distance {distance.name} is defined on "
            f"{' and '.join(sorted(distance.supports))} summaries, and this one is {statistic.support}; "
            f"use {', '.join(usable)}"
        )
    try:
        entry.distance_options = checked_options(distance, statistic.support, entry.distance_options)
    except ValueError as error:
        raise ValueError(f"statistics: {entry.name}: {error}") from error
