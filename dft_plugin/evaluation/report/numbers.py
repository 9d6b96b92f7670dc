"""Numbers as a reader takes them in."""

from __future__ import annotations

import math

from dft_plugin.evaluation.result import Interval

MINUS = "−"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def figure(value: float | None) -> str:
    """Three significant digits; powers of ten where zeros would have to be counted; – for what is not there."""
    if value is None:
        return "–"
    size = abs(value)
    if size == 0:
        return "0"
    if 999.5 <= size < 1e7:
        return f"{value:,.0f}".replace("-", MINUS)
    if 0.001 <= size < 1000:
        return f"{value:#.3g}".rstrip(".").replace("-", MINUS)
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits.replace('-', MINUS)} × 10{str(int(exponent)).translate(_RAISED)}"


def between(interval: Interval | None) -> str:
    """ "2.1 to 3.4", or nothing."""
    return "" if interval is None else f"{figure(interval[0])} to {figure(interval[1])}"


def share(value: float) -> str:
    """A share in whole percent."""
    return f"{value:.0%}".replace("-", MINUS).replace(f"{MINUS}0%", "0%")


def times(ratio: float) -> str:
    """A multiple to two digits."""
    return f"{float(f'{ratio:.2g}'):,.10g}×"


def tick(value: float) -> str:
    """A value along an axis, exactly; thousands and millions as k and M."""
    size = abs(value)
    if 0 < size < 1e-4:
        return figure(value)
    # 1,000 and 5,000 are as short written out.
    unit, suffix = (1e6, "M") if size >= 1e6 else (1e3, "k") if size >= 1e4 else (1.0, "")
    return f"{value / unit:,.10g}{suffix}".replace("-", MINUS)


def finite(value: object) -> float | None:
    """The number, or None if it is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
