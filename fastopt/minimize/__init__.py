"""Minimize a function of many variables: `minimize`, SciPy's ``method=lbfgs``, and `LBFGSMinimizer` by ask and tell."""

from fastopt.minimize.lbfgs import LBFGSMinimizer, lbfgs
from fastopt.minimize.minimize import minimize

__all__ = ["LBFGSMinimizer", "lbfgs", "minimize"]
