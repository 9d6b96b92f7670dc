"""Laws of words and tokens, and of scripts, against scipy and counters."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from dft_plugin.evaluation import scripts
from dft_plugin.evaluation.identity import vocabulary_name
from dft_plugin.evaluation.laws import token_laws
from dft_plugin.evaluation.measuring import families
from dft_plugin.evaluation.pool import make_pool
from tests import tiny
from tests.unit.evaluation.samples import made_up, pool_of

OWN, HUMAN = made_up(20, 1, favourite="delve"), made_up(25, 2)


def expected(own: list[list[object]], human: list[list[object]], n: int) -> tuple[float, float]:
    counts = [
        Counter(gram for items in side for gram in zip(*(items[i:] for i in range(n)), strict=False))
        for side in (own, human)
    ]
    names = list(counts[0] | counts[1])
    laws = [np.array([count[name] for name in names]) / count.total() for count in counts]
    return float(np.sum((laws[0] - laws[1]) ** 2)), float(jensenshannon(*laws) ** 2)


def test_laws_of_words() -> None:
    pool = make_pool(OWN, HUMAN, 1000)
    found = token_laws(pool, "words").compute(pool.view(pool.own), pool.view(pool.human))
    sides = [[[word.strip(".,!?").lower() for word in text.text.split()] for text in side] for side in (OWN, HUMAN)]
    for n in (1, 2, 3):
        squared, divergence = expected(*sides, n)
        assert found[f"l2-{n}"] == pytest.approx(squared, rel=1e-9)
        if n == 1:
            assert found["jensen-shannon"] == pytest.approx(divergence, rel=1e-6)


def test_laws_of_tokens() -> None:
    tokenizer = tiny.tokenizer()
    pool = make_pool(OWN, HUMAN, 30, tokenizer)
    found = token_laws(pool, "tokens").compute(pool.view(pool.own), pool.view(pool.human))
    sides = [[tokenizer(pool.clipped[i])["input_ids"] for i in side] for side in (pool.own, pool.human)]
    for n in (1, 2, 3):
        assert found[f"l2-{n}"] == pytest.approx(expected(*sides, n)[0], rel=1e-9)
    assert found["jensen-shannon"] == pytest.approx(expected(*sides, 1)[1], rel=1e-6)


def test_laws_of_the_tokens_of_two_tokenizers_have_another_basis() -> None:
    pool = make_pool(OWN, HUMAN, 30)
    other = tiny.tokenizer()
    other.add_tokens(["delve"])
    bases = [
        next(one for one in families(pool, 10, tokenizer) if "jensen-shannon" in one.specifications)
        .specifications["jensen-shannon"]
        .basis
        for tokenizer in (None, tiny.tokenizer(), tiny.tokenizer(), other)
    ]
    assert bases[0] == "words"
    assert bases[1] == bases[2] == f"tokens of vocabulary {vocabulary_name(tiny.tokenizer())}"
    assert bases[3].startswith("tokens of vocabulary ")
    assert bases[3] != bases[1]


def test_a_sample_without_words_has_no_law() -> None:
    pool = pool_of(["..."], ["words are here"])
    found = token_laws(pool, "words").compute(pool.view(pool.own), pool.view(pool.human))
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("Ab é ﬁ", {"Latin": 4}),
        ("Привет мир 42!", {"Cyrillic": 9}),
        ("日本語のカナ", {"Han and kana": 6}),
        ("한국어", {"Hangul": 3}),
        ("สวัสดี", {"Thai": 4}),  # vowel signs are marks, not letters
        ("ＡＢ ｱ ∑ ½ 😀", {"Latin": 2, "Han and kana": 1}),
    ],
)
def test_scripts_of_letters(text: str, counted: dict[str, int]) -> None:
    assert scripts.scripts(text) == counted


def test_share_of_other_scripts_is_of_what_human_texts_are_not_written_in() -> None:
    pool = pool_of(["abc где", "abcd"], ["ab", "cd к"])
    figures = scripts.other_scripts(pool)
    assert figures.compute(pool.view(pool.own))["other scripts"] == pytest.approx(100 * 3 / 10)
    russian = pool_of(["abc где"], ["привет"])
    assert scripts.other_scripts(russian).compute(russian.view(russian.own))["other scripts"] == pytest.approx(50)
