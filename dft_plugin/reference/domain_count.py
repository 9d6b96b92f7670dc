"""From human texts to a domain: everything that can be counted without a tokenizer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dft_plugin.reference.domain import Domain, Openings, Phrases, PieceCounts
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.letters import LetterChain
from dft_plugin.reference.marks import KINDS, MarkedText
from dft_plugin.reference.pieces import PERSONAL, chunks, closes_sentence, core, cut, fragments, without_mark
from dft_plugin.reference.repetition import Repetition
from dft_plugin.written import Booleans, Integers, expand

CLASSES = 8
"""Classes of documents' lengths to each doubling."""
LEAST_DOCUMENTS = 5


def count_domain(
    texts: Sequence[str],
    metadata: Mapping[str, Any],
    *,
    repetition: Repetition | None = None,
    least_documents: int = LEAST_DOCUMENTS,
    most_phrases: int = 120_000,
) -> Domain:
    """Counts texts.

    Args:
        texts: documents; those without text are left out.
        metadata: recorded with the counts: name, provenance, terms, corpus.
        repetition: how n-grams of tokens come again in these texts, where that was measured.
        least_documents: what stands in fewer is not stored.
        most_phrases: how many phrases of 2, 3 and 4 pieces are stored, the most frequent.

    Raises:
        HumanReferenceError: when no text is left.
    """
    flat = _flatten([list(chunks(text)) for text in texts])
    if not len(flat.pieces):
        raise HumanReferenceError("no document has any text: there is nothing to count")
    spread = _documents_by_core(flat)

    def known(text: str) -> bool:
        return spread[text] >= least_documents and not PERSONAL.search(text)

    pieces = _cut(flat, [cut(name, known) for name in flat.names])
    stored = np.array([known(core(name)) for name in pieces.names], dtype=bool)
    marked = MarkedText.of(pieces.names, pieces.pieces, pieces.documents)
    repeated, after, alike = marked.repeated_openings()
    return Domain(
        _counts(pieces, stored, spread, marked.openings()),
        _phrases(pieces, stored, least_documents, most_phrases),
        LetterChain.of(_rare(pieces, stored), least_documents),
        marked.intervals(),
        Openings(repeated, after, alike),
        length_classes(np.diff(flat.documents)),
        repetition,
        {
            **metadata,
            "documents": len(flat.documents) - 1,
            "words": marked.words(),
            "words_and_marks": len(marked.written.tokens),
            "chunks": len(flat.pieces),
            "marks": {kind: int(marked.events(kind).sum()) for kind in KINDS},
            "least_documents": least_documents,
            "content": _digest(texts),
        },
    )


@dataclass(frozen=True)
class _Flat:
    """Documents as pieces, one after the other.

    Attributes:
        names: the pieces there are.
        pieces: (P,) indexes into `names`.
        documents: (D + 1,) where each document begins, and their end.
        part: (P,) bool, whether a piece is a fragment of a larger chunk.
        starts: (P,) bool, whether it starts a sentence in a reader's sense.
    """

    names: tuple[str, ...]
    pieces: Integers
    documents: Integers
    part: Booleans
    starts: Booleans

    @property
    def document(self) -> Integers:
        """(P,) the document each piece stands in."""
        return np.repeat(np.arange(len(self.documents) - 1), np.diff(self.documents))


def length_classes(lengths: Integers) -> Integers:
    """Documents by length, `CLASSES` to each doubling."""
    return np.bincount(np.round(CLASSES * np.log2(np.maximum(lengths, 1))).astype(np.int64))


def _flatten(documents: Sequence[Sequence[str]]) -> _Flat:
    documents = [document for document in documents if document]
    number: dict[str, int] = {}
    pieces = np.array([number.setdefault(name, len(number)) for text in documents for name in text], dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum([len(document) for document in documents], dtype=np.int64)])
    names = tuple(number)
    closing = np.array([closes_sentence(name) for name in names], dtype=bool)
    starts = np.ones(len(pieces), dtype=bool)
    starts[1:] = closing[pieces[:-1]]
    starts[ends[:-1]] = True
    return _Flat(names, pieces, ends, np.zeros(len(pieces), dtype=bool), starts)


def _documents_by_core(flat: _Flat) -> Counter[str]:
    """In how many documents each chunk stands, and each fragment of one, whatever is around it."""
    number: dict[str, int] = {}
    cores = []
    for name in flat.names:
        parts = fragments(name)
        texts = {core(name), *(core(part) for part in parts)}
        texts.update(core(small) for part in parts for small in without_mark(part))
        cores.append([number.setdefault(text, len(number)) for text in texts])
    start = np.concatenate([[0], np.cumsum([len(found) for found in cores])])
    members = np.array([text for found in cores for text in found], dtype=np.int64)
    pairs = np.unique(flat.document * len(flat.names) + flat.pieces)
    document, piece = pairs // len(flat.names), pairs % len(flat.names)
    text = members[expand(start[piece], start[piece + 1])]
    seen = np.unique(np.repeat(document, start[piece + 1] - start[piece]) * len(number) + text)
    spread = np.bincount(seen % len(number), minlength=len(number))
    return Counter(dict(zip(number, spread.tolist(), strict=True)))


def _cut(flat: _Flat, parts: Sequence[Sequence[str]]) -> _Flat:
    """Each piece replaced by its parts; names in alphabetical order."""
    names = sorted({part for found in parts for part in found})
    number = {name: index for index, name in enumerate(names)}
    start = np.concatenate([[0], np.cumsum([len(found) for found in parts])])
    members = np.array([number[part] for found in parts for part in found], dtype=np.int64)
    several = np.diff(start) > 1
    lengths = np.diff(start)[flat.pieces]
    place = np.concatenate([[0], np.cumsum(lengths)])
    starts = np.zeros(int(place[-1]), dtype=bool)
    starts[place[:-1][flat.starts]] = True
    return _Flat(
        tuple(names),
        members[expand(start[flat.pieces], start[flat.pieces + 1])],
        place[flat.documents],
        np.repeat(several[flat.pieces], lengths),
        starts,
    )


def _counts(flat: _Flat, stored: Booleans, spread: Mapping[str, int], opening: Booleans) -> PieceCounts:
    def tallied(of: Integers) -> Integers:
        return np.bincount(of, minlength=len(stored))[stored]

    names = tuple(name for name, kept in zip(flat.names, stored, strict=True) if kept)
    return PieceCounts(
        names,
        tallied(flat.pieces),
        tallied(flat.pieces[flat.part]),
        np.array([spread[core(name)] for name in names], dtype=np.int64),
        tallied(flat.pieces[opening]),
        tallied(flat.pieces[flat.starts]),
    )


def _rare(flat: _Flat, stored: Booleans) -> list[Counter[str]]:
    """The pieces of each document that are not stored."""
    rare = ~stored[flat.pieces]
    found: list[Counter[str]] = [Counter() for _ in range(len(flat.documents) - 1)]
    for document, piece in zip(flat.document[rare].tolist(), flat.pieces[rare].tolist(), strict=True):
        found[document][flat.names[piece]] += 1
    return found


def _phrases(flat: _Flat, stored: Booleans, least_documents: int, most: int) -> dict[int, Phrases]:
    """Runs of stored pieces in enough documents: the `most` most frequent of all lengths."""
    number = np.cumsum(stored) - 1
    document = flat.document
    kind = np.where(stored[flat.pieces], number[flat.pieces], -1)
    beginning, size = kind, max(1, int(stored.sum()))
    found: dict[int, Phrases] = {}
    for n in (2, 3, 4):
        at = np.flatnonzero((beginning[:-1] >= 0) & (kind[n - 1 :] >= 0)[: len(beginning) - 1])
        at = at[document[at] == document[at + n - 1]]
        key, same = np.unique(beginning[at] * size + kind[at + n - 1], return_inverse=True)
        pairs = np.unique(same * len(flat.documents) + document[at])
        documents = np.bincount(pairs // len(flat.documents), minlength=len(key))
        count = np.bincount(same, minlength=len(key))
        first = np.zeros(len(key), dtype=np.int64)
        first[same] = at
        kept = np.flatnonzero(documents >= least_documents)
        rows = kind[first[kept][:, None] + np.arange(n)]
        found[n] = Phrases(rows, count[kept], documents[kept])
        renumbered = np.full(len(key), -1)
        renumbered[kept] = np.arange(len(kept))
        longer = np.full(len(kind) - n + 1, -1)
        longer[at] = renumbered[same]
        beginning = longer
    # One bound for all lengths: what a kept phrase begins with is then kept as well.
    counts = np.sort(np.concatenate([phrases.count for phrases in found.values()]))[::-1]
    bound = int(counts[most]) + 1 if len(counts) > most else 0
    return {
        n: Phrases(*(column[phrases.count >= bound] for column in (phrases.pieces, phrases.count, phrases.documents)))
        for n, phrases in found.items()
    }


def _digest(texts: Sequence[str]) -> str:
    """Of the documents in any order."""
    total = sum(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big") for text in texts)
    return f"{total % (1 << 128):032x}"
