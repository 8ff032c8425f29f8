# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The functions of _core over arrays, so that tests and benchmarks can reach them.

Arrays are C-contiguous, aligned, of one length and of one dtype, float32 or float64; nothing is checked.
"""
from _core cimport (FLOAT32, array_of, dtype_of, hot, real, abs_, dot_cascade, exp_, expit_, log1p_, log_, softplus_,
                    sqrt_, sum_cascade, tanh_)

FUNCTIONS = ("sqrt", "abs", "exp", "log", "log1p", "expit", "softplus", "tanh")


cdef hot map_(Py_ssize_t which, const real* x, real* out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if which == 0:
        for i in range(n):
            out[i] = sqrt_(x[i])
    elif which == 1:
        for i in range(n):
            out[i] = abs_(x[i])
    elif which == 2:
        for i in range(n):
            out[i] = exp_(x[i])
    elif which == 3:
        for i in range(n):
            out[i] = log_(x[i])
    elif which == 4:
        for i in range(n):
            out[i] = log1p_(x[i])
    elif which == 5:
        for i in range(n):
            out[i] = expit_(x[i])
    elif which == 6:
        for i in range(n):
            out[i] = softplus_(x[i])
    else:
        for i in range(n):
            out[i] = tanh_(x[i])


cdef hot sum_(const real* x, Py_ssize_t n, double* out) noexcept nogil:
    out[0] = sum_cascade(x, n)


cdef hot dot_(const real* x, const real* y, Py_ssize_t n, double* out) noexcept nogil:
    out[0] = dot_cascade(x, y, n)


def apply(name, x, out):
    """Write function `name` of `x`, one of `FUNCTIONS`, to `out`."""
    cdef Py_ssize_t n = x.size
    cdef Py_ssize_t which = FUNCTIONS.index(name)
    cdef char* source = array_of(x).data
    cdef char* target = array_of(out).data
    if dtype_of(x) == FLOAT32:
        map_(which, <float*> source, <float*> target, n)
    else:
        map_(which, <double*> source, <double*> target, n)


def sum(x):
    """Return the sum of `x`."""
    cdef double result
    cdef Py_ssize_t n = x.size
    cdef char* a = array_of(x).data
    if dtype_of(x) == FLOAT32:
        sum_(<float*> a, n, &result)
    else:
        sum_(<double*> a, n, &result)
    return result


def dot(x, y):
    """Return the sum of the products of `x` and `y`."""
    cdef double result
    cdef Py_ssize_t n = x.size
    cdef char* a = array_of(x).data
    cdef char* b = array_of(y).data
    if dtype_of(x) == FLOAT32:
        dot_(<float*> a, <float*> b, n, &result)
    else:
        dot_(<double*> a, <double*> b, n, &result)
    return result
