"""Lengths in words and places of marks, by the definitions of `dft_plugin.vocabulary`, read from characters."""

from __future__ import annotations

import re
from functools import cache

from dft_plugin.vocabulary import HAN_OR_KANA, PATTERNS


@cache
def _word() -> re.Pattern[str]:
    # The vocabulary's class of Han and kana also holds brackets and marks, which begin no word.
    ranges: list[list[int]] = []
    for code in (*range(0x3005, 0x10000), *range(0x1B000, 0x1B170), *range(0x20000, 0x40000)):
        if chr(code).isalnum() and HAN_OR_KANA.match(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    ideographs = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return re.compile(rf"[{ideographs}]|[^\W_][^\s{ideographs}]*")


def word_starts(text: str) -> list[int]:
    """Where words begin: a word is a chunk between white space, from its first letter or digit on, and each Han
    or kana character is one."""
    return [match.start() for match in _word().finditer(text)]


def marks(text: str, kind: str) -> list[int]:
    """Where marks of a kind stand: "sentence_end", "newline" or one of `vocabulary.MARKS`."""
    return [match.start() for match in PATTERNS[kind].finditer(text)]
