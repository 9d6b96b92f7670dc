"""Words of plain text and where sentences open, for whole batches of documents at once, in numpy.

A word is a run of letters, digits and combining marks, with apostrophes and hyphens inside it ("don't",
"well-known"); a Han, Hiragana or Katakana character is a word of its own. Words are compared case-folded, with
curly apostrophes made straight, and by their first `LONGEST` characters. A regular expression takes 200 ns a word
to find them; this takes a third of it, hash included.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dft_plugin.reference.arrays import Hashes, Integers
from dft_plugin.vocabulary import HAN_OR_KANA

LONGEST = 64
"""Characters of a word that count: what is longer is no word, and names stay bounded."""

OTHER, LETTER, IDEOGRAPH, JOINER, STOP, FULL_WIDTH_STOP, SPACE, CLOSER = range(8)
_JOINERS = "'\u2010\u2011-"
_STOPS = ".!?…؟۔।॥։።"
_FULL_WIDTH_STOPS = "。！？．｡"
_CLOSERS = "\"'”’»)]}」』）"
_LAST_WITH_LETTERS = 0x20000  # above it are ideographs, and selectors of their variants, which are no letters
_BLOCK = 1 << 16
_BASE = np.uint64(0x9FB21C651E98DF25)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


def mixed(values: Hashes) -> Hashes:
    """The finalizer of MurmurHash3 (Appleby 2011): a permutation of 64-bit words without visible structure."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


@cache
def _tables() -> tuple[Integers, npt.NDArray[np.uint8]]:
    """Code point -> what it is compared as, and what kind of character that is."""
    folded = np.arange(0x110000)
    kind = np.full(0x110000, OTHER, dtype=np.uint8)
    kind[_LAST_WITH_LETTERS:0x40000] = IDEOGRAPH
    for code in range(_LAST_WITH_LETTERS):
        character = chr(code)
        if character.isalnum():
            kind[code] = IDEOGRAPH if HAN_OR_KANA.match(character) else LETTER
            if len(character.casefold()) == 1:
                folded[code] = ord(character.casefold())
        elif character.isspace():
            kind[code] = SPACE
        elif unicodedata.category(character) in ("Mn", "Mc") and not 0xFE00 <= code <= 0xFE0F:
            kind[code] = LETTER  # a vowel sign or an accent; variation selectors belong to emoji
    for characters, what in (
        (_CLOSERS, CLOSER),
        (_JOINERS, JOINER),
        (_STOPS, STOP),
        (_FULL_WIDTH_STOPS, FULL_WIDTH_STOP),
    ):
        kind[[ord(character) for character in characters]] = what
    folded[ord("’")] = ord("'")
    return folded, kind


@cache
def _powers() -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse modulo 2^64, for one block and the word that ends after it."""
    size = _BLOCK + LONGEST + 1
    bases = (np.full(size, base, dtype=np.uint64) for base in (_BASE, _INVERSE))
    power, inverse = (np.concatenate([np.ones(1, dtype=np.uint64), np.cumprod(base)[:-1]]) for base in bases)
    return power, inverse


def _codes(text: str) -> Integers:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _hashes(codes: Integers, start: Integers, end: Integers) -> Hashes:
    """sum_j c_(start+j) B^j mod 2^64, by differences of a running sum, then mixed."""
    power, inverse = _powers()
    found = np.empty(len(start), dtype=np.uint64)
    borders = np.searchsorted(start, np.arange(0, len(codes) + _BLOCK, _BLOCK))
    for block, (low, high) in enumerate(pairwise(borders.tolist())):
        offset = block * _BLOCK
        part = codes[offset : offset + _BLOCK + LONGEST]
        running = np.zeros(len(part) + 1, dtype=np.uint64)
        np.cumsum(part.view(np.uint64) * power[: len(part)], out=running[1:])
        first, last = start[low:high] - offset, end[low:high] - offset
        found[low:high] = (running[last] - running[first]) * inverse[first]
    return mixed(found)


def hashes_of(names: Sequence[str]) -> list[Hashes]:
    """The hashes of the words of each phrase, as `scan` found them: for phrases of n words, n times (T,)."""
    if not names:
        return []
    codes = _codes("\n".join([*names, ""]))
    end = np.flatnonzero((codes == ord(" ")) | (codes == ord("\n")))
    start = np.concatenate([[0], end[:-1] + 1])
    return list(_hashes(codes, start, end).reshape(len(names), -1).T)


@dataclass(frozen=True)
class Scan:
    """The words of D documents, in order.

    Attributes:
        text: the documents, folded, one after the other.
        documents: D.
        start, end: (T,) where each word stands in `text`.
        hash: (T,) of the folded word.
        document: (T,) which document it is in, from 0.
        openings: (S,) indexes of the words that open a sentence: the first of a document, and the first after a
            stop (. ! ? and their like) that white space or a closing mark follows, or after a full-width stop.
    """

    text: str
    documents: int
    start: Integers
    end: Integers
    hash: Hashes
    document: Integers
    openings: Integers

    def phrases(self, indexes: Integers, n: int = 1) -> list[str]:
        """The n words from each of these indexes on, folded, a space between them."""
        text = self.text
        columns = [
            [text[a:b] for a, b in zip(self.start[at].tolist(), self.end[at].tolist(), strict=True)]
            for at in (indexes + word for word in range(n))
        ]
        return columns[0] if n == 1 else list(map(" ".join, zip(*columns, strict=True)))


def scan(texts: Sequence[str], size: int = 1 << 18) -> Scan:
    """Finds the words of documents, about `size` characters at a time: what fits a processor's cache."""
    parts: list[Scan] = []
    batch: list[str] = []
    waiting = 0
    for number, text in enumerate(texts):
        batch.append(text)
        waiting += len(text)
        if waiting >= size or number == len(texts) - 1:
            parts.append(_scan(batch))
            batch, waiting = [], 0
    return _scan([]) if not parts else parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[Scan]) -> Scan:
    characters = np.cumsum([0] + [len(part.text) for part in parts]).tolist()
    words = np.cumsum([0] + [len(part.start) for part in parts]).tolist()
    documents = np.cumsum([0] + [part.documents for part in parts]).tolist()
    return Scan(
        "".join(part.text for part in parts),
        documents[-1],
        np.concatenate([part.start + offset for part, offset in zip(parts, characters, strict=False)]),
        np.concatenate([part.end + offset for part, offset in zip(parts, characters, strict=False)]),
        np.concatenate([part.hash for part in parts]),
        np.concatenate([part.document + offset for part, offset in zip(parts, documents, strict=False)]),
        np.concatenate([part.openings + offset for part, offset in zip(parts, words, strict=False)]),
    )


def _scan(texts: Sequence[str]) -> Scan:
    fold, kind_of = _tables()
    joined = "".join(text + "\n" for text in texts)
    codes = fold[_codes(joined)]
    kind = kind_of[codes]
    letter, single = kind == LETTER, kind == IDEOGRAPH
    inside = letter.copy()
    inside[1:-1] |= (kind[1:-1] == JOINER) & letter[:-2] & letter[2:]
    first, last = inside | single, inside | single
    continued = inside[:-1] & inside[1:]
    first[1:] &= ~continued
    last[:-1] &= ~continued
    start, end = np.flatnonzero(first), np.flatnonzero(last) + 1
    end = np.minimum(end, start + LONGEST)
    borders = np.cumsum([0] + [len(text) + 1 for text in texts])
    document = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(start, borders)))

    stops = np.flatnonzero(kind == STOP)
    follows = kind[np.minimum(stops + 1, len(kind) - 1)]
    stops = stops[(follows == SPACE) | (follows == CLOSER)]
    opens = np.zeros(len(start) + 1, dtype=bool)
    for before in (borders[:-1] - 1, stops, np.flatnonzero(kind == FULL_WIDTH_STOP)):
        opens[np.searchsorted(start, before)] = True
    text = codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return Scan(text, len(texts), start, end, _hashes(codes, start, end), document, np.flatnonzero(opens[:-1]))
