"""The words and phrases of a domain as a reader would list them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dft_plugin.reference.arrays import Integers
from dft_plugin.reference.hidden_words import HiddenWords
from dft_plugin.reference.piece_runs import PieceRuns
from dft_plugin.reference.pieces import GLUED, core

if TYPE_CHECKING:
    from dft_plugin.reference.domain import Domain

LONGEST = 4
"""Words of a phrase, and pieces of a stored run."""


class DomainWords:
    """Case-folded words and phrases, from pieces and runs of pieces; the same accessors as `WordCounts`, and the same
    words, those of `word_scan`: a piece may hold several ("U.S.").

    Spellings of a phrase (capitals, marks around it) are added up. In how many documents one of them stands is
    estimated as if they fell on documents independently: D (1 - prod_i (1 - d_i / D)).
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._listed: dict[int, Mapping[str, tuple[int, int]]] = {}
        self.total = int(domain.metadata["words"])
        self.documents = int(domain.metadata["documents"])

    def phrases(self, n: int) -> Mapping[str, tuple[int, int]]:
        """Phrases of n words, n = 1 to 4, most frequent first: (count, documents it occurs in); those stored.

        Raises:
            ValueError: when n is not 1 to 4.
        """
        if not 1 <= n <= LONGEST:
            raise ValueError(f"phrases of {n} words are not counted, only of 1 to {LONGEST}")
        if n not in self._listed:
            self._listed[n] = self._counted(n)
        return self._listed[n]

    def between(self, wanted: Sequence[str], n: int) -> tuple[Integers, Integers]:
        """The fewest and the most occurrences, (P,) each, of any phrases of n words, case-folded.

        The fewest are those listed. What is not listed may be as frequent as the rarest that is; any may stand in
        chunks that are stored in fragments besides (`hidden_words`).
        """
        listed = self.phrases(n)
        rarest = min((count for count, _ in listed.values()), default=0)
        bound = rarest if self._domain.metadata["least_documents"] else 0
        low = np.array([listed.get(phrase, (0, 0))[0] for phrase in wanted], dtype=np.int64)
        hidden = [
            self._hidden.in_fragments(phrase) if n == 1 else self._hidden.in_phrases(phrase.split(" "))
            for phrase in wanted
        ]
        more = [max(unseen, 0 if phrase in listed else bound) for phrase, unseen in zip(wanted, hidden, strict=True)]
        return low, low + np.rint(more).astype(np.int64)

    def openings(self) -> Mapping[str, int]:
        """First words of sentences, most frequent first: count."""
        pieces = self._pieces
        first = np.flatnonzero(np.diff(pieces.scanned.document, prepend=-1))
        counts = self._domain.pieces.starts[pieces.scanned.document[first]].tolist()
        found: dict[str, int] = {}
        for word, count in zip(pieces.scanned.phrases(first), counts, strict=True):
            if count:
                found[word] = found.get(word, 0) + count
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _counted(self, n: int) -> Mapping[str, tuple[int, int]]:
        found: dict[str, tuple[int, float]] = {}
        for runs in [self._whole] if n == 1 else [self._whole, *self._runs]:
            at = np.arange(len(runs.opens)) if n == 1 else runs.phrases(n)
            counts, documents = (of[runs.scanned.document[at]].tolist() for of in (runs.count, runs.documents))
            for phrase, count, spread in zip(runs.scanned.phrases(at, n), counts, documents, strict=True):
                if count:
                    before, without = found.get(phrase, (0, 1.0))
                    found[phrase] = (before + count, without * (1 - spread / self.documents))
        whole = {
            phrase: (count, min(count, max(1, round(self.documents * (1 - without)))))
            for phrase, (count, without) in found.items()
        }
        return dict(sorted(whole.items(), key=lambda item: (-item[1][0], item[0])))

    @cached_property
    def _pieces(self) -> PieceRuns:
        """The stored pieces, each by itself."""
        pieces = self._domain.pieces
        return PieceRuns.of(pieces.names, np.arange(len(pieces.names))[:, None], pieces.count, pieces.documents)

    @cached_property
    def _whole(self) -> PieceRuns:
        """The same where they are chunks of the text and no fragments. Pieces of the same characters stand in the same
        documents: only one of them tells in how many."""
        pieces = self._domain.pieces
        count = pieces.count - pieces.parts
        at = np.flatnonzero(count)
        _, first = np.unique([core(pieces.names[piece]) for piece in at.tolist()], return_index=True)
        documents = np.zeros_like(count)
        documents[at[first]] = pieces.documents[at[first]]
        return replace(self._pieces, count=count, documents=documents)

    @cached_property
    def _runs(self) -> list[PieceRuns]:
        """The stored runs of 2 pieces or more, but those where a word may be cut: with fragments inside, or at the end
        what is mostly a fragment."""
        pieces = self._domain.pieces
        glued = np.array([name[0] == GLUED for name in pieces.names], dtype=bool)
        mostly = 2 * pieces.parts > pieces.count
        found = []
        for stored in self._domain.phrases.values():
            kept = np.flatnonzero(~glued[stored.pieces].any(1) & ~mostly[stored.pieces[:, -1]])
            found.append(PieceRuns.of(pieces.names, stored.pieces[kept], stored.count[kept], stored.documents[kept]))
        return found

    @cached_property
    def _hidden(self) -> HiddenWords:
        return HiddenWords(self._whole, replace(self._pieces, count=self._domain.pieces.parts))
