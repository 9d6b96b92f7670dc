"""What a measure is: its name and meaning, and how it is computed from a sample of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from dft_plugin.evaluation.pool import View
from dft_plugin.evaluation.result import Basis


@dataclass(frozen=True)
class Specification:
    """How a measure is presented.

    Attributes:
        group: heading in tables.
        label: what a table prints.
        description: one sentence: what it is.
        kind: "figure", "distance" or "score", as in `result.Measure`.
        unit: of its values.
        better: what is near human: the human value, or the lowest or highest.
        basis: settings that two results must share to be compared.
    """

    group: str
    label: str
    description: str
    kind: Literal["figure", "distance", "score"] = "figure"
    unit: str = ""
    better: Literal["human", "lower", "higher"] = "human"
    basis: str = ""


@dataclass(frozen=True)
class Figures:
    """Properties of one sample of texts.

    Attributes:
        specifications: by name.
        compute: from a sample to the value of each; NaN where it cannot be measured.
        sized: the values depend on the number of texts, so that only samples of as many texts are compared.
        share: of the resamples that are computed, for what is slow; `resampling.LEAST_REPLICATES` at the least.
    """

    specifications: Mapping[str, Specification]
    compute: Callable[[View], Mapping[str, float]]
    sized: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Distances:
    """How far one sample of texts is from another.

    Attributes:
        specifications: by name.
        compute: from a sample and the human sample to each distance; NaN where it cannot be measured.
        share: of the resamples that are computed, for what is slow; `resampling.LEAST_REPLICATES` at the least.
    """

    specifications: Mapping[str, Specification]
    compute: Callable[[View, View], Mapping[str, float]]
    share: float = 1.0


def on_basis(specification: Specification, basis: Basis) -> Specification:
    """The specification, with the sizes of the comparison before its own settings."""
    own = f"first {basis.words:,} words of {basis.texts:,} texts"
    return replace(specification, basis=", ".join(filter(None, [own, specification.basis])))
