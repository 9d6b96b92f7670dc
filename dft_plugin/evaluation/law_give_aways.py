"""What gives texts away beside human counts without texts: those of a reference file or a shipped domain."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from dft_plugin.evaluation.give_aways import (
    CHANCE,
    LEAST_TEXTS,
    LISTED,
    PHRASES,
    Kind,
    Side,
    Spell,
    entries,
    examples,
    of_grams,
    of_openings,
    without_parts,
)
from dft_plugin.evaluation.pool import Floats, Ints, Pool
from dft_plugin.evaluation.result import GiveAway
from dft_plugin.log_likelihood import log_likelihood_ratio

if TYPE_CHECKING:
    from dft_plugin.reference.description import Description


def law_give_aways(pool: Pool, known: Description) -> list[GiveAway]:
    """Words, phrases of up to 4 words and openings that the measured texts use more or less than human text."""
    (own, _), spell = of_grams(pool, 1)
    found = _listed("word", own, spell, known.phrases[1], known.words, known.documents)[: LISTED["word"]]
    phrases = []
    for n in PHRASES:
        if n in known.phrases:
            (own, _), spell = of_grams(pool, n)
            phrases += _listed("phrase", own, spell, known.phrases[n], known.words, known.documents)[:300]
    found += without_parts(sorted(phrases, key=lambda entry: -entry.g2))[: LISTED["phrase"]]
    (own, _), spell = of_openings(pool)
    openings = {word: (count, 0) for word, count in known.openings.items()}
    found += _listed("opening", own, spell, openings, known.sentences, known.documents)[: LISTED["opening"]]
    return [entry.model_copy(update={"examples": tuple(examples(pool, entry))}) for entry in found]


def _listed(
    kind: Kind, own: Side, spell: Spell, human: Mapping[str, tuple[int, int]], total: int, documents: int
) -> list[GiveAway]:
    names = list(spell(np.arange(len(own.count))))
    known = set(names)
    others = [name for name in human if name not in known]
    names += others
    none = np.zeros(len(others))
    own = Side(
        np.concatenate([own.count, none]).astype(np.int64),
        np.concatenate([own.texts, none]).astype(np.int64),
        np.concatenate([own.rate, none]),
        np.concatenate([own.square, none]),
        own.total,
        own.size,
    )
    counts, texts = np.array([human.get(name, (0, 0)) for name in names], dtype=np.int64).reshape(-1, 2).T
    nothing = np.zeros(len(names))
    exact = Side(counts, texts, nothing, nothing, max(1, total), max(1, documents))
    chosen = certain_beside(own, exact)
    return entries(kind, [names[i] for i in chosen], own.at(chosen), exact.at(chosen))


def certain_beside(own: Side, human: Side) -> Ints:
    """The things that the texts surely use differently, the largest log-likelihood ratio first.

    As `give_aways.certain`, but human counts are taken as exact, and human documents may be longer than the texts:
    a document of w words that a thing is in with probability d leads to expect it in 1 - (1 - d)^(v / w) of the
    texts of v words, as if it came in bursts at random.
    """
    enough = np.maximum(own.texts, human.count) >= LEAST_TEXTS
    needed = NormalDist().inv_cdf(1 - CHANCE / 2 / max(1, int(enough.sum()))) ** 2
    g2 = log_likelihood_ratio(own.count, own.total, human.count, human.total)
    more = own.count * human.total > human.count * own.total
    share = human.count / human.total
    squared = np.divide((own.mean - share) ** 2, own.variance, out=np.zeros(len(g2)), where=own.variance > 0)
    in_documents = np.minimum(human.texts / human.size, 1 - 1e-9)
    expected = 1 - (1 - in_documents) ** ((own.total / own.size) / (human.total / human.size))
    used = own.texts / own.size
    over_texts = _divergence(used, expected) * own.size
    over = ((squared >= needed) & (more == (own.mean > share))) | (
        (over_texts >= needed) & (human.texts > 0) & (more == (used > expected))
    )
    found = np.flatnonzero(enough & (g2 >= needed) & over)
    return found[np.argsort(-g2[found], kind="stable")]


def _divergence(observed: Floats, expected: Floats) -> Floats:
    """Twice the Kullback-Leibler divergence of (observed, 1 - observed) from (expected, 1 - expected)."""
    found = np.zeros(len(observed))
    for p, q in ((observed, expected), (1 - observed, 1 - expected)):
        positive = (p > 0) & (q > 0)
        found += p * np.log(np.divide(p, q, out=np.ones(len(p)), where=positive))
    return 2 * found
