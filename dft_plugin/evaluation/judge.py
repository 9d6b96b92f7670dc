"""A judge: how often a language model prefers the texts to human ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from dft_plugin.evaluation.ask import ANSWER_TOKENS, Question, unanswered
from dft_plugin.evaluation.pairing import same_prompts
from dft_plugin.evaluation.resampling import FEW_TEXTS, LEAST_TEXTS, SURE
from dft_plugin.evaluation.result import Interval, Measure
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
    """Texts and human ones to put side by side: of the same prompt, or drawn at random where fewer than half of the
    pairs could be.

    No text is in two pairs. Each is cut to its first words, so that neither is told by its length.
    """
    matched = same_prompts(texts, human)
    if 2 * len(matched) < min(len(texts), len(human), count):
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
    """The letter an answer names: "A" or "B", alone or as a word of its own; None if it names none or both.

    Small letters count only as the whole answer: "a" is a word.
    """
    words = [word.strip(".,:;()[]*\"'") for word in answer.split()]
    named = {word.upper() for word in words} if len(words) == 1 else set(words)
    named &= {"A", "B"}
    return named.pop() if len(named) == 1 else None


def win_rate(asked: Sequence[Question], answers: Mapping[str, str], model: str) -> tuple[Measure, list[str]]:
    """The share of pairs in which the text is preferred to the human one, the two orders of a pair averaged.

    It differs from 1/2 by an exact sign test over the pairs that were decided; the interval is Wilson's.

    Args:
        asked: both orders of every pair.
        answers: of the judge, by question.
        model: the judge's name.

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
    scores = [sum(pair) / 2 for pair in both]
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
    return Measure.model_validate({**shown, **_judged(scores)}), notes


def _judged(scores: Sequence[float]) -> dict[str, object]:
    """What a measure says of scores of 0, 1/2 and 1."""
    share = sum(scores) / len(scores)
    low, high = (100 * end for end in wilson(share, len(scores)))
    gaps = sorted((abs(low - 50), abs(high - 50)))
    differs = sign_test(scores.count(1), scores.count(0)) < 1 - SURE
    few = len(scores) < FEW_TEXTS
    return {
        "value": 100 * share,
        "interval": (low, high),
        "human": 50.0,
        "gap": abs(100 * share - 50),
        "gap_interval": (0.0 if low < 50 < high else gaps[0], gaps[1]),
        "verdict": "differs" if differs else "too small to tell" if few else "no difference shown",
    }


def wilson(share: float, count: int) -> Interval:
    """The 95 % interval of a share of so many (Wilson, JASA 22, 1927); of scores that may be 1/2 it is too wide."""
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return middle - half, middle + half


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of so many of either when both are as likely, exactly."""
    decided = wins + losses
    tail = sum(math.comb(decided, few) for few in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**decided)
