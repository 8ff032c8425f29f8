"""Published smooth test problems: each with gradient, start and least known value, written from its formulas.

from problems import problems
for problem in problems():
    f, g = problem.fun(problem.x0)
"""

from importlib import import_module

from problems.problem import Problem

__all__ = ["Problem", "problems"]

KINDS = ("unconstrained", "bounded", "structured")


def problems(kind=None):
    """All problems, or those of one kind: "unconstrained", "bounded", "structured"."""
    kinds = KINDS if kind is None else (kind,)
    return [problem for kind in kinds for problem in import_module(f"problems.{kind}").problems()]
