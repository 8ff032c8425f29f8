"""Other packages, unchanged, with `lbfgs` for their solver."""

import numpy as np
import pytest
import scipy.optimize as so
from objectives import rosenbrock

import fastopt as fo


def waves(x):
    """Many minima; the least, -n, is at 0."""
    return float(np.sum(x**2 - np.cos(3 * x))), 2 * x + 3 * np.sin(3 * x)


def test_basinhopping_uses_it():
    hop = so.basinhopping(waves, [2.0, -2.0], niter=20, rng=0, minimizer_kwargs={"method": fo.lbfgs, "jac": True})
    assert hop.fun == pytest.approx(-2, abs=1e-9)


def test_dual_annealing_uses_it():
    anneal = so.dual_annealing(
        lambda x: waves(x)[0], [(-3, 3)] * 2, maxiter=50, rng=0, minimizer_kwargs={"method": fo.lbfgs}
    )
    assert anneal.fun == pytest.approx(-2, abs=1e-9)


def test_differential_evolution_is_polished_by_it():
    polished = []

    def polish(fun, x0, **settings):
        polished.append(fo.lbfgs(fun, x0, **settings))
        return polished[-1]

    evolved = so.differential_evolution(
        lambda x: rosenbrock(x)[0], [(-3, 3), (-3, 0.5)], maxiter=20, rng=0, polish=polish
    )
    assert polished[0].success
    assert evolved.fun == polished[0].fun <= 0.0860
    assert evolved.x[1] == 0.5


@pytest.mark.peers
def test_gaussian_process_of_scikit_learn_uses_it():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    kernels = gaussian_process.kernels

    def optimizer(objective, theta, bounds):
        fit = fo.lbfgs(objective, theta, jac=True, bounds=bounds)
        return fit.x, fit.fun

    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, (40, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(40)
    kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel(0.1)
    ours = gaussian_process.GaussianProcessRegressor(kernel, optimizer=optimizer).fit(X, y)
    theirs = gaussian_process.GaussianProcessRegressor(kernel).fit(X, y)
    # Theirs stops where a step gains less than 2.2e-9 of the value, ours where the gradient is small.
    assert ours.log_marginal_likelihood_value_ >= theirs.log_marginal_likelihood_value_ - 1e-6
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, rtol=0, atol=1e-2)


@pytest.mark.peers
def test_logit_of_statsmodels_uses_it():
    models = pytest.importorskip("statsmodels.discrete.discrete_model")
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(200), rng.standard_normal((200, 3))])
    y = (X @ [0.3, 1, -1, 0.5] + rng.logistic(size=200) > 0).astype(float)
    ours = models.Logit(y, X).fit(method="minimize", min_method=fo.lbfgs, disp=0)
    theirs = models.Logit(y, X).fit(disp=0)
    assert ours.mle_retvals["converged"]
    # The mean likelihood has a least curvature of some 0.1, and gtol is 1e-5.
    np.testing.assert_allclose(ours.params, theirs.params, rtol=0, atol=1e-4)


@pytest.mark.peers
def test_lmfit_uses_it():
    lmfit = pytest.importorskip("lmfit")
    t = np.linspace(0, 5, 60)
    data = 3 * np.exp(-0.7 * t) + 0.01 * np.sin(20 * t)
    params = lmfit.Parameters()
    params.add("a", 1, min=0)
    params.add("b", 0.1, min=0, max=3)

    def residual(p):
        return p["a"] * np.exp(-p["b"] * t) - data

    ours = lmfit.Minimizer(residual, params).scalar_minimize(method=fo.lbfgs)
    theirs = lmfit.minimize(residual, params)
    assert ours.success
    for name in params:
        assert ours.params[name].value == pytest.approx(theirs.params[name].value, abs=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("limit", [None, 0.5])
def test_minuit_uses_it(limit):
    iminuit = pytest.importorskip("iminuit")
    m = iminuit.Minuit(lambda a, b: (a - 1) ** 2 + 10 * (b - a) ** 2, a=0, b=0)
    m.limits["a"] = (None, limit)
    m.scipy(method=fo.lbfgs)
    assert m.valid
    np.testing.assert_allclose(m.values, 1 if limit is None else limit, rtol=0, atol=1e-4)
