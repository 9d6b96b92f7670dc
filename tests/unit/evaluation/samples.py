"""Texts for tests of the evaluation: made up from a seed, and real ones where they are."""

from __future__ import annotations

import gzip
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dft_plugin.evaluation.pool import Pool, make_pool
from dft_plugin.evaluation.texts import Text

CORPORA = Path(__file__).resolve().parents[3] / "../shared/data/corpora"
WORDS = "a the cat dog tree river sees finds under over slowly green old house bird it and but with of".split()  # noqa: SIM905


def made_up(count: int, seed: int, *, words: int = 60, favourite: str | None = None) -> list[Text]:
    """Texts of random sentences; a favourite word stands in every other sentence, if there is one."""
    generator = random.Random(seed)
    texts = []
    for _ in range(count):
        left, sentences = words + generator.randrange(-10, 10), []
        while left > 0:
            # Common words are chosen more often than rare ones.
            chosen = [
                WORDS[min(int(generator.expovariate(0.2)), len(WORDS) - 1)] for _ in range(generator.randrange(3, 14))
            ]
            if favourite and generator.random() < 0.5:
                chosen.insert(generator.randrange(len(chosen)), favourite)
            if generator.random() < 0.4:
                chosen[len(chosen) // 2] += ","
            sentences.append(" ".join(chosen).capitalize() + generator.choice([".", ".", ".", "!", "?"]))
            left -= len(chosen)
        texts.append(Text(" ".join(sentences)))
    return texts


def pool_of(own: list[str], human: list[str] | None = None, limit: int = 1000) -> Pool:
    """A pool of plain texts."""
    return make_pool([Text(text) for text in own], [Text(text) for text in human or own], limit)


@cache
def corpus(name: str) -> tuple[dict[str, Any], ...]:
    """The rows of a real corpus; skips the test where it is absent."""
    path = CORPORA / f"{name}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} next to the checkout")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)
