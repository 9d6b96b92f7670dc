"""What a statistic is: terms to accumulate, and a summary of the accumulators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dft_plugin.block import Block
from dft_plugin.layout import TableCache, accumulate_written
from dft_plugin.terms import Term
from dft_plugin.texts import Texts, stack
from dft_plugin.vocabulary import Vocabulary
from dft_plugin.written import Integers, Written

Counted = npt.NDArray[np.float64]
WINDOWS_AT_A_TIME = 64

Support = Literal["ordered", "unordered", "vector"]
"""ordered: a law on a line (word counts); unordered: a law on a set (tokens); vector: any real numbers."""


class NoOptions(Block):
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
        Options: pydantic model of the statistic's own options.
        version: raised whenever the accumulator changes meaning; part of a reference file.
        needs_text: whether it looks things up in human text that is counted in no other way (`Vocabulary.human_text`).
        needs_model: whether the human side is measured under the model as well (entropy).
        needs_hidden: whether it reads hidden states, and `begin` is to be called; implies `needs_model`.
        needs_credit: whether it has a gradient through reward-to-go alone, and so none without `credit`.
        learns: whether its features are learned while the model trains (see `learn`); takes `needs_model`, or the human
            side would be counted once, with the features of before.
    """

    name: ClassVar[str]
    support: ClassVar[Support]
    distance: ClassVar[str]
    version: ClassVar[int] = 1
    needs_text: ClassVar[bool] = False
    needs_model: ClassVar[bool] = False
    needs_hidden: ClassVar[bool] = False
    needs_credit: ClassVar[bool] = False
    learns: bool = False
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.needs_model = cls.needs_model or cls.needs_hidden

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
            Named components, each (..., S): laws that sum to 1, or vectors. Each row by itself, and the same for a sum
            of texts as for their mean: divided by a count among the accumulators (`ratio`), with no constant added.
        """
        raise NotImplementedError

    def count(self, written: Written, group: Integers, groups: int) -> Sequence[Counted]:
        """The accumulators of written text, summed by group of windows: one (groups, size) per term.

        By default through `terms`, with all mass on the token that stands there. A statistic may override it
        with a faster count of the same numbers.

        Args:
            written: W windows.
            group: (W,) the group of each window.
            groups: how many there are.
        """
        sizes: list[int] = []
        parts = []
        device, cache = self.vocabulary.words_outside.device, TableCache()
        for start in range(0, len(written), WINDOWS_AT_A_TIME):
            texts = stack(written.select(slice(start, start + WINDOWS_AT_A_TIME)).windows()).to(device)
            listed = list(self.terms(texts))
            parts.append(accumulate_written(listed, texts, self.vocabulary.size, cache).cpu())
            sizes = [term.size for term in listed]
        of = torch.as_tensor(group, dtype=torch.long)
        total = torch.zeros(groups, sum(sizes), dtype=torch.float64).index_add_(0, of, torch.cat(parts))
        return [part.numpy() for part in total.split(sizes, dim=1)]

    def begin(self, human: Tensor) -> None:
        """Called where `needs_hidden` when the term is assembled, and anew at the first acting step.

        Args:
            human: (N, D) hidden states of human text under the model as it then is.
        """

    def learn(self, human: Tensor, generated: Tensor, reduce: Callable[[Tensor], Tensor]) -> None:
        """Called where `learns`, at the end of each acting step, when its texts have been scored.

        Args:
            human: (N, D) hidden states of human text that is never scored.
            generated: (M, D) hidden states of this process's rollouts.
            reduce: sums over ranks.
        """

    def state_dict(self) -> Mapping[str, Tensor]:
        """What `begin` and `learn` have found, for a checkpoint: of the same names and shapes from `begin` on."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what `state_dict` gave; names and shapes are those of this run's own."""


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 0 (with zero gradient) where the denominator is 0."""
    empty = denominator <= 0
    return numerator.masked_fill(empty.expand_as(numerator), 0.0) / denominator.masked_fill(empty, 1.0)
