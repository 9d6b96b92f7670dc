"""Real human texts sit at the floor of every measure, those of three language models far from it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from dft_plugin.evaluation.measuring import Options, measure, prepare
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import Text
from tests.unit.evaluation.samples import corpus

OPTIONS = Options(resamples=60)
DISTRIBUTION = ("jensen-shannon", "l2-1", "mmd", "auc")
"""What any language model gives itself away by."""


def texts(chosen: Callable[[dict[str, Any]], bool]) -> list[Text]:
    """Texts of the paired corpus, each once, in a fixed random order."""
    found = list(dict.fromkeys(row["text"] for row in corpus("paired_human_ai") if chosen(row)))
    random.Random(0).shuffle(found)
    return [Text(text) for text in found]


def measured(own: list[Text], human: list[Text]) -> dict[str, Measure]:
    return measure(prepare(own, human, OPTIONS), OPTIONS)


def human(domain: str | None = None) -> list[Text]:
    return texts(lambda row: row["label"] == "human" and domain in (None, row["domain"]))


def ratios(found: dict[str, Measure]) -> dict[str, float]:
    return {name: one.floor_ratio for name, one in found.items() if one.floor_ratio is not None}


def test_human_against_human_is_at_the_floor_of_every_measure() -> None:
    people = human()
    found = measured(people[::2], people[1::2])
    assert len(found) == 37 - 1
    assert not [name for name, one in found.items() if one.verdict not in ("no difference shown", "too small to tell")]
    assert max(ratios(found).values()) < 2.5
    assert 0.7 < sum(ratios(found).values()) / len(ratios(found)) < 1.3
    assert found["mmd"].p_value is not None
    assert found["mmd"].p_value > 0.01


@pytest.mark.parametrize("model", ["gpt-4", "gpt-3.5-turbo", "davinci"])
def test_a_language_models_texts_are_far_from_those_of_people(model: str) -> None:
    def rewritten(row: dict[str, Any]) -> bool:
        return any(word in str(row.get("variant")) for word in ("rephrase", "polish", "simplification"))

    own = texts(lambda row: row["label"] == model and not rewritten(row))
    answered = {row["pair_id"] for row in corpus("paired_human_ai") if row["label"] == model and not rewritten(row)}
    found = measured(own, texts(lambda row: row["label"] == "human" and row["pair_id"] in answered))
    for name in DISTRIBUTION:
        assert found[name].verdict == "differs", name
    assert ratios(found)["mmd"] > 5
    assert found["mmd"].p_value == pytest.approx(1 / 501)
    assert found["auc"].value is not None
    assert found["auc"].value > 0.75
    assert sum(one.verdict == "differs" for one in found.values()) >= 12


def test_two_domains_differ_more_than_two_halves_of_one() -> None:
    news, fiction = human("news"), human("fiction")
    domains, halves = measured(fiction[:200], news[:200]), measured(news[200:], news[:200])
    assert not [name for name, one in halves.items() if one.verdict == "differs"]
    for name in (*DISTRIBUTION, "sentence length", "sentence length, mean", "question_exclamation"):
        assert domains[name].verdict == "differs", name
        assert ratios(domains)[name] > 1.5 * ratios(halves)[name], name
