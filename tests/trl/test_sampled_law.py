"""A run says what its rollouts' surprisal is, and when they are not of the law that the term reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dft_plugin import DFTCallback
from dft_plugin.rollout import TransformersEngine
from dft_plugin.sampling import Sampler
from tests import tiny
from tests.training import registered, term_options, train

SAID = "the texts that are sampled are not of the law that the term reads"


class Warmer(TransformersEngine):
    """Does not draw at the temperature that it is asked for."""

    name = "warmer"

    def generate(self, model: Any, contexts: Any, sampler: Sampler, *rest: Any) -> list[list[int]]:
        return super().generate(model, contexts, replace(sampler, temperature=2 * sampler.temperature), *rest)


def excesses(engine: str, **rollout: Any) -> Sequence[float]:
    options = {"temperature": 0.5, "batch_size": 16, "max_new_tokens": 24, "engine": engine, **rollout}
    callback = DFTCallback(**term_options(weight=0.1, rollout=options))
    found = train(tiny.model("llama"), tiny.plain_rows(48), callback, max_steps=8)
    return [line["dft/excess_surprisal"] for line in found.logs if "dft/excess_surprisal" in line]


@pytest.mark.parametrize("steps", [1, 4])
def test_of_its_own_engine(steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = excesses("transformers", steps_per_generation=steps)
    assert len(found) == 8
    assert all(abs(excess) < 0.2 for excess in found[::steps])
    assert SAID not in capsys.readouterr().err


def test_of_an_engine_that_draws_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with registered(engines=[Warmer]):
        found = excesses("warmer", steps_per_generation=1)
    assert all(excess > 0.2 for excess in found)
    lines = [line for line in capsys.readouterr().err.splitlines() if SAID in line]
    assert len(lines) == 1
    assert "a rollout engine that samples otherwise" in lines[0]
