"""What a reference or a domain says about human text, in numbers that people can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.domain_words import DomainWords
from dft_plugin.reference.human_floor import Curves, Point, curves
from dft_plugin.reference.interval_law import IntervalLaw, interval_law

if TYPE_CHECKING:
    from dft_plugin.reference.domain import Domain

SIZES = (64, 256, 1024)
"""Texts of a batch for which floors are shown."""
LENGTHS = (1, 2, 3, 4)
MARKS = {
    "comma": "commas",
    "dash": "dashes",
    "colon_semicolon": "colons or semicolons",
    "quote": "quotation marks",
    "question_exclamation": "question or exclamation marks",
    "ellipsis": "ellipses",
    "parenthesis": "parentheses",
}
"""Events that are marks inside a text, as people call them."""
ZIPF_RANKS = (10, 1000)
LEAST_ZIPF_RANKS = 30
WITHOUT_TEXT = "documents without text to count (empty, or chats without an answer)"
Phrases: TypeAlias = Mapping[str, tuple[int, int]]
Find: TypeAlias = Callable[[Sequence[str], int], tuple[npt.ArrayLike, npt.ArrayLike]]


@dataclass(frozen=True)
class Mark:
    """How often a punctuation mark is used.

    Attributes:
        per_thousand_words: marks.
        words_between: words to one mark.
        law: of the words between them, if there are enough to tell.
    """

    per_thousand_words: float
    words_between: float
    law: IntervalLaw | None


@dataclass(frozen=True)
class Description:
    """Everything that `dft reference show`, `diff` and `audit` speak of.

    Attributes:
        name: to call it by.
        provenance: what -> where it comes from, in the order to show.
        documents, words: of all the text.
        tokenizer: fingerprint; None for a domain, which has none.
        tokens, windows: counted; None for a domain.
        share: of the documents' words, those that word frequencies were counted from.
        counted_words: words of the windows, which `marks` are of; `words` has those of whole documents.
        sampling: how documents were cut into windows; empty for a domain.
        phrases: number of words -> phrase -> (count, documents it occurs in), most frequent first.
        find: (phrases of n words, n) -> their counts, listed or not, and the standard error of these, one for all or
            each its own.
        openings: first word of a sentence -> count, most frequent first.
        sentence, paragraph: laws of their lengths in words.
        marks: event -> how often.
        repetition: "rep-1", ... -> share of the tokens that repeat an n-gram of their text.
        repeated_opening: share of the sentences that open with the word the one before opened with.
        document_tokens: documents of 2^i to 2^(i+1) - 1 tokens.
        scripts: script -> share of the letters.
        repeated_windows: share of the windows that occur more than once.
        skipped: what was left out -> how many.
        floors: statistic -> component -> distance of a human sample, by its size.
        distances: statistic -> the distance they are measured in.
        notes: what else to know.
    """

    name: str
    provenance: Mapping[str, str]
    documents: int
    words: int
    phrases: Mapping[int, Phrases]
    find: Find
    openings: Mapping[str, int]
    counted_words: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    tokens: int | None = None
    windows: int | None = None
    share: float = 1.0
    sentence: IntervalLaw | None = None
    paragraph: IntervalLaw | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    repetition: Mapping[str, float] = field(default_factory=dict)
    repeated_opening: float | None = None
    document_tokens: Sequence[int] = ()
    scripts: Mapping[str, float] = field(default_factory=dict)
    repeated_windows: float = 0.0
    skipped: Mapping[str, int] = field(default_factory=dict)
    floors: Curves = field(default_factory=dict)
    distances: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def sentences(self) -> int:
        """Sentences whose first word is known."""
        return sum(self.openings.values())

    @cached_property
    def zipf_slope(self) -> float | None:
        """The slope of log frequency over log rank of the words, by least squares from the 10th to the 1,000th;
        None where there are too few words."""
        first, last = ZIPF_RANKS
        counts = [count for count, _ in self.phrases[1].values()][first - 1 : last]
        if len(counts) < LEAST_ZIPF_RANKS:
            return None
        rank = np.log(np.arange(first, first + len(counts)))
        return float(np.polyfit(rank, np.log(counts), 1)[0])

    def floor(self, statistic: str, component: str, size: int) -> float:
        """The distance of another human sample of `size` texts."""
        return self.floors[statistic][component].at(size)


def describe(reference: Reference | Domain, name: str) -> Description:
    """What a reference or a domain says.

    Args:
        reference: either.
        name: to call it by: the file's, or the domain's.
    """
    known, laws = reference.metadata, reference.laws
    words = reference.words
    phrases = {n: words.phrases(n) for n in LENGTHS}
    counted_words = known.get("counted_words", words.total)
    novelty = laws.get("novelty", {})
    repeated = laws.get("sentence_opening", {}).get("repeated")
    return Description(
        name,
        _provenance(known),
        documents=words.documents,
        words=words.total,
        phrases=phrases,
        find=_halfway(words) if isinstance(words, DomainWords) else words.find,
        openings=words.openings(),
        counted_words=counted_words,
        sampling={**known.get("sampling", {}), "from_start": known.get("from_start")} if "sampling" in known else {},
        tokenizer=known.get("tokenizer"),
        tokens=known.get("tokens"),
        windows=known.get("windows"),
        share=getattr(words, "share", 1.0),
        sentence=interval_law(reference, "sentence_length", "sentence_end"),
        paragraph=interval_law(reference, "paragraph_length", "newline"),
        marks=_marks(reference, counted_words),
        repetition={component: float(law[0]) for component, law in novelty.items()},
        repeated_opening=None if repeated is None else float(repeated[0]),
        document_tokens=tuple(known.get("document_tokens", ())),
        scripts=known.get("scripts", {}),
        repeated_windows=known.get("repeated_windows", 0.0),
        skipped={what: known[key] for key, what in _SKIPPED.items() if known.get(key)},
        floors=_floors(known),
        distances={statistic: found["distance"] for statistic, found in known.get("floors", {}).items()},
        notes=tuple(known.get("notes", ())),
    )


def _halfway(words: DomainWords) -> Find:
    """A domain knows between what counts a phrase has: it is taken to be halfway, both ends two errors off."""

    def find(wanted: Sequence[str], n: int) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        low, high = words.between(wanted, n)
        return (low + high) / 2, (high - low) / 4

    return find


_SKIPPED = {"bad_lines": "bad lines", "empty_documents": WITHOUT_TEXT}


def _provenance(known: Mapping[str, Any]) -> dict[str, str]:
    corpora = known.get("corpus", [])
    found = {
        "corpus": corpora if isinstance(corpora, str) else ", ".join(corpora),
        "source": known.get("provenance", ""),
        "terms": known.get("terms", ""),
        "tokenizer": f"{known['tokenizer_name']} ({known['tokenizer'][:12]})" if "tokenizer" in known else "any",
    }
    if sampling := known.get("sampling"):
        context = "from their first token" if known.get("from_start") else f"after {sampling['context_tokens']}"
        found["windows"] = f"up to {sampling['max_new_tokens']} tokens, {context}; seed {known.get('seed')}"
    found["built with"] = f"dft-plugin {known['tool'].removeprefix('dft-plugin ')}" if "tool" in known else ""
    found["content"] = known.get("content", "")
    return {what: str(value) for what, value in found.items() if value}


def _marks(reference: Reference | Domain, words: int) -> dict[str, Mark]:
    found = {}
    for event in MARKS:
        if (count := reference.metadata.get("marks", {}).get(event, 0)) and words:
            law = interval_law(reference, "punctuation_rhythm", event)
            found[event] = Mark(1000 * count / words, words / count, law)
    return found


def _floors(known: Mapping[str, Any]) -> Curves:
    """Curves through the recorded distances; components in which human samples do not differ are left out."""
    points: dict[str, dict[str, list[Point]]] = {}
    windows = known.get("windows", 0)
    for statistic, found in known.get("floors", {}).items():
        for component, measured in found["components"].items():
            most = max((size for size, _ in measured), default=0)
            if measured and all(distance > 1e-12 for _, distance in measured):
                points.setdefault(statistic, {})[component] = [
                    Point(size, windows - size, distance, 2 * most // size) for size, distance in measured
                ]
    return curves(points, windows)
