"""Faults of third parties' statistics and engines are told by name before they train towards something else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from dft_plugin import plugins
from dft_plugin.config import ConfigError, parse
from dft_plugin.generated import generated_texts
from dft_plugin.matched import make_statistic
from dft_plugin.statistic_config import DFTStatisticConfig
from dft_plugin.statistics.frequency import TokenFrequency
from tests.chain import vocabulary
from tests.unit.test_plugins import register


class Loose(BaseModel):
    longest: int = Field(8, alias="most")


class Shadowed(BaseModel):
    weight: float = 5.0


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (Loose, {"mst": 3}, r'mine: unknown key "mst"\. Did you mean "most"\? There are: most, distance'),
        (Shadowed, {"weight": 2.0}, r"mine: its Options have weight, which every entry has for itself.*rename it"),
    ],
)
def test_options_that_would_be_swallowed(model: type[BaseModel], given: dict[str, Any], said: str) -> None:
    class Mine(TokenFrequency):
        name = "mine"
        Options = model

    register(dft_statistics=[Mine])
    with pytest.raises(ConfigError, match=said):
        parse({"statistics": [{"mine": given}]})


def test_options_of_a_model_that_forbids_nothing() -> None:
    class Mine(TokenFrequency):
        name = "mine"
        Options = Loose

    register(dft_statistics=[Mine])
    (entry,) = parse({"statistics": [{"mine": {"most": 3, "weight": 2.0}}]}).statistics
    assert make_statistic(entry, vocabulary()).options == Loose(most=3)


def test_what_learns_is_counted_again() -> None:
    class Learns(TokenFrequency):
        name = "mine"
        learns = True

    class Reads(TokenFrequency):
        name = "reads"
        needs_hidden = True

    register(dft_statistics=[Learns, Reads])
    with pytest.raises(ValueError, match=r"statistic mine has `learns` without `needs_model`.*needs_model = True"):
        make_statistic(DFTStatisticConfig(name="mine"), vocabulary())
    assert plugins.statistic("reads").needs_model
    assert not TokenFrequency.needs_model


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([[1, 2]], "rollout engine parrot returned 1 texts for 2 contexts"),
        ([[1, 2], []], "parrot returned no new token for context 1 of 2"),
        ([[1, 2], [1] * 5], r"parrot returned 5 new tokens, and rollout\.max_new_tokens is 4"),
    ],
)
def test_texts_that_an_engine_may_not_return(returned: list[list[int]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        generated_texts("parrot", returned, 2, 4, (0,))


def test_texts_are_cut_where_they_end() -> None:
    assert generated_texts("parrot", [[1, 0, 2], [0, 0], [1, 2, 3, 4]], 3, 4, (0,)) == [[1, 0], [0], [1, 2, 3, 4]]
