"""How often the next token repeats an n-gram of the same text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.statistics.base import Counted, Statistic, ratio
from dft_plugin.terms import Counts, Pairs, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers, Written, size_of


class NoveltyOptions(Block):
    """Options of `novelty`."""

    model_config = ConfigDict(extra="forbid")
    n: tuple[int, ...] = Field(
        default=(1, 2),
        description="lengths of the repeated n-grams, each 1 to 8; 1 is vocabulary growth: its complement is "
        "the rate of token types new to the text; repeated 3- and 4-grams are so rare that their gradient is "
        "noise (benchmarks/LOG.md, 7)",
    )
    reach: int = Field(default=128, ge=2, le=4096, description="how many tokens back a repetition counts as one")


def repeating_pairs(texts: Texts, n: int, reach: int) -> tuple[Tensor, Tensor]:
    """The tokens that would complete, at each row, an n-gram that stands earlier in the same text.

    Returns:
        Rows and tokens, (P,) long each, every token once per row.
    """
    tokens, length = texts.tokens, texts.tokens.shape[1]
    index = torch.arange(length, device=tokens.device)
    distance = index[:, None] - index[None, :]  # (T, T): t - s
    match = ((distance > 0) & (distance <= reach))[None] & texts.counted[:, :, None]
    match = match & (index[None, None, :] - (n - 1) >= texts.begin[:, None, None])
    for back in range(1, n):
        same = torch.zeros_like(match)
        earlier = tokens[:, : length - back]
        same[:, back:, back:] = earlier[:, :, None] == earlier[:, None, :]
        match = match & same
    text, at, source = match.nonzero(as_tuple=True)
    row_of = texts.counted.flatten().cumsum(0).view_as(texts.counted) - 1
    width = int(tokens.max()) + 1
    key = torch.unique(row_of[text, at] * width + tokens[text, source])
    return torch.div(key, width, rounding_mode="floor"), key % width


def repeats(tokens: Integers, longest: int, reach: int) -> Iterator[tuple[Integers, Integers]]:
    """For n = 1 ... longest: where an n-gram ends that stood at most `reach` tokens before, and where it latest ended.

    An n-gram is repeated only where the (n - 1)-gram before its last token is, so few places are left to look at.
    """
    width = int(tokens.max(initial=0)) + 1
    place, kind = np.arange(len(tokens)), tokens  # places of n-grams, and numbers that are equal for equal ones
    for _ in range(longest):
        place, kind = _sorted(place, kind)
        same = kind[1:] == kind[:-1]
        close = same & (place[1:] - place[:-1] <= reach)
        yield place[1:][close], place[:-1][close]
        either = np.concatenate([close, [False]])[: len(place)]
        either[1:] |= close
        number = np.concatenate([[0], np.cumsum(~same)])[: len(place)]
        inside = either & (place < len(tokens) - 1)
        place = place[inside] + 1
        kind = number[inside] * width + tokens[place]


def _sorted(place: Integers, kind: Integers) -> tuple[Integers, Integers]:
    """Places and kinds sorted by kind, equal kinds by place."""
    bits = int(place.max(initial=0)).bit_length()
    if int(kind.max(initial=0)).bit_length() + bits < 63:  # one sort of whole numbers is far faster
        packed = np.sort(kind << bits | place)
        return packed & ((1 << bits) - 1), packed >> bits
    order = np.lexsort((place, kind))
    return place[order], kind[order]


class Novelty(Statistic[NoveltyOptions]):
    """rep-n: the rate at which the next token completes an n-gram the text already holds.

    rep-n = (1/N) sum_t P(x_{t-n+1..t} stands in x_{<t} | x_{<t}), which for a written text is
    1 - (distinct n-grams) / (n-grams) (Welleck et al. 2020), its first n-gram left out of both counts, within
    `reach` tokens. For n = 1 the complement is the rate of vocabulary growth. Each rate is summarized as the
    law (rate, 1 - rate).
    """

    name = "novelty"
    support = "ordered"
    distance = "energy"
    Options = NoveltyOptions

    def __init__(self, vocabulary: Vocabulary, options: NoveltyOptions) -> None:
        super().__init__(vocabulary, options)
        if not options.n or not all(1 <= n <= 8 for n in options.n):
            raise ValueError(f"novelty: n is {list(options.n)}; it takes one or more of 1 to 8")

    def terms(self, texts: Texts) -> Sequence[Term]:
        terms: list[Term] = []
        for n in self.options.n:
            # At the very first tokens no n-gram can have come before.
            row = (texts.position - n >= texts.begin[texts.text]).nonzero().squeeze(1)
            terms += [
                Pairs(*repeating_pairs(texts, n, self.options.reach)),
                Counts(row, torch.zeros_like(row), 1),
            ]
        return terms

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        counted: dict[int, list[Counted]] = {}
        position, of = written.position, group[written.window]
        begin = written.begin[written.window]
        begin_at = np.full(len(written.tokens), len(written.tokens))  # nothing has come before where none counts
        group_at = np.zeros(len(written.tokens), dtype=np.int64)
        begin_at[position], group_at[position] = begin, of
        for n, (end, source) in enumerate(repeats(written.tokens, max(self.options.n), self.options.reach), start=1):
            if n in self.options.n:
                repeated = end[source - (n - 1) >= begin_at[end]]
                counted[n] = [size_of(group_at[repeated], groups), size_of(of[position - n >= begin], groups)]
        return [part for n in self.options.n for part in counted[n]]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        laws = {}
        for number, n in enumerate(self.options.n):
            rate = ratio(accumulators[2 * number], accumulators[2 * number + 1])
            laws[f"rep-{n}"] = torch.cat([rate, 1 - rate], dim=-1)
        return laws
