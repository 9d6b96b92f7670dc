"""Laws of words or tokens and of their n-grams."""

from __future__ import annotations

import math

import torch

from dft_plugin.distances import jensen_shannon, l2
from dft_plugin.evaluation.pool import Pool, View
from dft_plugin.evaluation.specification import Distances, Specification

LENGTHS = (1, 2, 3)


def frequencies(view: View, n: int, unit: str) -> torch.Tensor | None:
    """(types,) the law of n-grams; None for a sample without any."""
    counts = torch.from_numpy(view.counts(n, unit)).double()
    total = counts.sum()
    return counts / total if total else None


def token_laws(pool: Pool, unit: str, basis: str = "") -> Distances:
    """Squared L2 distance of the laws of 1- to 3-grams, and the Jensen-Shannon divergence of single ones.

    Args:
        pool: the texts.
        unit: "words" or "tokens".
        basis: what two results must share to be compared, such as the tokenizer's vocabulary; default: the unit.
    """

    def compute(view: View, human: View) -> dict[str, float]:
        found = {}
        for n in LENGTHS:
            p, q = frequencies(view, n, unit), frequencies(human, n, unit)
            found[f"l2-{n}"] = math.nan if p is None or q is None else float(l2(p, q))
            if n == 1:
                found["jensen-shannon"] = math.nan if p is None or q is None else float(jensen_shannon(p, q))
        return found

    group, one, basis = "words", unit.removesuffix("s"), basis or unit
    named = {
        "jensen-shannon": Specification(
            group, f"{unit}, Jensen-Shannon", f"divergence of {one} frequencies", "distance", "nats", "lower", basis
        )
    }
    for n in LENGTHS:
        what = f"{one} frequencies" if n == 1 else f"frequencies of {n} {unit} in a row"
        label = f"{one} L2" if n == 1 else f"{one} L2, n = {n}"
        named[f"l2-{n}"] = Specification(group, label, f"squared distance of {what}", "distance", "", "lower", basis)
    return Distances(named, compute)
