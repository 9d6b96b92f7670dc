"""Two-sample tests on vectors of texts: unbiased MMD with a permutation p-value, and a classifier's AUC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dft_plugin.evaluation.features import Vectors
from dft_plugin.evaluation.pool import Floats, Ints
from dft_plugin.evaluation.resampling import Replicates, Split

PERMUTATIONS = 500
FOLDS = 5
RIDGE = 1e-3
"""Of the classifier, relative to the mean squared norm of a text's vector."""


def squared_distances(vectors: Vectors) -> Tensor:
    """(T, T) squared Euclidean distances."""
    points = torch.from_numpy(vectors)
    norms = points.square().sum(1)
    distances: Tensor = (norms[:, None] + norms[None, :]).addmm_(points, points.T, alpha=-2)
    return distances.clamp_(min=0)


def gram(distances: Tensor) -> Tensor:
    """(T, T) inner products up to what centring takes away: -1/2 d^2 (classical scaling)."""
    return distances / -2


def gaussian_kernel(distances: Tensor, human: Ints) -> Tensor:
    """exp(-d^2 / (2 h^2)), h^2 the median squared distance of two human texts (Gretton et al. 2012, section 8), less
    the mean: a constant cancels in the unbiased statistic, and float32 keeps more of the rest."""
    own = distances[human][:, human]
    apart = own[torch.triu(torch.ones_like(own), 1) > 0]
    # An even sample: the median of millions of distances needs a sort of them all.
    median = float(apart[:: max(1, len(apart) // 1_000_000)].median()) if len(apart) else 1.0
    kernel = torch.exp(distances / (-2 * max(median, 1e-12)))
    return kernel.sub_(kernel.mean())


def mmd(kernel: Tensor, first: Tensor, second: Tensor) -> Floats:
    """(R,) unbiased squared MMD of pairs of disjoint samples.

        mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    Args:
        kernel: (T, T).
        first, second: (T, R) 1 for the texts of each sample.

    Source: Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012, equation 3.
    """
    n, m = first.sum(0), second.sum(0)
    of_first, of_second = kernel @ first, kernel @ second
    diagonal = kernel.diagonal()
    within_first = ((first * of_first).sum(0) - diagonal @ first) / (n * (n - 1))
    within_second = ((second * of_second).sum(0) - diagonal @ second) / (m * (m - 1))
    between = (second * of_first).sum(0) / (n * m)
    found: Floats = (within_first + within_second - 2 * between).double().numpy()
    return found


def membership(samples: Sequence[Ints], texts: int) -> Tensor:
    """(T, R) float32: 1 where a text is in a sample."""
    table = torch.zeros(len(samples), texts)
    for row, sample in enumerate(samples):
        table[row, torch.from_numpy(sample)] = 1
    return table.T.contiguous()


def mmd_replicates(kernel: Tensor, drawn: Sequence[Split]) -> Replicates:
    """The squared MMD of each resample, and of its human stand-in."""
    texts, stand_in, human = (
        membership([getattr(split, side) for split in drawn], len(kernel)) for side in ("texts", "stand_in", "human")
    )
    return Replicates(mmd(kernel, texts, human), mmd(kernel, stand_in, human))


def permutation_p_value(kernel: Tensor, measured: Ints, human: Ints, seed: int) -> float:
    """(1 + permutations with at least the MMD of the true labels) / (1 + permutations)."""
    generator = np.random.default_rng(seed)
    both = np.concatenate([measured, human])
    orders = [both, *(generator.permutation(both) for _ in range(PERMUTATIONS))]
    first = membership([order[: len(measured)] for order in orders], len(kernel))
    second = membership([order[len(measured) :] for order in orders], len(kernel))
    found = mmd(kernel, first, second)
    return float((1 + (found[1:] >= found[0]).sum()) / (1 + PERMUTATIONS))


@dataclass(frozen=True)
class Placements:
    """A classifier's AUC as means over texts (DeLong, DeLong and Clarke-Pearson 1988).

    Attributes:
        first: for each text of the first sample, the share of held-out texts of the other it is told from.
        second: the same for the second sample.
    """

    first: Floats
    second: Floats

    @property
    def auc(self) -> float:
        """The mean over folds of the area under the ROC curve, each weighed by its texts."""
        return float(self.first.mean())


def classify(gram: Tensor, first: Ints, second: Ints, seed: int) -> Placements:
    """Tells two samples apart with a linear classifier, cross-validated in stratified folds.

    Regularised least squares on labels +-1 (Fisher's linear discriminant), in its dual form: scores of held-out
    texts are K_test (K_train + r I)^-1 y, with K centred on the training texts.

    Args:
        gram: (T, T) inner products.
        first, second: the samples, each of at least `FOLDS` texts.
        seed: of the folds.

    Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, 2017; the AUC instead of the accuracy.
    """
    generator = np.random.default_rng(seed)
    folds = [np.array_split(generator.permutation(sample), FOLDS) for sample in (first, second)]
    shares: tuple[list[Floats], list[Floats]] = ([], [])
    for fold in range(FOLDS):
        train = [np.concatenate(parts[:fold] + parts[fold + 1 :]) for parts in folds]
        scores = [_scores(gram, train, part[fold]) for part in folds]
        order = np.sort(scores[1])
        below, up_to = (np.searchsorted(order, scores[0], side) for side in ("left", "right"))
        shares[0].append((below + up_to) / 2 / len(order))
        order = np.sort(scores[0])
        below, up_to = (np.searchsorted(order, scores[1], side) for side in ("left", "right"))
        shares[1].append(1 - (below + up_to) / 2 / len(order))
    return Placements(np.concatenate(shares[0]), np.concatenate(shares[1]))


def _scores(gram: Tensor, train: Sequence[Ints], test: Ints) -> Floats:
    index = torch.from_numpy(np.concatenate(list(train)))
    labels = torch.cat([torch.ones(len(train[0])), -torch.ones(len(train[1]))])
    within = gram[index][:, index]
    columns = within.mean(0)
    centred = within - columns - columns[:, None] + columns.mean()
    if float(centred.trace()) <= 0:  # one text, again and again: nothing to tell apart
        return np.zeros(len(test))
    centred.diagonal().add_(RIDGE * float(centred.trace()))
    weights = torch.cholesky_solve((labels - labels.mean())[:, None], torch.linalg.cholesky(centred)).squeeze(1)
    weights = weights - weights.mean()  # the centring of the test texts' inner products
    found: Floats = (gram[torch.from_numpy(test)][:, index] @ weights).double().numpy()
    return found


def auc_replicates(gram: Tensor, drawn: Sequence[Split], resamples: int, seed: int) -> Replicates:
    """AUC on each split, and around it the spread of its placements over random halves of the texts."""
    generator = np.random.default_rng(seed)
    each = -(-resamples // max(1, len(drawn)))
    found: dict[str, list[float]] = {"texts": [], "stand_in": []}
    for number, split in enumerate(drawn):
        for side, values in found.items():
            placements = classify(gram, getattr(split, side), split.human, seed + number)
            values += [placements.auc + _deviation(placements, generator) for _ in range(each)]
    texts, stand_in = (np.array(values) for values in found.values())
    return Replicates(texts, stand_in, np.full(len(texts), 0.5))


def _deviation(placements: Placements, generator: np.random.Generator) -> float:
    deviation = 0.0
    for values in (placements.first, placements.second):
        half = generator.permutation(len(values))[: len(values) // 2]
        deviation += float(values[half].mean() - values.mean())
    return deviation
