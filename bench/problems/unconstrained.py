"""Smooth problems without constraints: the classical set, small classics, and families that scale."""

from problems import andrei, classics, more_garbow_hillstrom, scalable


def problems():
    modules = more_garbow_hillstrom, classics, scalable, andrei
    return [problem for module in modules for problem in module.problems()]
