"""Smooth problems without constraints: the classical set, small classics, and families that scale."""

from problems import classics, more_garbow_hillstrom, scalable


def problems():
    return [problem for family in (more_garbow_hillstrom, classics, scalable) for problem in family.problems()]
