"""The words and phrases of a domain as a reader would list them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dft_plugin.reference.pieces import GLUED, core
from dft_plugin.written import Integers

if TYPE_CHECKING:
    from dft_plugin.reference.domain import Domain

# As in `word_scan`: letters and digits with apostrophes and hyphens inside.
_WORD = re.compile(r"[^\W_]+(?:['\u2019\u2010\u2011-][^\W_]+)*")


class DomainWords:
    """Case-folded words and phrases, from pieces and runs of pieces; the same accessors as `WordCounts`.

    Spellings of a phrase (capitals, marks around it) are added up. In how many documents one of them stands is
    estimated as if they fell on documents independently: D (1 - prod_i (1 - d_i / D)).
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.total = int(domain.metadata["words"])
        self.documents = int(domain.metadata["documents"])

    def phrases(self, n: int) -> Mapping[str, tuple[int, int]]:
        """Phrases of n words, n = 1 to 4, most frequent first: (count, documents it occurs in); those stored.

        Raises:
            ValueError: when n is not 1 to 4.
        """
        if not 1 <= n <= 4:
            raise ValueError(f"phrases of {n} words are not counted, only of 1 to 4")
        pieces = self._domain.pieces
        rows = [(np.arange(len(pieces.names))[:, None], pieces.count - pieces.parts, pieces.documents)]
        if n > 1:
            rows = [(p.pieces, p.count, p.documents) for length, p in self._domain.phrases.items() if length == n]
        found: dict[str, tuple[int, float]] = {}
        for members, counts, documents in rows:
            for row, count, spread in zip(members.tolist(), counts.tolist(), documents.tolist(), strict=True):
                words = [word for piece in row for word in self._words[piece]]
                if len(words) != n or not count or (n > 1 and any(self._glued[piece] for piece in row)):
                    continue
                before, without = found.get(" ".join(words), (0, 1.0))
                found[" ".join(words)] = (before + count, without * (1 - spread / self.documents))
        whole = {
            phrase: (count, min(count, max(1, round(self.documents * (1 - without)))))
            for phrase, (count, without) in found.items()
        }
        return dict(sorted(whole.items(), key=lambda item: (-item[1][0], item[0])))

    def openings(self) -> Mapping[str, int]:
        """First words of sentences, most frequent first: count."""
        found: dict[str, int] = {}
        for words, count in zip(self._words, self._starts.tolist(), strict=True):
            if words and count:
                found[words[0]] = found.get(words[0], 0) + count
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def _starts(self) -> Integers:
        return self._domain.pieces.starts

    @cached_property
    def _words(self) -> list[list[str]]:
        return [
            [word.casefold().replace("\u2019", "'") for word in _WORD.findall(core(name))]
            for name in self._domain.pieces.names
        ]

    @cached_property
    def _glued(self) -> list[bool]:
        return [name[0] == GLUED for name in self._domain.pieces.names]
