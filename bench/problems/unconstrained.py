"""Smooth problems without constraints: the classical set, small classics, families that scale, and fits."""

from problems import andrei, classics, more_garbow_hillstrom, regression, scalable


def problems():
    modules = more_garbow_hillstrom, classics, scalable, andrei, regression
    return [problem for module in modules for problem in module.problems()]
