"""What a statistic's accumulator is made of: additive terms, each linear in the next-token law.

A term says what an accumulator gains at each row if the next token is v: its features f_n(v). It can be
accumulated, a = sum_n E_{v~p_n} f_n(v), and its adjoint can be read at each row, r_n = E_{v~p_n} <D', f_n(v)>,
the reward that row earns under the derivative D' of the distance. A statistic lists terms; it never touches
the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.law import Answer
from dft_plugin.texts import Texts


class Term(ABC):
    """What one accumulator, of `size` numbers for each text, gains at each row.

    The expectations it is made of are those that `columns`, `pairs` or `summed_rows` ask for; an `Answer` holds them.

    Attributes:
        size: length of the accumulator, the same for all texts.
    """

    size: int

    @property
    def columns(self) -> Tensor | None:
        """(V,) or (V, K) values given to candidate tokens, whose expectations are needed; terms may share them."""
        return None

    @property
    def pairs(self) -> tuple[Tensor, Tensor] | None:
        """(P,) rows and (P,) tokens, both long, whose probabilities are needed."""
        return None

    @property
    def summed_rows(self) -> Tensor | None:
        """(N,) weight of each row in a sum of whole laws."""
        return None

    @abstractmethod
    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        """a = sum over a text's rows n of E_{v~p_n} f_n(v): (B, size), in the law's dtype."""

    @abstractmethod
    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        """r_n = E_{v~p_n} <D'_b, f_n(v)>: (N,), with the derivative (B, size) of the text b that row n is of."""


@dataclass(frozen=True)
class Counts(Term):
    """v-independent: a[slot] += 1 at each listed row (positions counted, intervals at risk).

    Attributes:
        row: (R,) long, rows; a row may occur more than once.
        slot: (R,) long, 0 <= slot < size.
        size: length of the accumulator.
    """

    row: Tensor
    slot: Tensor
    size: int

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        cell = texts.text[self.row] * self.size + self.slot
        gained = answer.zeros(len(texts) * self.size).index_add_(0, cell, torch.ones_like(self.row, dtype=answer.dtype))
        return gained.view(len(texts), self.size)

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        return answer.zeros(texts.rows).index_add(0, self.row, derivative[texts.text[self.row], self.slot])


@dataclass(frozen=True)
class Placed(Term):
    """a[slot_n] += E_{v~p_n} column[v] (events at an age, tokens of a class).

    Attributes:
        column: (V,) value of each candidate token.
        slot: (N,) long; -1 leaves the row out.
        size: length of the accumulator.
    """

    column: Tensor
    slot: Tensor
    size: int

    @property
    def columns(self) -> Tensor:
        return self.column

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        at = self.slot >= 0
        cell = texts.text[at] * self.size + self.slot[at]
        gained = answer.zeros(len(texts) * self.size).index_add_(0, cell, answer.expected[at, 0])
        return gained.view(len(texts), self.size)

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        gain = derivative[texts.text, self.slot.clamp(min=0)] * (self.slot >= 0)
        return gain * answer.expected[:, 0]


@dataclass(frozen=True)
class Sketch(Term):
    """a[k] += prefix[n, k] E_{v~p_n} table[v, k] (n-gram tensor sketch).

    Attributes:
        table: (V, K).
        prefix: (N, K); zero leaves the row out.
    """

    table: Tensor
    prefix: Tensor

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.table.shape[1]

    @property
    def columns(self) -> Tensor:
        return self.table

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        gains = self.prefix.to(answer.dtype) * answer.expected
        return answer.zeros(len(texts), self.size).index_add(0, texts.text, gains)

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        gain = derivative[texts.text] * self.prefix.to(answer.dtype)
        return (gain * answer.expected).sum(1)


@dataclass(frozen=True)
class Marginal(Term):
    """a[v] += mask_n p_n(v) (token frequencies).

    Attributes:
        mask: (N,) weight of each row.
        size: V.
    """

    mask: Tensor
    size: int

    @property
    def summed_rows(self) -> Tensor:
        return self.mask

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        return answer.marginal

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        return self.mask.to(answer.dtype) * answer.witnessed


@dataclass(frozen=True)
class Pairs(Term):
    """a[0] += p_row(token) over the listed pairs (tokens that would repeat something).

    Attributes:
        row: (P,) long, rows in any order.
        token: (P,) long.
    """

    row: Tensor
    token: Tensor
    size: int = 1

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        return self.row, self.token

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        gained = answer.zeros(len(texts)).index_add_(0, texts.text[self.row], answer.paired)
        return gained.view(len(texts), 1)

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        return answer.zeros(texts.rows).index_add(0, self.row, derivative[texts.text[self.row], 0] * answer.paired)


@dataclass(frozen=True)
class Entropy(Term):
    """a[0] += entropy of p_n at every row, nats (surprisal where the text is human).

    Attributes:
        size: 1.
    """

    size: int = 1

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        return answer.zeros(len(texts)).index_add_(0, texts.text, answer.entropy).view(len(texts), 1)

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        return derivative[texts.text, 0] * answer.entropy


@dataclass(frozen=True)
class Prefix(Term):
    """v-independent: a[k] += features(hidden)[n, k] at every row (what the prefix itself is like).

    Without gradient: it acts through reward-to-go alone. Nothing where no model has read the texts.

    Attributes:
        features: hidden states (N, D) to (N, K).
        size: K.
    """

    features: Callable[[Tensor], Tensor]
    size: int

    def accumulate(self, answer: Answer, texts: Texts) -> Tensor:
        gained = answer.zeros(len(texts), self.size)
        if answer.hidden is None:
            return gained
        return gained.index_add(0, texts.text, self._of(answer.hidden).to(answer.dtype))

    def rewards(self, answer: Answer, texts: Texts, derivative: Tensor) -> Tensor:
        if answer.hidden is None:
            return answer.zeros(texts.rows)
        return (derivative[texts.text] * self._of(answer.hidden).to(answer.dtype)).sum(1)

    @torch.no_grad()
    def _of(self, hidden: Tensor) -> Tensor:
        wide = hidden if hidden.dtype == torch.float64 else hidden.float()
        # In bfloat16 kernels lose the digits that tell samples apart.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.features(wide)
