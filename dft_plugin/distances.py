"""Distances between a summary of generated text and the same summary of human text: pure functions.

Each is ``name(p, q, positions=None, **options) -> Tensor``:

* ``p`` of shape (..., S), ``q`` of shape (S,) or broadcastable to ``p``; ``positions`` of shape (S,), finite
  and strictly increasing, default 0, 1, ..., S - 1. The result has shape ``p.shape[:-1]``.
* Everything is computed in the dtype of ``p`` (floating), to which ``q`` and ``positions`` are converted.
* ``support`` says what p and q are: "ordered", a law on a line; "unordered", a law on a set (positions are
  ignored); "vector", arbitrary reals such as a sketch or a mean. Laws are taken to sum to 1, not normalised.
* Each is 0 at p == q up to rounding, symmetric, and differentiable in p. Gradients stay finite where entries
  are exactly 0, as sampler truncation makes them: what has a root or a logarithm adds ``epsilon`` inside it.
* ``ValueError``: p not floating, q not broadcastable to p, positions of the wrong length or not increasing,
  unknown kernel, bandwidth or epsilon not positive. Checking positions on a GPU synchronises once.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SUPPORTS = frozenset({"ordered", "unordered", "vector"})
KERNELS = ("gaussian", "linear", "delta")
DEFAULT_BANDWIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
# A logarithm is mild near 0 (slope -log(epsilon) / 2 = 14), a root is not (slope sqrt(q / epsilon) / 2). An
# entry at 0 in the accumulators that leave a text out can be far from 0 in that text, and the slope
# multiplies it: so Hellinger's epsilon is near the resolution of a frequency, not near the smallest float.
JENSEN_SHANNON_EPSILON = 1e-12
HELLINGER_EPSILON = 1e-8


def mmd(
    p: Tensor,
    q: Tensor,
    positions: Tensor | None = None,
    *,
    kernel: str = "gaussian",
    bandwidths: Sequence[float] | None = None,
) -> Tensor:
    """Squared maximum mean discrepancy, ``(p - q)^T K (p - q)``.

    "gaussian": ``K_ij = mean over h in bandwidths of exp(-(x_i - x_j)^2 / (2 h^2))``, bandwidths in units of
    positions, default (1, 2, 4, 8, 16). "linear": ``K_ij = x_i x_j``, the squared difference of means, in
    positions squared. "delta": ``K = I``, the squared L2, the one kernel for unordered and vector supports.
    "gaussian" takes S x S memory. Bandwidths with another kernel are an error: they would have no effect.

    Source: Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012; several bandwidths: Li et al., ICML 2015.
    """
    difference = _difference(p, q)
    if kernel not in KERNELS:
        raise ValueError(f"mmd: unknown kernel {kernel!r}; the kernels are {', '.join(KERNELS)}")
    if kernel != "gaussian" and bandwidths is not None:
        raise ValueError(f"mmd: bandwidths={bandwidths!r} have no effect on kernel {kernel!r}")
    if kernel == "delta":
        return difference.square().sum(-1)
    points = _points(positions, difference)
    if kernel == "linear":
        return (difference * points).sum(-1).square()
    widths = DEFAULT_BANDWIDTHS if bandwidths is None else tuple(bandwidths)
    if not widths or not all(math.isfinite(width) and width > 0 for width in widths):
        raise ValueError(f"mmd: bandwidths={widths!r}; give at least one, each positive and finite")
    gaps = points[:, None] - points[None, :]
    # Divided before squaring: a small bandwidth squared would underflow and leave 0 / 0 on the diagonal.
    gram = torch.stack([(gaps / width).square().mul(-0.5).exp() for width in widths]).mean(0)
    # Autocast would take this product in bfloat16, of the order of the distances to be told apart.
    with torch.autocast(device_type=difference.device.type, enabled=False):
        return ((difference @ gram) * difference).sum(-1)


def wasserstein(p: Tensor, q: Tensor, positions: Tensor | None = None) -> Tensor:
    """Exact 1-D Wasserstein-1 distance, ``integral |F_p(x) - F_q(x)| dx``, in units of positions; ordered.

    Its gradient is piecewise constant: it does not shrink near p == q, as that of ``energy`` does.

    Source: Vallender, Theory of Probability and its Applications 18, 1974.
    """
    gaps, widths = _cumulative_difference(p, q, positions)
    return (gaps.abs() * widths).sum(-1)


def energy(p: Tensor, q: Tensor, positions: Tensor | None = None) -> Tensor:
    """Energy distance, ``2 integral (F_p(x) - F_q(x))^2 dx = 2 E|X - Y| - E|X - X'| - E|Y - Y'|``; ordered.

    In units of positions. This is the square of what ``scipy.stats.energy_distance`` returns.

    Source: Szekely and Rizzo, Energy statistics, Journal of Statistical Planning and Inference 143, 2013.
    """
    gaps, widths = _cumulative_difference(p, q, positions)
    return 2.0 * (gaps.square() * widths).sum(-1)


def jensen_shannon(
    p: Tensor, q: Tensor, positions: Tensor | None = None, *, epsilon: float = JENSEN_SHANNON_EPSILON
) -> Tensor:
    """Jensen-Shannon divergence in nats, ``1/2 KL(p | m) + 1/2 KL(q | m)``, ``m = (p + q) / 2``; 0 to ln 2.

    Smoothed as ``1/2 sum p log((p + e) / (m + e)) + q log((q + e) / (m + e))``, e = epsilon. x log(x + e) is
    convex, so this stays in [0, ln 2] up to rounding, and its gradient is 0 at p == q. Entries under 0
    (rounding) count as 0. Positions are ignored.

    Source: Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Information Theory 37, 1991.
    """
    p, q, smoothing = _laws(p, q, epsilon)
    middle = (p + q) / 2 + smoothing
    # Summed entry by entry: the two terms are of first order in p - q and cancel to the second.
    terms = p * ((p + smoothing) / middle).log() + q * ((q + smoothing) / middle).log()
    return terms.sum(-1) / 2


def hellinger(p: Tensor, q: Tensor, positions: Tensor | None = None, *, epsilon: float = HELLINGER_EPSILON) -> Tensor:
    """Squared Hellinger distance, ``1 - sum sqrt(p q) = 1/2 sum (sqrt(p) - sqrt(q))^2``; 0 to 1.

    Smoothed as ``1/2 sum (sqrt(p + e) - sqrt(q + e))^2``, e = epsilon, which loses about ``2 sqrt(e) = 2e-4``
    between disjoint deltas and bounds the gradient at p = 0 by ``sqrt(q / e) / 2 <= 5000``. Raise epsilon
    towards one over the number of tokens counted if rare entries rule the gradient. Entries under 0
    (rounding) count as 0. Positions are ignored.

    Source: Le Cam, Asymptotic Methods in Statistical Decision Theory, 1986.
    """
    p, q, smoothing = _laws(p, q, epsilon)
    return ((p + smoothing).sqrt() - (q + smoothing).sqrt()).square().sum(-1) / 2


def l2(p: Tensor, q: Tensor, positions: Tensor | None = None) -> Tensor:
    """Squared Euclidean distance, ``sum (p - q)^2``, on any support. Positions are ignored."""
    return _difference(p, q).square().sum(-1)


@dataclass(frozen=True)
class Distance:
    """A registered distance: its name in the configuration, its function, the supports it is defined on."""

    name: str
    function: Callable[..., Tensor]
    supports: frozenset[str]

    def __post_init__(self) -> None:
        if not self.supports or not self.supports <= SUPPORTS:
            given, known = sorted(self.supports), sorted(SUPPORTS)
            raise ValueError(f"distance {self.name!r}: supports {given}; give one or more of {known}")


BUILTIN: tuple[Distance, ...] = (
    Distance("mmd", mmd, SUPPORTS),
    Distance("wasserstein", wasserstein, frozenset({"ordered"})),
    Distance("energy", energy, frozenset({"ordered"})),
    Distance("jensen_shannon", jensen_shannon, frozenset({"ordered", "unordered"})),
    Distance("hellinger", hellinger, frozenset({"ordered", "unordered"})),
    Distance("l2", l2, SUPPORTS),
)


def default_options(distance_name: str, support: str) -> dict[str, object]:
    """The options a distance is called with on a support, before the user's own are laid over them.

    A name that is not built in is a plugin's, and has none. ``ValueError``: an unknown support, or one that a
    built-in distance is not defined on.
    """
    if support not in SUPPORTS:
        raise ValueError(f"unknown support {support!r}; the supports are {', '.join(sorted(SUPPORTS))}")
    for distance in BUILTIN:
        if distance.name == distance_name and support not in distance.supports:
            fitting = ", ".join(other.name for other in BUILTIN if support in other.supports)
            raise ValueError(
                f"distance {distance_name!r} is defined on {', '.join(sorted(distance.supports))} summaries, "
                f"not on {support!r}; the built-in distances for it are {fitting}"
            )
    if distance_name == "mmd":
        return {"kernel": "gaussian" if support == "ordered" else "delta"}
    return {}


def _matched(p: Tensor, q: Tensor) -> Tensor:
    """q in the dtype of p, after checks: a last dimension of 1 must not be stretched over the support."""
    if not p.is_floating_point():
        raise ValueError(f"p has dtype {p.dtype}; distances are computed in a floating dtype")
    fits = p.ndim >= q.ndim >= 1 and p.shape[-1] == q.shape[-1]
    pairs = zip(reversed(q.shape), reversed(p.shape), strict=False)  # the dimensions q lacks are broadcast
    if not fits or not all(q_size in (1, p_size) for q_size, p_size in pairs):
        raise ValueError(f"q of shape {tuple(q.shape)} does not broadcast to p of shape {tuple(p.shape)}")
    return q.to(p.dtype)


def _difference(p: Tensor, q: Tensor) -> Tensor:
    return p - _matched(p, q)


def _laws(p: Tensor, q: Tensor, epsilon: float) -> tuple[Tensor, Tensor, float]:
    """p and q without negative rounding, and an epsilon that their dtype can hold."""
    q = _matched(p, q)
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ValueError(f"epsilon={epsilon!r}; it must be positive and finite")
    return p.clamp(min=0), q.clamp(min=0), max(epsilon, torch.finfo(p.dtype).tiny)


def _points(positions: Tensor | None, values: Tensor) -> Tensor:
    """Checked positions, shape (S,), in the dtype and on the device of values (..., S)."""
    size = values.shape[-1]
    if positions is None:
        return torch.arange(size, dtype=values.dtype, device=values.device)
    if positions.shape != (size,):
        raise ValueError(f"positions have shape {tuple(positions.shape)}; the summary has {size} entries")
    points = positions.to(values.dtype)  # before the check: a narrower dtype may merge neighbours
    if not bool((points.diff() > 0).all() & points.isfinite().all()):
        raise ValueError(f"positions must be finite and increasing in {values.dtype}, got {positions}")
    return points.to(values.device)


def _cumulative_difference(p: Tensor, q: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
    """F_p - F_q on each of the S - 1 intervals between neighbouring positions, and the intervals' widths."""
    difference = _difference(p, q)
    return difference.cumsum(-1)[..., :-1], _points(positions, difference).diff()
