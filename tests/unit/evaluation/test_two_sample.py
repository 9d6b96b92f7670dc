"""The two-sample tests against plain sums, scikit-learn and known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dft_plugin.evaluation import two_sample
from dft_plugin.evaluation.features import BUCKETS, hashed_ngrams
from dft_plugin.evaluation.resampling import splits
from tests.unit.evaluation.samples import made_up, pool_of

GENERATOR = np.random.default_rng(0)
NEAR = GENERATOR.normal(size=(60, 5)).astype(np.float32)
FAR = GENERATOR.normal([1.5, 0, 0, 0, 0], size=(50, 5)).astype(np.float32)
BOTH = np.concatenate([NEAR, FAR])
FIRST, SECOND = np.arange(60), np.arange(60, 110)


def test_unbiased_mmd_is_the_mean_over_pairs() -> None:
    distances = two_sample.squared_distances(BOTH)
    kernel = two_sample.gaussian_kernel(distances, SECOND)
    human = [np.sum((a - b) ** 2) for a, b in itertools.combinations(FAR, 2)]

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-np.sum((x - y) ** 2) / (2 * np.median(human))))

    one, other = NEAR[:9], FAR[:7]
    expected = np.mean([k(x, y) for x, y in itertools.permutations(one, 2)])
    expected += np.mean([k(x, y) for x, y in itertools.permutations(other, 2)])
    expected -= 2 * np.mean([k(x, y) for x in one for y in other])
    members = [two_sample.membership([index], 110) for index in (np.arange(9), np.arange(60, 67))]
    assert two_sample.mmd(kernel, *members)[0] == pytest.approx(expected, rel=1e-3)


def test_one_text_again_and_again_is_told_from_nothing() -> None:
    vectors = np.tile(np.float32([[0.6, 0.8]]), (60, 1))
    gram = two_sample.gram(torch.zeros(60, 60))
    assert two_sample.classify(gram, np.arange(20), np.arange(20, 60), seed=0).auc == 0.5
    gram = two_sample.gram(two_sample.squared_distances(vectors))
    assert 0 <= two_sample.classify(gram, np.arange(20), np.arange(20, 60), seed=0).auc <= 1


def test_permutation_p_value() -> None:
    kernel = two_sample.gaussian_kernel(two_sample.squared_distances(BOTH), SECOND)
    assert two_sample.permutation_p_value(kernel, FIRST, SECOND, seed=0) == 1 / (1 + two_sample.PERMUTATIONS)
    # Under the hypothesis p-values are uniform: over 40 splits of one sample about half are below 1/2.
    values = []
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(FIRST)
        values.append(two_sample.permutation_p_value(kernel, order[:30], order[30:], seed))
    assert 0.3 < np.mean(np.array(values) < 0.5) < 0.7


def test_the_classifiers_scores_are_ridge_regressions() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    gram = two_sample.gram(two_sample.squared_distances(BOTH))
    train = [FIRST[:40], SECOND[:30]]
    test = np.concatenate([FIRST[40:], SECOND[30:]])
    points = BOTH[np.concatenate(train)]
    labels = np.r_[np.ones(40), -np.ones(30)]
    penalty = two_sample.RIDGE * np.sum((points - points.mean(0)) ** 2)
    expected = linear.Ridge(alpha=penalty).fit(points, labels).predict(BOTH[test])
    found = two_sample._scores(gram, train, test)
    # Up to a constant, which no rank sees.
    assert found - found.mean() == pytest.approx(expected - expected.mean(), abs=1e-4)


def test_auc_is_scikit_learns_over_the_same_scores() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    gram = two_sample.gram(two_sample.squared_distances(BOTH))
    placements = two_sample.classify(gram, FIRST, SECOND, seed=3)
    generator = np.random.default_rng(3)
    folds = [np.array_split(generator.permutation(sample), two_sample.FOLDS) for sample in (FIRST, SECOND)]
    areas = []
    for fold in range(two_sample.FOLDS):
        train = [np.concatenate(parts[:fold] + parts[fold + 1 :]) for parts in folds]
        scores = [two_sample._scores(gram, train, part[fold]) for part in folds]
        labels = np.r_[np.ones(len(scores[0])), np.zeros(len(scores[1]))]
        areas.append(metrics.roc_auc_score(labels, np.concatenate(scores)))
    assert placements.auc == pytest.approx(np.mean(areas))
    assert placements.second.mean() == pytest.approx(placements.auc)
    assert 0.7 < placements.auc < 0.95


def test_auc_agrees_with_logistic_regression_on_texts() -> None:
    model = pytest.importorskip("sklearn.linear_model").LogisticRegression
    validate = pytest.importorskip("sklearn.model_selection").cross_val_score
    own, human = made_up(120, 1, words=40, favourite="zebra"), made_up(120, 2, words=40)
    pool = pool_of([text.text.replace("zebra", "dog") for text in own], [text.text for text in human])
    vectors = hashed_ngrams(pool, np.arange(240))
    labels = np.r_[np.ones(120), np.zeros(120)]
    expected = validate(model(C=100.0, max_iter=1000), vectors, labels, cv=5, scoring="roc_auc").mean()
    gram = two_sample.gram(two_sample.squared_distances(vectors))
    found = np.mean([two_sample.classify(gram, np.arange(120), np.arange(120, 240), seed).auc for seed in range(4)])
    assert 0.65 < expected < 0.97
    assert found == pytest.approx(expected, abs=0.06)


def test_the_interval_of_the_auc_covers_what_other_samples_give() -> None:
    generator = np.random.default_rng(5)

    def sample() -> tuple[torch.Tensor, list[np.ndarray]]:
        points = np.concatenate([generator.normal(0.4, 1, (160, 2)), generator.normal(0, 1, (320, 2))])
        gram = two_sample.gram(two_sample.squared_distances(points.astype(np.float32)))
        return gram, [np.arange(160), np.arange(160, 480)]

    areas, spreads = [], []
    for seed in range(30):
        gram, (own, human) = sample()
        drawn = splits(own, human, 1, seed)
        found = two_sample.auc_replicates(gram, drawn, 50, seed)
        areas.append(found.texts.mean())
        spreads.append(found.texts.std())
        assert abs(found.stand_in.mean() - 0.5) < 0.2
    assert np.mean(spreads) == pytest.approx(np.std(areas), rel=0.4)


def test_hashed_ngrams_are_roots_of_shares_in_buckets() -> None:
    pool = pool_of(["the cat sees the cat", "the cat sees the cat", "a dog", "..."])
    vectors = hashed_ngrams(pool, np.arange(4))
    assert vectors.shape == (4, 2 * BUCKETS)
    assert (vectors[0] == vectors[1]).all()
    words = vectors[0, :BUCKETS]
    # Words: the 2, cat 2, sees 1; pairs: the-cat 2, cat-sees 1, sees-the 1: nine in all.
    assert sorted(9 * words[words > 0] ** 2) == pytest.approx([1, 1, 1, 2, 2, 2], abs=1e-4)
    assert np.linalg.norm(vectors[:3, :BUCKETS], axis=1) == pytest.approx([1, 1, 1], abs=1e-4)
    assert not vectors[3, :BUCKETS].any()  # no words
