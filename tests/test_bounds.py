"""Bounds in every form, and the solvers and differences that keep them."""

import numpy as np
import pytest
import scipy.optimize as so
from objectives import rosenbrock

from fastopt.minimize import minimize
from fastopt.minimize.bounds import limits, within

INF = np.inf


@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 1), (None, 2), (-3, None), (None, None)],
        ((0.0, 1.0), (-INF, 2.0), (-3.0, INF), (None, INF)),
        np.array([[0, 1], [-INF, 2], [-3, INF], [-INF, INF]]),
        np.array([[0, 1], [None, 2], [-3, None], [None, None]]),
        np.array([[0, 1], [-INF, 2], [-3, INF], [-INF, INF]], np.float32)[:, ::1],
        so.Bounds([0, -INF, -3, -INF], [1, 2, INF, INF]),
        so.Bounds([0, -INF, -3, -INF], [1, 2, INF, INF], keep_feasible=True),
        zip([0, None, -3, None], [1, 2, None, None], strict=True),
    ],
)
def test_every_form_gives_two_vectors(bounds):
    low, high = limits(bounds, np.zeros(4))
    assert low.dtype == high.dtype == np.float64
    assert low.tolist() == [0, -INF, -3, -INF]
    assert high.tolist() == [1, 2, INF, INF]


def test_bounds_broadcast_and_belong_to_nobody_else():
    table = np.array([[0.0, 1.0]] * 3)
    for bounds in (so.Bounds(0, 1), so.Bounds([0], [1, 1, 1]), so.Bounds(np.zeros(3), 1), table):
        low, high = limits(bounds, np.zeros(3))
        assert low.tolist() == [0, 0, 0] and high.tolist() == [1, 1, 1]
        low += 1
        high += 1
    assert table.tolist() == [[0, 1]] * 3


def test_what_restricts_nothing_is_no_bound():
    for bounds in (None, [(None, None)] * 2, np.array([[-INF, INF]] * 2), so.Bounds(), so.Bounds(-INF, [INF, INF])):
        assert limits(bounds, np.zeros(2)) is None
    assert limits([], np.zeros(0)) is None
    x = np.zeros(2)
    assert within(x, None) is x


@pytest.mark.parametrize(
    ("error", "match", "bounds"),
    [
        (ValueError, r"at index 1: \(3\.0, 2\.0\) \(must be numbers low <= high", [(0, 1), (3, 2)]),
        (ValueError, r"at index 1: \(3\.0, 2\.0\)", so.Bounds([0, 3], 2)),
        (ValueError, r"at index 0: \(nan, 1\.0\)", [(np.nan, 1), (0, 1)]),
        (ValueError, r"at index 1: \(0\.0, nan\)", np.array([[0, 1], [0, np.nan]])),
        (ValueError, r"at index 0: \(inf, inf\)", [(INF, None), (0, 1)]),
        (ValueError, r"at index 0: \(-inf, -inf\)", [(None, -INF), (0, 1)]),
        (ValueError, r"There are 3 pairs of bounds, but x has shape \(2,\)", [(0, 1)] * 3),
        (ValueError, r"There are 0 pairs of bounds", []),
        (ValueError, r"must be pairs \(low, high\)", [(0, 1), (0, 1, 2)]),
        (ValueError, r"must be pairs \(low, high\)", [0, 1]),
        (ValueError, r"must be pairs \(low, high\)", np.zeros((2, 3))),
        (ValueError, r"shapes .* do not fit x of shape \(2,\)", so.Bounds([0, 0, 0], 1)),
        (TypeError, r"dtype <U1 \(must be real numbers or None\)", [("a", "b"), ("c", "d")]),
        (TypeError, r"must be real numbers or None", [("a", None), (0, 1)]),
        (TypeError, r"dtype complex128", np.array([[0, 1j], [0, 1]])),
    ],
)
def test_bad_bounds_are_refused_in_words(error, match, bounds):
    with pytest.raises(error, match=match):
        limits(bounds, np.zeros(2))


@pytest.mark.parametrize("pair", [(1e39, 2e39), (None, -1e39), (1e39, None)])
def test_limits_beyond_single_precision_leave_it_no_room(pair):
    assert limits([pair], np.zeros(1)) is not None
    with pytest.raises(ValueError, match=r"Invalid bounds at index 0: .*room for a finite x"):
        limits([pair], np.zeros(1, np.float32))


def test_single_precision_stays_within_limits_it_cannot_hold():
    x = np.zeros(4, np.float32)
    low, high = limits([(0.1, 0.3), (-0.3, -0.1), (0.1, 0.1), (-1e300, 1e300)], x)
    exact = np.array([(0.1, 0.3), (-0.3, -0.1)])
    assert np.array_equal(low, low.astype(np.float32)) and np.array_equal(high, high.astype(np.float32))
    assert (low[:2] >= exact[:, 0]).all() and (high[:2] <= exact[:, 1]).all()
    assert np.allclose(low[:2], exact[:, 0], rtol=2**-23, atol=0)
    assert low[2] == high[2] == np.float32(0.1)
    assert low[3] == -high[3] == np.finfo(np.float32).min
    for point in (np.full(4, -9, np.float32), np.full(4, 9, np.float32)):
        inside = within(point, (low, high))
        assert inside.dtype == np.float32
        assert (inside >= low).all() and (inside <= high).all()


METHODS = {
    "fista": {},
    "adam": {"lr": 0.05, "maxiter": 3000},
    "sgd": {"lr": 5e-4, "momentum": 0.9},
    "rprop": {"maxiter": 5000},
}


def visited(seen):
    def fun(x):
        seen.append(x.copy())
        f, g = rosenbrock(x)
        x[:] = np.nan
        return f, g

    return fun


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("bounds", "x0"),
    [
        ([(None, 0.5), (None, None)], [-1.2, 1.0]),
        ([(None, None), (1.5, 3.0)], [0.0, 0.0]),
        ([(-2, -0.5), (0.25, 0.5)], [5.0, 5.0]),
        ([(0.7, 0.7), (None, None)], [0.0, 0.0]),
        ([(-1, 2), (-1, 2)], [0.0, 0.0]),
    ],
)
def test_bounds_are_kept_at_every_point_and_give_scipys_minimum(method, bounds, x0):
    seen = []
    fit = minimize(visited(seen), x0, jac=True, bounds=bounds, method=method, options=METHODS[method])
    low, high = limits(bounds, np.zeros(2))
    assert all((x >= low).all() and (x <= high).all() for x in seen)
    theirs = so.minimize(rosenbrock, x0, jac=True, bounds=bounds, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0})
    # The least curvature is 0.4, so that a projected gradient of 1e-5 is 2.5e-5 of x.
    np.testing.assert_allclose(fit.x, theirs.x, rtol=0, atol=5e-5 if fit.success else 1e-2)
    assert fit.success or method in ("adam", "rprop")
    assert (fit.fun, fit.jac.tolist()) == (rosenbrock(fit.x)[0], rosenbrock(fit.x)[1].tolist())


@pytest.mark.parametrize("scheme", ["2-point", "3-point"])
@pytest.mark.parametrize("method", ["fista", "rprop"])
def test_differences_keep_the_bounds_and_leave_fixed_variables(method, scheme):
    seen = []

    def fun(x):
        seen.append(x.copy())
        return np.sqrt(x[:2]).sum() - x[0] + (x[2] - 5) ** 2 + x[3] ** 2

    bounds = [(0, 4), (1, 3), (2, 2), (None, None)]
    fit = minimize(fun, [1.0, 3.0, 0.0, 1.0], jac=scheme, bounds=bounds, method=method, options={"gtol": 1e-4})
    np.testing.assert_allclose(fit.x, [4, 1, 2, 0], rtol=0, atol=1e-3)
    points = np.array(seen)
    low, high = limits(bounds, np.zeros(4))
    assert (points >= low).all() and (points <= high).all()
    assert fit.nfev == len(seen) == fit.njev * (1 + 3 * (1 + (scheme == "3-point")))
    assert fit.jac[2] == 0


def test_fista_has_the_prox_of_both():
    """Of each element alone: the minimum of (x - c)^2 / 2 + |x| within bounds is the shrunk c, projected."""
    c = np.array([3.0, 3.0, -3.0, 0.5, -2.0, 0.5])
    bounds = [(None, 1), (None, None), (-1, None), (None, None), (0.5, None), (0.2, 1)]
    fit = minimize(
        lambda x: (float((x - c) @ (x - c)) / 2, x - c), np.zeros(6), jac=True, method="fista", l1=1, bounds=bounds
    )
    np.testing.assert_allclose(fit.x, [1, 2, -1, 0, 0.5, 0.2], rtol=0, atol=1e-5)
    assert fit.success and fit.x[3] == 0
    assert fit.fun == pytest.approx((fit.x - c) @ (fit.x - c) / 2 + abs(fit.x).sum(), rel=1e-14)
