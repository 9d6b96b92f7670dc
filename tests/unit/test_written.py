"""Counting written text gives the accumulators that the terms give, whatever the windows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dft_plugin import plugins
from dft_plugin.document_windows import WindowSampler
from dft_plugin.documents import Document
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin.statistics.base import Statistic
from dft_plugin.statistics.sign_counts import pack_signs, sum_signs
from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Written
from tests.tiny import paragraphs, tokenizer

OPTIONS = {
    "ngram_frequency": {"size": 100, "n": (2, 4)},
    "sentence_length": {"longest": 12, "width": 2},
    "punctuation_rhythm": {"longest": 8},
    "paragraph_length": {"longest": 9, "width": 3},
    "text_length": {"longest": 20, "width": 3},
    "novelty": {"n": (1, 2, 3), "reach": 9},
}
NAMES = [*DEFAULT_STATISTICS, "novelty", "paragraph_length", "text_length", "ngram_rarity"]


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.from_tokenizer(tokenizer())


@cache
def statistic(name: str) -> Statistic:
    kind = plugins.statistic(name)
    known = vocabulary()
    if kind.needs_text:
        ids = tokenizer()("\n".join(paragraphs()[:40]))["input_ids"]
        own = [*tokens_that_matter(), *reversed(tokens_that_matter())]
        texts = [Window(tuple(tokens), 0, 1, True) for tokens in (ids, own)]
        known = replace(known, human_text=Written.of(texts))
    return kind(known, kind.Options.model_validate(OPTIONS.get(name, {})))


def tokens_that_matter() -> list[int]:
    """A small alphabet: marks, white space, letters with and without a space, digits, the end of text."""
    known = tokenizer()
    pieces = [".", "!", ",", '"', ":", "(", "Ġthe", "Ġa", "the", "s", "5", "Ċ", "Ġ", "Ġ-", "-", "é"]
    found = [known.convert_tokens_to_ids(piece) for piece in pieces]
    return [0, 2, *(token for token in found if token is not None)]


@st.composite
def windows(draw: st.DrawFn) -> list[Window]:
    token = st.sampled_from(tokens_that_matter())
    made = []
    for _ in range(draw(st.integers(1, 4))):
        tokens = draw(st.lists(token, min_size=2, max_size=40))
        first = draw(st.integers(1, len(tokens) - 1))
        begin = draw(st.integers(0, first))
        made.append(Window(tuple(tokens), begin, first, draw(st.booleans())))
    return made


def assert_equal(name: str, written: Written, group: np.ndarray, groups: int) -> None:
    counted = statistic(name).count(written, group, groups)
    by_terms = Statistic.count(statistic(name), written, group, groups)
    assert len(counted) == len(by_terms)
    for fast, slow in zip(counted, by_terms, strict=True):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150)
@given(made=windows(), groups=st.integers(1, 3))
def test_counts_equal_terms(name: str, made: list[Window], groups: int) -> None:
    assert_equal(name, Written.of(made), np.arange(len(made)) % groups, groups)


@pytest.mark.parametrize("name", NAMES)
def test_counts_equal_terms_on_prose(name: str) -> None:
    """Windows that share one document: each forgets what stood before its context."""
    known = tokenizer()
    documents = [Document(tuple(ids), 0, len(ids), False) for ids in known(list(paragraphs()[:20]))["input_ids"]]
    cut = WindowSampler(documents, 7, 24).sample(60, torch.Generator().manual_seed(1))
    assert_equal(name, Written.of(cut), np.zeros(60, dtype=np.int64), 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_signs_are_summed_over_more_rows_than_a_byte_counts(groups: int) -> None:
    """As in a window of 300 tokens that are nearly all alike."""
    generator = torch.Generator().manual_seed(0)
    signs = 1 - 2 * (torch.rand(300 * groups, 70, generator=generator) < 0.9).double()
    group = np.arange(len(signs)) % groups
    expected = torch.zeros(groups, 70, dtype=torch.float64).index_add(0, torch.from_numpy(group), signs)
    np.testing.assert_array_equal(sum_signs(pack_signs(signs), 70, group, groups), expected.numpy())


def test_weighted_ngrams_are_counted_with_their_weights() -> None:
    """Which whole-number signs, as those without weights are, do not hold."""
    frequency = torch.rand(vocabulary().size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kind = plugins.statistic("ngram_frequency")
    options = kind.Options.model_validate({"size": 16, "weighting": "inverse_root_frequency"})
    made = kind(replace(vocabulary(), human_frequency=frequency / frequency.sum()), options)
    ids = tuple(tokenizer()(paragraphs()[0])["input_ids"])
    written, zero = Written.of([Window(ids, 0, 1, True)]), np.zeros(1, dtype=np.int64)
    for found, expected in zip(made.count(written, zero, 1), Statistic.count(made, written, zero, 1), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_windows_of_one_document() -> None:
    """Overlapping contexts on one array of tokens count what separate windows count."""
    tokens = tokenizer()("\n".join(paragraphs()[:6]))["input_ids"]
    first = np.arange(10, len(tokens) - 20, 20)
    shared = Written(np.array(tokens), first - 8, first, first + 20, np.zeros(len(first), dtype=bool))
    apart = Written.of(shared.windows())
    zero = np.zeros(len(first), dtype=np.int64)
    for name in NAMES:
        for left, right in zip(
            statistic(name).count(shared, zero, 1), statistic(name).count(apart, zero, 1), strict=True
        ):
            np.testing.assert_array_equal(left, right)
