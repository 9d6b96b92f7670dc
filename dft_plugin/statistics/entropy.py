"""The entropy of the next-token law on generated prefixes, against the surprisal of human text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dft_plugin.statistics.base import NoOptions, Statistic, ratio
from dft_plugin.terms import Counts, Entropy, Term
from dft_plugin.texts import Texts


class EntropyRate(Statistic[NoOptions]):
    """Mean entropy of the next-token law, nats per token.

    Human side: the mean surprisal -log p(x_t | x_<t) of human text under the same model, at the temperature that
    next-token prediction is trained at (`calibration`), which equals the mean entropy when the model is calibrated;
    generation drifts below it.
    """

    name = "entropy"
    support = "vector"
    distance = "l2"
    needs_model = True

    def terms(self, texts: Texts) -> Sequence[Term]:
        row = torch.arange(texts.rows, device=texts.tokens.device)
        return [Entropy(), Counts(row, torch.zeros_like(row), 1)]

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        total, count = accumulators
        return {"entropy": ratio(total, count)}
