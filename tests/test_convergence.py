"""Every optimizer goes down on every problem of `problems`, far and with the settings named there."""

import numpy as np
import pytest
from problems import OTHER_SETTINGS, PROBLEMS, RATES, descend, remaining, settings

import fastopt as fo

OPTIMIZERS = [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS"}]


def test_settings_are_of_optimizers_that_exist():
    assert RATES.keys() | OTHER_SETTINGS.keys() <= set(OPTIMIZERS)
    assert {len(row) for row in RATES.values()} == {len(PROBLEMS)}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_gradients_of_problems_are_right_and_their_values_positive(problem):
    rng = np.random.default_rng(0)
    point = [array + 0.1 * rng.standard_normal(array.shape) for array in problem.start]
    direction = [rng.standard_normal(array.shape) for array in problem.start]

    def value(t):
        return problem.value_and_gradient([x + t * d for x, d in zip(point, direction, strict=True)])[0]

    _, gradient = problem.value_and_gradient(point)
    slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
    h = 1e-3  # fourth order: about h**4 / 30 of the fifth derivative, and rounding of 1e-16 / h
    difference = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    assert difference == pytest.approx(slope, rel=1e-8)
    assert value(0) > 0


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_reaches_the_goal(name, problem):
    *_, opt = descend(name, problem, **settings(name, problem))
    assert remaining(problem, opt) < problem.goal
