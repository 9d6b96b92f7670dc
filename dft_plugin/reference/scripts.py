"""Writing systems of a text by its token counts, and what the statistics do not know of them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

_BY_NAME = {
    "LATIN": "Latin",
    "CYRILLIC": "Cyrillic",
    "GREEK": "Greek",
    "ARABIC": "Arabic",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "Devanagari",
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "KATAKANA-HIRAGANA": "Kana",
    "HANGUL": "Hangul",
    "THAI": "Thai",
    "LAO": "Lao",
    "KHMER": "Khmer",
    "MYANMAR": "Myanmar",
}
SCRIPTS = (*dict.fromkeys(_BY_NAME.values()), "other")

NOTEWORTHY = 0.05
"""Share of the letters from which on a script is worth a note."""


def script_word(letter: str) -> str:
    """The first word of a letter's Unicode name, which in most names is its script; widths are no scripts."""
    return unicodedata.name(letter, "UNKNOWN").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()[0]


@cache
def script_of(character: str) -> str | None:
    """The script of a letter; None for other characters."""
    return _BY_NAME.get(script_word(character), "other") if character.isalpha() else None


def script_of_tokens(texts: Sequence[bytes | None]) -> np.ndarray:
    """(V, S) int32: letters of each of the `SCRIPTS` in each token.

    A letter split over tokens counts at the token with its first byte, as what most letters that begin so are.

    Args:
        texts: what each token stands for (`vocabulary.token_texts`); None for special tokens.
    """
    letters = np.zeros((len(texts), len(SCRIPTS)), dtype=np.int32)
    for token, raw in enumerate(texts):
        for script, count in Counter(_scripts(raw or b"")).items():
            letters[token, SCRIPTS.index(script)] = count
    return letters


def _scripts(raw: bytes) -> list[str]:
    """The scripts of the letters in a token's bytes."""
    found: list[str | None] = []
    while True:
        try:
            found += map(script_of, raw.decode())
            return [script for script in found if script]
        except UnicodeDecodeError as error:
            found += map(script_of, raw[: error.start].decode())
            found.append(_script_of_fragment(raw[error.start : error.end]))
            raw = raw[error.end :]


_LONE_LEADS = {b"\xe3": "Kana", b"\xea": "Hangul", b"\xf0": None}
"""First bytes under which Unicode has many rare characters and text has one script; 0xF0 is mostly emoji."""


@cache
def _script_of_fragment(fragment: bytes) -> str | None:
    """The script of most characters that begin with these bytes; None if most are no letters."""
    lead = fragment[0]
    if not 0xC2 <= lead <= 0xF4:  # a byte from the middle of a character: its first one is counted
        return None
    if fragment in _LONE_LEADS:
        return _LONE_LEADS[fragment]
    rest = b"\xa0" * ((2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) - len(fragment) - 1)
    could_be = "".join((fragment + bytes([byte]) + rest).decode(errors="ignore") for byte in range(0x80, 0xC0))
    assigned = [character for character in could_be if unicodedata.category(character) != "Cn"]
    letters = Counter(filter(None, map(script_of, assigned)))
    return letters.most_common(1)[0][0] if letters and 2 * letters.total() >= len(assigned) else None


def letters_by_script(counts: Any, letters: np.ndarray) -> dict[str, int]:
    """script -> how many letters of it a text has; those of two texts add up.

    Args:
        counts: (V',) how often each token occurs; the head may have more rows than there are tokens, or fewer.
        letters: (V, S) of `script_of_tokens`.
    """
    rows = min(len(counts), len(letters))
    totals = np.asarray(counts)[:rows].astype(np.int64) @ letters[:rows].astype(np.int64)
    return {script: int(total) for script, total in zip(SCRIPTS, totals, strict=True) if total}


def as_shares(by_script: Mapping[str, int]) -> dict[str, float]:
    """script -> share of the letters, largest first; empty if there are none."""
    total = sum(by_script.values())
    return {script: count / total for script, count in sorted(by_script.items(), key=lambda item: -item[1])}


_IN_WORDS = ("sentence_length", "punctuation_rhythm", "paragraph_length")
_OF_SENTENCES = ("sentence_length", "sentence_opening")
_CAVEATS: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (
        ("Thai", "Lao", "Khmer", "Myanmar"),
        _IN_WORDS,
        "written without spaces between words: a word in {statistics} is a chunk between spaces",
    ),
    (
        ("Thai", "Lao"),
        _OF_SENTENCES,
        "written without a mark at the end of sentences: a sentence in {statistics} ends only at marks taken from "
        "other scripts (. ! ?)",
    ),
    (
        ("Han", "Kana"),
        _IN_WORDS,
        "where each character counts as a word: the lengths of {statistics} are in characters",
    ),
    (
        ("Greek",),
        (*_OF_SENTENCES, "punctuation_rhythm"),
        'where a question ends with ";": {statistics} take that for a semicolon, and see no questions',
    ),
)


def notes(shares: Mapping[str, float], statistic_names: Sequence[str]) -> list[str]:
    """What to know of statistics on a text of these scripts, a sentence each.

    Args:
        shares: script -> share of the letters.
        statistic_names: the statistics that are used; others are not spoken of.
    """
    found = []
    for scripts, statistics, said in _CAVEATS:
        present = [script for script in scripts if shares.get(script)]
        share = sum(shares[script] for script in present)
        concerned = [name for name in statistics if name in statistic_names]
        if share > NOTEWORTHY and concerned:
            what = said.format(statistics=_listed(concerned))
            found.append(f"{100 * share:.0f} % of the letters are {_listed(present)}, {what}.")
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
