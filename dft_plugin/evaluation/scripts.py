"""Which writing systems a text uses."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import numpy as np

from dft_plugin.evaluation.pool import Pool, View
from dft_plugin.evaluation.specification import Figures, Specification
from dft_plugin.reference.scripts import script_word

_TOGETHER = {
    "CJK": "Han and kana",
    "HIRAGANA": "Han and kana",
    "KATAKANA": "Han and kana",
    "IDEOGRAPHIC": "Han and kana",
}
_NO_SCRIPT = frozenset({"MATHEMATICAL", "MODIFIER", "DOUBLE-STRUCK", "SCRIPT", "FEMININE", "MASCULINE", "MICRO"})


@cache
def script_of(character: str) -> str | None:
    """The script of a letter, from the first word of its Unicode name; None for other characters."""
    if not character.isalpha():
        return None
    first = script_word(character)
    if first in _NO_SCRIPT:
        return None
    return _TOGETHER.get(first, first.capitalize())


def scripts(text: str) -> Counter[str]:
    """Letters of each script."""
    found: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if script := script_of(character):
            found[script] += count
    return found


def other_scripts(pool: Pool) -> Figures:
    """Share of letters in scripts other than the one most human letters are in."""
    counted = [scripts(text) for text in pool.clipped]
    human: Counter[str] = sum((counted[i] for i in pool.human), Counter())
    (main, _), *_ = human.most_common(1) or [("Latin", 0)]
    rows = np.array([[found.total() - found[main], found.total()] for found in counted], dtype=np.float64)

    def compute(view: View) -> dict[str, float]:
        others, letters = view.total(rows)
        return {"other scripts": float(100 * others / letters) if letters else math.nan}

    return Figures(
        {"other scripts": Specification("text", "letters of other scripts", f"letters not in {main}", unit="%")},
        compute,
    )
