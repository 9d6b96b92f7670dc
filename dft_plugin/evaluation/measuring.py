"""All measures of a sample of texts beside human texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dft_plugin.evaluation import laws, length, lexical, punctuation, scripts, self_bleu, sentences, two_sample
from dft_plugin.evaluation.features import Vectors, embeddings, hashed_ngrams
from dft_plugin.evaluation.identity import vocabulary_name
from dft_plugin.evaluation.pool import Ints, Pool, make_pool
from dft_plugin.evaluation.resampling import (
    Replicates,
    distance,
    figure,
    replicates,
    splits,
    unmeasured,
)
from dft_plugin.evaluation.result import Basis, Measure
from dft_plugin.evaluation.specification import Distances, Figures, Specification, on_basis
from dft_plugin.evaluation.texts import Text
from dft_plugin.evaluation.words import word_starts

Progress = Callable[[str, float], None]
"""Told what is measured, and which share of the whole has been done."""

GROUPS = ("text", "vocabulary", "repetition", "sentences", "punctuation", "words", "two-sample", "model", "judge")
"""Order of the groups in tables."""
KERNEL_TEXTS = 2000
"""Texts of a side in the two-sample tests, which take their square in memory."""
FEWEST_HUMAN = 1000
"""Human texts that are used in any case, if there are so many."""
CLASSIFIERS = 3
"""Resamples on which a classifier is trained."""


@dataclass(frozen=True)
class Options:
    """How texts are measured.

    Attributes:
        words: each text is measured on its first so many; None: what half of the texts of either side have.
        resamples: behind each interval.
        human_texts: human texts used per measured text at most, drawn at random.
        seed: of resamples, permutations and folds.
        tokenizer: for laws of tokens; None: of words.
        embedding: a sentence-transformers model for the two-sample tests; None: hashed n-grams.
        mauve: whether MAUVE is computed as well, on the same vectors.
    """

    words: int | None = None
    resamples: int = 200
    human_texts: float = 2.0
    seed: int = 0
    tokenizer: Any = None
    embedding: str | None = None
    mauve: bool = False


def round_down(number: float) -> int:
    """The largest of 1, 1.5, 2, 3, 5, 7, 10, 15, ... that is not above: sizes that similar samples share."""
    if number < 1:
        return 1
    power = 10.0 ** math.floor(math.log10(number))
    return max(1, int(max(step * power for step in (1, 1.5, 2, 3, 5, 7) if step * power <= number)))


def common_words(*sides: Sequence[Text]) -> int:
    """Words that half of the texts of each side have, rounded down."""
    return round_down(min(float(np.median([len(word_starts(text.text)) for text in side[:2000]])) for side in sides))


def prepare(measured: Sequence[Text], human: Sequence[Text], options: Options) -> Pool:
    """The pool of both sides: human texts drawn at random where there are many more, each text cut alike."""
    generator = np.random.default_rng(options.seed)
    most = max(FEWEST_HUMAN, round(options.human_texts * len(measured)))
    if len(human) > most:
        human = [human[i] for i in sorted(generator.choice(len(human), most, replace=False))]
    limit = options.words or common_words(measured, human)
    return make_pool(measured, human, limit, options.tokenizer)


def basis_of(pool: Pool, options: Options) -> Basis:
    """Sizes of the comparison."""
    human = len(pool) - pool.measured
    return Basis(
        words=pool.limit, texts=min(pool.measured, human) // 2, human_texts=human // 2, resamples=options.resamples
    )


def gram_sizes(pool: Pool, texts: int) -> dict[int, int]:
    """n -> number of n-grams at which vocabularies are compared: what samples of so many texts have on both sides."""
    sides = [pool.words[pool.own], pool.words[pool.human]]
    return {n: round_down(0.9 * texts * min(np.maximum(0, side - n + 1).mean() for side in sides)) for n in (1, 2, 3)}


def families(pool: Pool, texts: int, tokenizer: Any) -> list[Figures | Distances]:
    """The measures that are computed from counts; laws of the tokenizer's tokens if there is one, else of words."""
    unit = "words" if tokenizer is None else "tokens"
    basis = unit if tokenizer is None else f"tokens of vocabulary {vocabulary_name(tokenizer)}"
    length_figure, length_law = length.text_length(pool)
    sentence_figures, sentence_law = sentences.lengths(pool)
    opening_figures, opening_law = sentences.openings(pool)
    return [
        length_figure,
        length_law,
        scripts.other_scripts(pool),
        lexical.vocabulary(pool, gram_sizes(pool, texts)),
        lexical.repetition(pool),
        self_bleu.self_bleu(pool),
        sentence_figures,
        sentence_law,
        opening_figures,
        opening_law,
        punctuation.rates(pool),
        punctuation.rhythm(pool),
        laws.token_laws(pool, unit, basis),
    ]


def measure(pool: Pool, options: Options, progress: Progress = lambda what, share: None) -> dict[str, Measure]:
    """Every measure of the measured texts of a pool beside its human texts, by name."""
    basis = basis_of(pool, options)
    drawn = splits(pool.own, pool.human, options.resamples, options.seed)
    progress("counting", 0.0)
    made = families(pool, max(1, basis.texts), options.tokenizer)
    found = replicates(made, pool, drawn, lambda done: progress("resampling", 0.1 + 0.7 * done / len(drawn)))
    measures = {name: one for family in made for name, one in _measured(family, pool, found, basis).items()}
    progress("two-sample tests", 0.8)
    measures |= two_samples(pool, options, basis)
    progress("measured", 1.0)
    return measures


def _measured(
    family: Figures | Distances, pool: Pool, found: Mapping[str, Replicates], basis: Basis
) -> dict[str, Measure]:
    sizes, people = (basis.texts, pool.measured), len(pool) - pool.measured
    specifications = {name: on_basis(one, basis) for name, one in family.specifications.items()}
    if isinstance(family, Distances):
        return {name: distance(one, found.get(name), sizes) for name, one in specifications.items()}
    own, human = (dict(family.compute(pool.view(index))) for index in (pool.own, pool.human))
    for name, one in found.items() if family.sized else ():
        if name in specifications and one.human is not None:
            own[name], human[name] = float(one.texts.mean()), float(np.concatenate([one.stand_in, one.human]).mean())
    return {
        name: figure(one, own[name], human[name], found.get(name), sizes, people)
        for name, one in specifications.items()
    }


def two_samples(pool: Pool, options: Options, basis: Basis) -> dict[str, Measure]:
    """Unbiased MMD with its permutation p-value, and the classifier's AUC."""
    on = "hashed n-grams" if options.embedding is None else f"embeddings of {options.embedding}"
    specifications = {
        "mmd": Specification(
            "two-sample", "MMD²", f"unbiased squared MMD, Gaussian kernel on {on}", "distance", "", "lower", on
        ),
        "auc": Specification(
            "two-sample",
            "classifier AUC",
            f"how well a linear classifier on {on} tells held-out texts from human ones; 0.5 is not at all",
            basis=on,
        ),
        "mauve": Specification("two-sample", "1 - MAUVE", f"1 - MAUVE on {on}", "distance", "", "lower", on),
    }
    if not options.mauve:
        del specifications["mauve"]
    specifications = {name: on_basis(one, basis) for name, one in specifications.items()}
    measured, human = pool.own[:KERNEL_TEXTS], pool.human[:KERNEL_TEXTS]
    if min(len(measured), len(human)) // 2 < 2 * two_sample.FOLDS:
        return {name: unmeasured(one, "too few texts on one side") for name, one in specifications.items()}
    chosen = np.concatenate([measured, human])
    if options.embedding is None:
        vectors = hashed_ngrams(pool, chosen)
    else:
        vectors = embeddings([pool.clipped[i] for i in chosen], options.embedding)
    own, other = np.arange(len(measured)), np.arange(len(measured), len(chosen))
    drawn = splits(own, other, options.resamples, options.seed)
    half = len(drawn[0].texts)
    distances = two_sample.squared_distances(vectors)
    gram = two_sample.gram(distances)
    auc = two_sample.auc_replicates(gram, drawn[:CLASSIFIERS], options.resamples, options.seed)
    del gram
    kernel = two_sample.gaussian_kernel(distances, other)
    mmd = distance(specifications["mmd"], two_sample.mmd_replicates(kernel, drawn), (half, len(own)))
    p_value = two_sample.permutation_p_value(kernel, own, other, options.seed)
    mauve = _mauve(vectors, own, other, specifications["mauve"], options) if options.mauve else {}
    return {
        **mauve,
        "mmd": mmd.model_copy(update={"p_value": p_value}),
        "auc": figure(specifications["auc"], float(auc.texts.mean()), 0.5, auc, (half, 2 * half), len(other)),
    }


def _mauve(
    vectors: Vectors, measured: Ints, human: Ints, specification: Specification, options: Options
) -> dict[str, Measure]:
    from dft_plugin.evaluation.mauve import mauve_replicates

    found = mauve_replicates(vectors, measured, human, options.seed)
    return {"mauve": distance(specification, found, (min(len(measured), len(human)) // 2, len(measured)))}
