"""What a statistic's accumulator is made of: additive terms, each linear in the next-token law.

A term says what an accumulator gains at each row if the next token is v: its features f_n(v). It can be
accumulated, a = sum_n E_{v~p_n} f_n(v), and its adjoint can be read at each row, r_n = E_{v~p_n} <D', f_n(v)>,
the reward that row earns under the derivative D' of the distance. A statistic lists terms; it never touches
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.law import Law, Request
from dft_plugin.texts import Texts


@dataclass(frozen=True)
class Counts:
    """v-independent: a[slot] += 1 at each listed row (positions counted, intervals at risk).

    Attributes:
        row: (R,) long, rows; a row may occur more than once.
        slot: (R,) long, 0 <= slot < size.
        size: length of the accumulator.
    """

    row: Tensor
    slot: Tensor
    size: int


@dataclass(frozen=True)
class Placed:
    """a[slot_n] += E_{v~p_n} column[v] (events at an age, tokens of a class).

    Attributes:
        column: (V,) value of each candidate token.
        slot: (N,) long; -1 leaves the row out.
        size: length of the accumulator.
    """

    column: Tensor
    slot: Tensor
    size: int


@dataclass(frozen=True)
class Sketch:
    """a[k] += prefix[n, k] E_{v~p_n} table[v, k] (n-gram tensor sketch).

    Attributes:
        table: (V, K).
        prefix: (N, K); zero leaves the row out.
    """

    table: Tensor
    prefix: Tensor

    @property
    def size(self) -> int:
        return self.table.shape[1]


@dataclass(frozen=True)
class Marginal:
    """a[v] += mask_n p_n(v) (token frequencies).

    Attributes:
        mask: (N,) weight of each row.
        size: V.
    """

    mask: Tensor
    size: int


@dataclass(frozen=True)
class Pairs:
    """a[0] += p_row(token) over the listed pairs (tokens that would repeat something).

    Attributes:
        row: (P,) long, rows in any order.
        token: (P,) long.
    """

    row: Tensor
    token: Tensor
    size: int = 1


@dataclass(frozen=True)
class Entropy:
    """a[0] += entropy of p_n at every row, nats (surprisal where the text is human).

    Attributes:
        size: 1.
    """

    size: int = 1


@dataclass(frozen=True)
class Prefix:
    """v-independent: a[k] += features(hidden)[n, k] at every row (what the prefix itself is like).

    Without gradient: it acts through reward-to-go alone. Nothing where no model has read the texts.

    Attributes:
        features: hidden states (N, D) to (N, K).
        size: K.
    """

    features: Callable[[Tensor], Tensor]
    size: int


Term = Counts | Placed | Sketch | Marginal | Pairs | Entropy | Prefix


@dataclass(frozen=True)
class Layout:
    """Where each term of a list finds its part of a `Request` and of the `Law` that answers it."""

    terms: tuple[Term, ...]
    column: tuple[slice, ...]
    pair: tuple[slice, ...]
    marginal: tuple[int, ...]
    part: tuple[slice, ...]


class TableCache:
    """Concatenates the terms' tables into (V, K) once, not at every step; tables keep their identity."""

    def __init__(self) -> None:
        self._tables: tuple[Tensor, ...] = ()
        self._joined: Tensor | None = None

    def joined(self, tables: Sequence[Tensor], vocabulary_size: int, device: torch.device) -> Tensor:
        same = len(tables) == len(self._tables) and all(
            new is old for new, old in zip(tables, self._tables, strict=True)
        )
        if self._joined is None or not same or self._joined.device != device:
            columns = [table.reshape(vocabulary_size, -1).float() for table in tables]
            empty = torch.zeros(vocabulary_size, 0, device=device)
            self._tables, self._joined = tuple(tables), torch.cat([empty, *columns], dim=1)
        return self._joined


def request(terms: Sequence[Term], texts: Texts, vocabulary_size: int, cache: TableCache) -> tuple[Request, Layout]:
    """Collects what all terms need into one `Request`, so that one pass over the vocabulary serves all.

    Args:
        terms: the terms of all statistics, on these texts.
        texts: B texts with N rows.
        vocabulary_size: V.
        cache: keeps the joined table between steps.
    """
    device = texts.tokens.device
    tables: list[Tensor] = []
    place: dict[int, slice] = {}
    pair_rows: list[Tensor] = []
    pair_tokens: list[Tensor] = []
    masks: list[Tensor] = []
    column: list[slice] = []
    pair: list[slice] = []
    marginal: list[int] = []
    part: list[slice] = []
    columns = pairs = parts = 0
    for term in terms:
        own = term.column if isinstance(term, Placed) else term.table if isinstance(term, Sketch) else None
        if own is None:
            column.append(slice(0, 0))
        elif id(own) in place:  # terms may share a table
            column.append(place[id(own)])
        else:
            place[id(own)] = slice(columns, columns + (1 if isinstance(term, Placed) else term.size))
            column.append(place[id(own)])
            tables.append(own)
            columns = place[id(own)].stop
        length = term.row.shape[0] if isinstance(term, Pairs) else 0
        if isinstance(term, Pairs):
            pair_rows.append(term.row)
            pair_tokens.append(term.token)
        pair.append(slice(pairs, pairs + length))
        pairs += length
        marginal.append(len(masks))
        if isinstance(term, Marginal):
            masks.append(term.mask)
        part.append(slice(parts, parts + term.size))
        parts += term.size
    none = torch.zeros(0, dtype=torch.long, device=device)
    asked = Request(
        table=cache.joined(tables, vocabulary_size, device),
        pair_row=torch.cat([none, *pair_rows]),
        pair_token=torch.cat([none, *pair_tokens]),
        marginal_mask=torch.stack(masks) if masks else torch.zeros(0, texts.rows, device=device),
    )
    return asked, Layout(tuple(terms), tuple(column), tuple(pair), tuple(marginal), tuple(part))


def accumulate(law: Law, layout: Layout, texts: Texts) -> Tensor:
    """The accumulators of each text, all terms side by side: (B, A), in the law's dtype."""
    dtype, count = law.expected.dtype, len(texts)
    parts: list[Tensor] = []
    for number, term in enumerate(layout.terms):
        if isinstance(term, Marginal):
            parts.append(law.marginal[layout.marginal[number]])
            continue
        part = torch.zeros(count * term.size, dtype=dtype, device=texts.tokens.device)
        if isinstance(term, Counts):
            part.index_add_(0, texts.text[term.row] * term.size + term.slot, torch.ones_like(term.row, dtype=dtype))
        elif isinstance(term, Placed):
            at = term.slot >= 0
            cell = texts.text[at] * term.size + term.slot[at]
            part.index_add_(0, cell, law.expected[at, layout.column[number].start])
        elif isinstance(term, Pairs):
            part.index_add_(0, texts.text[term.row], law.paired[layout.pair[number]])
        elif isinstance(term, Sketch):
            gains = term.prefix.to(dtype) * law.expected[:, layout.column[number]]
            part = part.view(count, -1).index_add(0, texts.text, gains)
        elif isinstance(term, Prefix):
            if law.hidden is not None:
                part = part.view(count, -1).index_add(0, texts.text, _prefix_features(term, law.hidden).to(dtype))
        else:
            part.index_add_(0, texts.text, law.entropy)
        parts.append(part.view(count, term.size))
    return torch.cat(parts, dim=1)


def witnesses(layout: Layout, derivative: Tensor) -> Tensor:
    """The parts of a derivative (B, A) that belong to marginals, as (M, B, V), for `Request.witness`."""
    parts = [
        derivative[:, layout.part[number]] for number, term in enumerate(layout.terms) if isinstance(term, Marginal)
    ]
    return torch.stack(parts) if parts else derivative.new_zeros(0, derivative.shape[0], 0)


def rewards(law: Law, layout: Layout, texts: Texts, derivative: Tensor, within: slice = slice(0, None)) -> Tensor:
    """r_n = E_{v~p_n} <D'_b, f_n(v)> for the text b of row n: (N,), differentiable in the law.

    Args:
        law: the law at the N rows, computed with `witness = witnesses(layout, derivative)`.
        layout: of the terms on these texts.
        texts: B texts.
        derivative: (B, A), the derivative of the distance with respect to each text's accumulators,
            which may differ from text to text (each leaves its own text out).
        within: only the terms whose accumulators stand here among the A, such as one statistic's.
    """
    dtype = law.expected.dtype
    derivative = derivative.to(dtype)
    total = torch.zeros(texts.rows, dtype=dtype, device=texts.tokens.device)
    chosen = range(*within.indices(derivative.shape[1]))
    for number, term in enumerate(layout.terms):
        if layout.part[number].start not in chosen:
            continue
        part = derivative[:, layout.part[number]]
        if isinstance(term, Counts):
            total = total.index_add(0, term.row, part[texts.text[term.row], term.slot])
        elif isinstance(term, Placed):
            gain = part[texts.text, term.slot.clamp(min=0)] * (term.slot >= 0)
            total = total + gain * law.expected[:, layout.column[number].start]
        elif isinstance(term, Sketch):
            gain = part[texts.text] * term.prefix.to(dtype)
            total = total + (gain * law.expected[:, layout.column[number]]).sum(1)
        elif isinstance(term, Marginal):
            total = total + term.mask.to(dtype) * law.witnessed[:, layout.marginal[number]]
        elif isinstance(term, Pairs):
            gain = part[texts.text[term.row], 0] * law.paired[layout.pair[number]]
            total = total.index_add(0, term.row, gain)
        elif isinstance(term, Prefix):
            if law.hidden is not None:
                total = total + (part[texts.text] * _prefix_features(term, law.hidden).to(dtype)).sum(1)
        else:
            total = total + part[texts.text, 0] * law.entropy
    return total


@torch.no_grad()
def _prefix_features(term: Prefix, hidden: Tensor) -> Tensor:
    wide = hidden if hidden.dtype == torch.float64 else hidden.float()
    with torch.autocast(
        hidden.device.type, enabled=False
    ):  # in bfloat16 kernels lose the digits that tell samples apart
        return term.features(wide)
