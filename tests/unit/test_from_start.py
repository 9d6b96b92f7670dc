"""Plain texts counted from their start, beside a training set of prompts: as answers of the same text are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from dft_plugin.accumulation import Accumulation
from dft_plugin.config import DFTConfig, parse
from dft_plugin.document_windows import WindowSampler
from dft_plugin.documents import Document, counted_from_start
from dft_plugin.human_windows import cut_windows
from dft_plugin.matched import make_statistics
from dft_plugin.reference.count import Counter, Cutting
from dft_plugin.reference.human_side import of_windows
from dft_plugin.reference.rows import Row
from dft_plugin.reference.tokenized import HumanText, tokenize
from dft_plugin.statistic_config import DEFAULT_STATISTICS
from dft_plugin.texts import Window
from dft_plugin.vocabulary import Vocabulary
from tests import tiny

STATISTICS = [*DEFAULT_STATISTICS, "novelty", "text_length", "paragraph_length"]
TEXTS = [text[: 30 + 40 * (index % 6)] for index, text in enumerate(tiny.paragraphs()[:120])]
AROUND = {"nothing": None, "a BOS": f"{tiny.USER} $A", "a BOS and an end": f"{tiny.USER} $A {tiny.END}"}


def tokenizer(around: str | None) -> Any:
    """With what it puts around a text."""
    made = tiny.tokenizer()
    if around is not None:
        special = [(token, made.convert_tokens_to_ids(token)) for token in (tiny.USER, tiny.END)]
        made.backend_tokenizer.post_processor = TemplateProcessing(single=around, special_tokens=special)
    return made


def both(around: str | None) -> tuple[list[HumanText], list[HumanText]]:
    """The same texts by themselves and as answers."""
    plain, asked = ([Row(text=text, prompt=prompt, line=1) for text in TEXTS] for prompt in (None, "Tell me:\n"))
    return tokenize(plain, tokenizer(around)), tokenize(asked, tokenizer(around))


def accumulation(config: DFTConfig) -> Accumulation:
    vocabulary = Vocabulary.from_tokenizer(tiny.tokenizer(), end_of_text=[0])
    return Accumulation(make_statistics(config.statistics, vocabulary), vocabulary.size)


def documents(texts: Sequence[HumanText]) -> list[Document]:
    return [text.document for text in texts]


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_they_are_counted_as_answers_are(around: str | None) -> None:
    """Their own first token as well, and nothing of what the tokenizer puts before it; in a run and in a built file."""
    plain, asked = both(around)
    config = parse({"statistics": STATISTICS, "rollout": {"max_new_tokens": 24}})
    own = accumulation(config)
    cut = [
        cut_windows(config, documents(texts), from_start=from_start, name="texts")
        for texts, from_start in ((plain, True), (asked, False))
    ]
    assert {window.tokens[window.first :] for window in cut[0]} == {window.tokens[window.first :] for window in cut[1]}
    assert all(window.begin == window.first == 1 and window.starts_at_begin for window in cut[0])
    expected = of_windows(own, cut[1]).total
    assert torch.equal(of_windows(own, cut[0]).total, expected)
    for texts, from_start in ((plain, True), (asked, False)):
        counted = Counter(own, Cutting(32, 24, from_start, seed=0)).count(texts)
        assert np.array_equal(np.concatenate(list(counted.totals.values())), expected.numpy())
        drawn = {window.tokens[window.first :] for window in counted.sample.windows.windows()}  # type: ignore[union-attr]
        assert drawn == {window.tokens[window.first :] for window in cut[1]}


def test_what_stands_before_them() -> None:
    """A BOS, or where there is none an end of text: a model reads one of these before a text."""
    for around, before in ((None, tiny.END), (AROUND["a BOS"], tiny.USER)):
        plain, _ = both(around)
        found = {counted_from_start(document).tokens[0] for document in documents(plain)}
        assert found == {tiny.tokenizer().convert_tokens_to_ids(before)}


def test_texts_after_an_end_of_text_have_no_bos() -> None:
    (first, second) = tokenize([Row(text=f"One.{tiny.END}Two.", line=1)], tokenizer(AROUND["a BOS"]))
    assert (first.document.added, second.document.added) == (1, 0)
    windows = WindowSampler([counted_from_start(text.document) for text in (first, second)], 6, 16).sample(
        2, torch.Generator().manual_seed(0)
    )
    texts = {tiny.tokenizer().decode(window.tokens[window.first :]) for window in windows}
    assert texts == {f"One.{tiny.END}", f"Two.{tiny.END}"}


def test_others_stay_as_they_are() -> None:
    asked = Document((1, 2, 3), 1, 3, True)
    assert counted_from_start(asked) == asked
    assert counted_from_start(Document((5,), 0, 1, False)) == Document((5, 5), 1, 2, True)
    document = Document((7, 1, 2, 3), 0, 4, False, added=1)
    windows = WindowSampler([document], 6, 16).sample(8, torch.Generator().manual_seed(0))
    assert Window((7, 1, 2, 3), 0, 1, True) in windows, "counted from anywhere a BOS is a context as ever"
