# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
from _core cimport hot, real, CHUNK, array_of, dot_lanes, cascade_t, cascade_start, cascade_add, cascade_total

cdef hot dot(const real* x, const real* y, Py_ssize_t n, double* out) noexcept nogil:
    cdef cascade_t c
    cdef Py_ssize_t i
    cascade_start(&c)
    i = 0
    while i < n:
        cascade_add(&c, dot_lanes(x + i, y + i, min(n - i, <Py_ssize_t> CHUNK)))
        i += CHUNK
    out[0] = cascade_total(&c)

def dot64(x, y):
    cdef double r
    dot(<double*> array_of(x).data, <double*> array_of(y).data, array_of(x).shape[0], &r)
    return r
def dot32(x, y):
    cdef double r
    dot(<float*> array_of(x).data, <float*> array_of(y).data, array_of(x).shape[0], &r)
    return r
