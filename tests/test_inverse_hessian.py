"""The inverse Hessian of a result: BFGS's formula, and what the run itself used."""

import copy
import pickle

import numpy as np
import pytest
import scipy.optimize as so
from objectives import rosenbrock

from fastopt.minimize import LBFGSMinimizer, minimize
from fastopt.minimize.inverse_hessian import InverseHessian


def bfgs(S, Y, h0):
    """The matrix by its formula, oldest pair first."""
    n = S.shape[1]
    H = np.diag(np.broadcast_to(h0, n)).astype(float)
    for s, y in zip(S, Y, strict=True):
        V = np.eye(n) - np.outer(y, s) / (s @ y)
        H = V.T @ H @ V + np.outer(s, s) / (s @ y)
    return H


def operator(seed, n, m, diagonal):
    """Pairs of a quadratic of condition 100, and an initial matrix."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    S = rng.standard_normal((m, n))
    Y = S @ (Q * np.logspace(-1, 1, n)) @ Q.T
    return InverseHessian(S, Y, rng.uniform(0.5, 2, n) if diagonal else 0.3)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 1), (1, 3), (7, 0), (7, 3), (12, 20), (40, 10)])
def test_every_product_is_that_of_the_matrix(n, m, diagonal):
    H = operator(0, n, m, diagonal)
    D = bfgs(H.sk, H.yk, H.h0)
    rng = np.random.default_rng(1)
    b, B = rng.standard_normal(n), rng.standard_normal((n, 3))
    # Rounding is relative to the largest number on the way from h0 to the result.
    spectrum = np.append(np.linalg.eigvalsh(D), H.h0)
    bound = 8 * (m + 1) * spectrum.max(initial=1) / spectrum.min(initial=1) * 2**-52

    def same(actual, expected):
        assert actual.shape == expected.shape
        assert abs(actual - expected).max(initial=0) <= bound * abs(expected).max(initial=0)

    same(H.todense(), D)
    same(H.diag(), np.diag(D))
    for product in (H @ b, H.matvec(b), H.rmatvec(b), H.matmat(b.reshape(-1, 1))[:, 0]):
        same(product, D @ b)
    for product in (H @ B, H.matmat(B), H.rmatmat(B)):
        same(product, D @ B)
    for solution in (H.solve(b), H.inverse() @ b, H.inverse().rmatvec(b)):
        same(solution, np.linalg.solve(D, b))
    for solution in (H.solve(B), H.inverse() @ B, H.inverse().rmatmat(B)):
        same(solution, np.linalg.solve(D, B))


def test_pairs_are_secants_of_the_inverse_as_well():
    H = operator(2, 30, 5, diagonal=True)
    np.testing.assert_allclose(H @ H.yk[-1], H.sk[-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(H.solve(H.sk[-1]), H.yk[-1], rtol=0, atol=1e-11)


def test_copies_and_shapes():
    H = operator(3, 6, 4, diagonal=True)
    for twin in (copy.deepcopy(H), pickle.loads(pickle.dumps(H))):
        assert np.array_equal(twin.todense(), H.todense())
        assert np.array_equal(twin.solve(np.ones(6)), H.solve(np.ones(6)))
    assert np.array_equal(pickle.loads(pickle.dumps(H.inverse())) @ np.ones(6), H.solve(np.ones(6)))
    assert isinstance(H, so.LbfgsInvHessProduct)
    ones = np.ones(6)
    H.solve(ones), H @ ones
    assert np.array_equal(ones, np.ones(6))
    with pytest.raises(ValueError, match=r"b has shape \(5,\), but H has shape \(6, 6\)"):
        H.solve(np.ones(5))


@pytest.mark.parametrize("diagonal", [False, True])
def test_newest_pair_is_satisfied_after_the_memory_has_wrapped(diagonal):
    result = minimize(
        rosenbrock,
        np.tile([-1.2, 1.0], 15),
        jac=True,
        tol=0,
        options={"maxcor": 7, "maxiter": 40, "conjugate": False, "diagonal": diagonal},
    )
    H = result.hess_inv
    assert result.nit == 40
    assert np.linalg.norm(H @ H.yk[-1] - H.sk[-1]) <= 1e-8 * np.linalg.norm(H.sk[-1])


def test_inverse_hessian_is_the_plain_one_if_asked_for():
    h = np.logspace(0, 3, 30)
    result = minimize(
        lambda x: (float(h @ x**2) / 2, h * x),
        np.ones(30),
        jac=True,
        options={"maxcor": 7, "maxiter": 13, "gtol": 0, "ftol": 0, "diagonal": False, "conjugate": False},
    )
    H = result.hess_inv
    assert H.sk.shape == H.yk.shape == (7, 30)
    assert np.allclose(H.yk, h * H.sk, rtol=1e-9, atol=1e-12)
    assert np.allclose(H @ H.yk[-1], H.sk[-1], rtol=1e-9, atol=1e-15)
    dense = H.todense()
    assert np.allclose(dense, dense.T, rtol=1e-10, atol=1e-14)
    assert np.linalg.eigvalsh(dense).min() > 0
    outside = np.linalg.svd(np.vstack([H.sk, H.yk]))[2][-1]
    assert H.h0 == pytest.approx(H.sk[-1] @ H.yk[-1] / (H.yk[-1] @ H.yk[-1]), rel=1e-12)
    assert np.allclose(H @ outside, H.h0 * outside, rtol=1e-9, atol=1e-14)
    assert np.array_equal(pickle.loads(pickle.dumps(H)).todense(), dense)
    plain = so.LbfgsInvHessProduct(H.sk / np.sqrt(H.h0), H.yk * np.sqrt(H.h0))
    assert np.allclose(dense, H.h0 * plain.todense(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize("diagonal", [False, True])
def test_next_direction_is_the_one_of_the_inverse_hessian(diagonal, conjugate):
    """The two-loop recursion in the kernel against the matrix, wrapped around the ring."""
    m = LBFGSMinimizer(np.full(9, -1.0), maxcor=3, gtol=0, ftol=0, diagonal=diagonal, conjugate=conjugate)
    while not m.done and m.nfev < 40:
        nit = m.nit
        m.tell(*rosenbrock(m.ask()))
        if m.nit > max(nit, 1):
            x, _, g = m._core.here()
            d = -(m.result().hess_inv @ g)
            # Six turns of nine terms each, and an ulp of x, whose steps here are at least a thousandth of its length.
            assert np.linalg.norm(m.ask() - x - d) <= 1e-12 * np.linalg.norm(d)
