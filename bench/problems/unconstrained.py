"""Smooth problems without constraints: the classical set of sums of squares, and families that scale."""

from problems import more_garbow_hillstrom


def problems():
    return more_garbow_hillstrom.problems()
