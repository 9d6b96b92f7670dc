"""A judge: how often a language model prefers the texts to human ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dft_plugin.evaluation.ask import ANSWER_TOKENS, Question, unanswered
from dft_plugin.evaluation.resampling import LEAST_TEXTS, interval, standard_errors
from dft_plugin.evaluation.result import Measure
from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.words import word_starts

INSTRUCTION = (
    "You compare two texts by how well they are written: which reads as if a skilled human author wrote it. Ignore "
    "their topics and lengths. Answer with one letter, A or B, and nothing else."
)
CHARACTERS_A_TOKEN = 4
"""Of English, about."""


def questions(own: Sequence[str], human: Sequence[str], seed: int) -> list[Question]:
    """Both orders of every pair, in random order."""
    made = []
    for pair, (mine, theirs) in enumerate(zip(own, human, strict=True)):
        for own_first in (True, False):
            first, second = (mine, theirs) if own_first else (theirs, mine)
            shown = f"Text A:\n\n{first}\n\n---\n\nText B:\n\n{second}\n\n---\n\nWhich is better written, A or B?"
            messages = ({"role": "system", "content": INSTRUCTION}, {"role": "user", "content": shown})
            made.append(Question(pair, own_first, messages))
    order = np.random.default_rng(seed).permutation(len(made))
    return [made[index] for index in order]


def pairs(
    texts: Sequence[Text], human: Sequence[Text], count: int, words: int, seed: int
) -> tuple[list[str], list[str]]:
    """Texts and human ones to put side by side: of the same prompt where there are any, else drawn at random.

    Each is cut to its first words, so that neither is told by its length.
    """
    by_prompt = {text.prompt: text for text in human if text.prompt}
    matched = [(text, by_prompt[text.prompt]) for text in texts if text.prompt in by_prompt]
    if not matched:
        generator = np.random.default_rng(seed)
        own, other = (generator.permutation(len(side)) for side in (texts, human))
        matched = [(texts[i], human[j]) for i, j in zip(own, other, strict=False)]
    cut = [[_first_words(text.text, words) for text in pair] for pair in matched[:count]]
    return [pair[0] for pair in cut], [pair[1] for pair in cut]


def _first_words(text: str, words: int) -> str:
    starts = word_starts(text)
    return (text[: starts[words]] if len(starts) > words else text).strip()


@dataclass(frozen=True)
class Estimate:
    """What the questions that are not cached will take."""

    requests: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def __str__(self) -> str:
        cost = "" if self.cost is None else f", about {self.cost:.2f} in the currency of the price given"
        return (
            f"{self.requests:,} requests ({self.cached:,} answered before), about {self.tokens_in:,} tokens in and at "
            f"most {self.tokens_out:,} out{cost}"
        )


def estimate(
    asked: Sequence[Question], answers: Mapping[str, str], model: str, price: tuple[float, float] | None
) -> Estimate:
    """Counts requests and tokens, about four characters each; price: of a million tokens in, and out."""
    new = unanswered(asked, answers, model)
    tokens_in = sum(len(message["content"]) for question in new for message in question.messages) // CHARACTERS_A_TOKEN
    tokens_out = ANSWER_TOKENS * len(new)
    cost = None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6
    return Estimate(len(new), len({question.key(model) for question in asked}) - len(new), tokens_in, tokens_out, cost)


def preference(answer: str) -> str | None:
    """The letter an answer names: "A" or "B", alone or as a word of its own; None if it names none or both."""
    words = {word.strip(".,:;()[]*\"'").upper() for word in answer.replace("\n", " ").split()}
    named = words & {"A", "B"}
    return named.pop() if len(named) == 1 else None


def win_rate(
    asked: Sequence[Question], answers: Mapping[str, str], model: str, resamples: int, seed: int
) -> tuple[Measure, list[str]]:
    """The share of pairs in which the text is preferred to the human one, the two orders of a pair averaged.

    Returns:
        The measure, whose human value is 1/2 (human against human), and notes.
    """
    votes: dict[int, list[float]] = {}
    unclear = 0
    for question in asked:
        said = preference(answers[question.key(model)])
        if said is None:
            unclear += 1
        else:
            votes.setdefault(question.pair, []).append(float((said == "A") == question.own_first))
    both = [pair for pair in votes.values() if len(pair) == 2]
    scores = np.array([sum(pair) / 2 for pair in both])
    notes = []
    if unclear:
        notes.append(
            f"the judge gave {unclear:,} of {len(asked):,} answers that name neither text; their pairs are out"
        )
    shown = {
        "group": "judge",
        "label": "preferred to human text",
        "description": f"share of pairs in which {model} prefers the text to a human one, both orders averaged",
        "kind": "figure",
        "unit": "%",
        "basis": f"{len(both):,} pairs, {model}",
    }
    if len(both) < LEAST_TEXTS:
        return Measure.model_validate({**shown, "note": "too few pairs with an answer in both orders"}), notes
    agreed = sum(pair[0] == pair[1] for pair in both) / len(both)
    notes.append(f"the judge prefers the same text in both orders in {agreed:.0%} of pairs")
    generator = np.random.default_rng(seed)
    halves = np.array([100 * generator.permutation(scores)[: len(scores) // 2].mean() for _ in range(resamples)])
    value, gaps = 100 * float(scores.mean()), np.abs(halves - 50)
    differs = abs(value - 50) > standard_errors(len(scores)) * float(halves.std())
    return (
        Measure.model_validate(
            {
                **shown,
                "value": value,
                "interval": interval(halves, value),
                "human": 50.0,
                "gap": abs(value - 50),
                "gap_interval": interval(gaps),
                "verdict": "differs" if differs else "no difference shown",
            }
        ),
        notes,
    )
