# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The Python face of the line search in _linesearch.pxd, for tests and for solvers written in Python."""
from libc.math cimport INFINITY, NAN
from _linesearch cimport ACCEPTED, SEARCHING, search_advance, search_start, search_t, verdict_t


cdef class MoreThuente:
    """Strong-Wolfe line search by Moré and Thuente: evaluate at `step`, `advance`, until `done`."""

    cdef search_t search
    cdef verdict_t verdict

    def __init__(self, double f, double slope, double step=1.0, *, double c1=1e-3, double c2=.9, double xtol=.1,
                 double stpmax=1e10, Py_ssize_t maxls=20, double slack=-INFINITY):
        if not slope < 0:
            raise ValueError(f"Invalid slope: {slope} (a line search needs a direction of descent, slope < 0)")
        if not 0 < step <= stpmax:
            raise ValueError(f"Invalid step: {step} (must be in (0, stpmax={stpmax}])")
        self.search.c1 = c1
        self.search.c2 = c2
        self.search.xtol = xtol
        self.verdict = SEARCHING
        search_start(&self.search, f, slope, step, stpmax, maxls, slack, 2.0**-52)

    def advance(self, double f, double slope):
        """Take in value and slope at `step`, and move `step` to the next trial unless that was the last."""
        if self.verdict != SEARCHING:
            raise RuntimeError("advance() after the search has ended")
        self.verdict = search_advance(&self.search, f, slope, NAN)

    @property
    def step(self):
        """The trial step to evaluate next; once `accepted`, the step found."""
        return self.search.t

    @property
    def done(self):
        return self.verdict != SEARCHING

    @property
    def accepted(self):
        return self.verdict == ACCEPTED

    @property
    def agrees(self):
        """Whether values and slopes so far can belong to one smooth function."""
        return self.search.agrees
