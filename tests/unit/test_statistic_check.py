"""Faulty summaries and distances are told before training; every built-in passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin import plugins
from dft_plugin.accumulation import Accumulation
from dft_plugin.distances import default_options, jensen_shannon, l2
from dft_plugin.objective import DistanceFunction, Matched
from dft_plugin.reference.human_side import of_rows
from dft_plugin.statistic_check import check_statistics
from dft_plugin.statistics.base import NoOptions, ratio
from dft_plugin.statistics.frequency import TokenFrequency
from tests.chain import TOKENS, Chain, vocabulary
from tests.unit.test_statistics import with_human_side


class Mine(TokenFrequency):
    name = "mine"

    def __init__(self, summary: Callable[[Tensor], Tensor]) -> None:
        super().__init__(vocabulary(), NoOptions())
        self.summary = summary

    def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
        return {"law": self.summary(accumulators[0])}


def law(counts: Tensor) -> Tensor:
    return ratio(counts, counts.sum(-1, keepdim=True))


@pytest.mark.parametrize(
    ("summary", "distance", "said"),
    [
        (lambda counts: counts / counts.sum(), l2, r"mine: `summarize`.* each row by itself.*dim=-1, keepdim=True"),
        (lambda counts: law(counts)[..., 0], l2, r"shape \(2,\), than for each alone, of shape \(\)"),
        (lambda counts: law(counts) - law(counts).mean(0), l2, "each row by itself"),
        (lambda counts: counts, l2, r"for a sum of texts than for their mean.*ratio"),
        (lambda counts: law(counts + 1), l2, "add no constant"),
        (law, lambda p, q: l2(p, q).sum(), r"mine: its distance <lambda>.* \(\).* end in `.sum\(-1\)`"),
        (law, lambda p, q: (p - q).square(), r"end in `.sum\(-1\)`"),
        (lambda counts: law(counts).detach(), l2, "mine: `summarize` loses the gradient of law"),
        (law, lambda p, q: l2(p.detach(), q), "mine: its distance <lambda> loses the gradient of law"),
    ],
)
def test_what_is_no_summary_or_distance(summary: Any, distance: DistanceFunction, said: str) -> None:
    statistic = Mine(summary)
    rows = torch.rand(40, len(TOKENS), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    accumulation = Accumulation([statistic], len(TOKENS))
    with pytest.raises(ValueError, match=said):
        of_rows(rows).floors(accumulation, [Matched(statistic, distance)])


def test_what_is_one_in_float32() -> None:
    statistic = Mine(lambda counts: law(counts.float()))
    rows = torch.rand(2, len(TOKENS), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    check_statistics(Accumulation([statistic], len(TOKENS)), [Matched(statistic, jensen_shannon)], rows, 1.0)


def test_every_built_in_passes_and_draws_nothing() -> None:
    chain = Chain.random(0)
    texts = chain.sample(40, torch.Generator().manual_seed(0))
    kinds = plugins.statistics().values()
    made = [kind(with_human_side(vocabulary()), kind.Options()) for kind in kinds]
    for statistic in made:
        statistic.begin(chain.hidden(texts))
    accumulation = Accumulation(made, len(TOKENS))
    plan = accumulation.plan(texts)
    own = accumulation.accumulate(plan, chain.law(texts, plan.request))
    samples = torch.stack([own[::2].sum(0), own[1::2].sum(0)])
    matched = [
        Matched(statistic, partial(distance.function, **default_options(distance.name, statistic.support)))
        for statistic in made
        for distance in plugins.distances().values()
        if statistic.support in distance.supports
    ]
    state = torch.random.get_rng_state()
    check_statistics(accumulation, matched, samples, 20.0)
    assert torch.equal(state, torch.random.get_rng_state())
