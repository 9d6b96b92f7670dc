"""What statistics may ask of the next-token law, and the law of a text already written."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dft_plugin.texts import Texts


@dataclass(frozen=True)
class Request:
    """Everything a batch's statistics need of the next-token laws p_n at its N rows, all linear in p_n.

    Attributes:
        table: (V, K) values given to candidate tokens; K may be 0.
        pair_row, pair_token: (P,) long, the probabilities to gather.
        marginal_mask: (M, N), the rows each of M per-text marginals sums over.
        witness: (M, B, V) or None. When given, the expectation of each text's own witness function is
            computed instead of the marginals.
    """

    table: Tensor
    pair_row: Tensor
    pair_token: Tensor
    marginal_mask: Tensor
    witness: Tensor | None = None

    def without_expectations(self) -> Request:
        """Of the same rows: entropy and log-probability alone, which every law has."""
        return Request(self.table[:, :0], self.pair_row[:0], self.pair_token[:0], self.marginal_mask[:0])


@dataclass(frozen=True)
class Law:
    """Expectations under the next-token laws p_n at N rows of B texts, in the law's floating dtype.

    Attributes:
        expected: (N, K) = sum_v p_n(v) table[v].
        entropy: (N,) in nats: -sum_v p_n(v) log p_n(v). For a text already written it is the surprisal
            of its tokens under a model, whose mean equals the mean entropy when the model is calibrated.
        log_probability: (N,) log p_n(drawn token), in nats.
        paired: (P,) = p_{pair_row}(pair_token).
        marginal: (M, B, V) = sum over the rows n of text b of marginal_mask[m, n] p_n(v); (M, B, 0) when
            witnesses were asked for.
        witnessed: (N, M) = sum_v p_n(v) witness[m, text of n, v]; (N, 0) without witnesses.
        hidden: (N, D) the hidden state each p_n is computed from, without gradient; None where no model has
            read the texts.
    """

    expected: Tensor
    entropy: Tensor
    log_probability: Tensor
    paired: Tensor
    marginal: Tensor
    witnessed: Tensor
    hidden: Tensor | None = None


@dataclass(frozen=True)
class Answer:
    """What a law says to one term: the parts that the term asked for.

    Attributes:
        law: at N rows of B texts.
        columns: which of the law's expectations are the term's.
        pairs: which of its gathered probabilities.
        number: which of its marginals.
    """

    law: Law
    columns: slice
    pairs: slice
    number: int

    @property
    def expected(self) -> Tensor:
        """(N, K)."""
        return self.law.expected[:, self.columns]

    @property
    def paired(self) -> Tensor:
        """(P,)."""
        return self.law.paired[self.pairs]

    @property
    def marginal(self) -> Tensor:
        """(B, V)."""
        return self.law.marginal[self.number]

    @property
    def witnessed(self) -> Tensor:
        """(N,)."""
        return self.law.witnessed[:, self.number]

    @property
    def entropy(self) -> Tensor:
        """(N,)."""
        return self.law.entropy

    @property
    def hidden(self) -> Tensor | None:
        """(N, D), or None where no model has read the texts."""
        return self.law.hidden

    @property
    def dtype(self) -> torch.dtype:
        """Of the law."""
        return self.law.expected.dtype

    def zeros(self, *size: int) -> Tensor:
        """Zeros in the law's dtype, on its device."""
        return self.law.expected.new_zeros(size)


def observed_law(texts: Texts, request: Request, surprisal: Tensor | None = None, hidden: Tensor | None = None) -> Law:
    """The law of texts already written: all the mass on the token that stands there.

    One definition of a statistic thus serves the human reference and the model.

    Args:
        texts: the texts.
        request: what is asked; without witness.
        surprisal: (N,) nats, -log p_n(x_n) under a model, where a statistic compares with it.
        hidden: (N, D), the hidden states of that model at the rows.
    """
    table = request.table
    drawn, count = texts.drawn, len(texts)
    masks = request.marginal_mask
    vocabulary_size = table.shape[0]
    marginal = table.new_zeros(masks.shape[0], count * vocabulary_size)
    cell = texts.text * vocabulary_size + drawn
    for index in range(masks.shape[0]):
        marginal[index].index_add_(0, cell, masks[index].to(table.dtype))
    zeros = table.new_zeros(texts.rows)
    return Law(
        expected=table[drawn],
        entropy=zeros if surprisal is None else surprisal.to(table.dtype),
        log_probability=zeros,
        paired=(drawn[request.pair_row] == request.pair_token).to(table.dtype),
        marginal=marginal.view(masks.shape[0], count, vocabulary_size),
        witnessed=torch.zeros(texts.rows, 0, dtype=table.dtype, device=table.device),
        hidden=hidden,
    )
