"""Penalties by what defines them: proximal points by optimality conditions, gradients by differences, fits by peers."""

import copy
import itertools
import pickle
from functools import partial

import numpy as np
import pytest
import scipy.optimize as so
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastopt as fo
from fastopt.minimize.outcome import ENDINGS

GROUPS = np.array([5, -2, 5, 7, -2, 7, 7, 5])
ALPHA = np.array([0.0, 0.5, 1.0, 2.0, 0.25, 0.0, 3.0, 0.125])

# On vectors of 8.
PENALTIES = {
    "L1": fo.L1(0.7),
    "L1-array": fo.L1(ALPHA),
    "L2": fo.L2(0.7),
    "L2-array": fo.L2(ALPHA),
    "ElasticNet": fo.ElasticNet(0.7, 0.3),
    "ElasticNet-array": fo.ElasticNet(ALPHA, 0.8),
    "GroupLasso": fo.GroupLasso(0.7),
    "GroupLasso-labels": fo.GroupLasso(0.7, GROUPS),
    "GroupLasso-weights": fo.GroupLasso(0.7, GROUPS, weights=[0, 1, 2]),
}
CONSTRAINTS = {
    "Box": fo.Box(-0.5, 1),
    "Box-array": fo.Box(np.linspace(-2, 0, 8), np.linspace(0, 0.5, 8)),
    "Box-open": fo.Box(high=0.25),
    "Simplex": fo.Simplex(),
    "Simplex-radius": fo.Simplex(3.0),
}
ALL = PENALTIES | CONSTRAINTS


def sample(seed=0, n=8, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


# What they are


@pytest.mark.parametrize("alpha", [0.7, ALPHA])
def test_values_are_those_of_the_formulas(alpha):
    x = sample()
    lasso, ridge = float(np.sum(alpha * abs(x))), float(np.sum(alpha * x**2)) / 2
    exact = partial(pytest.approx, rel=8 * 2**-52)  # eight terms of one sign
    assert fo.L1(alpha)(x) == exact(lasso)
    assert fo.L2(alpha).value(x) == exact(ridge)
    assert fo.ElasticNet(alpha, 0.3)(x) == exact(0.3 * lasso + 0.7 * ridge)
    assert fo.ElasticNet(alpha, 1)(x) == exact(lasso)
    assert fo.ElasticNet(alpha, 0)(x) == exact(ridge)


def test_group_lasso_sums_the_norms_of_groups():
    norm, root = np.linalg.norm, np.sqrt
    x, matrix = sample(), sample(n=12).reshape(4, 3)
    exact = partial(pytest.approx, rel=8 * 2**-52)
    parts = [x[label == GROUPS] for label in (-2, 5, 7)]
    assert fo.GroupLasso(0.5, GROUPS)(x) == exact(sum(0.5 * root(p.size) * norm(p) for p in parts))
    assert fo.GroupLasso(0.5, GROUPS, weights=[1, 2, 0])(x) == exact(0.5 * (norm(parts[0]) + 2 * norm(parts[1])))
    assert fo.GroupLasso(0.5)(matrix) == exact(0.5 * root(3) * norm(matrix, axis=1).sum())
    assert fo.GroupLasso(0.5, weights=np.arange(4))(matrix) == exact(0.5 * norm(matrix, axis=1) @ np.arange(4))
    rows = fo.GroupLasso(0.5, [1, 0, 0, 1])(matrix)  # a label for each row
    assert rows == exact(0.5 * root(6) * (norm(matrix[[0, 3]]) + norm(matrix[1:3])))
    assert rows == exact(fo.GroupLasso(0.5, np.repeat([[1], [0], [0], [1]], 3, axis=1))(matrix))
    assert fo.GroupLasso(0.5)(x) == exact(fo.L1(0.5)(x))
    assert fo.GroupLasso(0.5)(3.0) == 1.5


def test_constraints_are_zero_within_and_infinite_outside():
    assert fo.Box(0, 1)([0, 1]) == 0
    assert fo.Box(0, 1)([0, np.nextafter(1, 2)]) == np.inf
    assert fo.Box(0, 1)([-5e-324, 0.5]) == np.inf
    assert fo.Box()([-np.inf, np.inf]) == 0
    third = np.float32(0.1)  # above 0.1: bounds have the dtype of x
    assert fo.Box(high=0.1)(np.array([third])) == fo.Box(high=[0.1])(np.array([third])) == 0
    assert fo.Box(high=0.1)(np.array([np.nextafter(third, np.float32(1))])) == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simplex_sums_to_its_radius_within_its_tolerance(dtype):
    eps = np.finfo(dtype).eps
    for ulps, value in ((0, 0), (31, 0), (33, np.inf), (-31, 0), (-33, np.inf)):
        assert fo.Simplex(2.0)(np.array([1, 1 + 2 * ulps * eps], dtype)) == value
    assert fo.Simplex(2.0)(np.array([-5e-324 if dtype == np.float64 else -1e-45, 2], dtype)) == np.inf
    assert fo.Simplex(axis=0)(np.eye(3, dtype=dtype)) == 0
    assert fo.Simplex()(np.eye(3, dtype=dtype)) == np.inf


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_differences(name, seed):
    penalty, x = PENALTIES[name], sample(seed) + np.sign(sample(seed)) / 4  # no kink within 1e-3
    value, gradient = penalty.value_and_grad(x)
    assert value == penalty.value(x)
    assert np.array_equal(gradient, penalty.grad(x))
    h = 1e-3
    for i, e in enumerate(np.eye(8) * h):
        slope = 8 * (penalty(x + e) - penalty(x - e)) - penalty(x + 2 * e) + penalty(x - 2 * e)
        # The fifth derivative of the norm of a group, at least 1/4 long, is below 2e4; rounding is 1e-15 / h.
        assert slope / (12 * h) == pytest.approx(gradient[i], abs=h**4 / 30 * 2e4 + 2e-12)


def test_gradients_are_those_of_complex_steps():
    x, h = sample(), 1e-150
    z = x + 1j * h * np.eye(8)
    exact = partial(np.testing.assert_allclose, rtol=4 * 2**-52, atol=0)
    exact(fo.L2(ALPHA).grad(x), (ALPHA / 2 * z**2).sum(axis=1).imag / h)
    norms = [np.sqrt((z[:, label == GROUPS] ** 2).sum(axis=1)) * np.sqrt(sum(label == GROUPS)) for label in set(GROUPS)]
    exact(fo.GroupLasso(0.7, GROUPS).grad(x), 0.7 * sum(norms).imag / h)


def test_gradient_at_a_kink_is_the_shortest():
    assert np.array_equal(fo.L1().grad([0.0, -0.0, 2]), [0, 0, 1])
    assert np.array_equal(fo.ElasticNet(1, 0.5).grad([0.0, 2]), [0, 1.5])
    assert np.array_equal(fo.GroupLasso(1, [0, 0, 1]).grad([0.0, 0, -3]), [0, 0, -1])


def test_smooth_is_what_has_a_continuous_gradient():
    smooth = [fo.L2(), fo.ElasticNet(l1_ratio=0)]
    kinked = [fo.L1(), fo.ElasticNet(), fo.GroupLasso(), fo.Box(), fo.Simplex()]
    assert all(p.smooth is True for p in smooth) and all(p.smooth is False for p in kinked)


# The prox


def subgradient_fault(penalty, u, s):
    """How far s is from the subdifferential at u, at most in any component or, at a kink, in norm."""
    if isinstance(penalty, fo.GroupLasso):
        labels = np.arange(u.size) if penalty is PENALTIES["GroupLasso"] else GROUPS
        faults = []
        for i, label in enumerate(np.unique(labels)):
            part, slope = u[labels == label], s[labels == label]
            weight = penalty.alpha * (np.sqrt(part.size) if penalty.weights is None else penalty.weights[i])
            norm = np.linalg.norm(part)
            inside = np.linalg.norm(slope) - weight
            faults.append(abs(slope - weight * part / norm).max() if norm else max(inside, 0))
        return max(faults)
    alpha, ratio = penalty.alpha, {fo.L1: 1, fo.L2: 0}.get(type(penalty), getattr(penalty, "l1_ratio", None))
    rest = s - (1 - ratio) * alpha * u
    return np.where(u, abs(rest - ratio * alpha * np.sign(u)), np.maximum(abs(rest) - ratio * alpha, 0)).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("name", PENALTIES)
def test_prox_satisfies_its_optimality_condition(name, step, dtype):
    penalty, eps = PENALTIES[name], np.finfo(dtype).eps
    for seed in range(20):
        x = sample(seed, dtype=dtype)
        u = penalty.prox(x, step)
        assert u.dtype == dtype
        x, u = x.astype(float), u.astype(float)
        # u is off by some ulp of x, of the threshold and of the divisor (below 10).
        rounding = 4 * eps * (abs(x).max() / step + 10)
        assert subgradient_fault(penalty, u, (x - u) / step) <= rounding


def test_prox_of_l1_has_exact_zeros_and_signs():
    x = np.array([3.0, 1.0, np.nextafter(1, 2), -0.5, -1, -3, 0, -0.0])
    u = fo.L1(0.5).prox(x, 2.0)
    assert np.array_equal(u, [2, 0, 2**-52, 0, 0, -2, 0, 0])
    assert not np.signbit(u[u == 0]).any()
    assert np.array_equal(fo.L1([0, 1.0]).prox([3.0, 0.5]), [3, 0])
    assert np.array_equal(fo.ElasticNet(1, 0.5).prox([2.0, 0.5, -2]), [1, 0, -1])


def test_prox_of_group_lasso_zeroes_whole_groups():
    x = np.array([3.0, 0.1, 4, -0.2, 0.1, 0.2, -1e-3, 0])
    u = fo.GroupLasso(1.0, [0, 1, 0, 1, 1, 1, 2, 2], weights=[1, 1, 0]).prox(x)
    np.testing.assert_allclose(u[[0, 2]], [2.4, 3.2], rtol=2**-51)
    assert (u[[1, 3, 4, 5]] == 0).all() and not np.signbit(u[3])
    assert np.array_equal(u[6:], x[6:])
    at, above = fo.GroupLasso(5, [0, 0], weights=[1]), fo.GroupLasso(np.nextafter(5, 0), [0, 0], weights=[1])
    assert not at.prox([3.0, 4]).any() and above.prox([3.0, 4]).all()


def test_prox_of_group_lasso_takes_rows_of_arrays():
    x = sample(n=24).reshape(4, 3, 2)
    u = fo.GroupLasso(0.5).prox(x)
    for row, shrunk in zip(x, u, strict=True):
        keep = max(0, 1 - 0.5 * np.sqrt(6) / np.linalg.norm(row))
        np.testing.assert_allclose(shrunk, keep * row, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_norms_of_groups_neither_overflow_nor_vanish(size):
    penalty = fo.GroupLasso(1.0, [0, 0, 1], weights=[1, 1])
    x = size * np.array([3.0, 4, 0])
    assert penalty(x) == pytest.approx(5 * size, rel=1e-15)
    np.testing.assert_allclose(penalty.prox(x, size), size * np.array([2.4, 3.2, 0]), rtol=1e-15)
    np.testing.assert_allclose(penalty.grad(x), [0.6, 0.8, 0], rtol=1e-15)


def simplex_by_enumeration(x, radius):
    """The nearest of the projections onto all faces, those outside the simplex left out."""
    best, least = None, np.inf
    for support in itertools.product([False, True], repeat=x.size):
        s = np.array(support)
        if s.any():
            u = np.where(s, x - (x[s].sum() - radius) / s.sum(), 0)
            distance = ((u - x) ** 2).sum()
            if u.min() >= 0 and distance < least:
                best, least = u, distance
    return best


@pytest.mark.parametrize("radius", [0.1, 1.0, 7.5])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_projection_on_the_simplex_is_the_nearest_of_all_faces(n, radius):
    for seed in range(20):
        x = sample(seed, n)
        # Every number on the way is below n (1 + radius) + 3 in size.
        tolerance = 2**-52 * n * (n * (1 + radius) + 3)
        u = fo.Simplex(radius).project(x)
        np.testing.assert_allclose(u, simplex_by_enumeration(x, radius), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 129, 10_000])
def test_projection_on_the_simplex_satisfies_kkt(n, dtype):
    eps = float(np.finfo(dtype).eps)
    for seed, offset in ((0, 0), (1, 1000), (2, -1e6)):
        x = sample(seed, n, dtype) + dtype(offset)
        u = fo.Simplex(2.0).prox(x)
        assert u.dtype == dtype and (u >= 0).all()
        assert abs(u.astype(float).sum() - 2) <= 32 * eps * 2
        assert fo.Simplex(2.0)(u) == 0
        tau = (x.astype(float) - u)[u > 0]
        # Relative to the largest of x, as x itself may be far from 0: cumulative sums of n terms, then rounding of u.
        assert np.ptp(tau) <= 2 * (eps + n * 2**-52) * 2
        assert (x.astype(float)[u == 0] <= tau.max() + 2 * (eps + n * 2**-52) * 2).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_million_shares_sum_to_one(dtype):
    """One is large, so that tau is, and its rounding enters every other share."""
    x = np.append(0.9, sample(n=2**20) * 1e-8).astype(dtype)
    u = fo.Simplex().prox(x)
    assert (u > 0).all() and fo.Simplex()(u) == 0
    assert abs(u.sum(dtype=float) - 1) <= 32 * np.finfo(dtype).eps
    tail = x[1:].astype(float)
    shares = tail + (1 - float(x[0]) - tail.sum()) / x.size  # tau without its large part
    # Distances below the largest are below 1, so off by 2^-54 each; the rest is rounding of the shares themselves.
    np.testing.assert_allclose(u[1:], shares, rtol=2 * np.finfo(dtype).eps, atol=2.0**-53)
    assert abs(u[0] - (float(x[0]) + shares[0] - tail[0])) <= 2 * np.finfo(dtype).eps


def test_projections_along_an_axis_are_those_one_by_one():
    x = sample(n=60).reshape(3, 4, 5)
    for axis in (0, 1, 2, -1, -3):
        u = fo.Simplex(1.5, axis).prox(x)
        for part, whole in zip(
            np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]),
            np.moveaxis(u, axis, -1).reshape(-1, x.shape[axis]),
            strict=True,
        ):
            assert np.array_equal(fo.Simplex(1.5).prox(part), whole)
        assert fo.Simplex(1.5, axis)(u) == 0
    assert fo.Simplex()(fo.Simplex().prox(x)) == 0
    assert fo.Simplex(axis=1).prox(np.empty((0, 3))).shape == (0, 3)


def test_projection_on_the_simplex_survives_any_size():
    huge = [1e308, -1e308, -1e308, -1e308]
    assert np.array_equal(fo.Simplex().prox(huge), [1, 0, 0, 0])
    assert np.array_equal(fo.Simplex().prox([2.0, -np.inf, 2.0]), [0.5, 0, 0.5])
    for radius in (1e-300, 1e300):
        assert np.array_equal(fo.Simplex(radius).prox([1.0, 1, -3 * radius]), [radius / 2, radius / 2, 0])


@pytest.mark.parametrize("name", [name for name in CONSTRAINTS if name.startswith("Box")])
def test_projection_on_a_box_is_the_nearest_point(name):
    box, x = CONSTRAINTS[name], 2 * sample()
    u = box.project(x)
    assert box(u) == 0
    assert np.array_equal(u, np.minimum(np.maximum(x, box.low), box.high))
    assert np.array_equal(u, box.prox(x, 0)) and np.array_equal(u, box.prox(x, 7.0))


vectors = hnp.arrays(np.float64, 8, elements=st.floats(-100, 100))


@pytest.mark.parametrize("name", ALL)
@given(x=vectors, y=vectors, step=st.floats(0, 100))
def test_prox_is_firmly_nonexpansive(name, x, y, step):
    u, v = ALL[name].prox(x, step), ALL[name].prox(y, step)
    # ||u - v||^2 <= (u - v)'(x - y), but for u and v, which are off by some ulp of x and y.
    rounding = 64 * 2**-52 * (np.linalg.norm(x) + np.linalg.norm(y)) ** 2
    rounding += 64 * 2**-52 * np.linalg.norm(x - y)  # of points on the simplex
    assert (u - v) @ (u - v) <= (u - v) @ (x - y) + rounding


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PENALTIES)
def test_prox_with_no_step_is_the_point_itself(name, dtype):
    for x in (sample(dtype=dtype), np.array([0, 1, 0, 0, 2, 0, 0, 0], dtype)):
        assert np.array_equal(PENALTIES[name].prox(x, 0), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_prox_fills_out_even_if_that_is_or_overlaps_x(name, dtype):
    penalty, x = ALL[name], sample(dtype=dtype)
    expected = penalty.prox(x, 0.3)
    assert np.array_equal(x, sample(dtype=dtype))
    out = np.empty(16, dtype)[::2]
    assert penalty.prox(x, 0.3, out=out) is out
    assert np.array_equal(out, expected)
    buffer = np.append(x, x[-1])
    penalty.prox(buffer[:8], 0.3, out=buffer[1:])
    assert np.array_equal(buffer[1:], expected)
    assert penalty.prox(x, 0.3, out=x) is x
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("name", ALL)
def test_single_precision_is_double_rounded(name):
    penalty, x = ALL[name], sample(dtype=np.float32)
    u, exact = penalty.prox(x, 0.3), penalty.prox(x.astype(float), 0.3)
    assert u.dtype == np.float32
    # Threshold, factor and result are rounded once each, and numbers are below 4.
    np.testing.assert_allclose(u, exact, rtol=0, atol=4 * 2 * 2.0**-23)
    if name in PENALTIES:
        value, gradient = penalty.value_and_grad(x)
        assert value == pytest.approx(penalty(x.astype(float)), rel=1e-15)
        assert gradient.dtype == np.float32
        np.testing.assert_allclose(gradient, penalty.grad(x.astype(float)), rtol=2.0**-22)


@pytest.mark.parametrize("name", ALL)
def test_nan_goes_through(name):
    penalty, x = ALL[name], sample()
    x[3] = np.nan
    assert np.isnan(penalty(x))
    assert np.isnan(penalty.prox(x)[3])
    elementwise = name.startswith(("L", "E", "Box")) or name == "GroupLasso"
    if elementwise:
        assert np.isnan(penalty.prox(x)).sum() == 1
    if name in PENALTIES and name != "GroupLasso-weights":
        assert np.isnan(penalty.grad(x)[3])


def test_infinity_raises_no_warning():
    x = np.array([np.inf, -np.inf, 1, 0, 0, 0, 0, 1e308])
    for penalty in ALL.values():
        penalty(x)
        penalty.prox(x, 1e308)
        penalty.prox(np.array([np.inf, -np.inf, 1, 0, 0, 0, 0, 1e38], np.float32), 1e300)
    assert np.array_equal(fo.L1().prox(x)[:3], [np.inf, -np.inf, 0])
    assert np.array_equal(fo.L1(1e300).prox(np.ones(2, np.float32), 1e10), [0, 0])
    assert np.array_equal(fo.GroupLasso(1e300).prox([1.0, 2.0], 1e300), [0, 0])


def test_any_real_array_is_taken():
    assert fo.L1().prox([3, -1]).dtype == np.float64
    assert fo.L1().prox(np.array([3, -1], ">f4")).dtype == np.float32
    assert fo.L1().prox(np.array([3, -1], np.int8)).tolist() == [2, 0]
    assert fo.L1().prox(3.0).shape == () and fo.GroupLasso().prox(3.0) == 2
    assert fo.L1().prox(np.arange(6.0)[::2]).tolist() == [0, 1, 3]
    frozen = np.ones(3)
    frozen.flags.writeable = False
    assert fo.Simplex().prox(frozen).sum() == pytest.approx(1, rel=1e-15)
    for name in ("L1", "L2", "ElasticNet", "GroupLasso", "Box"):
        empty = getattr(fo, name)()
        assert empty(np.empty((0, 3))) == 0 and empty.prox(np.empty((3, 0))).shape == (3, 0)


def test_copies_and_pickles_are_the_same():
    for penalty in ALL.values():
        for twin in (copy.deepcopy(penalty), pickle.loads(pickle.dumps(penalty))):
            assert np.array_equal(twin.prox(sample()), penalty.prox(sample()))


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"Invalid alpha value: -1 \(L1 needs alpha >= 0\)", lambda: fo.L1(-1)),
        (ValueError, r"Invalid alpha value: -2.0 \(L2 needs alpha >= 0\)", lambda: fo.L2([1, -2.0])),
        (ValueError, r"Invalid alpha value: inf \(ElasticNet needs a finite alpha", lambda: fo.ElasticNet(np.inf)),
        (ValueError, r"Invalid alpha value: nan", lambda: fo.L1(np.nan)),
        (ValueError, r"Invalid alpha value: .*without NaN", lambda: fo.L1([1, np.nan])),
        (TypeError, r"Invalid alpha value: 'a'", lambda: fo.L1("a")),
        (TypeError, r"Invalid alpha value: True", lambda: fo.L1(True)),
        (TypeError, r"Invalid alpha value: None", lambda: fo.L2(None)),
        (TypeError, r"Invalid alpha value: \[1, 2\]", lambda: fo.GroupLasso([1, 2])),
        (ValueError, r"Invalid l1_ratio value: 1.1 .*\[0, 1\]", lambda: fo.ElasticNet(1, 1.1)),
        (ValueError, r"alpha has shape \(3,\), which does not broadcast to x of shape \(4,\)",
         lambda: fo.L1([1, 2, 3])(np.ones(4))),
        (ValueError, r"alpha has shape \(2, 1\).*\(4,\)", lambda: fo.L2([[1], [2]]).prox(np.ones(4))),
        (ValueError, r"alpha has shape \(4,\).*\(1,\)", lambda: fo.L2(np.ones(4))([1.0])),
        (TypeError, r"groups have dtype float64", lambda: fo.GroupLasso(1, [0.5, 1])),
        (ValueError, r"groups have shape \(3,\), .*x of shape \(2, 2\)",
         lambda: fo.GroupLasso(1, [0, 0, 1])(np.ones((2, 2)))),
        (ValueError, r"weights have shape \(3,\) for 2 groups", lambda: fo.GroupLasso(1, [0, 0, 1], weights=[1, 1, 1])),
        (ValueError, r"weights have shape \(3,\) for 2 groups",
         lambda: fo.GroupLasso(1, weights=[1, 1, 1])(np.ones((2, 3)))),
        (ValueError, r"Invalid weights value: -1", lambda: fo.GroupLasso(1, [0, 1], weights=[1, -1])),
        (ValueError, r"Invalid bounds: low=1, high=0 \(Box needs low <= high\)", lambda: fo.Box(1, 0)),
        (ValueError, r"Invalid low value: nan", lambda: fo.Box(np.nan)),
        (ValueError, r"low has shape \(2,\) and high \(3,\)", lambda: fo.Box(np.zeros(2), np.ones(3))),
        (ValueError, r"high has shape \(2,\)", lambda: fo.Box(high=[1, 2]).prox(np.ones(3))),
        (TypeError, r"Invalid low value: '0'", lambda: fo.Box("0")),
        (ValueError, r"Invalid radius value: 0 \(Simplex needs radius > 0\)", lambda: fo.Simplex(0)),
        (TypeError, r"Invalid axis: 1.0", lambda: fo.Simplex(axis=1.0)),
        (ValueError, r"axis 1, which x of shape \(3,\) has not", lambda: fo.Simplex(axis=1).prox(np.ones(3))),
        (ValueError, r"x of shape \(0,\) has nothing that could sum to 1", lambda: fo.Simplex().prox([])),
        (ValueError, r"Box is a constraint and has no gradient: use prox", lambda: fo.Box(0).grad([1.0])),
        (ValueError, r"Simplex is a constraint .*prox", lambda: fo.Simplex().value_and_grad([1.0])),
        (ValueError, r"Invalid step value: -1 \(L1 needs step >= 0\)", lambda: fo.L1().prox([1.0], -1)),
        (TypeError, r"Invalid step value: None", lambda: fo.Box().prox([1.0], None)),
        (TypeError, r"x has dtype complex128", lambda: fo.L1()([1j])),
        (TypeError, r"x has dtype .*on\(params\)", lambda: fo.L1()(fo.FlatParams({"W": 3}))),
        (TypeError, r"out must be a NumPy array, not list", lambda: fo.L1().prox([1.0], out=[0.0])),
        (TypeError, r"out has dtype float32; it must be float64",
         lambda: fo.L1().prox([1.0], out=np.empty(1, np.float32))),
        (ValueError, r"out has shape \(2,\); it must be \(1,\)", lambda: fo.L1().prox([1.0], out=np.empty(2))),
        (ValueError, r"out is read-only", lambda: fo.L1().prox([1.0], out=np.broadcast_to(0.0, 1))),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_in_words(error, match, call):
    with pytest.raises(error, match=match):
        call()


# On parameters


def flat():
    p = fo.FlatParams({"W": (4, 3), "b": 3, "V": (3, 2)}, dtype=np.float64)
    p.flat = sample(n=p.flat.size)
    p.grad.flat = sample(1, p.flat.size)
    return p


def test_bound_to_names_it_touches_these_alone():
    p, before = flat(), flat()
    bound = fo.L2(0.5).on(p, ["V", "W"])
    expected = 0.25 * ((p["W"] ** 2).sum() + (p["V"] ** 2).sum())
    assert bound.value() == pytest.approx(expected, rel=1e-15)
    assert bound.add_grad() == bound.value()
    assert np.array_equal(p.grad["W"], before.grad["W"] + 0.5 * p["W"])
    assert np.array_equal(p.grad["V"], before.grad["V"] + 0.5 * p["V"])
    assert np.array_equal(p.grad["b"], before.grad["b"])
    bound.prox(2.0)
    assert np.array_equal(p["W"], before["W"] / 2) and np.array_equal(p["V"], before["V"] / 2)
    assert np.array_equal(p["b"], before["b"])


def test_bound_to_all_it_takes_each_by_itself():
    p, q = flat(), flat()
    fo.GroupLasso(0.5).on(p).prox()
    for name in p:
        assert np.array_equal(p[name], fo.GroupLasso(0.5).prox(q[name]))


def test_bound_to_parameters_it_adds_to_their_gradients():
    w, b = fo.Parameter(np.array([3.0, -1]), "w"), fo.Parameter(np.array([2.0], np.float32), "b")
    buffer = w.grad = np.array([1, 1], np.float32)
    assert fo.L1(0.5).on([w, b]).add_grad() == 3
    assert w.grad is buffer and w.grad.tolist() == [1.5, 0.5]
    assert b.grad.dtype == np.float32 and b.grad.tolist() == [0.5]
    fo.L1(0.5).on([w, b], names=["b"]).prox(2.0)
    assert (w.data.tolist(), b.data.tolist()) == ([3, -1], [1])
    fo.L1(0.5).on(w).prox(2.0)
    assert w.data.tolist() == [2, 0]


def test_bound_to_plain_arrays_it_has_value_and_prox():
    arrays = {"w": np.array([3.0, -1]), "b": np.array([2.0])}
    assert fo.L1().on(list(arrays.values())).value() == 6
    assert fo.L1().on(arrays["w"]).value() == 4
    assert fo.L1().on(arrays, ["b"]).value() == 2
    fo.L1().on(arrays.items()).prox()
    assert (arrays["w"].tolist(), arrays["b"].tolist()) == ([2, 0], [1])


def test_bad_binding_is_refused_in_words_and_changes_nothing():
    p, w = flat(), fo.Parameter(np.ones(2))
    refused = partial(pytest.raises, ValueError)
    with refused(match=r"no parameter is named 'U': there are 'W', 'b', 'V'"):
        fo.L1().on(p, ["W", "U"])
    with refused(match="the parameters have no names"):
        fo.L1().on([w], ["w"])
    with pytest.raises(TypeError, match=r"pass \['W'\]"):
        fo.L1().on(p, "W")
    with refused(match=r"alpha has shape \(4,\)"):
        fo.L1(np.ones(4)).on(p)
    with pytest.raises(TypeError, match="parameter 0 has dtype int64"):
        fo.L1().on([np.arange(3)])
    with refused(match="read-only"):
        fo.L1().on(np.broadcast_to(0.0, 3))
    bound = fo.L1().on([w, np.ones(3)])
    with pytest.raises(TypeError, match="parameter 1 is a plain array"):
        bound.add_grad()
    assert w.grad is None
    with refused(match="Box is a constraint"):
        fo.Box(0).on(p).add_grad()
    other = fo.Parameter(np.ones(3))
    other.grad = np.ones((3, 1))
    with refused(match=r"the gradient of parameter 1 has shape \(3, 1\); it must be \(3,\)"):
        fo.L1().on([w, other]).add_grad()
    other.grad = [1.0, 1, 1]
    with pytest.raises(TypeError, match="must be a NumPy array, not list"):
        fo.L1().on([w, other]).add_grad()
    assert w.grad is None
    with refused(match="Invalid step value"):
        fo.L1().on([w]).prox(-1)


# After an optimizer's step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lr", [0.1, 1 / 3, lambda t: 0.3 / (1 + t)])
def test_prox_after_sgd_is_its_option_bit_for_bit(lr, dtype):
    """Both round lr * alpha once to the dtype, and x -+ threshold once."""
    rng = np.random.default_rng(0)
    fused = rng.standard_normal(1000).astype(dtype)
    hooked = fused.copy()
    options = {"lr": lr, "momentum": 0.9}
    one, other = fo.SGD(fused, l1=0.7, bounds=(-1, 0.9), **options), fo.SGD(hooked, **options)
    fo.L1(0.7).on(hooked).prox_after(other)
    fo.Box(-1, 0.9).on(hooked).prox_after(other)
    for _ in range(10):
        gradient = rng.standard_normal(1000).astype(dtype)
        one.step(gradient)
        other.step(gradient)
        assert np.array_equal(fused, hooked)
    assert (fused == 0).any() and (abs(fused) > 0.5).any()


def test_prox_follows_each_group_with_its_own_rate():
    a, b, c = np.full(2, 8.0), np.full(3, 8.0), np.full(2, 8.0)
    opt = fo.SGD([{"params": [a], "lr": 1.0}, {"params": [b, c], "lr": 0.5}])
    handle = fo.L1(1.0).on([c, a]).prox_after(opt)
    opt.step([np.zeros(2), np.zeros(3), np.zeros(2)])
    assert (a[0], b[0], c[0]) == (7, 8, 7.5)
    opt.param_groups[1]["lr"] = 0.25
    opt.step([np.zeros(2), np.zeros(3), np.zeros(2)])
    assert (a[0], b[0], c[0]) == (6, 8, 7.25)
    handle.remove()
    handle.remove()
    opt.step([np.zeros(2), np.zeros(3), np.zeros(2)])
    assert (a[0], b[0], c[0]) == (6, 8, 7.25)


def test_prox_follows_updates_only():
    w, v = np.full(2, 8.0), np.full(2, 8.0)
    opt = fo.SGD([w, v], lr=1.0, accumulate=2, skip_nonfinite=True)
    fo.L1(1.0).on([w, v]).prox_after(opt)
    zero = np.zeros(2)
    opt.step([zero, zero])
    assert (w[0], v[0]) == (8, 8)
    opt.step([zero, zero])
    assert (w[0], v[0]) == (7, 7)
    opt.step([zero, zero])
    opt.step([zero, np.array([0, np.nan])])
    assert (w[0], v[0]) == (7, 7)
    assert opt.skipped_steps == 1
    opt.step([zero, None])
    opt.step([zero, None])
    assert (w[0], v[0]) == (6, 7)
    state = opt.state_dict()
    opt.step([zero, zero])
    opt.load_state_dict(state)  # between calls, the count goes back
    opt.step([zero, zero])
    assert (w[0], v[0]) == (6, 7)
    opt.step([zero, zero])
    assert (w[0], v[0]) == (5, 6)


def test_prox_does_not_follow_a_step_that_is_refused():
    w = np.full(2, 8.0)
    opt = fo.SGD(w, lr=1.0, ema=0.9)
    fo.L1(1.0).on(w).prox_after(opt)
    opt.step(np.zeros(2))
    with pytest.raises(ValueError, match="gradient"):
        opt.step([np.zeros(3)])
    assert w[0] == 7
    opt.step(np.ones(2))
    opt.eval()
    before = w.copy()
    with pytest.raises(RuntimeError, match="train"):
        opt.step(np.zeros(2))
    assert np.array_equal(w, before)
    opt.train()
    opt.step(np.zeros(2))
    assert w[0] == 4


def test_prox_follows_parts_of_a_parameter():
    p = flat()
    before = p.flat.copy()
    opt = fo.SGD(p.flat, lr=0.5)
    fo.Simplex(axis=0).on(p, ["V"]).prox_after(opt)
    opt.step(np.zeros_like(p.flat))
    assert np.array_equal(p.flat[:15], before[:15])
    assert np.array_equal(p["V"], fo.Simplex(axis=0).prox(before[15:].reshape(3, 2)))
    with pytest.raises(ValueError, match="parameter 0 is not among those of the optimizer"):
        fo.L1().on(p.flat).prox_after(fo.SGD(p))
    with pytest.raises(ValueError, match="parameter 'W' is not among"):
        fo.L1().on(flat()).prox_after(opt)
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        fo.L1().on(p).prox_after(3)


def test_prox_follows_optimizers_that_are_not_sgd():
    p = flat()
    opt = fo.Adam(p, lr=0.1)
    fo.GroupLasso(0.5).on(p, ["W"]).prox_after(opt)
    for _ in range(100):
        p.grad.flat = 0.1 * p.flat
        opt.step(p.grad)
    assert not p["W"].any() and p["V"].all()


# In minimize


def least_squares(X, y, w):
    r = X @ w - y
    return r @ r / 2 / len(y), X.T @ r / len(y)


def regression(seed=0, n=60, p=20, informative=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + rng.standard_normal((n, 1)) / 2
    y = X[:, :informative] @ np.linspace(1, 2, informative) + 0.3 * rng.standard_normal(n) + 3
    return X, y


def with_ones(X):
    return np.column_stack([X, np.ones(len(X))])


@pytest.mark.peers
@pytest.mark.parametrize(("alpha", "l1_ratio"), [(0.1, 1.0), (0.5, 1.0), (0.1, 0.5), (0.01, 0.9), (0.3, 0.1)])
def test_elastic_net_is_that_of_scikit_learn(alpha, l1_ratio):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = regression()
    theirs = linear_model.ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000).fit(X, y)
    assert (theirs.coef_ == 0).any() or l1_ratio < 0.5
    unpenalized = np.append(np.ones(20), 0)
    objective = partial(least_squares, with_ones(X), y)
    penalty = fo.ElasticNet(alpha * unpenalized, l1_ratio)
    fit = fo.minimize(objective, np.zeros(21), jac=True, penalty=penalty, tol=1e-9)
    assert fit.success and fit.reason == "gradient"

    lr = 1 / np.linalg.eigvalsh(with_ones(X).T @ with_ones(X) / len(X)).max()
    fused, hooked = [{"w": np.zeros(20), "b": np.zeros(1)} for _ in range(2)]
    opt = fo.SGD([{"params": [fused["w"]], "l1": alpha * l1_ratio, "weight_decay": alpha * (1 - l1_ratio)},
                  {"params": [fused["b"]]}], lr=lr)  # fmt: skip
    other = fo.SGD(hooked, lr=lr)
    fo.ElasticNet(alpha, l1_ratio).on(hooked, ["w"]).prox_after(other)
    for p, o in ((fused, opt), (hooked, other)):
        for _ in range(3000):
            r = X @ p["w"] + p["b"] - y
            o.step([X.T @ r / len(y), np.array([r.mean()])])

    for w, b in ((fit.x[:-1], fit.x[-1]), (fused["w"], fused["b"][0]), (hooked["w"], hooked["b"][0])):
        np.testing.assert_allclose(w, theirs.coef_, rtol=0, atol=1e-6)
        assert b == pytest.approx(theirs.intercept_, abs=1e-6)
        assert np.array_equal(w == 0, theirs.coef_ == 0)


@pytest.mark.peers
def test_lasso_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = regression(3)
    theirs = linear_model.Lasso(alpha=0.2, tol=1e-12, max_iter=100_000, fit_intercept=False).fit(X, y)
    fit = fo.minimize(partial(least_squares, X, y), np.ones(20), jac=True, penalty=fo.L1(0.2), tol=1e-9)
    np.testing.assert_allclose(fit.x, theirs.coef_, rtol=0, atol=1e-6)
    assert np.array_equal(fit.x == 0, theirs.coef_ == 0) and 0 < (fit.x == 0).sum() < 20


@pytest.mark.peers
@pytest.mark.parametrize("method", ["lbfgs", "fista"])
def test_ridge_is_that_of_scikit_learn(method):
    linear_model = pytest.importorskip("sklearn.linear_model")
    X, y = regression(4)
    theirs = linear_model.Ridge(alpha=0.2 * len(y), solver="cholesky").fit(X, y)
    penalty = fo.L2(0.2 * np.append(np.ones(20), 0))
    objective = partial(least_squares, with_ones(X), y)
    fit = fo.minimize(objective, np.zeros(21), jac=True, penalty=penalty, tol=1e-9, method=method)
    assert fit.success
    np.testing.assert_allclose(fit.x, np.append(theirs.coef_, theirs.intercept_), rtol=0, atol=1e-7)
    f, g = objective(fit.x)
    assert fit.fun == pytest.approx(f + penalty(fit.x), rel=1e-14)
    np.testing.assert_allclose(fit.jac, g + (method == "lbfgs") * penalty.grad(fit.x), rtol=0, atol=1e-14)
    assert ("hess_inv" in fit) == (method == "lbfgs")


def test_group_lasso_selects_whole_groups():
    X, y = regression(5, informative=4)
    groups = np.arange(20) // 4
    penalty = fo.GroupLasso(0.3, groups)
    fit = fo.minimize(partial(least_squares, X, y - y.mean()), np.zeros(20), jac=True, penalty=penalty, tol=1e-9)
    assert fit.success
    zero = (fit.x == 0).reshape(5, 4)
    assert zero.any() and np.array_equal(zero.any(axis=1), zero.all(axis=1)) and not zero[0].any()
    for g in range(5):
        part, slope = fit.x[groups == g], -fit.jac[groups == g]
        if part.any():
            np.testing.assert_allclose(slope, 0.6 * part / np.linalg.norm(part), rtol=0, atol=1e-7)
        else:
            assert np.linalg.norm(slope) <= 0.6


def test_least_squares_on_the_simplex_satisfies_kkt():
    X, y = regression(6)
    shares = np.random.default_rng(0).dirichlet(np.ones(20) / 3)
    fit = fo.minimize(
        partial(least_squares, X, X @ shares + 0.1 * y), np.zeros(20), jac=True, penalty=fo.Simplex(), tol=1e-9
    )
    assert fit.success
    assert (fit.x >= 0).all() and 0 < (fit.x == 0).sum() < 19
    assert abs(fit.x.sum() - 1) <= 32 * 2**-52
    level = fit.jac[fit.x > 0]
    assert np.ptp(level) <= 1e-7  # the multiplier of the sum
    assert (fit.jac[fit.x == 0] >= level.max() - 1e-7).all()


@pytest.mark.parametrize("seed", range(5))
def test_box_is_that_of_lbfgsb(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((12, 12))
    H, c = A @ A.T / 12 + 0.1 * np.eye(12), rng.standard_normal(12)

    def fun(x):
        return x @ H @ x / 2 - c @ x, H @ x - c

    low, high = -rng.random(12), rng.random(12)
    ours = fo.minimize(fun, np.full(12, 5.0), jac=True, penalty=fo.Box(low, high), tol=1e-10)
    theirs = so.minimize(
        fun, np.zeros(12), jac=True, method="L-BFGS-B", bounds=so.Bounds(low, high), options={"gtol": 1e-10, "ftol": 0}
    )
    assert ours.success and (ours.x >= low).all() and (ours.x <= high).all()
    np.testing.assert_allclose(ours.x, theirs.x, rtol=0, atol=1e-8)
    assert np.array_equal(ours.x == low, theirs.x == low)


def rosenbrock(x):
    return float(so.rosen(x)), so.rosen_der(x)


@pytest.mark.parametrize("x0", [[-1.2, 1.0], [2.0, 2.0]])
def test_fista_needs_no_penalty_and_no_convexity(x0):
    fit = fo.minimize(rosenbrock, x0, jac=True, method="fista", tol=1e-8)
    assert fit.success
    np.testing.assert_allclose(fit.x, 1, rtol=0, atol=1e-7)  # the least curvature is 0.4
    edge = fo.minimize(rosenbrock, x0, jac=True, penalty=fo.Box(high=0.5), tol=1e-8)
    assert edge.success and edge.x[0] == pytest.approx(0.5) and edge.x[1] == pytest.approx(0.25, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_fista_solves_every_size_and_dtype(n, dtype):
    h = np.logspace(0, 2, n).astype(dtype)
    fit = fo.minimize(
        lambda x: (float(h @ (x - 1) ** 2) / 2, h * (x - 1)), np.zeros(n, dtype), jac=True, method="fista", tol=1e-4
    )
    assert fit.success
    assert fit.x.dtype == fit.jac.dtype == dtype
    # gtol over the least curvature, 1, bounds the error, but for rounding of x in the test, 2 ulp times h.
    np.testing.assert_allclose(fit.x, 1, rtol=0, atol=1.3e-4)


@pytest.mark.parametrize("outside", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("x0", [np.ones(5), np.array([1e-6, 1.0, 100.0])])
def test_fista_stays_in_the_domain(x0, outside):
    def barrier(x):
        if np.any(x <= 0):
            return outside, np.full_like(x, outside)
        return float((50 * x - np.log(x)).sum()), 50 - 1 / x

    fit = fo.minimize(barrier, x0, jac=True, method="fista", tol=1e-4)
    assert fit.success
    np.testing.assert_allclose(fit.x, 1 / 50, rtol=0, atol=4.1e-8)  # the curvature there is 2500
    fit = fo.minimize(barrier, x0, jac=True, penalty=fo.L1(50.0), tol=1e-4)
    assert fit.success
    np.testing.assert_allclose(fit.x, 1 / 100, rtol=0, atol=2.1e-8)


def quadratic(x):
    h = np.logspace(0, 3, x.size)
    return float(h @ (x - 1) ** 2) / 2, h * (x - 1)


def uphill(x):
    return float(x @ x), -2 * x


def downhill(x):
    return float(-x.sum()), -np.ones_like(x)


def kink(x):
    return float(abs(x - 1).sum()), np.where(x >= 1, 1.0, -1.0)  # nowhere zero


@pytest.mark.parametrize(
    ("reason", "fun", "x0", "options"),
    [
        ("gradient", quadratic, np.zeros(5), {}),
        ("decrease", quadratic, np.zeros(5), {"ftol": 0.5}),
        ("maxiter", quadratic, np.zeros(5), {"maxiter": 3}),
        ("maxiter", quadratic, np.zeros(5), {"maxiter": 0}),
        ("maxfun", quadratic, np.zeros(5), {"maxfun": 7}),
        ("maxfun", quadratic, np.zeros(5), {"maxfun": 1}),
        ("maxfun", downhill, [0.0, 0.0], {"maxfun": 200}),
        ("linesearch", uphill, [1.0, 2.0], {}),
        ("linesearch", uphill, np.ones(300), {}),
        ("precision", quadratic, np.zeros(5), {"gtol": 0}),
        ("precision", kink, [np.pi, 1.5, 4.0], {}),
        ("stalled", lambda x: (1.0, np.full(3, 1e-17)), np.zeros(3), {"gtol": 0}),
        ("nonfinite", lambda x: (np.nan, 0 * x), [1.0], {}),
        ("nonfinite", lambda x: (np.inf, x), [1.0], {}),
        ("nonfinite", lambda x: (1.0, x * np.nan), [1.0], {}),
        ("nonfinite", quadratic, [np.nan, 1.0], {}),
    ],
)
def test_every_way_to_stop_has_its_status(reason, fun, x0, options):
    for penalty in (None, fo.L1(0)):
        fit = fo.minimize(fun, x0, jac=True, method="fista", penalty=penalty, options=options)
        assert fit.reason == reason
        assert fit.status == ENDINGS[reason][0]
        assert fit.success == (fit.status == 0)
        f, g = fun(fit.x)
        assert np.array_equal(fit.fun, f, equal_nan=True) or np.isnan(fit.x).any()
        assert np.array_equal(fit.jac, g, equal_nan=True)
        assert fit.nfev == fit.njev <= options.get("maxfun", 15000)
        if reason == "maxfun":
            assert fit.nfev == options["maxfun"]
        if reason == "maxiter":
            assert fit.nit == options["maxiter"]


@pytest.mark.parametrize("fun", [downhill, kink, uphill, lambda x: (1.0, np.sin(1e6 * x)), quadratic, rosenbrock])
@pytest.mark.parametrize("penalty", [None, fo.L1(0.1)])
def test_fista_is_no_success_where_it_did_not_succeed(fun, penalty):
    """Unbounded, not smooth, wrong gradients, gtol = 0."""
    x0 = np.array([np.pi, 1.5, 4.0])
    fit = fo.minimize(fun, x0, jac=True, method="fista", penalty=penalty, options={"gtol": 0, "maxfun": 20000})
    # A fixed point: 1e3 is the largest curvature that the step had to bear, and x was rounded.
    assert not fit.success or abs(fit.jac + (penalty is not None) * 0.1 * np.sign(fit.x)).max() <= 4 * 1e3 * 2**-52
    assert fit.status in (1, 2, 3, 4) or fit.success
    assert np.isfinite(fit.fun)


def test_a_gradient_that_rounding_hides_is_no_convergence():
    """A step of the size that the curvature allows changes nothing: 1e20 is its curvature, 1 its slope."""
    fit = fo.minimize(
        lambda x: (float(1e20 * ((x - 1) ** 2).sum() / 2 + x.sum()), 1e20 * (x - 1) + 1), [1.0], jac=True,
        method="fista",
    )  # fmt: skip
    assert not fit.success


def test_a_bound_that_cuts_a_long_step_is_no_convergence():
    """The other component makes the first step long: in proportion to it, 1 to the bound is little."""
    fit = fo.minimize(lambda x: (1e-3 * x[1], np.array([0, 1e-3])), [1e6, 1], jac=True, penalty=fo.Box(0))
    assert fit.success and fit.x.tolist() == [1e6, 0]


def test_flat_function_is_converged():
    fit = fo.minimize(lambda x: (7.0, np.zeros(3)), [1.0, 2, 3], jac=True, method="fista")
    assert (fit.reason, fit.nfev, fit.nit, fit.fun) == ("gradient", 1, 0, 7.0)
    fit = fo.minimize(lambda x: (7.0, np.zeros(3)), [1.0, 2, 3], jac=True, penalty=fo.L1())
    assert fit.success and not fit.x.any()


def test_answer_is_the_lowest_of_the_proximal_points():
    X, y = regression(7)
    penalty, seen = fo.L1(0.3), []

    def fun(w):
        seen.append(w.copy())
        return least_squares(X, y, w)

    for maxfun in (1, 2, 3, 10, 31):
        seen.clear()
        fit = fo.minimize(fun, np.zeros(20), jac=True, penalty=penalty, options={"maxfun": maxfun})
        assert len(seen) == fit.nfev == maxfun
        assert any(np.array_equal(fit.x, w) for w in seen)
        f, g = least_squares(X, y, fit.x)
        assert fit.fun == f + penalty(fit.x) and np.array_equal(fit.jac, g)
        totals = [least_squares(X, y, w)[0] + penalty(w) for w in seen]
        # Points ahead of the iterates have no exact zeros and are no answers; from them one step is still to be made.
        assert fit.fun <= np.sort(totals)[min(2, maxfun - 1)]


def test_trial_that_is_refused_may_be_the_answer():
    fit = fo.minimize(lambda x: (float(x @ x), 2 * x), [0.6], jac=True, method="fista", options={"maxfun": 2})
    assert (fit.nit, fit.reason) == (0, "maxfun")
    assert abs(fit.x) < 0.6 and fit.fun == fit.x**2


def test_prox_that_leads_uphill_ends_the_run():
    class Wrong(fo.L1):
        def _prox(self, x, step):
            return x + max(step, 0.5)

    fit = fo.minimize(lambda x: (0.0, np.zeros(2)), [1.0, 2.0], jac=True, penalty=Wrong())
    assert fit.reason == "linesearch" and fit.nfev < 100
    assert fit.x.tolist() == [1, 2]


def test_start_may_change_during_the_run():
    x0 = np.array([3.0, 4.0])

    def fun(x):
        x0[:] = np.nan
        return quadratic(x)

    assert fo.minimize(fun, x0, jac=True, method="fista").success


@pytest.mark.parametrize("penalty", [fo.L1(np.ones(3)), fo.L2(np.ones(3))])
def test_penalty_that_does_not_fit_is_refused_before_anything_is_evaluated(penalty):
    calls = []
    with pytest.raises(ValueError, match="broadcast"):
        fo.minimize(calls.append, np.zeros(2), jac=True, penalty=penalty)
    assert not calls


def test_start_outside_of_a_constraint_is_projected_and_never_written_to():
    x0 = np.array([5.0, -5])
    seen = []

    def fun(x):
        seen.append(x.copy())
        x[:] = np.nan
        return 0.0, np.zeros(2)

    fit = fo.minimize(fun, x0, jac=True, penalty=fo.Box(-1, 1))
    assert np.array_equal(seen[0], [1, -1]) and np.array_equal(fit.x, [1, -1])
    assert np.array_equal(x0, [5, -5])


def test_gradient_may_come_in_any_way():
    X, y = regression(8)
    value, slope = (lambda w: least_squares(X, y, w)[0]), (lambda w: least_squares(X, y, w)[1])
    run = partial(fo.minimize, x0=np.zeros(20), penalty=fo.L1(0.3))
    joint = run(partial(least_squares, X, y), jac=True)
    apart = run(value, jac=slope)
    assert np.array_equal(joint.x, apart.x) and joint.nfev == apart.nfev
    calls = []
    for jac in (None, "2-point", "3-point", "cs"):
        calls.clear()
        fit = run(lambda w: calls.append(1) or value(w), jac=jac)
        np.testing.assert_allclose(fit.x, joint.x, rtol=0, atol=1e-4)
        assert np.array_equal(fit.x == 0, joint.x == 0)
        assert fit.nfev == len(calls) > fit.njev
    assert run(value, options={"maxfun": 100}).nfev <= 100
    ridge = fo.minimize(value, np.zeros(20), penalty=fo.L2(0.3), tol=1e-6)
    exact = np.linalg.solve(X.T @ X / 60 + 0.3 * np.eye(20), X.T @ y / 60)
    np.testing.assert_allclose(ridge.x, exact, rtol=0, atol=1e-5)
    scaled = fo.minimize(lambda w, a, b: (a * (w - b) @ (w - b), 2 * a * (w - b)), [0.0], (2.0, 3.0), jac=True,
                         penalty=fo.L1(4.0))  # fmt: skip
    np.testing.assert_allclose(scaled.x, 2, rtol=0, atol=1e-5)


def test_callbacks_see_each_iterate_and_may_end_the_run():
    X, y = regression(9)
    objective, points, results = partial(least_squares, X, y), [], []
    run = partial(fo.minimize, objective, np.zeros(20), jac=True, penalty=fo.L1(0.3))
    plain = run(callback=points.append)
    run(callback=lambda intermediate_result: results.append(intermediate_result))
    assert len(points) == len(results) == plain.nit
    for x, result, i in zip(points, results, itertools.count(1)):
        assert np.array_equal(x, result.x) and result.nit == i
        assert result.fun == objective(x)[0] + fo.L1(0.3)(x)
        assert np.array_equal(result.jac, objective(x)[1])
    assert np.array_equal(points[-1], plain.x)
    assert np.array_equal(run(callback=lambda x: x.fill(0)).x, plain.x)

    def stop(x):
        raise StopIteration

    ended = run(callback=stop)
    assert (ended.status, ended.success, ended.nit, ended.reason) == (99, False, 1, "stopped")
    assert np.array_equal(ended.x, points[0])


def test_scipy_hands_a_smooth_penalty_on():
    ours = fo.minimize(rosenbrock, [0.0, 0.0], jac=True, penalty=fo.L2(0.1))
    theirs = so.minimize(rosenbrock, [0.0, 0.0], jac=True, method=fo.lbfgs, options={"penalty": fo.L2(0.1)})
    assert np.array_equal(ours.x, theirs.x) and ours.fun == theirs.fun


def test_objective_may_change_its_argument_beside_a_smooth_penalty():
    def rude(x):
        f, g = rosenbrock(x)
        x[:] = np.nan
        return f, g

    plain = fo.minimize(rosenbrock, [-1.2, 1.0], jac=True, penalty=fo.L2(0.1))
    assert np.array_equal(fo.minimize(rude, [-1.2, 1.0], jac=True, penalty=fo.L2(0.1)).x, plain.x)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, r"L-BFGS cannot handle L1, which is not smooth: use method='fista'",
         {"method": "lbfgs", "penalty": fo.L1()}),
        (ValueError, r"Unknown method: 'cg' \(minimize has 'lbfgs', 'fista', 'asgd'", {"method": "cg"}),
        (TypeError, r"Invalid penalty: 0.1 \(must be a Penalty", {"penalty": 0.1}),
        (ValueError, r"alpha has shape \(3,\).*x of shape \(2,\)", {"penalty": fo.L1(np.ones(3))}),
        (ValueError, r"alpha has shape \(3,\).*x of shape \(2,\)", {"penalty": fo.L2(np.ones(3))}),
        (TypeError, r"Unknown option: 'maxcor'", {"penalty": fo.L1(), "options": {"maxcor": 3}}),
        (ValueError, r"Invalid gtol: -1", {"penalty": fo.L1(), "options": {"gtol": -1}}),
        (ValueError, r"Invalid maxfun: 0", {"penalty": fo.L1(), "options": {"maxfun": 0}}),
        (ValueError, r"cannot handle bounds together with Simplex",
         {"penalty": fo.Simplex(), "bounds": [(0, None)] * 2}),
        (ValueError, r"takes a penalty or l1, not both", {"penalty": fo.Box(), "l1": 0.1}),
        (ValueError, r"Invalid x0 of shape \(2, 2\)", {"penalty": fo.L1(), "x0": np.ones((2, 2))}),
        (TypeError, r"must return \(f, gradient\), not 3\.0", {"penalty": fo.L1(), "fun": lambda x: 3.0}),
        (ValueError, r"gradient has shape \(3,\)", {"penalty": fo.L1(), "fun": lambda x: (0.0, np.ones(3))}),
        (ZeroDivisionError, "by zero", {"penalty": fo.L1(), "fun": lambda x: 1 / 0}),
    ],
)  # fmt: skip
def test_bad_calls_of_minimize_are_refused_in_words(error, match, call):
    call = {"fun": rosenbrock, "x0": [-1.2, 1.0], "jac": True, **call}
    with pytest.raises(error, match=match):
        fo.minimize(**call)
