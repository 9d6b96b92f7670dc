"""Distances against closed forms, other people's libraries and brute force."""

import math
from collections.abc import Callable
from typing import Any

import numpy
import ot
import pytest
import scipy.spatial.distance
import scipy.stats
import torch
from torch import Tensor

from dft_plugin.distances import (
    BUILTIN,
    DEFAULT_BANDWIDTHS,
    HELLINGER_EPSILON,
    Distance,
    default_options,
    energy,
    hellinger,
    jensen_shannon,
    l2,
    mmd,
    wasserstein,
)

Function = Callable[..., Tensor]

CASES: dict[str, tuple[Function, dict[str, Any]]] = {
    "mmd-gaussian": (mmd, {}),
    "mmd-gaussian-bandwidths": (mmd, {"bandwidths": (0.5, 3.0)}),
    "mmd-linear": (mmd, {"kernel": "linear"}),
    "mmd-delta": (mmd, {"kernel": "delta"}),
    "wasserstein": (wasserstein, {}),
    "energy": (energy, {}),
    "jensen_shannon": (jensen_shannon, {}),
    "hellinger": (hellinger, {}),
    "l2": (l2, {}),
}
every_case = pytest.mark.parametrize(("function", "options"), list(CASES.values()), ids=list(CASES))
on_positions = pytest.mark.parametrize("uniform", [True, False], ids=["default-positions", "non-uniform"])


def laws(count: int, size: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, size, generator=generator, dtype=torch.float64).softmax(-1).to(dtype)


def places(size: int, uniform: bool, seed: int = 1) -> Tensor | None:
    if uniform:
        return None
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(size, generator=generator, dtype=torch.float64) + 0.05).cumsum(-1) * 3 - 5


def delta(size: int, index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(index), size).to(dtype)


def as_numpy(positions: Tensor | None, size: int) -> numpy.ndarray:
    return numpy.arange(size, dtype=float) if positions is None else positions.numpy()


# Closed forms: two deltas at a distance d.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 8), (9, 0)])
def test_two_deltas(first: int, second: int, dtype: torch.dtype) -> None:
    p, q, d = delta(10, first, dtype), delta(10, second, dtype), abs(first - second)
    close: Callable[[float], Any] = lambda value: pytest.approx(value, rel=1e-5)  # noqa: E731
    kernel = sum(math.exp(-(d**2) / (2 * h**2)) for h in DEFAULT_BANDWIDTHS) / len(DEFAULT_BANDWIDTHS)
    assert wasserstein(p, q).item() == close(d)
    assert energy(p, q).item() == close(2 * d)
    assert mmd(p, q).item() == close(2 - 2 * kernel)
    assert mmd(p, q, bandwidths=[3.0]).item() == close(2 - 2 * math.exp(-(d**2) / 18))
    assert mmd(p, q, kernel="linear").item() == close(d**2)
    assert mmd(p, q, kernel="delta").item() == close(2)
    assert l2(p, q).item() == close(2)
    assert jensen_shannon(p, q).item() == close(math.log(2))
    assert jensen_shannon(p, q).item() <= math.log(2) + 1e-7
    assert hellinger(p, q).item() == pytest.approx(1, abs=2.1 * math.sqrt(HELLINGER_EPSILON))
    assert hellinger(p, q, epsilon=1e-14).item() == pytest.approx(1, abs=1e-6)


def test_two_deltas_at_non_uniform_positions() -> None:
    positions = torch.tensor([-2.0, 0.5, 10.0, 11.0], dtype=torch.float64)
    p, q = delta(4, 0), delta(4, 2)
    assert wasserstein(p, q, positions).item() == pytest.approx(12)
    assert energy(p, q, positions).item() == pytest.approx(24)
    assert mmd(p, q, positions, kernel="linear").item() == pytest.approx(144)
    assert mmd(p, q, positions, bandwidths=(6.0,)).item() == pytest.approx(2 - 2 * math.exp(-2))


def test_one_entry_has_no_distance() -> None:
    one = torch.ones(1)
    for function in (wasserstein, energy, mmd):
        assert function(one, one, torch.tensor([4])).item() == 0.0


# Other people's libraries, and brute force.


@on_positions
@pytest.mark.parametrize("size", [2, 7, 60])
def test_transport_agrees_with_scipy_and_pot(size: int, uniform: bool) -> None:
    positions = places(size, uniform)
    x = as_numpy(positions, size)
    cost = numpy.abs(x[:, None] - x[None, :])
    for seed in range(5):
        p, q = laws(2, size, seed)
        value = wasserstein(p, q, positions).item()
        assert value == pytest.approx(scipy.stats.wasserstein_distance(x, x, p.numpy(), q.numpy()), rel=1e-9)
        assert value == pytest.approx(float(ot.wasserstein_1d(x, x, p.numpy(), q.numpy(), p=1)), rel=1e-6)
        assert value == pytest.approx(float(ot.emd2(p.numpy(), q.numpy(), cost)), rel=1e-6)


@on_positions
@pytest.mark.parametrize("size", [2, 7, 60])
def test_energy_agrees_with_scipy_and_with_its_expectations(size: int, uniform: bool) -> None:
    positions = places(size, uniform)
    x = as_numpy(positions, size)
    cost = numpy.abs(x[:, None] - x[None, :])
    for seed in range(5):
        p, q = laws(2, size, seed)
        value = energy(p, q, positions).item()
        # scipy returns sqrt(2 integral (F_p - F_q)^2): its square is ours, without a factor.
        assert value == pytest.approx(scipy.stats.energy_distance(x, x, p.numpy(), q.numpy()) ** 2, rel=1e-9)
        a, b = p.numpy(), q.numpy()
        assert value == pytest.approx(2 * a @ cost @ b - a @ cost @ a - b @ cost @ b, rel=1e-7, abs=1e-12)


def test_jensen_shannon_agrees_with_scipy() -> None:
    for seed in range(5):
        p, q = laws(2, 40, seed)
        p[:10], q[5:15] = 0, 0
        p, q = p / p.sum(), q / q.sum()
        assert jensen_shannon(p, q).item() == pytest.approx(
            scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy()) ** 2, abs=1e-9
        )


def test_hellinger_agrees_with_the_affinity() -> None:
    for seed in range(5):
        p, q = laws(2, 40, seed)
        assert hellinger(p, q).item() == pytest.approx(1 - (p * q).sqrt().sum().item(), abs=1e-6)


@on_positions
@pytest.mark.parametrize("kernel", ["gaussian", "linear", "delta"])
def test_mmd_agrees_with_a_double_loop(kernel: str, uniform: bool) -> None:
    positions = places(9, uniform)
    x = as_numpy(positions, 9)
    p, q = laws(2, 9)
    bandwidths = (0.7, 2.5)
    total = 0.0
    for i in range(9):
        for j in range(9):
            entry = {
                "gaussian": sum(math.exp(-((x[i] - x[j]) ** 2) / (2 * h**2)) for h in bandwidths) / 2,
                "linear": x[i] * x[j],
                "delta": float(i == j),
            }[kernel]
            total += entry * (p[i] - q[i]).item() * (p[j] - q[j]).item()
    options = {"bandwidths": bandwidths} if kernel == "gaussian" else {}
    assert mmd(p, q, positions, kernel=kernel, **options).item() == pytest.approx(total, rel=1e-9, abs=1e-15)


def test_signed_vectors() -> None:
    p, q = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([-1.0, 0.0, 0.5])
    assert l2(p, q).item() == pytest.approx(8)
    assert mmd(p, q, kernel="delta").item() == pytest.approx(8)


# Properties every distance has.


@on_positions
@every_case
def test_symmetric_non_negative_and_zero_at_equality(
    function: Function, options: dict[str, Any], uniform: bool
) -> None:
    positions = places(30, uniform)
    for seed in range(5):
        p, q = laws(2, 30, seed)
        assert function(p, q, positions, **options).item() > 0
        torch.testing.assert_close(function(p, q, positions, **options), function(q, p, positions, **options))
        with_zeros = p * (torch.arange(30) % 3 > 0)
        for law in (p, with_zeros, p.float()):
            leaf = law.clone().requires_grad_()
            value = function(leaf, law, positions, **options)
            value.backward()
            assert value.item() == 0.0
            assert leaf.grad is not None
            assert leaf.grad.abs().max().item() < 1e-6


@on_positions
@every_case
def test_batch_equals_loop(function: Function, options: dict[str, Any], uniform: bool) -> None:
    positions = places(11, uniform)
    p, q = laws(6, 11).reshape(2, 3, 11), laws(6, 11, seed=5).reshape(2, 3, 11)
    shared = function(p, q[0, 0], positions, **options)
    paired = function(p, q, positions, **options)
    by_row = function(p, q[0], positions, **options)
    by_batch = function(p, q[:, :1], positions, **options)
    for result in (shared, paired, by_row, by_batch):
        assert result.shape == (2, 3)
        assert result.dtype == torch.float64
    for i in range(2):
        for j in range(3):
            others = ((shared, q[0, 0]), (paired, q[i, j]), (by_row, q[0, j]), (by_batch, q[i, 0]))
            for result, other in others:
                torch.testing.assert_close(result[i, j], function(p[i, j], other, positions, **options))


@on_positions
@every_case
def test_gradcheck(function: Function, options: dict[str, Any], uniform: bool) -> None:
    positions = places(8, uniform)
    p, q = laws(3, 8), laws(1, 8, seed=7)[0]
    call = lambda a, b: function(a, b, positions, **options)  # noqa: E731
    assert torch.autograd.gradcheck(call, (p.requires_grad_(), q.requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@every_case
def test_gradients_are_finite_at_exact_zeros(function: Function, options: dict[str, Any], dtype: torch.dtype) -> None:
    # Zero in p only, in q only, in both, in neither.
    p = torch.tensor([0.0, 0.5, 0.0, 0.5], dtype=dtype).requires_grad_()
    q = torch.tensor([0.25, 0.0, 0.0, 0.75], dtype=dtype).requires_grad_()
    value = function(p, q, **options)
    assert value.dtype == dtype
    value.backward()
    for leaf in (p, q):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
    assert p.grad is not None
    assert p.grad.abs().sum() > 0


@pytest.mark.parametrize("function", [hellinger, jensen_shannon])
def test_a_law_under_zero_by_rounding_gives_no_nan(function: Function) -> None:
    p = torch.tensor([-1e-7, 1.0 + 1e-7]).requires_grad_()
    value = function(p, torch.tensor([0.5, 0.5]))
    value.backward()
    assert p.grad is not None
    assert value.isfinite()
    assert p.grad.isfinite().all()


def test_hellinger_gradient_at_zero_keeps_its_bound() -> None:
    p = delta(2, 0).requires_grad_()
    hellinger(p, delta(2, 1)).backward()
    assert p.grad is not None
    assert p.grad.abs().max().item() == pytest.approx(0.5 / math.sqrt(HELLINGER_EPSILON), rel=1e-3)


@every_case
def test_float32_is_close_to_float64(function: Function, options: dict[str, Any]) -> None:
    positions = places(512, uniform=False)
    p, q = laws(4, 512), laws(1, 512, seed=3)[0]
    narrow = function(p.float(), q, positions, **options)  # q and positions follow p
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), function(p, q, positions, **options), rtol=2e-3, atol=1e-7)


def test_mmd_keeps_its_precision_under_autocast() -> None:
    p, q = laws(2, 64, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mmd(p, q)
    assert torch.equal(inside, mmd(p, q))


def test_integer_positions_are_accepted() -> None:
    p, q = laws(2, 4)
    assert wasserstein(p, q, torch.arange(4)).item() == wasserstein(p, q).item()


# Errors name what was given and what exists.


def test_unknown_kernel() -> None:
    p, q = laws(2, 4)
    with pytest.raises(ValueError, match=r"'laplace'.*gaussian, linear, delta"):
        mmd(p, q, kernel="laplace")


@pytest.mark.parametrize("bandwidths", [(), (1.0, 0.0), (-2.0,), (math.nan,), (math.inf,)])
def test_bad_bandwidths(bandwidths: tuple[float, ...]) -> None:
    p, q = laws(2, 4)
    with pytest.raises(ValueError, match="positive"):
        mmd(p, q, bandwidths=bandwidths)


def test_bandwidths_without_effect() -> None:
    p, q = laws(2, 4)
    with pytest.raises(ValueError, match="no effect on kernel 'delta'"):
        mmd(p, q, kernel="delta", bandwidths=(1.0,))


@pytest.mark.parametrize("function", [mmd, wasserstein, energy])
def test_bad_positions(function: Function) -> None:
    p, q = laws(2, 3)
    with pytest.raises(ValueError, match=r"shape \(4,\).*3 entries"):
        function(p, q, torch.arange(4))
    for values in ([0.0, 2.0, 1.0], [0.0, 1.0, 1.0], [0.0, math.nan, 2.0], [0.0, 1.0, math.inf]):
        with pytest.raises(ValueError, match="finite and increasing"):
            function(p, q, torch.tensor(values))


@pytest.mark.parametrize("function", [hellinger, jensen_shannon])
def test_bad_epsilon(function: Function) -> None:
    p, q = laws(2, 3)
    with pytest.raises(ValueError, match="epsilon=0"):
        function(p, q, epsilon=0.0)


@every_case
def test_bad_shapes_and_dtypes(function: Function, options: dict[str, Any]) -> None:
    for p_shape, q_shape in (((3,), (1,)), ((3,), (2, 3)), ((2, 3), (4, 3)), ((1, 3), (2, 3)), ((3,), ())):
        with pytest.raises(ValueError, match=r"does not broadcast to p of shape"):
            function(torch.zeros(p_shape), torch.zeros(q_shape), **options)
    with pytest.raises(ValueError, match="floating dtype"):
        function(torch.zeros(3, dtype=torch.long), torch.zeros(3), **options)


# The registry's record.


def test_builtin_distances_run_on_each_of_their_supports() -> None:
    assert {distance.name: sorted(distance.supports) for distance in BUILTIN} == {
        "mmd": ["ordered", "unordered", "vector"],
        "wasserstein": ["ordered"],
        "energy": ["ordered"],
        "jensen_shannon": ["ordered", "unordered"],
        "hellinger": ["ordered", "unordered"],
        "l2": ["ordered", "unordered", "vector"],
    }
    p, q = laws(2, 5)
    for distance in BUILTIN:
        for support in distance.supports:
            assert distance.function(p, q, None, **default_options(distance.name, support)).item() > 0


def test_default_options() -> None:
    assert default_options("mmd", "ordered") == {"kernel": "gaussian"}
    assert default_options("mmd", "unordered") == default_options("mmd", "vector") == {"kernel": "delta"}
    assert default_options("energy", "ordered") == {}
    assert default_options("a_plugin's_own", "vector") == {}
    with pytest.raises(ValueError, match=r"'wasserstein' is defined on ordered .*'vector'.* mmd, l2"):
        default_options("wasserstein", "vector")
    with pytest.raises(ValueError, match=r"'sorted'.*ordered, unordered, vector"):
        default_options("mmd", "sorted")


def test_a_distance_names_supports_that_exist() -> None:
    with pytest.raises(ValueError, match=r"'mine'.*'line'.*'ordered', 'unordered', 'vector'"):
        Distance("mine", l2, frozenset({"line"}))
