"""Perplexity of human text against the model's own loss, and under the sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dft_plugin.evaluation.models import Loaded
from dft_plugin.evaluation.perplexity import human_windows, perplexities, surprisals
from dft_plugin.evaluation.texts import Text
from dft_plugin.sampling import Sampler
from tests import tiny

TEXTS = [Text(text) for text in tiny.paragraphs()[:11]]
ANSWERED = [Text(text[40:160], text[:40]) for text in tiny.paragraphs()[:11]]


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    attention = "eager" if request.param == "gemma2" else "sdpa"
    return Loaded(tiny.model(request.param, attention=attention).eval(), tiny.tokenizer())


def logits_of(loaded: Loaded, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = loaded.model(torch.tensor([tokens])).logits[0].float()
    return found


@pytest.mark.parametrize("texts", [TEXTS, ANSWERED])
def test_perplexity_is_the_exponential_of_the_models_mean_loss(loaded: Loaded, texts: list[Text]) -> None:
    rows = surprisals(loaded, human_windows(texts, loaded.tokenizer, 512), Sampler())
    total, count = 0.0, 0
    for text, row in zip(texts, rows, strict=True):
        before = loaded.tokenizer(text.prompt)["input_ids"] if text.prompt else []
        tokens = before + loaded.tokenizer(text.text)["input_ids"]
        laws = logits_of(loaded, tokens).log_softmax(-1)
        start = max(1, len(before))
        loss = -sum(float(laws[i - 1, tokens[i]]) for i in range(start, len(tokens)))
        assert row[0] == len(tokens) - start
        assert row[1] == pytest.approx(loss, rel=1e-4)
        total, count = total + loss, count + len(tokens) - start
    found = perplexities(rows, 50, seed=0)
    assert found["perplexity"].value == pytest.approx(math.exp(total / count), rel=1e-4)
    assert found["covered"].value == 100
    assert found["sampler perplexity"].value == pytest.approx(found["perplexity"].value, rel=1e-5)


def test_under_a_truncated_sampler_only_what_it_can_draw_counts(loaded: Loaded) -> None:
    sampler = Sampler(temperature=0.7, top_k=40, top_p=0.9)
    windows = human_windows(TEXTS[:3], loaded.tokenizer, 512)
    rows = surprisals(loaded, windows, sampler)
    for window, row in zip(windows, rows, strict=True):
        covered, surprisal = 0, 0.0
        laws = logits_of(loaded, list(window.tokens))
        for i in range(1, len(window.tokens)):
            values, order = (laws[i - 1] / 0.7).sort(descending=True)
            law = values[:40].softmax(-1)  # top-k, and then the smallest set with 90 % of what is left
            kept = int((law.cumsum(-1) - law < 0.9).sum())
            law = law[:kept] / law[:kept].sum()
            place = (order[:kept] == window.tokens[i]).nonzero()
            if len(place):
                covered += 1
                surprisal -= math.log(float(law[int(place)]))
        assert row[2] == pytest.approx(covered, abs=1)  # a tie at the border may fall either way
        assert row[3] == pytest.approx(surprisal, rel=0.02, abs=0.2)
    found = perplexities(rows, 20, seed=0)
    assert found["covered"].value is not None
    assert 0 < found["covered"].value < 60
    assert found["covered"].better == "higher"


def test_intervals_are_those_of_a_ratio_of_means() -> None:
    generator = np.random.default_rng(0)
    count = generator.integers(50, 100, size=300).astype(float)
    rows = np.stack([count, count * generator.normal(3, 0.2, 300), count, count * 3], axis=1)
    found = perplexities(rows, 2000, seed=0)["perplexity"]
    assert found.interval is not None
    assert found.value is not None
    # The delta method: the standard error of the mean surprisal, weighed by length.
    mean = rows[:, 1].sum() / count.sum()
    error = np.sqrt(np.sum((rows[:, 1] - mean * count) ** 2)) / count.sum()
    assert found.value == pytest.approx(math.exp(mean))
    assert math.log(found.interval[1] / found.interval[0]) == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_nothing_to_predict_is_said() -> None:
    found = perplexities(np.zeros((0, 4)), 20, seed=0)
    assert {one.verdict for one in found.values()} == {"cannot be measured"}
    one = perplexities(np.array([[10.0, 30.0, 0.0, 0.0]]), 20, seed=0)
    assert one["perplexity"].value == pytest.approx(math.exp(3))
    assert one["perplexity"].interval is None
    assert (one["covered"].value, one["sampler perplexity"].verdict) == (0, "cannot be measured")
    assert human_windows([Text("a")], tiny.tokenizer(), 512) == []
