# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The Python faces of the line searches in _linesearch.pxd, for tests and for solvers written in Python."""
from libc.math cimport INFINITY, NAN
from _linesearch cimport (
    ACCEPTED, ARMIJO, HAGER_ZHANG, MORE_THUENTE, SEARCHING, kind_t, search_advance, search_start, search_t, verdict_t,
)


cdef class LineSearch:
    """Evaluate at `step`, `advance`, until `done`."""

    cdef search_t search
    cdef verdict_t verdict

    cdef start(self, kind_t kind, double f, double slope, double step, double c1, double c2, double xtol,
               double stpmax, Py_ssize_t maxls, double slack):
        if not slope < 0:
            raise ValueError(f"Invalid slope: {slope} (a line search needs a direction of descent, slope < 0)")
        if not 0 < step <= stpmax:
            raise ValueError(f"Invalid step: {step} (must be in (0, stpmax={stpmax}])")
        self.search.kind = kind
        self.search.c1 = c1
        self.search.c2 = c2
        self.search.xtol = xtol
        self.verdict = SEARCHING
        search_start(&self.search, f, slope, step, stpmax, maxls, slack, 2.0**-52)

    def advance(self, double f, double slope, double cosine=NAN):
        """Take in value and slope at `step`, and move `step` to the next trial unless that was the last.

        With the cosine of the step and the change of the gradient, if that is known, sufficient decrease alone will do
        where it is positive.
        """
        if self.verdict != SEARCHING:
            raise RuntimeError("advance() after the search has ended")
        self.verdict = search_advance(&self.search, f, slope, cosine)

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


cdef class MoreThuente(LineSearch):
    """Strong-Wolfe line search by Moré and Thuente: safeguarded cubic interpolation."""

    def __init__(self, double f, double slope, double step=1.0, *, double c1=1e-3, double c2=.9, double xtol=.1,
                 double stpmax=1e10, Py_ssize_t maxls=20, double slack=-INFINITY):
        self.start(MORE_THUENTE, f, slope, step, c1, c2, xtol, stpmax, maxls, slack)


cdef class HagerZhang(LineSearch):
    """Wolfe line search, or approximate Wolfe, by Hager and Zhang: two steps of interpolation, else bisection."""

    def __init__(self, double f, double slope, double step=1.0, *, double c1=.1, double c2=.9, double xtol=0,
                 double stpmax=1e10, Py_ssize_t maxls=50, double slack=1e-6):
        self.start(HAGER_ZHANG, f, slope, step, c1, c2, xtol, stpmax, maxls, slack)


cdef class Armijo(LineSearch):
    """Backtracking by safeguarded cubic interpolation until f has decreased sufficiently."""

    def __init__(self, double f, double slope, double step=1.0, *, double c1=1e-3, double stpmax=1e10,
                 Py_ssize_t maxls=20, double slack=-INFINITY):
        self.start(ARMIJO, f, slope, step, c1, .9, 0, stpmax, maxls, slack)
