"""A cloze probe of facts: does the model still prefer the right name or number?

A question is a text up to a name (a capitalised word inside a sentence) or a number; the answer is compared with three
of the same kind from other documents by length-normalised log-likelihood. Training facts measure recall, facts of
held-out documents ability. Chance is 25 %.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from benchmarks.effect.task import Task

DISTRACTORS = 3
PROMPT_CHARACTERS = 240
LEAST_PROMPT = 60
FACT = re.compile(r"(?<=[a-z,] )(?:[A-Z][a-z]{2,}|\d+(?:[.,]\d+)*)(?=[ .,;:!?])")
AT_A_TIME = 32


@dataclass(frozen=True)
class Question:
    """A text up to its answer, and the wrong answers."""

    prompt: str
    answer: str
    distractors: tuple[str, ...]


def kind(answer: str) -> str:
    """Names are of one kind; numbers of as many characters too."""
    return f"number of {len(answer)}" if answer[0].isdigit() else "name"


def found_facts(text: str) -> list[tuple[str, str]]:
    """(prompt, answer) of each fact whose answer the prompt does not give away."""
    facts = []
    for match in FACT.finditer(text):
        prompt = text[max(0, match.start() - PROMPT_CHARACTERS) : match.start()].rstrip()
        if len(prompt) >= LEAST_PROMPT and match.group() not in prompt:
            facts.append((prompt, match.group()))
    return facts


def questions(texts: Sequence[str], count: int, seed: int) -> list[Question]:
    """`count` questions at most, one from each document as long as there are others; the same for the same seed."""
    generator = random.Random(seed)
    by_document = [facts for facts in map(found_facts, texts) if facts]
    for facts in by_document:
        generator.shuffle(facts)
    pool: dict[str, list[tuple[int, str]]] = {}
    for number, facts in enumerate(by_document):
        for answer in sorted({answer for _, answer in facts}):
            pool.setdefault(kind(answer), []).append((number, answer))
    order = list(range(len(by_document)))
    generator.shuffle(order)
    made: list[Question] = []
    rounds = max(map(len, by_document), default=0)
    for turn in range(rounds):
        for number in order:
            if len(made) == count:
                return made
            if turn >= len(by_document[number]):
                continue
            prompt, answer = by_document[number][turn]
            others = sorted(
                {other for of, other in pool[kind(answer)] if of != number and other != answer and other not in prompt}
            )
            if len(others) >= DISTRACTORS:
                made.append(Question(prompt, answer, tuple(generator.sample(others, DISTRACTORS))))
    return made


@torch.no_grad()
def likelihoods(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Mean log-probability per token of each ending after its prompt."""
    device = next(model.parameters()).device
    scores: list[float] = []
    for start in range(0, len(pairs), AT_A_TIME):
        rows, firsts = [], []
        for prompt, ending in pairs[start : start + AT_A_TIME]:
            before = tokenizer(prompt)["input_ids"]
            # Without what a tokenizer appends; where the two differ the ending begins.
            whole = tokenizer(f"{prompt} {ending}")["input_ids"]
            same = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
            rows.append(whole)
            firsts.append(max(1, min(same, len(whole) - 1)))
        tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = 1
        logits = model(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits[:, :-1].float()
        gained = logits.log_softmax(-1).gather(-1, tokens[:, 1:, None].to(device)).squeeze(-1).cpu()
        for row, (ids, first) in enumerate(zip(rows, firsts, strict=True)):
            scores.append(float(gained[row, first - 1 : len(ids) - 1].mean()))
    return scores


def accuracy(model: Any, tokenizer: Any, asked: Sequence[Question]) -> dict[str, Any]:
    """Share of questions whose answer is likelier than every distractor, with Wilson's 95 % interval."""
    model.eval()
    pairs = [(question.prompt, option) for question in asked for option in (question.answer, *question.distractors)]
    scores = likelihoods(model, tokenizer, pairs)
    each = [scores[i : i + 1 + DISTRACTORS] for i in range(0, len(scores), 1 + DISTRACTORS)]
    right = sum(row[0] > max(row[1:]) for row in each)
    return {
        "value": right / len(asked) if asked else math.nan,
        "questions": len(asked),
        "interval": wilson(right, len(asked)),
    }


def wilson(right: int, count: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share."""
    if not count:
        return None
    z, share = 1.959964, right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Probe:
    """The questions of a task, the same for every arm and seed."""

    task: Task

    @cached_property
    def asked(self) -> dict[str, list[Question]]:
        count = self.task.scenario.facts
        return {
            "recall": questions(self.task.train, count, seed=0),
            "ability": questions(self.task.validation, count, seed=1),
        }

    def of(self, model: Any) -> dict[str, Any]:
        """Accuracy on training facts and on held-out ones."""
        return {name: accuracy(model, self.task.tokenizer, asked) for name, asked in self.asked.items()}
