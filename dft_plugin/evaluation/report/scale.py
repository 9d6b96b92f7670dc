"""Axes: from values to shares of an axis, and the values that are written along it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis.

    Attributes:
        low, high: the values at its two ends, low < high; above 0 if it is logarithmic.
        log: logarithmic.
    """

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high end, and at the ends what is beyond them."""
        value = min(max(value, self.low), self.high)
        if self.log:
            low = math.log(self.low)  # differences: a ratio may overflow
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the axis: multiples of 1, 2 or 5 times a power of ten; powers of ten, and 1, 2, 5 or 1, 3
        times them where there is room, on a logarithmic one."""
        if self.log:
            return self._log_ticks(most)
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        inside: list[float] = []
        for factors in ((1, 2, 5), (1, 3), (1,)):
            inside = [
                found
                for exponent in range(first, last + 1)
                for factor in factors
                if self.low * (1 - 1e-9) <= (found := factor * 10.0**exponent) <= self.high * (1 + 1e-9)
            ]
            if len(inside) <= most:
                return inside
        return inside[:: -(-len(inside) // most)]


def scale_over(values: Iterable[float | None], *, log: bool = False, zero: bool = False) -> Scale:
    """The axis that holds all values, a little wider than they are.

    Args:
        values: what is drawn; None, and on a logarithmic axis what is not above 0, is passed over.
        log: logarithmic.
        zero: begins at 0 (linear axes only).
    """
    found = [value for value in values if value is not None and math.isfinite(value) and not (log and value <= 0)]
    low, high = (min(found), max(found)) if found else (1.0, 2.0)
    if log:
        margin = max(math.exp(0.04 * (math.log(high) - math.log(low))), 1.05)
        # The smallest numbers are too coarse for a margin: low may round to 0, and high to itself.
        return Scale(max(low / margin, math.ulp(0.0)), math.nextafter(high * margin, math.inf), log=True)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(0.0 if zero and low >= 0 else low - margin, high + margin)
