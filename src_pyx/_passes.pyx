# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Passes around the update rule, one for each option that all optimizers share, in the order in which they are taken.

Each is in the shape of `rule_t`, or of `measure_t`, and visits a chunk while it is in L1.
"""
from libc.math cimport INFINITY

from _core cimport (
    AVERAGE, CLIP, DECAY, HIGH, LANES, LOW, PENDING, SLOW, SYNC, THRESHOLD, WEIGHT, capsules, fold, hot, lerp, real,
)


cdef hot accumulate(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The gradient into the sum; k: whether it is the first, and what the sum is divided by then."""
    cdef const real* g = b[1] + offset
    cdef real* pending = b[PENDING] + offset
    cdef real parts = <real> k[1]
    cdef Py_ssize_t i
    if k[0] != 0:
        for i in range(n):
            pending[i] = g[i] / parts
    else:
        for i in range(n):
            pending[i] = (pending[i] + g[i]) / parts


cdef hot finish(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The mean of a sum whose last gradient is missing."""
    cdef real* pending = b[PENDING] + offset
    cdef real parts = <real> k[1]
    cdef Py_ssize_t i
    for i in range(n):
        pending[i] = pending[i] / parts


cdef hot clip(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The gradient, here a copy of it, into [-CLIP, CLIP]; NaN stays."""
    cdef real* g = b[1] + offset
    cdef real limit = <real> k[CLIP]
    cdef real x
    cdef Py_ssize_t i
    for i in range(n):
        x = limit if g[i] > limit else g[i]
        g[i] = -limit if x < -limit else x


cdef hot norm(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """Sum of (k[0] g)**2, and of 0 g: NaN if any g is not finite."""
    cdef const real* g = b[1] + offset
    cdef double[LANES] square
    cdef double scale = k[0]
    cdef double x
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        square[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            x = scale * <double> g[LANES * i + j]
            square[j] += x * x
    for j in range(n - LANES * blocks):
        x = scale * <double> g[LANES * blocks + j]
        square[j] += x * x
    x = fold(square)
    sums[0] += x
    if not x < INFINITY:  # by an element, or by the overflow of a square
        for i in range(n):
            sums[1] += 0 * <double> g[i]


cdef hot remember(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Lookahead's slow weights start where the parameter does."""
    cdef const real* p = b[0] + offset
    cdef real* slow = b[SLOW] + offset
    cdef Py_ssize_t i
    for i in range(n):
        slow[i] = p[i]


cdef hot decay(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Decoupled weight decay, before the rule: p = (1 - lr weight_decay) p."""
    cdef real* p = b[0] + offset
    cdef real keep = <real> k[DECAY]
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = keep * p[i]


cdef hot shrink(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The proximal step of l1: p toward 0 by THRESHOLD, and no further."""
    cdef real* p = b[0] + offset
    cdef real threshold = <real> k[THRESHOLD]
    cdef real x, low
    cdef Py_ssize_t i
    for i in range(n):
        x = p[i]
        low = x + threshold if x < -threshold else x - x  # 0, unless x is NaN
        p[i] = x - threshold if x > threshold else low


cdef hot project(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The parameter into [LOW, HIGH]; NaN stays."""
    cdef real* p = b[0] + offset
    cdef real low = <real> k[LOW]
    cdef real high = <real> k[HIGH]
    cdef real x
    cdef Py_ssize_t i
    for i in range(n):
        x = low if p[i] < low else p[i]
        p[i] = high if x > high else x


cdef hot sync(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Lookahead: the slow weights go SYNC of the way to the parameter, which goes back to them."""
    cdef real* p = b[0] + offset
    cdef real* slow = b[SLOW] + offset
    cdef real keep = <real> (1 - k[SYNC])
    cdef real weight = <real> k[SYNC]
    cdef real x
    cdef Py_ssize_t i
    for i in range(n):
        x = lerp(slow[i], p[i], keep, weight)
        slow[i] = x
        p[i] = x


cdef hot average(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The average goes WEIGHT of the way to the parameter."""
    cdef const real* p = b[0] + offset
    cdef real* mean = b[AVERAGE] + offset
    cdef real keep = <real> (1 - k[WEIGHT])
    cdef real weight = <real> k[WEIGHT]
    cdef Py_ssize_t i
    for i in range(n):
        mean[i] = lerp(mean[i], p[i], keep, weight) if weight < 1 else p[i]  # whatever was there


PASSES = {
    "accumulate": capsules(<void*> accumulate[float], <void*> accumulate[double], "fastopt.rule"),
    "finish": capsules(<void*> finish[float], <void*> finish[double], "fastopt.rule"),
    "clip": capsules(<void*> clip[float], <void*> clip[double], "fastopt.rule"),
    "norm": capsules(<void*> norm[float], <void*> norm[double], "fastopt.measure"),
    "remember": capsules(<void*> remember[float], <void*> remember[double], "fastopt.rule"),
    "decay": capsules(<void*> decay[float], <void*> decay[double], "fastopt.rule"),
    "shrink": capsules(<void*> shrink[float], <void*> shrink[double], "fastopt.rule"),
    "project": capsules(<void*> project[float], <void*> project[double], "fastopt.rule"),
    "sync": capsules(<void*> sync[float], <void*> sync[double], "fastopt.rule"),
    "average": capsules(<void*> average[float], <void*> average[double], "fastopt.rule"),
}
