"""The published test problems of the benchmarks: gradients, starts, least values."""

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

PACKAGE = Path(__file__).parents[1] / "bench" / "problems" / "__init__.py"
if not PACKAGE.exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)

KINDS = ("unconstrained", "bounded", "structured")
EPS = np.finfo(float).eps


def load():
    """The problems of all kinds; their package bears the name of a module of the tests, and so must not stay."""
    spec = importlib.util.spec_from_file_location("problems", PACKAGE)
    package = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "problems", package)
        spec.loader.exec_module(package)
        found = [problem for kind in KINDS for problem in package.problems(kind)]
        for name in [name for name in sys.modules if name.startswith("problems.")]:
            del sys.modules[name]
    return found


PROBLEMS = {problem.name: problem for problem in load()}
every_problem = pytest.mark.parametrize("problem", [pytest.param(p, id=name) for name, p in PROBLEMS.items()])


def directions(n):
    """The axes, or for many variables some corners of the cube, on which each of them counts."""
    return np.eye(n) if n <= 50 else np.random.default_rng(n).choice([-1.0, 1.0], (8, n))


def complex_step(fun, x, d):
    """Im f(x + i h d) / h, which has no truncation error once h^2 vanishes."""
    return fun(x + 1e-30j * d)[0].imag / 1e-30


def central_differences(fun, x, d):
    """Differences of order 4, and a bound on their error: what a step twice as long changes, and rounding."""
    h = EPS**0.2 * max(1, abs(x).max())
    values = {k: fun(x + k * h * d)[0] for k in (-4, -2, -1, 1, 2, 4)}

    def slope(k):
        return (8 * (values[k] - values[-k]) - (values[2 * k] - values[-2 * k])) / (12 * k * h)

    rounding = 100 * EPS * max(map(abs, values.values())) / h
    return slope(1), abs(slope(1) - slope(2)) + rounding


@every_problem
def test_gradient_is_the_derivative(problem):
    for x in problem.starts(perturbed=1):
        g = problem.fun(x)[1]
        for d in directions(problem.n):
            # at most some thousand terms of some ten roundings each
            tolerance = 1e4 * EPS * abs(g).max() * abs(d).sum()
            try:
                expected = complex_step(problem.fun, x, d)
            except (TypeError, np.exceptions.ComplexWarning):
                expected, error = central_differences(problem.fun, x, d)
                tolerance += error
            assert abs(g @ d - expected) <= tolerance


@every_problem
def test_value_is_a_float_and_gradient_a_new_array(problem):
    x = problem.starts(perturbed=1)[1]
    before = x.copy()
    f, g = problem.fun(x)
    assert type(f) is float and np.isfinite(f)
    assert type(g) is np.ndarray and g.dtype == np.float64 and g.shape == x.shape and g.flags.c_contiguous
    assert np.isfinite(g).all() and g.any()
    kept = g.copy()
    g[:] = np.nan
    again = problem.fun(x)
    assert again[0] == f and np.array_equal(again[1], kept)
    assert np.array_equal(x, before)


@every_problem
def test_start_is_a_vector_within_the_bounds_above_the_best(problem):
    assert problem.x0.dtype == np.float64 and problem.x0.shape == (problem.n,)
    assert problem.low is None or (problem.low <= problem.x0).all()
    assert problem.high is None or (problem.x0 <= problem.high).all()
    assert problem.best is None or (type(problem.best) is float and problem.best < problem.fun(problem.x0)[0])
    assert problem.source


def test_every_problem_has_its_own_name():
    assert len(load()) == len(PROBLEMS)


START_VALUES = {  # six digits, as common implementations of the set of Moré, Garbow and Hillstrom print them
    "ROSENBROCK": 24.2,
    "FREUDENSTEIN_ROTH": 400.5,
    "POWELL_BADLY_SCALED": 1.13526,
    "BROWN_BADLY_SCALED": 9.99998e11,
    "BEALE": 14.2031,
    "JENNRICH_SAMPSON": 4171.31,
    "HELICAL_VALLEY": 2500,
    "BARD": 41.6817,
    "GAUSSIAN": 3.88811e-6,
    "MEYER": 1.69361e9,
    "GULF": 12.1107,
    "BOX": 1031.15,
    "POWELL_SINGULAR": 215,
    "WOOD": 19192,
    "KOWALIK_OSBORNE": 5.31317e-3,
    "BROWN_DENNIS": 7.92669e6,
    "OSBORNE_1": 0.879026,
    "BIGGS": 0.779070,
    "OSBORNE_2": 2.09342,
    "WATSON-9": 30,
    "PENALTY_1-4": 885.063,
    "PENALTY_1-10": 148033,
    "PENALTY_2-4": 2.34001,
    "PENALTY_2-10": 162.653,
    "VARIABLY_DIMENSIONED-10": 2.19855e6,
    "TRIGONOMETRIC-10": 7.07576e-3,
    "BROWN_ALMOST_LINEAR-10": 273.248,
    "BROYDEN_TRIDIAGONAL-10": 21,
    "BROYDEN_BANDED-10": 360,
    "CHEBYQUAD-8": 0.0386177,
    # in closed form, as the variables all start at one value
    "ARWHEAD-100": 3 * 99,
    "BDQRTIC-100": 226 * 96,
    "DIXMAANA-300": 1 + 9.5 * 300,
    "DQDRTIC-100": 9 * 201 * 98,
    "ENGVAL1-100": 59 * 99,
    "LIARWHD-100": 585 * 100,
    "TOINTGSS-100": (10 / 102 + 9) * 98,
}


@pytest.mark.parametrize("name", START_VALUES)
def test_start_has_the_published_value(name):
    problem = PROBLEMS[name]
    assert problem.fun(problem.x0)[0] == pytest.approx(START_VALUES[name], rel=5e-6)


LEAST_VALUES = {  # the digits of Moré, Garbow and Hillstrom (1981), the last one cut off
    "JENNRICH_SAMPSON": 124.362,
    "BARD": 8.21487e-3,
    "GAUSSIAN": 1.12793e-8,
    "MEYER": 87.9458,
    "KOWALIK_OSBORNE": 3.07505e-4,
    "BROWN_DENNIS": 85822.2,
    "OSBORNE_1": 5.46489e-5,
    "OSBORNE_2": 4.01377e-2,
    "WATSON-6": 2.28767e-3,
    "WATSON-9": 1.39976e-6,
    "WATSON-12": 4.72238e-10,
    "PENALTY_1-4": 2.24997e-5,
    "PENALTY_1-10": 7.08765e-5,
    "PENALTY_2-4": 9.37629e-6,
    "PENALTY_2-10": 2.93660e-4,
    "CHEBYQUAD-8": 3.51687e-3,
}


@pytest.mark.parametrize("name", LEAST_VALUES)
def test_best_is_the_published_value(name):
    assert PROBLEMS[name].best == pytest.approx(LEAST_VALUES[name], rel=1e-5)


FITS = json.loads(PACKAGE.with_name("regression.json").read_text())


@pytest.mark.parametrize("name", FITS)
def test_fit_is_best_at_its_published_solution(name):
    """Certified to eleven digits, which leave Lanczos1, exact to 1e-13, with 24 residuals of 1e-11."""
    problem = PROBLEMS.get(f"{name}-1") or PROBLEMS[name]
    f, _ = problem.fun(np.array(FITS[name]["solution"]))
    assert f == pytest.approx(FITS[name]["best"], rel=1e-9, abs=1e-20)


@cache
def found(name):
    """The least value that SciPy's L-BFGS-B finds from the start."""
    problem = PROBLEMS[name]
    low = np.full(problem.n, -np.inf) if problem.low is None else problem.low
    high = np.full(problem.n, np.inf) if problem.high is None else problem.high
    options = {"maxiter": 1000, "maxfun": 1000, "ftol": 0, "gtol": 1e-8}
    return scipy.optimize.minimize(
        problem.fun, problem.x0, jac=True, method="L-BFGS-B", bounds=np.column_stack([low, high]), options=options
    ).fun


@every_problem
def test_no_value_is_less_than_the_best(problem):
    if problem.best is not None:  # sums of a thousand terms that cancel may lose six digits
        assert not found(problem.name) < problem.best - 1e-9 * max(1e-3, abs(problem.best))


def test_most_best_values_are_reached():
    """The others are valleys too long or local minima: one in six or so."""
    named = [problem for problem in PROBLEMS.values() if problem.best is not None]
    reached = [found(p.name) <= p.best + 1e-6 * max(1, abs(p.best)) for p in named]
    assert np.mean(reached) > 0.8
