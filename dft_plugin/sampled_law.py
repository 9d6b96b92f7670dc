"""Whether rollouts are drawn from the law that the term reads, which its gradient rests on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dft_plugin.law import Law
from dft_plugin.sharing import Processes
from dft_plugin.texts import Texts

LEAST_TEXTS = 64
LEAST_STANDARD_ERRORS = 6.0
LEAST_EXCESS = 0.02
"""In nats per token: less is rounding, and does no harm."""


def excess_surprisal(law: Law, texts: Texts) -> Tensor:
    """By how much each text is less likely than the law has it that it is drawn from: (B,) float64, in nats.

        sum_t [ -log p(x_t | x_<t) - H(p(. | x_<t)) ]

    Of texts drawn from p every summand has mean 0 given the text before it, so that the sums of texts have mean 0,
    those that end by themselves included, and are uncorrelated. Drawn from q a summand has the mean
    sum_v (q - p)(v) (-log p(v)): above 0 where q is flatter than p, below where it is more peaked.

    Args:
        law: at the N rows of the texts.
        texts: B texts.
    """
    sums = torch.zeros(len(texts), dtype=torch.float64, device=law.entropy.device)
    return sums.index_add(0, texts.text, -(law.log_probability + law.entropy).double())


class SampledLaw:
    """The excess surprisal of a run's texts so far, of those that the model of their own step has written.

    Args:
        processes: the data-parallel ones.

    Attributes:
        texts, tokens: how many, of all processes.
        excess, square: sums over texts of the excess and of its square.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.texts = self.tokens = self.excess = self.square = 0.0
        self._said = False

    def measured(self, excess: Tensor, tokens: int, own_step: bool) -> float:
        """Of one step's texts, in nats per token over all processes.

        Args:
            excess: (B,) of this process's texts.
            tokens: how many these have.
            own_step: whether they were sampled at this step: those of an earlier one, from which the model has moved
                on, say nothing of how it is sampled.
        """
        counts = torch.tensor([len(excess), tokens], dtype=excess.dtype, device=excess.device)
        own = torch.cat([counts, torch.stack([excess.sum(), excess.square().sum()])])
        texts, count, total, square = self.processes.reduce(own).tolist()
        if own_step:
            self.texts += texts
            self.tokens += count
            self.excess += total
            self.square += square
        return float(total / count)

    @property
    def standard_errors(self) -> float:
        """How far the mean is from 0, in the standard errors that it has where texts are drawn from the law."""
        return self.excess / math.sqrt(self.square) if self.square > 0 else 0.0

    def problem(self) -> str | None:
        """What to say where texts are of another law; once."""
        mean = self.excess / max(1.0, self.tokens)
        told = self._said or self.texts < LEAST_TEXTS
        if told or abs(mean) < LEAST_EXCESS or abs(self.standard_errors) < LEAST_STANDARD_ERRORS:
            return None
        self._said = True
        return (
            f"the texts that are sampled are not of the law that the term reads: over {self.texts:.0f} of them a "
            f"token's surprisal is {abs(mean):.2g} nats {'above' if mean > 0 else 'below'} its entropy "
            f"({abs(self.standard_errors):.0f} standard errors), where the two should be equal, so that the term's "
            "gradient is not that of the text you see. Causes are a rollout engine that samples otherwise than "
            "`rollout` says, or from other weights, and models that do not bear padding on the left where contexts "
            "are of different lengths (RWKV, MiniMax)"
        )
