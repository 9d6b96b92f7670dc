"""Measures beside human laws without texts: of a reference file or a shipped domain.

What needs texts (repetition, distinct-n, two-sample tests) cannot be measured then. Laws are taken as exact. Floors
come from the measured texts: how far one half is from the other, as far as two samples are apart, scaled to one
sample against a law: by 1/2 for squared distances, by 1/sqrt(2) for others. This takes human texts to vary as much
from one to the next as the measured ones do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from dft_plugin.distances import jensen_shannon, l2, wasserstein
from dft_plugin.evaluation.intervals import interval_rows, law
from dft_plugin.evaluation.pool import Floats, Ints, Pool, View
from dft_plugin.evaluation.punctuation import LABELS, rates
from dft_plugin.evaluation.resampling import LEAST_TEXTS, Replicates, distance, figure, unmeasured
from dft_plugin.evaluation.result import Basis, Measure
from dft_plugin.evaluation.sentences import mean_and_variance, opening_words
from dft_plugin.evaluation.specification import Specification, on_basis

if TYPE_CHECKING:
    from dft_plugin.reference.description import Description, IntervalLaw

Halves = Sequence[tuple[Ints, Ints]]
MANY = 1 << 40
"""Texts behind a law taken as exact."""


def halves(texts: int, resamples: int, seed: int) -> Halves:
    """Random pairs of disjoint halves; none of too few texts."""
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(texts) for _ in range(resamples if texts >= LEAST_TEXTS else 0)]
    return [(order[: texts // 2], order[texts // 2 : 2 * (texts // 2)]) for order in drawn]


def cut_law(human: IntervalLaw, longest: int) -> Floats:
    """(longest + 1,) a law over words one by one, what is longer in the last entry."""
    probability = np.array(human.probability)
    kept = min(longest, len(probability) - 1)
    return np.concatenate([probability[:kept], np.zeros(longest - kept), [probability[kept:].sum()]])


@dataclass(frozen=True)
class Categories:
    """Words, or opening words, as the measured texts count them and as human text has them.

    Attributes:
        counts: (K,) of a sample.
        human: (K + 1,) shares; the last is of all that the measured texts never use.
        rest_squared: the sum of squares of what makes up the last.
    """

    counts: Callable[[View], Floats]
    human: torch.Tensor
    rest_squared: float

    def shares(self, view: View) -> torch.Tensor:
        """(K + 1,) of a sample; NaN for one without any."""
        counts = torch.from_numpy(self.counts(view))
        return torch.cat([counts / counts.sum(), torch.zeros(1, dtype=torch.float64)])

    def divergence(self, view: View) -> float:
        """Jensen-Shannon, from human text."""
        return float(jensen_shannon(self.shares(view), self.human))

    def squared(self, view: View) -> float:
        """Squared L2, from human text."""
        rest = self.human[-1]
        return float(l2(self.shares(view), self.human) - rest**2) + self.rest_squared


def categories(
    names: Sequence[str], counts: Callable[[View], Floats], human: Mapping[str, int], total: int
) -> Categories:
    """From the names of the K categories and the human counts of any; total: of all human counts, listed or not."""
    named = np.array([human.get(name, 0) for name in names], dtype=np.float64)
    known = set(names)
    others = np.array([count for name, count in human.items() if name not in known], dtype=np.float64)
    shares = np.concatenate([named, [max(0.0, total - named.sum())]]) / total
    return Categories(counts, torch.from_numpy(shares), float(((others / total) ** 2).sum()))


class LawMeasures:
    """Computes measures of texts beside human laws.

    Args:
        pool: the measured texts, without human ones.
        human: what is known of human text.
        basis: sizes of the comparison.
        seed: of the halves.
    """

    def __init__(self, pool: Pool, human: Description, basis: Basis, seed: int) -> None:
        self.pool, self.human, self.basis, self.seed = pool, human, basis, seed
        self.whole = pool.view(pool.own)
        self.pairs = [(pool.view(one), pool.view(other)) for one, other in halves(len(pool), basis.resamples, seed)]

    def all(self) -> dict[str, Measure]:
        """Every measure that laws allow."""
        return {**self.sentences(), **self.punctuation(), **self.words(), **self.openings()}

    def sentences(self) -> dict[str, Measure]:
        """Mean, variance and law of words per sentence."""
        named = {
            "sentence length, mean": Specification(
                "sentences", "sentence length, mean", "words per sentence", unit="words"
            ),
            "sentence length, variance": Specification(
                "sentences", "sentence length, variance", "variance of words per sentence", unit="words²"
            ),
        }
        law_distance = Specification(
            "sentences", "sentence length, law", "Wasserstein distance of the laws of words per sentence", "distance",
            "words", "lower",
        )  # fmt: skip
        if (human := self._law(self.human.sentence)) is None:
            return self._missing({**named, "sentence length": law_distance})
        rows = interval_rows(self.pool, "sentence_end", len(human) - 1)

        def moments(view: View) -> tuple[float, float]:
            summed = view.total(rows)
            return mean_and_variance(law(summed)) if summed[0].any() else (math.nan, math.nan)

        found = {
            name: self._figure(one, lambda view, i=i: moments(view)[i], mean_and_variance(human)[i])  # type: ignore[misc]
            for i, (name, one) in enumerate(named.items())
        }
        return {**found, "sentence length": self._law_distance(law_distance, rows, human)}

    def punctuation(self) -> dict[str, Measure]:
        """Marks per 1,000 words, and the rhythm of each kind that human text has."""
        family = rates(self.pool)
        found = {}
        for kind, mark in self.human.marks.items():
            of = lambda view, kind=kind: family.compute(view)[kind]  # noqa: E731
            found[kind] = self._figure(family.specifications[kind], of, mark.per_thousand_words)
            if mark.law is not None and (human := self._law(mark.law)) is not None:
                specification = Specification(
                    "punctuation", f"{LABELS[kind]}, rhythm", f"Wasserstein distance of the laws of words between "
                    f"{LABELS[kind]}", "distance", "words", "lower",
                )  # fmt: skip
                rows = interval_rows(self.pool, kind, len(human) - 1)
                found[f"{kind} rhythm"] = self._law_distance(specification, rows, human)
        return found

    def words(self) -> dict[str, Measure]:
        """Laws of words."""
        names = self.pool.spelled(1, np.arange(self.pool.grams(1).types))
        human = {name: count for name, (count, _) in self.human.phrases[1].items()}
        words = categories(names, lambda view: view.counts(1).astype(np.float64), human, self.human.words)
        named = {
            "jensen-shannon": ("words, Jensen-Shannon", "divergence of word frequencies", "nats", words.divergence),
            "l2-1": ("word L2", "squared distance of word frequencies", "", words.squared),
        }
        found = {}
        for name, (label, description, unit, of) in named.items():
            specification = Specification("words", label, description, "distance", unit, "lower", "words")
            between = _divergence(words) if name == "jensen-shannon" else _squared(words)
            found[name] = self._distance(specification, of, between, 0.5)
        return found

    def openings(self) -> dict[str, Measure]:
        """The law of sentences' first words."""
        at = opening_words(self.pool)
        kinds, first, opener = np.unique(self.pool.items[at], return_index=True, return_inverse=True)
        begins = np.searchsorted(self.pool.scan.document[at], np.arange(len(self.pool) + 1))

        def counts(view: View) -> Floats:
            found = np.concatenate([opener[begins[i] : begins[i + 1]] for i in view.index])
            return np.bincount(found, minlength=len(kinds)).astype(np.float64)

        names = self.pool.scan.phrases(at[first])
        opening = categories(names, counts, self.human.openings, max(1, self.human.sentences))
        specification = Specification(
            "sentences", "opening words, law", "Jensen-Shannon divergence of sentences' first words", "distance",
            "nats", "lower",
        )  # fmt: skip
        return {"openings": self._distance(specification, opening.divergence, _divergence(opening), 0.5)}

    def _law(self, human: IntervalLaw | None) -> Floats | None:
        # Laws in bins of several words were asked for with options of their own; texts are counted word by word.
        if human is None or human.width != 1:
            return None
        return cut_law(human, min(human.longest, self.pool.limit))

    def _law_distance(self, specification: Specification, rows: Floats, human: Floats) -> Measure:
        q = torch.from_numpy(human)

        def of(view: View) -> float:
            summed = view.total(rows)
            return float(wasserstein(torch.from_numpy(law(summed)), q)) if summed[0].any() else math.nan

        def between(one: View, other: View) -> float:
            laws = [torch.from_numpy(law(view.total(rows))) for view in (one, other)]
            return float(wasserstein(laws[0], laws[1]))

        return self._distance(specification, of, between, math.sqrt(0.5))

    def _figure(self, specification: Specification, of: Callable[[View], float], human: float) -> Measure:
        value = of(self.whole)
        if not self.pairs:
            return figure(self._on_basis(specification), value, human, None, (0, 1), MANY)
        texts, others = (np.array([of(pair[side]) for pair in self.pairs]) for side in (0, 1))
        stand_in = human + (texts - others) * math.sqrt(0.5)
        if not texts.any() and specification.unit == "per 1,000 words":
            # What never occurs varies over no half; so few words might be without it by chance.
            words = float(np.minimum(self.pool.length, self.pool.limit).sum()) / 2
            drawn = np.random.default_rng(self.seed).poisson(human * words / 1000, len(texts))
            stand_in = 1000 * drawn / max(1.0, words)
        found = Replicates(texts, stand_in, np.full(len(texts), human))
        return figure(self._on_basis(specification), value, human, found, self._sizes, MANY)

    def _distance(
        self,
        specification: Specification,
        of: Callable[[View], float],
        between: Callable[[View, View], float],
        scale: float,
    ) -> Measure:
        if not self.pairs:
            return distance(self._on_basis(specification), None, (0, 1))
        texts = np.array([of(one) for one, _ in self.pairs])
        stand_in = scale * np.array([between(one, other) for one, other in self.pairs])
        return distance(self._on_basis(specification), Replicates(texts, stand_in), self._sizes)

    @property
    def _sizes(self) -> tuple[int, int]:
        return len(self.pool) // 2, len(self.pool)

    def _missing(self, specifications: Mapping[str, Specification]) -> dict[str, Measure]:
        why = f"{self.human.name} has no such law, word by word"
        return {name: unmeasured(self._on_basis(one), why) for name, one in specifications.items()}

    def _on_basis(self, specification: Specification) -> Specification:
        return on_basis(specification, self.basis)


def _divergence(found: Categories) -> Callable[[View, View], float]:
    return lambda one, other: float(jensen_shannon(found.shares(one), found.shares(other)))


def _squared(found: Categories) -> Callable[[View, View], float]:
    return lambda one, other: float(l2(found.shares(one), found.shares(other)))
