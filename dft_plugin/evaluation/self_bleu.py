"""Self-BLEU: how well each text is made up of phrases of the others (Zhu et al., Texygen, 2018)."""

from __future__ import annotations

import math

import numpy as np

from dft_plugin.evaluation.pool import Floats, Ints, Pool, View
from dft_plugin.evaluation.specification import Figures, Specification

ORDER = 4


def self_bleu_of_texts(view: View) -> Floats:
    """BLEU (0 to 100) of each text with all other texts of the sample as references.

    As sacrebleu's sentence BLEU on the same words: n up to 4, effective order, exponential smoothing, the length of
    the nearest reference. An n-gram's largest count among the other texts is the largest of all, or the second
    largest where the text itself holds the largest, so that the whole sample costs one pass.
    """
    texts = len(view)
    lengths = view.pool.words[view.index]
    if texts < 2:
        return np.full(texts, math.nan)
    logs, order = np.zeros(texts), np.zeros(texts)
    halvings = np.ones(texts)
    any_match = np.zeros(texts, dtype=bool)
    for n in range(1, ORDER + 1):
        matches, total = _matches(view, n), np.maximum(0, lengths - n + 1)
        present = total > 0
        missed = present & (matches == 0)
        halvings[missed] *= 2
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(missed, 1 / (halvings * total), matches / total)
            logs += np.where(present, np.log(precision), 0.0)
        order += present
        any_match |= matches > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        penalty = np.minimum(0.0, 1 - _nearest_other(lengths) / lengths)
        score = 100 * np.exp(penalty + logs / order)
    return np.where(any_match, score, 0.0)


def _matches(view: View, n: int) -> Floats:
    """(texts,) n-grams of each text found in another, each at most as often as in the other that has it most."""
    grams, entries = view.pool.grams(n), view.entries(n)
    gram, count = grams.gram[entries], grams.count[entries]
    text = np.repeat(np.arange(len(view)), grams.start[view.index + 1] - grams.start[view.index])
    largest = np.zeros(grams.types, dtype=np.int64)
    np.maximum.at(largest, gram, count)
    holds = count == largest[gram]
    alone = holds & (np.bincount(gram[holds], minlength=grams.types)[gram] == 1)
    second = np.zeros_like(largest)
    np.maximum.at(second, gram[~holds], count[~holds])
    matched = np.where(alone, np.minimum(count, second[gram]), count)
    # A text that shares the largest count is matched in full by the other that has it.
    matched = np.where(holds, matched, np.minimum(count, largest[gram]))
    found = np.bincount(text, matched, minlength=len(view))
    return found.astype(np.float64)


def _nearest_other(lengths: Ints) -> Ints:
    """For each length the nearest length of another text, the shorter one of two as near."""
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    below = np.concatenate([[np.iinfo(np.int64).min // 2], ordered[:-1]])
    above = np.concatenate([ordered[1:], [np.iinfo(np.int64).max // 2]])
    nearest = np.where(ordered - below <= above - ordered, below, above)
    found = np.empty_like(nearest)
    found[order] = nearest
    return found


def self_bleu(pool: Pool) -> Figures:
    """Mean self-BLEU of the texts of a sample."""

    def compute(view: View) -> dict[str, float]:
        return {"self-bleu": float(self_bleu_of_texts(view).mean()) if len(view) > 1 else math.nan}

    specification = Specification(
        "repetition", "self-BLEU", "how well each text is made up of phrases of the others, 0 to 100", unit="BLEU"
    )
    return Figures({"self-bleu": specification}, compute, sized=True, share=0.2)
