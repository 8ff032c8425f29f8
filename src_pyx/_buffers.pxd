# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Arrays as the engine meets them: of any strides and alignment, of either float type, brought chunk by chunk."""
from libc.string cimport memcpy

from _core cimport FLOAT32, FLOAT64, array_t, real

cdef enum:
    MAX_DIMS = 64


cdef inline void gather(real* out, const array_t* a, int source, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """Elements [offset, offset + n) of a strided, unaligned or other-dtype array in C order."""
    cdef Py_ssize_t index[MAX_DIMS]
    cdef const char* x = a.data
    cdef Py_ssize_t i, size, rest = offset
    cdef Py_ssize_t stride = a.strides[a.nd - 1] if a.nd else 0
    cdef int d
    cdef float single
    cdef double double_
    for d in range(a.nd - 1, -1, -1):
        index[d] = rest % a.shape[d]
        rest = rest // a.shape[d]
        x += index[d] * a.strides[d]
    while n:
        size = min(n, a.shape[a.nd - 1] - index[a.nd - 1]) if a.nd else 1
        if source == FLOAT32:
            for i in range(size):
                memcpy(&single, x + i * stride, sizeof(float))
                out[i] = <real> single
        else:
            for i in range(size):
                memcpy(&double_, x + i * stride, sizeof(double))
                out[i] = <real> double_
        out += size
        n -= size
        if n == 0:
            return
        d = a.nd - 1
        index[d] += size
        x += size * stride
        while index[d] == a.shape[d]:
            x += a.strides[d - 1] - index[d] * a.strides[d]
            index[d] = 0
            d -= 1
            index[d] += 1


cdef inline Py_ssize_t size_of(const array_t* a) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef int d
    for d in range(a.nd):
        n *= a.shape[d]
    return n


cdef inline bint same_shape(const array_t* a, const array_t* b) noexcept nogil:
    cdef int d
    if a.nd != b.nd:
        return False
    for d in range(a.nd):
        if a.shape[d] != b.shape[d]:
            return False
    return True


cdef inline void fetch(real* out, const void* x, int source, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """Elements [offset, offset + n) of a contiguous buffer of type `source`."""
    cdef Py_ssize_t i
    if source == FLOAT32:
        for i in range(n):
            out[i] = <real> (<const float*> x)[offset + i]
    else:
        for i in range(n):
            out[i] = <real> (<const double*> x)[offset + i]


cdef inline void put(const real* x, void* out, int type, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """The way back of `fetch`."""
    cdef Py_ssize_t i
    if type == FLOAT32:
        for i in range(n):
            (<float*> out)[offset + i] = <float> x[i]
    else:
        for i in range(n):
            (<double*> out)[offset + i] = <double> x[i]


cdef inline Py_ssize_t width_of(int type) noexcept nogil:
    return sizeof(float) if type == FLOAT32 else sizeof(double)
