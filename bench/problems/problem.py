"""What a test problem is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Minimize `fun` from `x0`, subject to low <= x <= high.

    `fun(x)` returns f and its gradient, a new array, for x of float64. `best` is the least value
    known, or None where there is none. `source` says where the formulas stand, with the year.
    `unit` is the least size of a variable to `starts`: 0 where each is perturbed in proportion.
    """

    name: str
    fun: Callable[[np.ndarray], tuple[float, np.ndarray]]
    x0: np.ndarray
    best: float | None
    source: str
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    unit: float = 1.0

    @property
    def n(self):
        return self.x0.size

    def starts(self, perturbed=2, scale=0.1):
        """x0 and as many points about it: x0 + scale max(unit, |x0|) u with u uniform in [-1, 1], within the bounds."""
        rng = np.random.default_rng(self.n)
        starts = [self.x0.copy()]
        for _ in range(perturbed):
            starts.append(self.x0 + scale * np.maximum(self.unit, abs(self.x0)) * rng.uniform(-1, 1, self.n))
        if self.low is None and self.high is None:
            return starts
        return [np.clip(start, self.low, self.high) for start in starts]
