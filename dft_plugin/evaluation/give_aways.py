"""What gives texts away: over- and under-used words, phrases and sentence openings, with examples in context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np

from dft_plugin.evaluation.constructions import constructions
from dft_plugin.evaluation.contexts import Place, contexts
from dft_plugin.evaluation.log_likelihood import log_likelihood_ratio, smoothed_ratio
from dft_plugin.evaluation.pool import Floats, Ints, Pool
from dft_plugin.evaluation.result import Example, GiveAway
from dft_plugin.evaluation.sentences import opening_words
from dft_plugin.reference.word_scan import hashes_of

PHRASES = (2, 3, 4, 5)
LEAST_TEXTS = 3
"""Texts that must use it, so that one text's topic is no habit."""
CERTAIN = 10.83
"""Of the ratio over texts, chi-squared with one degree of freedom at p = 0.001: a word that a few texts repeat is no
habit either."""
LISTED: dict[str, int] = {"word": 60, "phrase": 60, "opening": 30}
SAME_PHRASE = 0.5
"""A phrase inside a listed one is left out where at least this share of its uses are inside it."""


@dataclass(frozen=True)
class Counts:
    """How often each of K things occurs on the two sides.

    Attributes:
        own, human: (K,) occurrences.
        own_texts, human_texts: (K,) texts they occur in.
        own_total, human_total: words, or sentences, they are counted among.
    """

    own: Ints
    human: Ints
    own_texts: Ints
    human_texts: Ints
    own_total: int
    human_total: int

    def g2(self) -> Floats:
        """(K,) Dunning's log-likelihood ratio."""
        return log_likelihood_ratio(self.own, self.own_total, self.human, self.human_total)

    def certain(self, texts: int, human_texts: int) -> Ints:
        """Those that enough texts of the two sides show, the strongest first."""
        over_texts = log_likelihood_ratio(self.own_texts, texts, self.human_texts, human_texts)
        enough = np.maximum(self.own_texts, self.human_texts) >= LEAST_TEXTS
        # Both must point the same way.
        more = self.own * self.human_total > self.human * self.own_total
        more_texts = self.own_texts * human_texts > self.human_texts * texts
        g2 = self.g2()
        found = np.flatnonzero(enough & (over_texts >= CERTAIN) & (g2 >= CERTAIN) & (more == more_texts))
        return found[np.argsort(-g2[found], kind="stable")]


def give_aways(pool: Pool) -> list[GiveAway]:
    """Everything the two sides use differently, each kind sorted by how much it contributes."""
    found = _listed(pool, "word", *_grams(pool, 1))
    phrases = [entry for n in PHRASES for entry in _listed(pool, "phrase", *_grams(pool, n), at_most=300)]
    found += without_parts(sorted(phrases, key=lambda entry: -entry.g2))[: LISTED["phrase"]]
    found += _listed(pool, "opening", *_openings(pool))
    shown = [entry.model_copy(update={"examples": tuple(_examples(pool, entry))}) for entry in found]
    return [*shown, *constructions(pool)]


Kind = Literal["word", "phrase", "opening"]
Spell = Callable[[Ints], Sequence[str]]


def _grams(pool: Pool, n: int) -> tuple[Counts, Spell]:
    sides = [pool.view(pool.own), pool.view(pool.human)]
    grams = pool.grams(n)
    own, human = (side.counts(n) for side in sides)
    own_texts, human_texts = (np.bincount(grams.gram[side.entries(n)], minlength=grams.types) for side in sides)
    own_total, human_total = (int(pool.words[side.index].sum()) for side in sides)
    found = Counts(own, human, own_texts, human_texts, own_total, human_total)
    return found, lambda indexes: pool.spelled(n, indexes)


def _openings(pool: Pool) -> tuple[Counts, Spell]:
    at = opening_words(pool)
    kinds, first, opener = np.unique(pool.items[at], return_index=True, return_inverse=True)
    text = pool.scan.document[at]
    sides = (text < pool.measured, text >= pool.measured)
    own, human = (np.bincount(opener[side], minlength=len(kinds)) for side in sides)
    once = [np.unique(opener[side] * len(pool) + text[side]) // len(pool) for side in sides]
    own_texts, human_texts = (np.bincount(openers, minlength=len(kinds)) for openers in once)
    found = Counts(own, human, own_texts, human_texts, *(int(side.sum()) for side in sides))
    return found, lambda indexes: pool.scan.phrases(at[first[indexes]])


def _listed(pool: Pool, kind: Kind, counts: Counts, spell: Spell, at_most: int | None = None) -> list[GiveAway]:
    chosen = counts.certain(pool.measured, len(pool) - pool.measured)[: at_most or LISTED[kind]]
    g2 = counts.g2()
    ratio = smoothed_ratio(counts.own, counts.own_total, counts.human, counts.human_total)
    return [
        GiveAway(
            kind=kind,
            text=name,
            count=int(counts.own[i]),
            human_count=int(counts.human[i]),
            documents=int(counts.own_texts[i]),
            human_documents=int(counts.human_texts[i]),
            rate=1e6 * float(counts.own[i]) / max(1, counts.own_total),
            human_rate=1e6 * float(counts.human[i]) / max(1, counts.human_total),
            ratio=float(ratio[i]),
            g2=float(g2[i]),
        )
        for i, name in zip(chosen, spell(chosen), strict=True)
    ]


def without_parts(phrases: Sequence[GiveAway]) -> list[GiveAway]:
    """Phrases, the strongest first, without those that mostly stand inside, or around, a stronger one."""
    kept: list[GiveAway] = []
    for phrase in phrases:
        own = max(phrase.count, phrase.human_count)
        for other in kept:
            shorter, longer = sorted((phrase, other), key=lambda entry: len(entry.text))
            inside = f" {shorter.text} " in f" {longer.text} "
            theirs = max(other.count, other.human_count)
            if inside and min(own, theirs) >= SAME_PHRASE * max(own, theirs):
                break
        else:
            kept.append(phrase)
    return kept


def _examples(pool: Pool, entry: GiveAway) -> list[Example]:
    wanted = entry.text.split(" ")
    texts = range(pool.measured) if entry.ratio > 1 else range(pool.measured, len(pool))
    places = _places(pool, wanted, only_openings=entry.kind == "opening")
    return contexts(pool, [place for place in places if place.text in texts])


def _places(pool: Pool, wanted: Sequence[str], only_openings: bool) -> list[Place]:
    """Where words stand in a row in one text, one place for each text."""
    at = opening_words(pool) if only_openings else np.arange(len(pool.items) - len(wanted) + 1)
    ends = at + len(wanted) - 1
    at = at[pool.scan.document[at] == pool.scan.document[ends]]
    for place, hashed in enumerate(hashes_of([" ".join(wanted)])):
        at = at[pool.scan.hash[at + place] == hashed[0]]
    at = at[np.unique(pool.scan.document[at], return_index=True)[1]]
    border = np.array([0, *accumulate(len(text) + 1 for text in pool.clipped)])
    text = pool.scan.document[at]
    begin, end = pool.scan.start[at] - border[text], pool.scan.end[at + len(wanted) - 1] - border[text]
    return [Place(int(t), int(b), int(e)) for t, b, e in zip(text, begin, end, strict=True)]
