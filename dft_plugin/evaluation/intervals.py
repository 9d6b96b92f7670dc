"""Words between marks: sentence length and punctuation rhythm as Kaplan-Meier laws, from characters."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import numpy as np
import torch

from dft_plugin.evaluation.pool import Floats, Pool
from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.words import marks, word_starts
from dft_plugin.statistics.intervals import kaplan_meier


def interval_rows(pool: Pool, kind: str, longest: int) -> Floats:
    """(T, 2, longest): per text, intervals that end at w words, and intervals at risk of it, w = 1 to longest.

    An interval is the words between two marks of a kind with words between them. The one under way where a text
    ends is at risk up to there (censoring); one that began in a prompt, at an unknown place, is left out.
    """
    rows = np.zeros((len(pool), 2, longest))
    for row, (text, clipped, starts) in enumerate(zip(pool.texts, pool.clipped, pool.word_starts, strict=True)):
        ends = marked_words(starts, marks(clipped, kind))
        borders = [0, *ends] if starts_afresh(text, kind) else ends
        for begin, end in itertools.pairwise(borders):
            rows[row, 0, end - begin - 1 : end - begin] += 1
            rows[row, 1, : end - begin] += 1
        # A text that was cut goes on with another word: its last age, too, was passed without a mark.
        if borders:
            rows[row, 1, : max(0, len(starts) - borders[-1] - (not pool.cut[row]))] += 1
    return rows


def marked_words(starts: Sequence[int], places: Sequence[int]) -> list[int]:
    """How many words come before each mark, marks without a word since the last one left out."""
    before = sorted({bisect.bisect_left(starts, place) for place in places})
    return before[1:] if before and before[0] == 0 else before


def starts_afresh(text: Text, kind: str) -> bool:
    """Whether an interval begins where the text does: it answers a chat, follows no prompt, or one that ends with
    the mark."""
    if text.messages is not None or text.prompt is None or not text.prompt.strip():
        return True
    last = marks(text.prompt, kind)
    return bool(last) and not word_starts(text.prompt[last[-1] :])


def law(rows: Floats) -> Floats:
    """(..., 2, longest) sums to the law (..., longest + 1); the last entry is the mass beyond."""
    both = torch.from_numpy(rows)
    return kaplan_meier(both[..., 0, :], both[..., 1, :]).numpy()
