"""What a statistic is: terms to accumulate, and a summary of the accumulators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dft_plugin.terms import Term
from dft_plugin.texts import Texts
from dft_plugin.vocabulary import Vocabulary

Support = Literal["ordered", "unordered", "vector"]
"""ordered: a law on a line (word counts); unordered: a law on a set (tokens); vector: any real numbers."""


class NoOptions(BaseModel):
    """Options of a statistic that has none."""

    model_config = ConfigDict(extra="forbid")


OptionsType = TypeVar("OptionsType", bound=BaseModel)


class Statistic(Generic[OptionsType]):
    """A statistic of text: an additive accumulator followed by a summary.

    Subclasses set the class attributes and define `terms` and `summarize`; nothing else. The same two
    functions serve the human reference (the law is the token that stands there) and the model.

    Attributes:
        name: the name users write in `statistics:`.
        support: what the summary is, which decides the distances that can be used.
        distance: name of the default distance.
        on_by_default: whether the statistic is part of the default list.
        Options: pydantic model of the statistic's own options.
        version: raised whenever the accumulator changes meaning; part of a reference file.
        needs_model: whether the human side is measured under the model as well (entropy).
    """

    name: ClassVar[str]
    support: ClassVar[Support]
    distance: ClassVar[str]
    on_by_default: ClassVar[bool] = True
    version: ClassVar[int] = 1
    needs_model: ClassVar[bool] = False
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, vocabulary: Vocabulary, options: OptionsType) -> None:
        self.vocabulary = vocabulary
        self.options = options

    def terms(self, texts: Texts) -> Sequence[Term]:
        """What the accumulators gain at each row; depends on the rows' prefixes only, never on later tokens.

        The sizes of the terms must not depend on the texts.
        """
        raise NotImplementedError

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        """From accumulators to named summaries; differentiable.

        Args:
            accumulators: one per term, (..., size of the term), per text or summed over any texts.

        Returns:
            Named components, each (..., S): laws that sum to 1, or vectors.
        """
        raise NotImplementedError


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 (with zero gradient) where the denominator is 0."""
    empty = denominator <= 0
    return numerator.masked_fill(empty.expand_as(numerator), 0.0) / denominator.masked_fill(empty, 1.0)
