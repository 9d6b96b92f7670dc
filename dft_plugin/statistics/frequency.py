"""How often tokens, n-grams and marks of punctuation occur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.statistics.base import Counted, NoOptions, Statistic, ratio
from dft_plugin.statistics.sign_counts import Packed, pack_signs, sum_signs
from dft_plugin.terms import Counts, Marginal, Sketch, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import MARKS, Vocabulary
from dft_plugin.written import Integers, Written, size_of, tally


class TokenFrequency(Statistic[NoOptions]):
    """The law of tokens: P(v) = (1/N) sum_n p_n(v), over the vocabulary."""

    name = "token_frequency"
    support = "unordered"
    distance = "jensen_shannon"

    def terms(self, texts: Texts) -> Sequence[Term]:
        return [Marginal(torch.ones(texts.rows, device=texts.tokens.device), self.vocabulary.size)]

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        return [tally(group[written.window], written.drawn, groups, self.vocabulary.size)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        (frequency,) = accumulators
        return {"token": ratio(frequency, frequency.sum(-1, keepdim=True))}


class PunctuationFrequency(Statistic[NoOptions]):
    """The law of what a token carries: no mark, or a mark of which kind.

    P(kind) is proportional to sum_n sum_v p_n(v) [v carries a mark of this kind], P(none) to the mass of the tokens
    that carry none; a token that carries two ('",') counts in both. `punctuation_rhythm` is about marks that follow
    another of their kind, so it says nothing of texts without one: this says how many marks there are.
    """

    name = "punctuation_frequency"
    support = "unordered"
    distance = "jensen_shannon"

    def __init__(self, vocabulary: Vocabulary, options: NoOptions) -> None:
        super().__init__(vocabulary, options)
        marks = torch.stack([vocabulary.events[kind] for kind in MARKS], dim=1)
        if not bool(marks.any()):
            vocabulary.require(MARKS[0], self.name)
        # (V, 1 + kinds): none, then each kind.
        self.carries = torch.cat([~marks.any(1, keepdim=True), marks], dim=1).float()

    def terms(self, texts: Texts) -> Sequence[Term]:
        everywhere = torch.ones(texts.rows, self.carries.shape[1], device=texts.tokens.device)
        return [Sketch(self.carries, everywhere)]

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        carried, of = self.carries.cpu().numpy()[written.drawn], group[written.window]
        return [np.stack([np.bincount(of, column, groups) for column in carried.T], axis=1)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        (carried,) = accumulators
        return {"mark": ratio(carried, carried.sum(-1, keepdim=True))}


class NgramOptions(Block):
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

    s_n[k] = mean_t R_{n-1}[x_{t-n+1}, k] ... R_1[x_{t-1}, k] E_{v~p_t} R_0[v, k] / sqrt(size) with random signs R_b,
    one table for each number b of tokens back, shared by all n. The squared l2 distance of two sketches is an
    unbiased estimate of the squared l2 distance of the two n-gram laws (Pham & Pagh 2013), an MMD with the product
    delta kernel. Accumulated without the factor 1 / sqrt(size), so that sums of human counts are whole numbers.
    """

    name = "ngram_frequency"
    support = "vector"
    distance = "l2"
    version = 2
    Options = NgramOptions

    def __init__(self, vocabulary: Vocabulary, options: NgramOptions) -> None:
        super().__init__(vocabulary, options)
        unknown = [n for n in options.n if not 2 <= n <= 4]
        if unknown or not options.n:
            raise ValueError(f"ngram_frequency: n is {list(options.n)}; it takes one or more of 2, 3, 4")
        self.weight = self._token_weight()

    @cached_property
    def signs(self) -> list[Tensor]:
        """R_b for b tokens back: (V, size) of +1 and -1, one byte each; float32 would fill gigabytes."""
        return [self._signs(back) for back in range(max(self.options.n))]

    @cached_property
    def last(self) -> Tensor:
        """(V, size): R_0, weighted."""
        return self.signs[0].float() * self.weight[:, None]

    @cached_property
    def _packed(self) -> list[Packed]:
        return [pack_signs(table) for table in self.signs]

    def _signs(self, back: int) -> Tensor:
        generator = torch.Generator().manual_seed(1_000_003 * back)
        shape = (self.vocabulary.size, self.options.size)
        bits = torch.randint(0, 2, shape, generator=generator, dtype=torch.int8)
        return (bits * 2 - 1).to(self.weight.device)

    def _token_weight(self) -> Tensor:
        size, frequency = self.vocabulary.size, self.vocabulary.human_frequency
        if self.options.weighting == "none":
            return torch.ones(size, device=self.vocabulary.words_outside.device)
        if frequency is None:
            raise ValueError(
                "ngram_frequency: weighting inverse_root_frequency needs the human frequency of every token before "
                "anything is counted, which neither a built reference nor a domain gives: use `train` or a corpus as "
                "`reference`, or leave `weighting` out"
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
            for back in range(1, n):
                token = texts.tokens[texts.text, (texts.position - back).clamp(min=0)]
                prefix = prefix * self.signs[back][token] * self.weight[token, None]
            row = whole.nonzero().squeeze(1)
            terms += [Sketch(self.last, prefix), Counts(row, torch.zeros_like(row), 1)]
        return terms

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        if self.options.weighting != "none":
            return super().count(written, group, groups)
        counted: dict[int, list[Counted]] = {}
        position, of, begin = written.position, group[written.window], written.begin[written.window]
        bits = np.take(self._packed[0], written.drawn, axis=0)
        for n in range(2, max(self.options.n) + 1):
            # A product of signs is negative where an odd number of them is.
            earlier = np.take(written.tokens, np.maximum(position - (n - 1), 0))
            bits ^= np.take(self._packed[n - 1], earlier, axis=0)
            if n in self.options.n:
                cut = position - (n - 1) < begin  # few: cheaper to take away than to leave out
                sums = sum_signs(bits, self.options.size, of, groups)
                sums -= sum_signs(bits[cut], self.options.size, of[cut], groups)
                counted[n] = [sums, size_of(of, groups) - size_of(of[cut], groups)]
        return [part for n in self.options.n for part in counted[n]]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        scale = self.options.size**0.5
        return {
            f"{n}-gram": ratio(accumulators[2 * number], accumulators[2 * number + 1]) / scale
            for number, n in enumerate(self.options.n)
        }
