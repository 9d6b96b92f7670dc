"""The deployment sampler: one definition for the text that is generated and the law that is differentiated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Sampler:
    """Temperature, then top-k, top-p and min-p, in the order and by the code of transformers' `generate`.

    Attributes:
        temperature: logits are divided by it.
        top_k: tokens kept; 0 is off.
        top_p: probability mass kept; 1 is off.
        min_p: least probability kept, relative to the likeliest token's; 0 is off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @cached_property
    def _filters(self) -> list[Any]:
        from transformers.generation.logits_process import (
            MinPLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        filters: list[Any] = []
        if self.top_k:
            filters.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            filters.append(TopPLogitsWarper(self.top_p))
        if self.min_p > 0:
            filters.append(MinPLogitsWarper(self.min_p))
        return filters

    def __call__(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """Logits (n, V) of the law that is sampled: -inf where it never draws.

        The drawn token (n,) keeps its logit whatever the filters say: it was sampled, and rounding between
        cached generation and the forward pass must not give it probability 0.
        """
        scaled = logits / self.temperature
        warped = scaled
        for keep in self._filters:
            warped = keep(None, warped)
        if not self._filters:
            return scaled
        column = drawn[:, None]
        return warped.scatter(1, column, scaled.gather(1, column))

    def generation_options(self) -> dict[str, Any]:
        """The same law as options of transformers' `GenerationConfig`."""
        return {
            "do_sample": True,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p if self.min_p > 0 else None,
        }
