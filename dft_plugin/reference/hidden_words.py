"""How often words may stand in a domain's texts without being listed: in fragments of rare chunks.

A chunk of text in too few documents is stored in fragments ("155,221" as "155", "," and "221"), of which nobody can
tell whether they are words of their own or parts of longer ones. A word stood in such chunks at most as often as the
rarest of its own fragments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dft_plugin.reference.piece_runs import PieceRuns
from dft_plugin.reference.pieces import PLAIN, SPACE, core, fragments


class HiddenWords:
    """What is known of words beside their counts.

    Args:
        whole: pieces, each a run by itself, counted where it is no fragment.
        parts: the same pieces, counted where each is one.
    """

    def __init__(self, whole: PieceRuns, parts: PieceRuns) -> None:
        words_of = np.bincount(whole.scanned.document, minlength=len(whole.count))
        alone = words_of[whole.scanned.document] == 1
        self._alone = _tallied(whole, alone)
        self._beside = _tallied(whole, ~alone)
        self._parts = _tallied(parts, np.ones(len(parts.opens), dtype=bool))

    def in_fragments(self, word: str) -> int:
        """The most occurrences of a word in chunks that are stored in fragments."""
        letters = ("".join(filter(str.isalnum, core(part))) for part in fragments(SPACE + word + PLAIN))
        return min((self._parts[part] for part in letters if part), default=0)

    def in_phrases(self, words: Sequence[str]) -> float:
        """About how many occurrences of a phrase no stored run shows.

        A word that stands beside others in a piece, or in a fragment, takes its phrases out of the runs of pieces
        that are frequent enough to be stored. The phrase is at most as frequent as its rarest word; of that many,
        the share in which any of its words stands so, as if words did independently.
        """
        unseen = np.array([self._beside[word] + self.in_fragments(word) for word in words])
        total = unseen + np.array([self._alone[word] for word in words])
        if not total.all():
            return 0.0
        return float(total.min() * (1 - np.prod(1 - unseen / total)))


def _tallied(runs: PieceRuns, of: np.ndarray) -> Counter[str]:
    at = np.flatnonzero(of)
    found = Counter[str]()
    for word, count in zip(runs.scanned.phrases(at), runs.count[runs.scanned.document[at]].tolist(), strict=True):
        found[word] += count
    return found
