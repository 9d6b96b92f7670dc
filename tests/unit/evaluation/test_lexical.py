"""Vocabulary and repetition against plain counts over lists of words."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import linregress

from dft_plugin.evaluation import lexical
from dft_plugin.evaluation.pool import make_pool
from dft_plugin.evaluation.texts import Text
from tests.unit.evaluation.samples import made_up, pool_of

TEXTS = [text.text for text in made_up(30, seed=1)]
POOL = pool_of(TEXTS)
HUGE = {1: 10**9, 2: 10**9, 3: 10**9}


def words(text: str) -> list[str]:
    return [word.strip(".,!?").lower() for word in text.split()]


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    found = words(text)
    return list(zip(*(found[place:] for place in range(n)), strict=False))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_counts_of_ngrams_are_those_of_a_counter(n: int) -> None:
    index = np.array([3, 7, 8, 20])
    expected = Counter(gram for i in index for gram in grams(TEXTS[i], n))
    counts = POOL.view(index).counts(n)
    found = np.flatnonzero(counts)
    spelled = POOL.spelled(n, found)
    assert {tuple(name.split()): int(counts[i]) for name, i in zip(spelled, found, strict=True)} == dict(expected)


def test_distinct_n_is_different_ngrams_over_ngrams() -> None:
    figures = lexical.vocabulary(POOL, HUGE).compute(POOL.view(POOL.own))
    for n in (1, 2, 3):
        everything = [gram for text in TEXTS for gram in grams(text, n)]
        assert figures[f"distinct-{n}"] == pytest.approx(len(set(everything)) / len(everything))


def test_expected_types_of_a_part_is_the_mean_over_random_parts() -> None:
    counts = np.array([1, 1, 2, 5, 9, 0, 30])
    # Each item kept with probability 1/4.
    expected = sum(1 - 0.75 ** int(count) for count in counts)
    assert lexical.expected_types(counts, counts.sum() / 4) == pytest.approx(expected)
    # Near the hypergeometric law of parts of exactly that size.
    total, size = int(counts.sum()), 12
    exact = sum(1 - comb(total - int(count), size) / comb(total, size) for count in counts)
    assert lexical.expected_types(counts, size) == pytest.approx(exact, rel=0.02)
    assert lexical.expected_types(counts, 10**9) == 6


def test_rep_n_and_diversity() -> None:
    figures = lexical.repetition(POOL).compute(POOL.view(POOL.own))
    for n in (1, 2, 3, 4):
        total = sum(len(grams(text, n)) for text in TEXTS)
        different = sum(len(set(grams(text, n))) for text in TEXTS)
        assert figures[f"rep-{n}"] == pytest.approx(1 - different / total)
    product = math.prod(1 - figures[f"rep-{n}"] for n in (2, 3, 4))
    assert figures["diversity"] == pytest.approx(product)


def test_moving_type_token_ratio_is_the_mean_over_windows() -> None:
    pool = pool_of([*TEXTS, "too short"])
    rows = lexical.moving_type_token_ratio(pool.items, pool.start, 20)
    for text, (types, windows) in zip(TEXTS, rows, strict=False):
        found = words(text)
        ratios = [len(set(found[i : i + 20])) / 20 for i in range(len(found) - 19)]
        assert windows == len(ratios)
        assert types == pytest.approx(sum(ratios))
    assert rows[len(TEXTS)].tolist() == [0, 0]


def test_zipf_exponent_of_an_exact_power_law() -> None:
    ranks = np.arange(1, 3001)
    counts = np.rint(1e7 * ranks**-1.1).astype(np.int64)
    shuffled = np.random.default_rng(0).permutation(counts)
    assert lexical.zipf_exponent(shuffled) == pytest.approx(1.1, abs=0.01)
    slope = linregress(np.log(ranks[9:1000]), np.log(counts[9:1000])).slope
    assert lexical.zipf_exponent(shuffled) == pytest.approx(-slope)
    assert math.isnan(lexical.zipf_exponent(counts[:40]))


def test_heaps_exponent_separates_a_closed_from_an_open_vocabulary() -> None:
    open_vocabulary = np.ones(20_000, dtype=np.int64)  # every word is new
    assert lexical.heaps_exponent(open_vocabulary, 20_000) == pytest.approx(1, abs=1e-6)
    closed = np.full(10, 2_000)
    assert lexical.heaps_exponent(closed, 20_000) == pytest.approx(0, abs=0.01)
    # Zipf's law with exponent a > 1 gives Heaps' with 1 / a.
    generator = random.Random(0)
    ranks = range(1, 200_000)
    weights = list(itertools.accumulate(rank**-1.5 for rank in ranks))
    drawn = Counter(generator.choices(ranks, cum_weights=weights, k=100_000))
    assert lexical.heaps_exponent(np.array(list(drawn.values())), 100_000) == pytest.approx(1 / 1.5, abs=0.03)


def test_mattr_of_short_texts_has_a_shorter_window() -> None:
    texts = ["a b c a d e", "a a a b b b c", "too short"]
    pool = make_pool(*[[Text(text) for text in texts]] * 2, limit=6)
    windows = [text.split()[:6][i : i + 4] for text in texts[:2] for i in range(3)]
    found = lexical.vocabulary(pool, HUGE)
    assert found.specifications["mattr"].label == "MATTR, 4 words"
    assert found.compute(pool.view(pool.own))["mattr"] == pytest.approx(
        sum(len(set(window)) / 4 for window in windows) / len(windows)
    )


def test_texts_without_words_are_not_measured() -> None:
    pool = pool_of(["...", "— !"])
    view = pool.view(pool.own)
    assert all(math.isnan(value) for value in lexical.vocabulary(pool, HUGE).compute(view).values())
    assert all(math.isnan(value) for value in lexical.repetition(pool).compute(view).values())
