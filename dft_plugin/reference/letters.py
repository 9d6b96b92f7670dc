"""Rare words as a Markov chain of letters, learned from sequences that stand in many documents.

Words that only a few documents use may be names, and are not stored. Their tokens still make up a tenth of a text's,
so something must stand for them: pseudo-words of the same letter sequences, whose tokens are nearly the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dft_plugin.reference.pieces import AFTER, BEFORE
from dft_plugin.written import Integers

ORDER = 4
"""Letters a next letter depends on; sequences are one longer."""
LONGEST = 24
"""Letters of the longest pseudo-word."""


@dataclass(frozen=True)
class LetterChain:
    """P(next | letters before) = count(letters before, next) / count(letters before) over the longest sequence that
    is stored; what is missing to 1, the mass of the sequences that are not, goes to the next shorter one.

    Attributes:
        sequences: of 1 to ORDER + 1 characters of pieces, sorted; with each all of its parts.
        count: (S,) occurrences.
        words: occurrences of the words that the chain stands for.
    """

    sequences: tuple[str, ...]
    count: Integers
    words: int

    @classmethod
    def of(cls, documents: Sequence[Mapping[str, int]], least: int) -> LetterChain:
        """Counts the letter sequences of each document's rare pieces, with how often each stands there; keeps those
        of at least `least` documents."""
        count: Counter[str] = Counter()
        spread: Counter[str] = Counter()
        cut: dict[str, list[str]] = {}
        for pieces in documents:
            seen: set[str] = set()
            for piece, times in pieces.items():
                sequences = cut.get(piece) or cut.setdefault(piece, _sequences(piece))
                for sequence in sequences:
                    count[sequence] += times
                seen.update(sequences)
            spread.update(seen)
        kept = sorted(sequence for sequence, documents_with in spread.items() if documents_with >= least)
        words = sum(sum(pieces.values()) for pieces in documents)
        return cls(tuple(kept), np.array([count[sequence] for sequence in kept], dtype=np.int64), words)

    def sample(self, size: int, seed: int = 0) -> dict[str, float]:
        """Pseudo-words as pieces, each with the number of occurrences it stands for; `words` in all."""
        starts = [number for number, sequence in enumerate(self.sequences) if sequence in BEFORE]
        if not starts or not self.words:
            return {}
        random = np.random.default_rng(seed)
        share = self.count[starts] / self.count[starts].sum()
        state = np.array(starts)[random.choice(len(starts), size, p=share)]
        letters = np.zeros((size, LONGEST + 2), dtype=np.uint32)
        letters[:, 0] = self._graph.last[state]
        active = np.arange(size)
        for place in range(1, LONGEST + 2):
            child = self._graph.next(state[active], random)
            active, child = active[child >= 0], child[child >= 0]
            letters[active, place] = self._graph.last[child]
            state[active] = self._graph.context[child]
            active = active[~self._graph.final[child]]
        whole = np.setdiff1d(np.arange(size), active)
        words = Counter(letters[whole].view(f"<U{LONGEST + 2}")[:, 0].tolist())
        good = {word: times for word, times in words.items() if len(word) > 2 and word[-1] in AFTER}
        scale = self.words / max(1, sum(good.values()))
        return {word: times * scale for word, times in good.items()}

    @cached_property
    def _graph(self) -> _Graph:
        return _Graph.of(self)


@dataclass(frozen=True)
class _Graph:
    """The chain as arrays over its sequences; the empty one stands at the end.

    Attributes:
        last: code point of each sequence's last letter.
        final: whether that ends a word.
        context: the sequence to go on from: itself, or without its first letter where it is of full length.
        shorter: without its first letter; -1 for the empty one.
        first_child, children: where its continuations stand in `child`.
        child: sequences by the sequence before their last letter.
        cumulative: (C + 1,) counts of `child`, summed up.
        share: the part of a sequence's occurrences that its continuations make up.
    """

    last: Integers
    final: np.ndarray
    context: Integers
    shorter: Integers
    first_child: Integers
    children: Integers
    child: Integers
    cumulative: Integers
    share: np.ndarray

    @classmethod
    def of(cls, chain: LetterChain) -> _Graph:
        sequences = chain.sequences
        number = {sequence: index for index, sequence in enumerate(sequences)} | {"": len(sequences)}
        shorter = np.array([number[sequence[1:]] for sequence in sequences] + [-1])
        full = np.array([len(sequence) > ORDER for sequence in sequences] + [False])
        context = np.where(full, shorter, np.arange(len(sequences) + 1))
        # A word's beginning continues nothing.
        inner = np.array([index for index, sequence in enumerate(sequences) if sequence not in BEFORE], dtype=np.int64)
        parent = np.array([number[sequences[index][:-1]] for index in inner], dtype=np.int64)
        order = np.argsort(parent, kind="stable")
        child, parent = inner[order], parent[order]
        first = np.searchsorted(parent, np.arange(len(sequences) + 1))
        children = np.searchsorted(parent, np.arange(len(sequences) + 1), side="right") - first
        cumulative = np.concatenate([[0], np.cumsum(chain.count[child])])
        own = cumulative[first + children] - cumulative[first]
        occurrences = np.append(chain.count, own[-1])
        final = np.array([len(sequence) > 1 and sequence[-1] in AFTER for sequence in sequences] + [False])
        last = np.array([ord(sequence[-1]) for sequence in sequences] + [0])
        return cls(last, final, context, shorter, first, children, child, cumulative, own / np.maximum(occurrences, 1))

    def next(self, state: Integers, random: np.random.Generator) -> Integers:
        """A continuation of each state; -1 where there is none."""
        state, chosen = state.copy(), np.full(len(state), -1)
        waiting = np.arange(len(state))
        while len(waiting):
            here = state[waiting]
            at = waiting[random.random(len(waiting)) < self.share[here]]
            low = self.cumulative[self.first_child[state[at]]]
            high = self.cumulative[self.first_child[state[at]] + self.children[state[at]]]
            drawn = low + (random.random(len(at)) * (high - low)).astype(np.int64)
            chosen[at] = self.child[np.searchsorted(self.cumulative, drawn, side="right") - 1]
            waiting = waiting[chosen[waiting] < 0]
            state[waiting] = self.shorter[state[waiting]]
            waiting = waiting[state[waiting] >= 0]
        return chosen


def _sequences(piece: str) -> list[str]:
    return [
        piece[max(0, end - length) : end]
        for end in range(1, len(piece) + 1)
        for length in range(1, min(ORDER + 1, end) + 1)
    ]
