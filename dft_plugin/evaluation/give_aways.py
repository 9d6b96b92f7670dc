"""What gives texts away: over- and under-used words, phrases and sentence openings, with examples in context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import NormalDist
from typing import Literal

import numpy as np

from dft_plugin.evaluation.constructions import constructions
from dft_plugin.evaluation.contexts import Place, contexts
from dft_plugin.evaluation.pool import Floats, Ints, Pool
from dft_plugin.evaluation.result import Example, GiveAway
from dft_plugin.evaluation.sentences import opening_words
from dft_plugin.log_likelihood import log_likelihood_ratio, smoothed_ratio
from dft_plugin.reference.word_scan import hashes_of

PHRASES = (2, 3, 4, 5)
LEAST_TEXTS = 3
"""Texts that must use it, so that one text's topic is no habit."""
CHANCE = 0.05
"""Of listing anything at all that both sides use alike."""
LISTED: dict[str, int] = {"word": 60, "phrase": 60, "opening": 30}
SAME_PHRASE = 0.5
"""A phrase inside a listed one is left out where at least this share of its uses are inside it."""


@dataclass(frozen=True)
class Side:
    """How often each of K things occurs in the texts of one side.

    Attributes:
        count: (K,) occurrences.
        texts: (K,) texts it occurs in.
        rate, square: (K,) sums over texts of its share of the text's words, and of the squared share.
        total: words (or sentences) of all texts.
        size: number of texts.
    """

    count: Ints
    texts: Ints
    rate: Floats
    square: Floats
    total: int
    size: int

    def at(self, index: Ints) -> Side:
        """Some of the things."""
        return replace(
            self,
            count=self.count[index],
            texts=self.texts[index],
            rate=self.rate[index],
            square=self.square[index],
        )

    @property
    def mean(self) -> Floats:
        """(K,) mean share of a text's words."""
        return self.rate / self.size

    @property
    def variance(self) -> Floats:
        """(K,) of that mean."""
        return np.maximum(0, self.square / self.size - self.mean**2) / self.size


def sides(thing: Ints, text: Ints, count: Ints, totals: Ints, kinds: int, measured: int) -> tuple[Side, Side]:
    """The measured and the human side of entries (thing, text, count), with the words of each text."""
    found = []
    for own, texts in ((text < measured, slice(measured)), (text >= measured, slice(measured, None))):
        rate = count[own] / totals[text[own]]
        found.append(
            Side(
                np.bincount(thing[own], count[own], kinds).astype(np.int64),
                np.bincount(thing[own], minlength=kinds),
                np.bincount(thing[own], rate, kinds).astype(np.float64),
                np.bincount(thing[own], rate**2, kinds).astype(np.float64),
                int(totals[texts].sum()),
                len(totals[texts]),
            )
        )
    return found[0], found[1]


def certain(own: Side, human: Side) -> Ints:
    """The things that the two sides surely use differently, the largest log-likelihood ratio first.

    That ratio takes each occurrence for independent, so that a word which one text repeats looks like a habit. So
    it must show over texts as well: in how many use it, or in the mean of their shares (Welch's t). All are judged
    at chi-squared's quantile for as many things as were looked at (Bonferroni).
    """
    enough = np.maximum(own.texts, human.texts) >= LEAST_TEXTS
    needed = NormalDist().inv_cdf(1 - CHANCE / 2 / max(1, int(enough.sum()))) ** 2
    g2 = log_likelihood_ratio(own.count, own.total, human.count, human.total)
    over_texts = log_likelihood_ratio(own.texts, own.size, human.texts, human.size)
    more = own.count * human.total > human.count * own.total
    same_way = more == (own.texts * human.size > human.texts * own.size)
    variance = own.variance + human.variance
    t_squared = np.divide((own.mean - human.mean) ** 2, variance, out=np.zeros(len(g2)), where=variance > 0)
    over = ((over_texts >= needed) & same_way) | ((t_squared >= needed) & (more == (own.mean > human.mean)))
    found = np.flatnonzero(enough & (g2 >= needed) & over)
    return found[np.argsort(-g2[found], kind="stable")]


def give_aways(pool: Pool) -> list[GiveAway]:
    """Everything the two sides use differently, each kind sorted by how much it contributes."""
    found = _listed("word", *of_grams(pool, 1))
    phrases = [entry for n in PHRASES for entry in _listed("phrase", *of_grams(pool, n), at_most=300)]
    found += without_parts(sorted(phrases, key=lambda entry: -entry.g2))[: LISTED["phrase"]]
    found += _listed("opening", *of_openings(pool))
    shown = [entry.model_copy(update={"examples": tuple(examples(pool, entry))}) for entry in found]
    return [*shown, *constructions(pool)]


Kind = Literal["word", "phrase", "opening"]
Spell = Callable[[Ints], Sequence[str]]


def of_grams(pool: Pool, n: int) -> tuple[tuple[Side, Side], Spell]:
    """Both sides of all phrases of n words, and how they are spelled."""
    grams = pool.grams(n)
    text = np.repeat(np.arange(len(pool)), np.diff(grams.start))
    counted = sides(grams.gram, text, grams.count, pool.words, grams.types, pool.measured)
    return counted, lambda indexes: pool.spelled(n, indexes)


def of_openings(pool: Pool) -> tuple[tuple[Side, Side], Spell]:
    """Both sides of all opening words, and how they are spelled."""
    at = opening_words(pool)
    kinds, first, opener = np.unique(pool.items[at], return_index=True, return_inverse=True)
    text = pool.scan.document[at]
    pair, count = np.unique(opener * len(pool) + text, return_counts=True)
    sentences = np.bincount(text, minlength=len(pool))
    counted = sides(pair // len(pool), pair % len(pool), count, sentences, len(kinds), pool.measured)
    return counted, lambda indexes: pool.scan.phrases(at[first[indexes]])


def _listed(kind: Kind, counted: tuple[Side, Side], spell: Spell, at_most: int | None = None) -> list[GiveAway]:
    own, human = counted
    chosen = certain(own, human)[: at_most or LISTED[kind]]
    return entries(kind, spell(chosen), own.at(chosen), human.at(chosen))


def entries(kind: Kind, names: Sequence[str], own: Side, human: Side) -> list[GiveAway]:
    """What two sides of the same things look like, thing by thing."""
    g2 = log_likelihood_ratio(own.count, own.total, human.count, human.total)
    ratio = smoothed_ratio(own.count, own.total, human.count, human.total)
    return [
        GiveAway(
            kind=kind,
            text=name,
            count=int(own.count[i]),
            human_count=int(human.count[i]),
            documents=int(own.texts[i]),
            human_documents=int(human.texts[i]),
            rate=1e6 * float(own.count[i]) / max(1, own.total),
            human_rate=1e6 * float(human.count[i]) / max(1, human.total),
            ratio=float(ratio[i]),
            g2=float(g2[i]),
        )
        for i, name in enumerate(names)
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


def examples(pool: Pool, entry: GiveAway) -> list[Example]:
    """Where a word, phrase or opening stands: in the texts that use it more."""
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
