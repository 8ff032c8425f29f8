"""Published smooth test problems: each with gradient, start and least known value, written from its formulas.

from problems import problems
for problem in problems():
    f, g = problem.fun(problem.x0)
"""

from problems.problem import Problem

__all__ = ["Problem", "problems"]


def problems(kind=None):
    """All problems, or those of one kind: "unconstrained", "bounded", "structured"."""
    from problems import bounded, structured, unconstrained

    modules = {"unconstrained": unconstrained, "bounded": bounded, "structured": structured}
    chosen = modules.values() if kind is None else [modules[kind]]
    return [problem for module in chosen for problem in module.problems()]
