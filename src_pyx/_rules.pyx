# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
from libc.math cimport sqrt, sqrtf
from _core cimport hot, real, rule_t

cdef inline real sqrt_(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)

cdef hot adam(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* gradient = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[0]
    cdef real l2 = <real> k[1]
    cdef real c1 = <real> (1 - k[2])
    cdef real beta2 = <real> k[3]
    cdef real c2 = <real> (1 - k[3])
    cdef real step = <real> k[4]
    cdef real root = <real> k[5]
    cdef real eps = <real> k[6]
    cdef real g, mi, vi
    cdef Py_ssize_t i
    for i in range(n):
        g = scale * gradient[i] + l2 * p[i]
        mi = m[i] + c1 * (g - m[i])
        vi = beta2 * v[i] + c2 * g * g
        m[i] = mi
        v[i] = vi
        p[i] = p[i] - step * mi / (sqrt_(vi) / root + eps)

x = (<size_t><void*> adam[float], <size_t><void*>adam[double])
