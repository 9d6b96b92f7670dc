"""How often tokens and n-grams occur, and what sentences open with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from dft_plugin.statistics.base import NoOptions, Statistic, ratio
from dft_plugin.terms import Counts, Marginal, Sketch, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary


class TokenFrequency(Statistic[NoOptions]):
    """The law of tokens: P(v) = (1/N) sum_n p_n(v), over the vocabulary."""

    name = "token_frequency"
    support = "unordered"
    distance = "jensen_shannon"

    def terms(self, texts: Texts) -> Sequence[Term]:
        return [Marginal(torch.ones(texts.rows, device=texts.tokens.device), self.vocabulary.size)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        (frequency,) = accumulators
        return {"token": ratio(frequency, frequency.sum(-1, keepdim=True))}


class NgramOptions(BaseModel):
    """Options of `ngram_frequency`."""

    model_config = ConfigDict(extra="forbid")
    n: tuple[int, ...] = Field(default=(2, 3, 4), description="lengths of the n-grams, each 2 to 4")
    size: int = Field(default=256, ge=16, le=8192, description="coordinates of each tensor sketch")
    weighting: Literal["none", "inverse_root_frequency"] = Field(
        default="none",
        description="inverse_root_frequency divides each token by the root of its human frequency, so that "
        "rare n-grams count beside the commonest",
    )


class NgramFrequency(Statistic[NgramOptions]):
    """Tensor sketches of the n-gram laws.

    s_n[k] = mean_t R_1[x_{t-n+1}, k] ... R_{n-1}[x_{t-1}, k] E_{v~p_t} R[v, k] / sqrt(size) with random signs,
    independent between the places of one n; all n share R, so that one table serves them. The squared l2
    distance of two sketches is an unbiased estimate of the squared l2 distance of the two n-gram laws (Pham &
    Pagh 2013), an MMD with the product delta kernel.
    """

    name = "ngram_frequency"
    support = "vector"
    distance = "l2"
    Options = NgramOptions

    def __init__(self, vocabulary: Vocabulary, options: NgramOptions) -> None:
        super().__init__(vocabulary, options)
        unknown = [n for n in options.n if not 2 <= n <= 4]
        if unknown or not options.n:
            raise ValueError(f"ngram_frequency: n is {list(options.n)}; it takes one or more of 2, 3, 4")
        self.weight = self._token_weight()
        # One byte per sign: nine tables of a 128,000-token vocabulary would fill gigabytes in float32.
        self.signs = {(n, place): self._signs(n, place) for n in options.n for place in range(n - 1)}
        self.last = self._signs(0, 0).float() * self.weight[:, None] / options.size**0.5

    def _signs(self, n: int, place: int) -> Tensor:
        generator = torch.Generator().manual_seed(1_000_003 * n + place)
        shape = (self.vocabulary.size, self.options.size)
        bits = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8)
        return (bits * 2 - 1).to(self.weight.device)

    def _token_weight(self) -> Tensor:
        size, frequency = self.vocabulary.size, self.vocabulary.human_frequency
        if self.options.weighting == "none":
            return torch.ones(size, device=self.vocabulary.words_outside.device)
        if frequency is None:
            raise ValueError(
                "ngram_frequency: weighting inverse_root_frequency needs a reference that holds token "
                "frequencies; put token_frequency into `statistics` as well"
            )
        # Tokens no human used weigh like tokens used once in the reference, not infinitely.
        least = frequency[frequency > 0].min()
        weight = frequency.clamp(min=float(least)).float().rsqrt()
        return weight / (weight * frequency.float()).sum()

    def terms(self, texts: Texts) -> Sequence[Term]:
        terms: list[Term] = []
        for n in self.options.n:
            whole = texts.position - (n - 1) >= texts.begin[texts.text]
            prefix = whole[:, None].float()
            for place in range(n - 1):
                earlier = (texts.position - (n - 1) + place).clamp(min=0)
                token = texts.tokens[texts.text, earlier]
                prefix = prefix * self.signs[n, place][token] * self.weight[token, None]
            row = whole.nonzero().squeeze(1)
            terms += [Sketch(self.last, prefix), Counts(row, torch.zeros_like(row), 1)]
        return terms

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return {
            f"{n}-gram": ratio(accumulators[2 * number], accumulators[2 * number + 1])
            for number, n in enumerate(self.options.n)
        }
