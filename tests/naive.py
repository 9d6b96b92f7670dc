"""The term's gradient by its definition: full softmax, N x V held, Python loops over texts and positions.

Shares with the plugin only the distances and the vocabulary's tables. Written for token_frequency,
sentence_length and entropy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dft_plugin import distances
from dft_plugin.vocabulary import Vocabulary

LONGEST = 64  # sentence_length's own default


@dataclass(frozen=True)
class Text:
    """One text: its tokens without padding, where it begins, where the counted part begins."""

    tokens: list[int]
    begin: int
    first: int
    starts_at_begin: bool


def words_begun(vocabulary: Vocabulary, text: Text) -> list[int]:
    """How many words each token begins, by the vocabulary's two-state automaton."""
    inside, words = False, []
    for index, token in enumerate(text.tokens):
        if index < text.begin:
            words.append(0)
            continue
        words.append(int((vocabulary.words_inside if inside else vocabulary.words_outside)[token]))
        after = int(vocabulary.state_after[token])
        inside = inside if after < 0 else bool(after)
    return words


def at_risk(vocabulary: Vocabulary, text: Text) -> tuple[list[int | None], list[tuple[int, int]]]:
    """For each counted position its age in words (None: not observed), and the (position, age) pairs at risk.

    An interval is a sentence: it begins at the text's start or after a sentence end. The position before
    which w words stand is of age w, and one interval reaches age w once. Ages below 1 and above `LONGEST`
    are not observed. An interval under way at the first counted position counts from its next age on.
    """
    ends = vocabulary.events["sentence_end"]
    words = words_begun(vocabulary, text)
    ages: list[int | None] = []
    risk: list[tuple[int, int]] = []
    age, known, reached, joined = 0, text.starts_at_begin, 0, False
    for position in range(text.begin, len(text.tokens)):
        fresh = position == text.begin or bool(ends[text.tokens[position - 1]])
        if fresh:
            age, reached = 0, 0
            known = known if position == text.begin else True
        if position >= text.first:
            joined = joined or fresh or age > reached
            seen = known and joined
            ages.append(age if seen and 1 <= age <= LONGEST else None)
            risk += [(position, passed) for passed in range(reached + 1, age + 1) if seen and 1 <= passed <= LONGEST]
        reached = max(reached, age)
        age += words[position]
    return ages, risk


@dataclass
class Accumulated:
    """Accumulators of one text, and the reward of each of its positions once a derivative is known."""

    token: Tensor  # (V,)
    events: Tensor  # (LONGEST,)
    risk: Tensor  # (LONGEST,)
    entropy: Tensor  # ()
    count: Tensor  # ()

    def flat(self) -> Tensor:
        return torch.cat([self.token, self.events, self.risk, self.entropy[None], self.count[None]])


def features(vocabulary: Vocabulary, text: Text, law: Tensor, entropy: Tensor) -> Tensor:
    """(T, A): what the accumulators gain in expectation at each counted position, for its law (T, V)."""
    ages, risk = at_risk(vocabulary, text)
    ends = vocabulary.events["sentence_end"].to(law.dtype)
    rows = []
    for row, age in enumerate(ages):
        position = text.first + row
        events = law.new_zeros(LONGEST)
        if age is not None:
            events = events.index_add(0, torch.tensor([age - 1]), (law[row] @ ends)[None])
        reached = law.new_zeros(LONGEST)
        for where, passed in risk:
            if where == position:
                reached[passed - 1] += 1
        gained = Accumulated(law[row], events, reached, entropy[row], law.new_ones(()))
        rows.append(gained.flat())
    return torch.stack(rows)


def summaries(accumulators: Tensor, size: int) -> dict[str, Tensor]:
    """Token law, sentence-length law by hazards, mean entropy, from accumulators (A,)."""
    token, events, risk, rest = accumulators.split([size, LONGEST, LONGEST, 2])
    survival, law = torch.ones((), dtype=token.dtype), []
    for age in range(LONGEST):
        hazard = (events[age] / risk[age]).clamp(max=1) if risk[age] > 0 else torch.zeros((), dtype=token.dtype)
        law.append(survival * hazard)
        survival = survival * (1 - hazard)
    return {
        "token_frequency": token / token.sum(),
        "sentence_length": torch.stack([*law, survival]),
        "entropy": (rest[0] / rest[1])[None],
    }


DISTANCES = {
    "token_frequency": distances.jensen_shannon,
    "sentence_length": distances.energy,
    "entropy": distances.l2,
}


def objective(accumulators: Tensor, human: Mapping[str, Tensor], floors: Mapping[str, float]) -> Tensor:
    """The mean over statistics of log(1 + distance / floor)."""
    size = len(human["token_frequency"])
    summary = summaries(accumulators, size)
    parts = [torch.log1p(DISTANCES[name](summary[name], human[name]) / floors[name]) for name in human]
    return torch.stack(parts).mean()


def laws(model: nn.Module, text: Text, temperature: float) -> tuple[Tensor, Tensor]:
    """(T, V) float64 log-law at each counted position, and (T,) the log-probability of the token drawn."""
    device = next(model.parameters()).device
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    # The class's own forward: SFTTrainer lays a fused head that gives no logits over the instance's.
    output = type(base).forward(base, input_ids=torch.tensor([text.tokens], device=device))
    logits = output.logits[0].double().cpu()
    log_law = torch.log_softmax(logits[text.first - 1 : len(text.tokens) - 1] / temperature, dim=-1)
    drawn = torch.tensor(text.tokens[text.first :])
    return log_law, log_law.gather(1, drawn[:, None]).squeeze(1)


def read(texts: Any) -> list[Text]:
    """From the plugin's padded batch."""
    return [
        Text(
            texts.tokens[row, : int(texts.end[row])].tolist(),
            int(texts.begin[row]),
            int(texts.first[row]),
            bool(texts.starts_at_begin[row]),
        )
        for row in range(len(texts))
    ]


def human_summaries(vocabulary: Vocabulary, windows: Sequence[Any], entropy: Tensor) -> dict[str, Tensor]:
    """Of human windows, all mass on the token that stands there; `entropy` (2,): total surprisal and count."""
    total: Tensor | None = None
    for window in windows:
        text = Text(list(window.tokens), window.begin, window.first, window.starts_at_begin)
        drawn = torch.tensor(text.tokens[text.first :])
        law = torch.nn.functional.one_hot(drawn, vocabulary.size).double()
        gained = features(vocabulary, text, law, torch.zeros(len(drawn))).sum(0)
        total = gained if total is None else total + gained
    assert total is not None
    return summaries(torch.cat([total[:-2], entropy.double()]), vocabulary.size)


def gradient(
    model: nn.Module,
    vocabulary: Vocabulary,
    texts: Sequence[Text],
    human: Mapping[str, Tensor],
    floors: Mapping[str, float],
    *,
    temperature: float = 1.0,
    gamma: float = 0.0,
    past: tuple[Tensor, float] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """The estimator's gradient in every trainable parameter, by name, and these texts' summed accumulators.

    Args:
        model: the live model, differentiated in evaluation mode.
        texts: the rollouts.
        human, floors: by statistic.
        temperature: of the sampler.
        gamma: credit.
        past: summed accumulators of the texts before that count as well, and how many these are.
    """
    with deterministic(model):
        return _gradient(model, vocabulary, texts, human, floors, temperature, gamma, past)


@contextmanager
def deterministic(model: nn.Module) -> Iterator[None]:
    """Evaluation mode: no dropout, no gradient checkpointing."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    yield
    for module, training in modes:
        module.training = training


def _gradient(
    model: nn.Module,
    vocabulary: Vocabulary,
    texts: Sequence[Text],
    human: Mapping[str, Tensor],
    floors: Mapping[str, float],
    temperature: float,
    gamma: float,
    past: tuple[Tensor, float] | None,
) -> tuple[dict[str, Tensor], Tensor]:
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gained, drawn = [], []
    for text in texts:
        log_law, log_probability = laws(model, text, temperature)
        law = log_law.exp()
        gained.append(features(vocabulary, text, law, -(law * log_law).sum(-1)))
        drawn.append(log_probability)
    own = torch.stack([rows.sum(0) for rows in gained])
    earlier, weight = past if past is not None else (torch.zeros_like(own[0]), 0.0)
    everything = earlier + own.sum(0)
    derivatives = []
    for index in range(len(texts)):
        others = ((everything - own[index]) / (weight + len(texts) - 1)).detach().requires_grad_()
        derivatives.append(torch.autograd.grad(objective(others, human, floors), others)[0])
    rewards = [rows @ derivative for rows, derivative in zip(gained, derivatives, strict=True)]
    futures = []
    for reward in rewards:
        future = [0.0] * len(reward)
        for step in range(len(reward) - 2, -1, -1):
            future[step] = float(reward[step + 1].detach()) + gamma * future[step + 1]
        futures.append(future)
    total = torch.zeros((), dtype=torch.float64)
    for index, reward in enumerate(rewards):
        total = total + reward.sum()
        for step in range(len(reward) if gamma > 0 else 0):
            others = [future[step] for other, future in enumerate(futures) if other != index and step < len(future)]
            baseline = sum(others) / len(others) if others else 0.0
            total = total + drawn[index][step] * (futures[index][step] - baseline)
    total = total / len(texts)
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    found = {
        name: torch.zeros_like(parameter) if entry is None else entry.detach().clone()
        for name, parameter, entry in zip(names, parameters, gradients, strict=True)
    }
    return found, own.sum(0).detach()
