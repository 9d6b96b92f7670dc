"""Whether summaries and distances are what the estimator takes them for, told by two samples of human text.

A third party's that reduce over the batch, depend on how many texts were added up or lose their gradient would train
towards something else, and nothing would show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from dft_plugin.accumulation import Accumulation
from dft_plugin.objective import Matched

TOLERANCE = 1e-3
"""Above the rounding of float32, below what any of these faults changes."""


def check_statistics(accumulation: Accumulation, matched: Sequence[Matched], samples: Tensor, windows: float) -> None:
    """Measures each of two samples alone, beside the other, and as a mean.

    Args:
        accumulation: where each statistic's accumulators stand among the A.
        matched: statistics with their distances.
        samples: (2, A) accumulators of two samples of human text.
        windows: how many each is of, about.

    Raises:
        ValueError: naming the statistic, what is asked of it and the mend.
    """
    with torch.enable_grad():
        samples = samples.detach().clone().requires_grad_()
        total, mean = samples.detach().sum(0), samples.detach() / windows
        for entry in matched:
            statistic = entry.statistic
            together = accumulation.summarize(statistic, samples)
            alone = [accumulation.summarize(statistic, sample) for sample in samples]
            _check_summary(entry.name, together, alone, accumulation.summarize(statistic, mean))
            whole = accumulation.summarize(statistic, total)
            for component, law in together.items():
                _check_distance(entry, component, law, whole[component])


def _check_summary(
    name: str, together: Mapping[str, Tensor], alone: Sequence[Mapping[str, Tensor]], of_mean: Mapping[str, Tensor]
) -> None:
    for component, law in together.items():
        said = f"statistic {name}: `summarize` gives another {component}"
        each = [sample[component] for sample in alone]
        if any(entry.dim() != 1 for entry in each) or not _same(law, each):
            raise ValueError(
                f"{said} for two samples side by side, of shape {tuple(law.shape)}, than for each alone, of shape "
                f"{tuple(each[0].shape)}: accumulators (..., size) become (..., S), each row by itself, so reduce over "
                "the last dimension (`dim=-1, keepdim=True`)"
            )
        if not _same(of_mean[component], list(law)):
            raise ValueError(
                f"{said} for a sum of texts than for their mean: it has to be the same, for either comes, so divide by "
                "a count among the accumulators (`dft_plugin.statistics.base.ratio`) and add no constant"
            )


def _check_distance(entry: Matched, component: str, law: Tensor, human: Tensor) -> None:
    function = entry.distance.func if isinstance(entry.distance, partial) else entry.distance
    said = f"statistic {entry.name}: its distance {getattr(function, '__name__', function)}"
    together = entry.distance(law, human)
    each = [entry.distance(row, human) for row in law]
    if any(distance.dim() != 0 for distance in each) or not _same(together, each):
        raise ValueError(
            f"{said} gives something else for two summaries of {component} side by side, of shape "
            f"{tuple(together.shape)}, than for each alone, of shape {tuple(each[0].shape)}: (..., S) becomes (...), "
            "each row by itself, so end in `.sum(-1)`"
        )
    if not together.requires_grad and bool((together > 0).any()):
        lost = said if law.requires_grad else f"statistic {entry.name}: `summarize`"
        raise ValueError(
            f"{lost} loses the gradient of {component}, which could not be matched: leave out `detach`, `item`, "
            "`no_grad`, NumPy and whole numbers"
        )


def _same(together: Tensor, each: Sequence[Tensor]) -> bool:
    expected = torch.stack(list(each))
    if together.shape != expected.shape:
        return False
    size = float(expected.detach().abs().nan_to_num(0.0, 0.0, 0.0).max()) if expected.numel() else 0.0
    return torch.allclose(together, expected, rtol=TOLERANCE, atol=TOLERANCE * size * 0.01, equal_nan=True)
