"""Terms of all statistics side by side: one request for them, and each one's part of the law that answers it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.law import Answer, Law, Request, observed_law
from dft_plugin.terms import Term
from dft_plugin.texts import Texts


@dataclass(frozen=True)
class Layout:
    """Where each of a list of terms finds its part of a `Request`, of the `Law` that answers it and of the A
    accumulators."""

    terms: tuple[Term, ...]
    column: tuple[slice, ...]
    pair: tuple[slice, ...]
    marginal: tuple[slice, ...]
    part: tuple[slice, ...]

    def answer(self, number: int, law: Law) -> Answer:
        """What a law says to one of the terms."""
        return Answer(law, self.column[number], self.pair[number], self.marginal[number].start)


class TableCache:
    """Concatenates the terms' tables into (V, K) once, not at every step; tables keep their identity.

    One that is changed in place is read again, as one that is replaced.
    """

    def __init__(self) -> None:
        self._tables: tuple[Tensor, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._joined: Tensor | None = None

    def joined(self, tables: Sequence[Tensor], vocabulary_size: int, device: torch.device) -> Tensor:
        versions = tuple(table._version for table in tables)
        same = versions == self._versions and all(new is old for new, old in zip(tables, self._tables, strict=True))
        if self._joined is None or not same or self._joined.device != device:
            columns = [table.reshape(vocabulary_size, -1).float() for table in tables]
            empty = torch.zeros(vocabulary_size, 0, device=device)
            self._tables, self._versions = tuple(tables), versions
            self._joined = torch.cat([empty, *columns], dim=1)
        return self._joined


def lay_out(terms: Sequence[Term], texts: Texts, vocabulary_size: int, cache: TableCache) -> tuple[Request, Layout]:
    """Collects what all terms need into one `Request`, so that one pass over the vocabulary serves all.

    Args:
        terms: the terms of all statistics, on these texts.
        texts: B texts with N rows.
        vocabulary_size: V.
        cache: keeps the joined table between steps.
    """
    device = texts.tokens.device
    none = torch.zeros(0, dtype=torch.long, device=device)
    columns = [term.columns for term in terms]
    tables = list({id(table): table for table in columns if table is not None}.values())  # terms may share a table
    place = dict(zip(map(id, tables), side_by_side(table[0].numel() for table in tables), strict=True))
    pairs = [(none, none) if term.pairs is None else term.pairs for term in terms]
    masks = [term.summed_rows for term in terms]
    summed = [mask for mask in masks if mask is not None]
    asked = Request(
        table=cache.joined(tables, vocabulary_size, device),
        pair_row=torch.cat([none, *(row for row, _ in pairs)]),
        pair_token=torch.cat([none, *(token for _, token in pairs)]),
        marginal_mask=torch.stack(summed) if summed else torch.zeros(0, texts.rows, device=device),
    )
    layout = Layout(
        tuple(terms),
        tuple(slice(0, 0) if table is None else place[id(table)] for table in columns),
        side_by_side(len(row) for row, _ in pairs),
        side_by_side(mask is not None for mask in masks),
        side_by_side(term.size for term in terms),
    )
    return asked, layout


def side_by_side(lengths: Iterable[int]) -> tuple[slice, ...]:
    """Where pieces of these lengths lie, one after the other."""
    found, start = [], 0
    for length in lengths:
        found.append(slice(start, start + length))
        start += length
    return tuple(found)


def accumulate(law: Law, layout: Layout, texts: Texts) -> Tensor:
    """The accumulators of each text, all terms side by side: (B, A), in the law's dtype."""
    parts = [term.accumulate(layout.answer(number, law), texts) for number, term in enumerate(layout.terms)]
    return torch.cat(parts, dim=1)


def accumulate_written(terms: Sequence[Term], texts: Texts, vocabulary_size: int, cache: TableCache) -> Tensor:
    """The accumulators of texts already written, all terms side by side: (B, A) float64."""
    request, layout = lay_out(terms, texts, vocabulary_size, cache)
    return accumulate(observed_law(texts, request), layout, texts).double()


def witnesses(layout: Layout, derivative: Tensor) -> Tensor:
    """The parts of a derivative (B, A) that belong to marginals, as (M, B, V), for `Request.witness`."""
    parts = [
        derivative[:, part]
        for term, part in zip(layout.terms, layout.part, strict=True)
        if term.summed_rows is not None
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
    derivative = derivative.to(law.expected.dtype)
    total = law.expected.new_zeros(texts.rows)
    chosen = range(*within.indices(derivative.shape[1]))
    for number, (term, part) in enumerate(zip(layout.terms, layout.part, strict=True)):
        if part.start in chosen:
            total = total + term.rewards(layout.answer(number, law), texts, derivative[:, part])
    return total
