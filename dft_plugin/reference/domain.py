"""A domain: the statistics of a body of human text in words, for any tokenizer, without the text.

What a domain holds is counted in pieces of text (`pieces`), each in at least `metadata["least_documents"]` documents;
words rarer than that live on as a chain of letters (`letters`). `projection.project` turns it into the accumulators
of a tokenizer's statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dft_plugin.prefixed import under
from dft_plugin.reference.container import Kind, narrow, read, write
from dft_plugin.reference.domain_words import DomainWords
from dft_plugin.reference.letters import LetterChain
from dft_plugin.reference.marks import CONTEXTS, KINDS, WIDTHS, WINDOWS
from dft_plugin.reference.packing import pack_integers, pack_names, unpack_integers, unpack_names
from dft_plugin.reference.repetition import Repetition
from dft_plugin.statistics.base import ratio
from dft_plugin.statistics.intervals import ParagraphLength, PunctuationRhythm, SentenceLength, kaplan_meier
from dft_plugin.written import Integers

KIND = Kind("dft-plugin domain", 1, "install dft-plugin again, or rebuild it with examples/build_domains/build.py")
FOLDER = Path(__file__).parent / "domains"


@dataclass(frozen=True)
class PieceCounts:
    """The pieces of text that are stored, in alphabetical order.

    Attributes:
        names: P pieces; see `pieces`.
        count: (P,) occurrences.
        parts: (P,) how many of these are fragments of a larger chunk.
        documents: (P,) documents whose text has the piece's characters.
        opening: (P,) occurrences at which no word has come since the last sentence end.
        starts: (P,) occurrences that start a sentence in a reader's sense: not after the dot of "2.4".
    """

    names: tuple[str, ...]
    count: Integers
    parts: Integers
    documents: Integers
    opening: Integers
    starts: Integers


@dataclass(frozen=True)
class Phrases:
    """Runs of n pieces, one after the other in a document.

    Attributes:
        pieces: (G, n) indexes into the pieces.
        count: (G,) occurrences.
        documents: (G,) documents it occurs in.
    """

    pieces: Integers
    count: Integers
    documents: Integers


@dataclass(frozen=True)
class Openings:
    """How alike sentences open.

    Attributes:
        repeated: sentences that open as the one before did.
        after: sentences that have one before.
        alike: the probability that two sentences taken at random open alike.
    """

    repeated: int
    after: int
    alike: float


@dataclass(frozen=True)
class Domain:
    """The statistics of a body of human text, without a tokenizer.

    Attributes:
        pieces: counts of pieces.
        phrases: n -> counts of runs of n pieces, n = 2, 3, 4; the most frequent ones.
        letters: what stands for rarer words.
        intervals: words to a bin -> event -> (W, C, 2, bins) events by age in words and intervals at risk by age, in
            windows of `marks.WINDOWS` words and marks after contexts of `marks.CONTEXTS` times that.
        openings: how alike sentences open.
        lengths: (L,) documents by number of pieces, four classes to each doubling.
        repetition: how n-grams come again, by kind of tokenizer; None where that was not measured.
        metadata: name, documents, words, provenance, terms, corpus, content, tool, least_documents.
    """

    pieces: PieceCounts
    phrases: Mapping[int, Phrases]
    letters: LetterChain
    intervals: Mapping[int, Mapping[str, Integers]]
    openings: Openings
    lengths: Integers
    repetition: Repetition | None
    metadata: Mapping[str, Any]

    @cached_property
    def words(self) -> DomainWords:
        """Words, phrases and openings as a reader would list them."""
        return DomainWords(self)

    @cached_property
    def laws(self) -> dict[str, dict[str, Tensor]]:
        """statistic -> component -> law, with the statistics' default options; those that need no tokenizer."""
        found: dict[str, dict[str, Tensor]] = {}
        for statistic in (SentenceLength, PunctuationRhythm, ParagraphLength):
            options = statistic.Options()
            for kind in statistic.kinds:
                counted = self.intervals[options.width][kind][-1, -1]
                if counted[0].any():
                    events, at_risk = binned(counted, options.width, options.longest, options.width)
                    law = kaplan_meier(torch.from_numpy(events), torch.from_numpy(at_risk))
                    found.setdefault(statistic.name, {})[kind] = law
        if self.openings.after:
            counts = torch.tensor([self.openings.repeated, self.openings.after], dtype=torch.float64)
            rate = ratio(counts[:1], counts[1:])
            found["sentence_opening"] = {"repeated": torch.cat([rate, 1 - rate])}
        return found

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, complete or not at all; the same content gives the same bytes."""
        write(path, KIND, dict(self._tensors()), self.metadata)

    @classmethod
    def load(cls, path: str | Path) -> Domain:
        """Reads a file that `save` wrote.

        Raises:
            HumanReferenceError: when it is missing, empty, truncated, altered, or of another kind.
        """
        tensors, metadata = read(path, KIND)

        def whole(name: str) -> Integers:
            return unpack_integers(tensors[name])

        columns = ("count", "parts", "documents", "opening", "starts")
        pieces = PieceCounts(unpack_names(tensors["pieces/names"]), *(whole(f"pieces/{name}") for name in columns))
        letters = LetterChain(
            unpack_names(tensors["letters/sequences"]), whole("letters/count"), int(tensors["letters/words"])
        )
        intervals = {
            width: {
                kind: whole(f"intervals/{width}/{kind}").reshape(len(WINDOWS), len(CONTEXTS), 2, -1) for kind in KINDS
            }
            for width in WIDTHS
        }
        repeated, after = tensors["openings/counts"].tolist()
        openings = Openings(repeated, after, float(tensors["openings/alike"]))
        curves = under("repetition/", tensors)
        return cls(
            pieces,
            _phrases(tensors, _by_frequency(pieces.count)),
            letters,
            intervals,
            openings,
            whole("lengths"),
            Repetition.from_tensors(curves) if curves else None,
            metadata,
        )

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "pieces/names", pack_names(self.pieces.names)
        for name in ("count", "parts", "documents", "opening", "starts"):
            yield f"pieces/{name}", pack_integers(getattr(self.pieces, name))
        rank = np.argsort(_by_frequency(self.pieces.count))
        before = np.zeros((0, 1), dtype=np.int64)
        for n, phrases in sorted(self.phrases.items()):
            ranked = rank[phrases.pieces]
            order = np.lexsort(ranked.T[::-1])
            ranked = ranked[order]
            # All but the last piece of a phrase is a phrase of one piece less, which is stored as well.
            beginning = ranked[:, 0] if n == 2 else _rows_in(before, ranked[:, :-1])
            yield f"phrases/{n}/beginning", pack_integers(np.diff(beginning, prepend=0))
            yield f"phrases/{n}/last", pack_integers(ranked[:, -1])
            yield f"phrases/{n}/count", pack_integers(phrases.count[order])
            yield f"phrases/{n}/documents", pack_integers(phrases.documents[order])
            before = ranked
        yield "letters/sequences", pack_names(self.letters.sequences)
        yield "letters/count", pack_integers(self.letters.count)
        yield "letters/words", torch.tensor(self.letters.words)
        for width, by_kind in self.intervals.items():
            for kind, counted in by_kind.items():
                yield f"intervals/{width}/{kind}", pack_integers(counted.ravel())
        yield "openings/counts", torch.tensor([self.openings.repeated, self.openings.after])
        yield "openings/alike", torch.tensor(self.openings.alike, dtype=torch.float64)
        yield "lengths", pack_integers(self.lengths)
        if self.repetition is not None:
            yield from ((f"repetition/{name}", narrow(value)) for name, value in self.repetition.tensors().items())


def shipped() -> dict[str, Path]:
    """The domains that come with dft-plugin: name -> file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}


def binned(counted: Any, ages: int, longest: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Events and intervals at risk, (bins,) float64 each, in bins of `width` words up to `longest`.

    An interval is at risk in a bin once, when it enters it; ages beyond those counted have none.

    Args:
        counted: (2, N) events and intervals at risk, in bins of `ages` words, of which `width` is a multiple.
        ages: words to a bin there.
        longest, width: options of an interval statistic.
    """
    bins, together = -(-longest // width), width // ages
    events, at_risk = np.zeros((2, bins * together))
    held = min(counted.shape[1], bins * together)
    events[:held], at_risk[:held] = counted[:, :held]
    return events.reshape(bins, together).sum(1), at_risk.reshape(bins, together)[:, 0].copy()


def _by_frequency(count: Integers) -> Integers:
    """Pieces from the most frequent on: small numbers for what phrases are made of."""
    return np.argsort(-count, kind="stable")


def _rows_in(rows: Integers, wanted: Integers) -> Integers:
    """The index in `rows`, which are sorted, of each wanted row."""
    index = {row: number for number, row in enumerate(map(tuple, rows.tolist()))}
    return np.array([index[row] for row in map(tuple, wanted.tolist())], dtype=np.int64)


def _phrases(tensors: Mapping[str, Tensor], by_frequency: Integers) -> dict[int, Phrases]:
    found: dict[int, Phrases] = {}
    before = np.arange(len(by_frequency))[:, None]
    n = 2
    while f"phrases/{n}/last" in tensors:
        beginning = np.cumsum(unpack_integers(tensors[f"phrases/{n}/beginning"]))
        last = unpack_integers(tensors[f"phrases/{n}/last"])
        ranked = np.concatenate([before[beginning], last[:, None]], axis=1)
        count, documents = (unpack_integers(tensors[f"phrases/{n}/{name}"]) for name in ("count", "documents"))
        found[n] = Phrases(by_frequency[ranked], count, documents)
        before, n = ranked, n + 1
    return found
