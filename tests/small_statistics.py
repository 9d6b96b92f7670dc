"""Statistics for tests that count or compare all of them, with options small enough for few and short windows."""

from __future__ import annotations

from typing import Any

NAMES = (
    "token_frequency",
    "ngram_frequency",
    "sentence_length",
    "punctuation_frequency",
    "punctuation_rhythm",
    "novelty",
    "sentence_opening",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "ngram_frequency": {"n": (2,), "size": 64},
    "sentence_length": {"longest": 8},
    "punctuation_rhythm": {"longest": 8},
    "novelty": {"n": (1, 2)},
}
