"""Text as pieces: what stands between white space, and the fragments that rare such chunks are cut into.

No family of tokenizers merges across white space, but for line breaks that join the mark before them. So the tokens
of a chunk depend on nothing but the chunk and the white space around it: counts of chunks give the counts of tokens
under any vocabulary. A piece is written as a string of one character that says what comes before, the characters of
the text, and one that says what comes after: " word" + PLAIN, AFTER_BREAK + "The" + PLAIN, " end." + BLANK_LINE,
GLUED + "-known" + PLAIN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SPACE, GLUED, START, AFTER_BREAK = BEFORE = " \x01\x02\x03"
PLAIN, LINE_BREAK, BLANK_LINE, END = AFTER = "\x04\x05\x06\x07"
"""PLAIN: a space or another fragment; neither changes a piece's tokens."""

_CONTROL = dict.fromkeys([*range(0x09), *range(0x0E, 0x1C), 0x7F])
_CHUNK = re.compile(r"(\S+)(\s*)")
# As Llama's and Qwen's pre-tokenizers cut: letters take one mark before them along, digits stand in threes.
_FRAGMENT = re.compile(r"[^\w\s]?[^\W\d_]+|\d{1,3}|[^\w\s]+|.", re.DOTALL)
_MARKED_WORD = re.compile(r"([^\w\s])([^\W\d_]+)")
_CLOSING = re.compile("[.!?…。！？؟।]['\"’”)\\]]*$")
# Kept out of what is stored however frequent: mail addresses, telephone and account numbers.
PERSONAL = re.compile(r"@.*\.|\d{5}|(?:\d\D?){7}")


def chunks(text: str) -> Iterator[str]:
    """The pieces of a text, none cut. Control characters are dropped; white space counts as a space, a line break or
    a blank line."""
    before = START
    for match in _CHUNK.finditer(text.translate(_CONTROL).strip()):
        chunk, space = match.groups()
        breaks = space.count("\n")
        after = (PLAIN if space else END) if breaks == 0 else LINE_BREAK if breaks == 1 else BLANK_LINE
        yield before + chunk + after
        before = SPACE if breaks == 0 else AFTER_BREAK


def core(piece: str) -> str:
    """The characters of the text."""
    return piece[1:-1]


def fragments(piece: str) -> list[str]:
    """The pieces that a chunk is cut into: letters with the mark before them, up to three digits, marks."""
    cut = _FRAGMENT.findall(core(piece))
    return _joined(piece, cut)


def without_mark(piece: str) -> list[str]:
    """A fragment's mark and its letters apart; the fragment itself where it is not one of both."""
    found = _MARKED_WORD.fullmatch(core(piece))
    return [piece] if found is None else _joined(piece, [found[1], found[2]])


def cut(piece: str, known: Callable[[str], bool]) -> list[str]:
    """The piece itself where its characters are known; else its fragments, those unknown without their mark."""
    if known(core(piece)):
        return [piece]
    parts: list[str] = []
    for fragment in fragments(piece):
        parts += [fragment] if known(core(fragment)) else without_mark(fragment)
    return parts


def closes_sentence(piece: str) -> bool:
    """Whether a sentence ends with the piece, in a reader's sense: the next piece starts one."""
    return piece[-1] in (BLANK_LINE, END) or _CLOSING.search(core(piece)) is not None


def written(piece: str) -> str:
    """The piece as it stands in a text, with the space before it and the line breaks after."""
    before = SPACE if piece[0] == SPACE else ""
    return before + core(piece) + {LINE_BREAK: "\n", BLANK_LINE: "\n\n"}.get(piece[-1], "")


def _joined(piece: str, cores: list[str]) -> list[str]:
    before = [piece[0]] + [GLUED] * (len(cores) - 1)
    after = [PLAIN] * (len(cores) - 1) + [piece[-1]]
    return [b + text + a for b, text, a in zip(before, cores, after, strict=True)]
