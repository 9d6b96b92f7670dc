"""Real results of small evaluations: of people, and of text with habits that no person has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from dft_plugin.evaluation.evaluate import evaluate_together
from dft_plugin.evaluation.measuring import Options
from dft_plugin.evaluation.result import Result
from dft_plugin.evaluation.texts import Text, Texts
from tests import tiny


def mannered(text: str) -> str:
    """The text in sentences of ten words that open alike, with a favourite word."""
    words = [word.strip(".,;:()!?\"'") for word in text.split()]
    pieces = [words[start : start + 8] for start in range(0, len(words), 8)]
    return " ".join(f"Moreover, {' '.join(piece)} indeed." for piece in pieces)


def named(name: str, texts: Sequence[str]) -> Texts:
    """Texts that continue numbered prompts, which other texts in the same places share."""
    return Texts(f"{name}.jsonl", [Text(text, f"prompt {number}") for number, text in enumerate(texts)])


@cache
def measured() -> tuple[Result, ...]:
    """Mannered text, other people's, and the mannered text again, beside human text."""
    paragraphs = tiny.paragraphs()[:400]
    human, people = paragraphs[::2], paragraphs[1::2]
    odd = [mannered(text) for text in people]
    columns = {"mannered": named("mannered", odd), "people": named("people", people)}
    found = evaluate_together(columns, named("human", human), Options(resamples=40))
    return (*found.values(), found["mannered"].model_copy(update={"name": "again"}))
