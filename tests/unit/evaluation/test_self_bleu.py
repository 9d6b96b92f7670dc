"""Self-BLEU against sacrebleu, text by text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dft_plugin.evaluation.self_bleu import self_bleu, self_bleu_of_texts
from tests.unit.evaluation.samples import made_up, pool_of

sacrebleu = pytest.importorskip("sacrebleu")


def plain(texts: list[str]) -> list[str]:
    """Words only, so that sacrebleu's own tokenization sees the same ones."""
    return [" ".join(word.strip(".,!?").lower() for word in text.split()) for text in texts]


@pytest.mark.parametrize("seed", range(3))
def test_each_text_has_sacrebleus_score(seed: int) -> None:
    texts = plain([text.text for text in made_up(12, seed, words=25)])
    texts += [texts[3], "cat", "the zebra", "xylophone quartz", "green old house " * 4]  # twice, short, unknown
    pool = pool_of(texts)
    found = self_bleu_of_texts(pool.view(np.arange(len(texts))))
    for index, text in enumerate(texts):
        others = texts[:index] + texts[index + 1 :]
        expected = sacrebleu.sentence_bleu(text, others, tokenize="none", use_effective_order=True).score
        assert found[index] == pytest.approx(expected, abs=1e-9), text


def test_a_sample_sees_only_its_own_texts() -> None:
    texts = plain([text.text for text in made_up(10, 5)])
    pool, index = pool_of(texts), np.array([1, 4, 6, 7])
    alone = pool_of([texts[i] for i in index])
    there = self_bleu(pool).compute(pool.view(index))["self-bleu"]
    assert there == pytest.approx(self_bleu(alone).compute(alone.view(np.arange(4)))["self-bleu"])


def test_one_text_has_no_others() -> None:
    pool = pool_of(["the cat sees the dog"])
    assert math.isnan(self_bleu(pool).compute(pool.view(np.array([0])))["self-bleu"])
