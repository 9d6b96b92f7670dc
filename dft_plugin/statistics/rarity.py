"""How common, in human text, the n-grams are that a text writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.statistics.base import Counted, Statistic, ratio
from dft_plugin.terms import Counts, Pairs, Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers, Written, size_of


class RarityOptions(Block):
    """Options of `ngram_rarity`."""

    model_config = ConfigDict(extra="forbid")
    n: tuple[int, ...] = Field(
        default=(2, 3, 4),
        description="lengths of the n-grams, each 2 to 4; with a vocabulary of 32,000 2-grams have some 2,500 "
        "continuations a position, ten times those of 3-grams: [3, 4] saves memory",
    )
    classes: int = Field(
        default=8,
        ge=1,
        le=32,
        description="classes of the n-grams that human text has, each twice as common as the one before and the last "
        "one open; what it has not is one class more",
    )


@dataclass(frozen=True)
class Continuations:
    """What follows each (n - 1)-gram of a human text, and how common it is there.

    Attributes:
        n, size: of the n-grams, and V.
        prefix: (P,) sorted keys of the (n - 1)-grams.
        pairs: for kind 1 ... `classes`, sorted: V times the place of the prefix, plus the token that continues it.
    """

    n: int
    size: int
    prefix: Tensor
    pairs: Sequence[Tensor]

    @classmethod
    def of(cls, written: Written, n: int, size: int, classes: int, device: torch.device) -> Continuations:
        """Counts every n-gram that ends at a counted position and lies within its text."""
        at = whole(written.position, written.begin[written.window], n)
        key = prefix_key(before(written, written.position[at], n), size)
        prefix, rank = torch.unique(key, return_inverse=True)
        pair, count = torch.unique(rank * size + torch.from_numpy(written.drawn[at]), return_counts=True)
        kind = (1 + count.double().log2().floor().long()).clamp(max=classes)
        return cls(n, size, prefix.to(device), [pair[kind == k].to(device) for k in range(1, classes + 1)])

    def find(self, tokens: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Of the (n - 1)-grams whose tokens are these, which are known (indexes), and where each of those stands."""
        place, known = _find(self.prefix, prefix_key(tokens, self.size))
        known = known.nonzero().squeeze(1)
        return known, place[known]

    def following(self, place: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """The continuations of one kind of known prefixes: of which of them, and the token."""
        start, stop = (torch.searchsorted(pairs, (place + end) * self.size) for end in (0, 1))
        of = torch.repeat_interleave(stop - start)
        ends = (stop - start).cumsum(0)
        at = torch.arange(len(of), device=of.device) + (stop - ends)[of]
        return of, pairs[at] % self.size


def whole(position: Any, begin: Any, n: int) -> Any:
    """Where the n-gram that ends at a position lies within the text that starts at `begin`."""
    return position - (n - 1) >= begin


def before(written: Written, position: Integers, n: int) -> list[Tensor]:
    """The n - 1 tokens before each position, the first first."""
    return [torch.from_numpy(written.tokens[position - back]) for back in range(n - 1, 0, -1)]


def prefix_key(tokens: Sequence[Tensor], size: int) -> Tensor:
    """A number for each n - 1 tokens, to the base V: exact up to V = 2**21 at n = 4."""
    key = torch.zeros_like(tokens[0])
    for token in tokens:
        key = key * size + token
    return key


def _find(ordered: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where each wanted number stands in a sorted list, and whether it does."""
    if not len(ordered):
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    at = torch.searchsorted(ordered, wanted).clamp(max=len(ordered) - 1)
    return at, ordered[at] == wanted


class NgramRarity(Statistic[RarityOptions]):
    """The law of how common n-grams are in human text: never seen there, once, 2 to 3 times and so on in powers of two.

    With c(w) the count of an n-gram w in `Vocabulary.human_text`, which is counted in no other way, and over the
    positions whose last n - 1 tokens stand in it,

        P(k) = mean_t sum_v p_t(v) [kind(x_{t-n+1} ... x_{t-1} v) = k],   kind(w) = 1 + floor(log2 c(w)), 0 if c(w) = 0

    Rare n-grams cannot be matched one by one; pooled they can. Kind 0 is what people hardly ever write, such as a
    small model's misspellings; the last is what they always write. (McCoy et al. 2023, "How much do language models
    copy from their training data?", measure the share of unseen n-grams so.)
    """

    name = "ngram_rarity"
    support = "ordered"
    distance = "jensen_shannon"
    needs_text = True
    Options = RarityOptions

    def __init__(self, vocabulary: Vocabulary, options: RarityOptions) -> None:
        super().__init__(vocabulary, options)
        unknown = [n for n in options.n if not 2 <= n <= 4]
        if unknown or not options.n:
            raise ValueError(f"ngram_rarity: n is {list(options.n)}; it takes one or more of 2, 3, 4")
        if vocabulary.human_text is None:
            raise ValueError(
                "ngram_rarity: it looks n-grams up in human text, which neither a built reference nor a domain holds: "
                "use `train` or a corpus as `reference`, or leave it out of `statistics`"
            )
        text, device = vocabulary.human_text, vocabulary.words_outside.device
        self.known = [Continuations.of(text, n, vocabulary.size, options.classes, device) for n in options.n]

    def terms(self, texts: Texts) -> Sequence[Term]:
        terms: list[Term] = []
        for known in self.known:
            row = whole(texts.position, texts.begin[texts.text], known.n).nonzero().squeeze(1)
            text, position = texts.text[row], texts.position[row]
            at, place = known.find([texts.tokens[text, position - back] for back in range(known.n - 1, 0, -1)])
            row = row[at]
            following = (known.following(place, pairs) for pairs in known.pairs)
            terms += [Pairs(row[of], token) for of, token in following]
            terms.append(Counts(row, torch.zeros_like(row), 1))
        return terms

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        counted: list[Counted] = []
        device = self.vocabulary.words_outside.device
        for known in self.known:
            at = whole(written.position, written.begin[written.window], known.n)
            row, place = known.find([token.to(device) for token in before(written, written.position[at], known.n)])
            pair = place * known.size + torch.from_numpy(written.drawn[at]).to(device)[row]
            of = group[written.window][at][row.cpu().numpy()]
            counted += [size_of(of[_find(pairs, pair)[1].cpu().numpy()], groups) for pairs in known.pairs]
            counted.append(size_of(of, groups))
        return counted

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        laws, step = {}, self.options.classes + 1
        for number, n in enumerate(self.options.n):
            *kinds, positions = accumulators[number * step : (number + 1) * step]
            seen = ratio(torch.cat(kinds, dim=-1), positions)
            laws[f"{n}-gram"] = torch.cat([1 - seen.sum(-1, keepdim=True), seen], dim=-1)
        return laws
