"""The rule of `weight: auto`: the term's gradient is held at a fraction of cross-entropy's."""

from __future__ import annotations

import math

CROSS_ENTROPY_MEMORY = 0.5
"""How much of the running cross-entropy gradient norm each step keeps."""

LARGEST_RISE = 3.0
"""How many times the running norm a step counts for at most: one batch's spike, which clipping makes harmless in plain
SFT, would have the term take the following steps over."""

NO_GRADIENT = 2.0**-63
"""A norm below this is 0: its square is less than the smallest normal float32, in which it was added up."""


def running_norm(before: float | None, norm: float) -> float | None:
    """Exponential running mean of cross-entropy's gradient norm.

    Norms that are 0 or not finite are left out; a larger one than `LARGEST_RISE` times the mean counts as that.
    """
    if not (norm > 0 and math.isfinite(norm)):
        return before
    if before is None:
        return norm
    return CROSS_ENTROPY_MEMORY * before + (1 - CROSS_ENTROPY_MEMORY) * min(norm, LARGEST_RISE * before)


def automatic_weight(fraction: float, cross_entropy_norm: float, norm: float) -> float:
    """The weight at which a gradient of the term of this norm has `fraction` of cross-entropy's; 0 where it is none."""
    return fraction * cross_entropy_norm / norm if norm >= NO_GRADIENT else 0.0
