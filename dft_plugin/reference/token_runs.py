"""n-grams of tokens from runs of pieces."""

from __future__ import annotations

import numpy as np

from dft_plugin.reference.domain import Domain
from dft_plugin.reference.piece_tokens import PieceTokens
from dft_plugin.written import Integers


def token_runs(domain: Domain, tokens: PieceTokens, n: int) -> tuple[Integers, Integers]:
    """The n-grams of tokens of a domain, as far as the runs of pieces they stand in are stored.

    An n-gram of tokens stands in one piece, or begins in the first and ends in the last of a run of up to n pieces:
    each is counted with exactly that run.

    Returns:
        (N, n) tokens, none twice, and (N,) occurrences.
    """
    runs, counts = [_inside(tokens, n)], [np.repeat(domain.pieces.count, np.maximum(tokens.lengths - n + 1, 0))]
    for phrases in domain.phrases.values():
        for found, of in _across(tokens, phrases.pieces, n):
            runs.append(found)
            counts.append(phrases.count[of])
    run, count = np.concatenate(runs), np.concatenate(counts)
    key = run[:, 0]
    for place in range(1, n):  # equal keys for equal n-grams, below 2^63 whatever the vocabulary
        key = np.unique(key, return_inverse=True)[1] * (int(run.max(initial=0)) + 1) + run[:, place]
    _, first, same = np.unique(key, return_index=True, return_inverse=True)
    return run[first], np.bincount(same, weights=count, minlength=len(first)).astype(np.int64)


def _inside(tokens: PieceTokens, n: int) -> Integers:
    """(N, n): the n-grams of each piece, in the order of the pieces."""
    last = np.repeat(tokens.start[1:], tokens.lengths) - n
    at = np.arange(len(tokens.tokens))
    return tokens.tokens[at[at <= last][:, None] + np.arange(n)]


def _across(tokens: PieceTokens, pieces: Integers, n: int) -> list[tuple[Integers, Integers]]:
    """n-grams that touch all pieces of each run (G, k): tokens (N, n) and the run (N,) of each."""
    if pieces.shape[1] > n:
        return []
    lengths = tokens.lengths[pieces]
    middle = lengths[:, 1:-1].sum(1)
    whole = (lengths > 0).all(1)
    found = []
    for head in range(1, n):  # tokens of the first piece
        tail = n - head - middle  # of the last one
        of = np.flatnonzero(whole & (lengths[:, 0] >= head) & (tail >= 1) & (lengths[:, -1] >= tail))
        row, column = np.divmod(np.arange(len(of) * n), n)
        ends = np.cumsum(lengths[of], axis=1) - (lengths[of, 0] - head)[:, None]
        member = (column[:, None] >= ends[row]).sum(1)
        begin = np.concatenate([np.zeros((len(of), 1), dtype=np.int64), ends[:, :-1]], axis=1)
        skipped = np.where(member == 0, lengths[of, 0][row] - head, 0)
        place = tokens.start[pieces[of[row], member]] + skipped + column - begin[row, member]
        found.append((tokens.tokens[place].reshape(-1, n), of))
    return found
