"""Texts measured against human text: another human sample sits at the floor, other text far from it."""

from __future__ import annotations

import statistics

import torch

from dft_plugin.config import parse
from dft_plugin.documents import Document
from dft_plugin.human_windows import cut_windows
from dft_plugin.matched import make_statistics, match_all
from dft_plugin.measure import HumanSample
from dft_plugin.texts import Window, stack
from dft_plugin.vocabulary import Vocabulary
from tests import tiny


def windows_of(tokens: list[int], count: int) -> list[Window]:
    config = parse({"rollout": {"max_new_tokens": 48, "context_tokens": 8}, "reference_windows": count})
    return cut_windows(config, [Document(tuple(tokens), 0, len(tokens), False)], from_start=False, name="the text")


COMMON = ["token_frequency", "ngram_frequency", "sentence_length"]
"""What occurs often: rare marks and single rates have rough floors in so little text."""


def test_another_human_sample_is_at_the_floor_and_shuffled_text_is_not() -> None:
    tokenizer = tiny.tokenizer()
    size = len(tokenizer)
    config = parse({"statistics": [*COMMON, "novelty", "entropy"]})
    matched = match_all(
        config.statistics, make_statistics(config.statistics, Vocabulary.from_tokenizer(tokenizer, size))
    )
    tokens = [token for text in tiny.paragraphs() for token in tokenizer(text)["input_ids"]]
    windows = windows_of(tokens, 512)
    generator = torch.Generator().manual_seed(0)
    ratios: dict[str, list[float]] = {}
    for _ in range(6):
        order = torch.randperm(len(windows), generator=generator).tolist()
        one, other = order[::2], order[1::2]
        human = HumanSample(matched, size, [windows[index] for index in one])
        for name, measured in human.measure(stack([windows[index] for index in other])).items():
            ratios.setdefault(name, []).append(measured.floor_ratio)
    assert set(ratios) == {*COMMON, "novelty"}  # entropy needs a model
    for name in COMMON:
        assert 0.4 < statistics.fmean(ratios[name]) < 2.5, (name, ratios[name])

    order = torch.randperm(len(tokens), generator=generator).tolist()
    shuffled = human.measure(stack(windows_of([tokens[index] for index in order], 256)))
    # Shuffling keeps token frequencies and destroys what has an order.
    assert shuffled["token_frequency"].floor_ratio < 2.5
    for name in ("ngram_frequency", "novelty"):
        assert shuffled[name].floor_ratio > max(3.0, *ratios[name]), name
