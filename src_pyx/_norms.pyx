# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Norms of many arrays as of one vector, and what clips them in place: one call for all, on threads if they are large.

The arrays are native float32 or float64; None is skipped. Those to be changed are writeable, and none overlaps itself.
"""
# Design: the grid of chunks starts anew with each array, and a chunk is summed piece by piece, both as in the engine's
# phase of norms, whose measure the 2-norm shares: so it is `last_grad_norm` to the bit. Arrays of any layout are
# gathered in C order, which makes the bits those of their contiguous copies.
import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.float cimport FLT_MIN
from libc.math cimport INFINITY, sqrt
from libc.stdlib cimport free, malloc, qsort

from _buffers cimport gather, size_of, width_of
from _core cimport (
    ALIGNED, CHUNK, CLIP, C_CONTIGUOUS, FLOAT32, FLOAT64, LANES, LARGE, READABLE, THREAD_MIN, WRITEABLE, abs_, array_of,
    array_t, cascade_add, cascade_start, cascade_t, cascade_total, dtype_of, exp_, fold, hot, log_, measure_t, real, rule_t,
    share_t, sum_lanes,
)

from . import _passes, _threads

cdef extern from "Python.h":
    bint PyObject_TypeCheck(object, type)

cdef enum:
    F_CONTIGUOUS = 0x0002
    PIECE = CHUNK // 4       # summed at a time, as in _runs.pxd
    NOGIL_MIN = 1 << 12
    WIDTH = 2                # sums of a chunk

cdef type ndarray = np.ndarray
cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")
cdef object hire = _threads.hire
cdef measure_t[2] squares
squares[0] = <measure_t> PyCapsule_GetPointer(_passes.PASSES["norm"][0], "fastopt.measure")
squares[1] = <measure_t> PyCapsule_GetPointer(_passes.PASSES["norm"][1], "fastopt.measure")
cdef rule_t[2] clip
clip[0] = <rule_t> PyCapsule_GetPointer(_passes.PASSES["clip"][0], "fastopt.rule")
clip[1] = <rule_t> PyCapsule_GetPointer(_passes.PASSES["clip"][1], "fastopt.rule")


cdef hot magnitudes(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """Sum of |g|."""
    cdef const real* g = b[1] + offset
    cdef double[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            lane[j] += <double> abs_(g[LANES * i + j])
    for j in range(n - LANES * blocks):
        lane[j] += <double> abs_(g[LANES * blocks + j])
    sums[0] += fold(lane)


cdef hot extremes(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """The largest of k[0] |g|; NaN if there is one. By halves, since gcc does not vectorize a running maximum."""
    cdef const real* g = b[1] + offset
    cdef double[PIECE] x
    cdef double sign = k[0]
    cdef Py_ssize_t half, i
    for i in range(n):
        x[i] = sign * <double> abs_(g[i])
    while n > 1:
        half = n // 2
        n -= half
        for i in range(half):
            x[i] = x[i] if (x[i] > x[n + i]) | (x[i] != x[i]) else x[n + i]
    sums[0] = larger(sums[0], x[0])


cdef hot powers(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """Sum of (|g| / k[1])**k[0]; k[1] is the extreme, so no term is beyond 1."""
    cdef const real* g = b[1] + offset
    cdef double[PIECE] x
    cdef double p = k[0]
    cdef double extreme = k[1]
    cdef Py_ssize_t i
    for i in range(n):
        x[i] = exp_(p * log_(<double> abs_(g[i]) / extreme))
    sums[0] += sum_lanes(<const double*> x, n)


cdef hot multiply(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """k[0] g."""
    cdef real* g = b[1] + offset
    cdef real factor = <real> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        g[i] = factor * g[i]


cdef hot multiply_in_double(float** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """k[0] g for a factor that is too small for a float, where the product may not be."""
    cdef float* g = b[1] + offset
    cdef double factor = k[0]
    cdef Py_ssize_t i
    for i in range(n):
        g[i] = <float> (factor * <double> g[i])


cdef inline double larger(double a, double b) noexcept nogil:
    return a if (a > b) | (a != a) else b


cdef struct part_t:          # an array that has elements
    const array_t* array
    int type
    bint direct              # kernels read it where it is
    Py_ssize_t n
    Py_ssize_t chunks
    Py_ssize_t first_chunk

cdef struct job_t:
    part_t* part
    Py_ssize_t parts
    Py_ssize_t chunks
    Py_ssize_t elements
    measure_t[2] measure
    rule_t[2] rule
    const double* k
    double start             # of each sum
    double* sums             # WIDTH of each chunk; NULL where arrays are changed


cdef void work(void* task, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Measure or change the chunks [start, stop) of the grid."""
    cdef const job_t* job = <const job_t*> task
    cdef const part_t* part
    cdef Py_ssize_t i, c, low, high
    cdef void* b[2]
    for i in range(job.parts):
        part = &job.part[i]
        low = max(start - part.first_chunk, 0)
        high = min(stop - part.first_chunk, part.chunks)
        if low >= high:
            continue
        if job.sums != NULL:
            for c in range(low, high):
                measure_chunk(job, part, c)
        else:
            b[1] = part.array.data
            job.rule[part.type == FLOAT64](b, low * CHUNK, min(high * CHUNK, part.n) - low * CHUNK, job.k)


cdef void measure_chunk(const job_t* job, const part_t* part, Py_ssize_t c) noexcept nogil:
    cdef double* sums = job.sums + WIDTH * (part.first_chunk + c)
    cdef measure_t measure = job.measure[part.type == FLOAT64]
    cdef Py_ssize_t low = c * CHUNK
    cdef Py_ssize_t high = min(low + CHUNK, part.n)
    cdef Py_ssize_t size
    cdef double[PIECE] scratch
    cdef void* b[2]
    b[1] = part.array.data if part.direct else <void*> scratch
    sums[0] = job.start
    sums[1] = 0
    while low < high:
        size = min(<Py_ssize_t> PIECE, high - low)
        if part.direct:
            measure(b, low, size, job.k, sums)
        else:
            if part.type == FLOAT64:
                gather(<double*> scratch, part.array, FLOAT64, low, size)
            else:
                gather(<float*> scratch, part.array, FLOAT32, low, size)
            measure(b, 0, size, job.k, sums)
        low += size


cdef int lay_out(job_t* job, list arrays) except -1:
    """The grid over all elements of `arrays`."""
    cdef part_t* part
    cdef object array
    job.parts = job.chunks = job.elements = 0
    job.sums = NULL
    job.part = <part_t*> malloc(max(len(arrays), 1) * sizeof(part_t))
    if job.part == NULL:
        raise MemoryError
    for array in arrays:
        if array is None or size_of(array_of(array)) == 0:
            continue
        part = &job.part[job.parts]
        part.array = array_of(array)
        part.type = dtype_of(array)
        part.direct = (part.array.flags & READABLE) == READABLE
        part.n = size_of(part.array)
        part.chunks = (part.n + CHUNK - 1) // CHUNK
        part.first_chunk = job.chunks
        job.parts += 1
        job.chunks += part.chunks
        job.elements += part.n
    return 0


cdef int run(job_t* job) except -1:
    cdef Py_ssize_t threads = 1
    if job.elements < NOGIL_MIN:
        work(job, 0, job.chunks)
        return 0
    if job.elements >= THREAD_MIN:
        threads = hire()
    with nogil:
        share(work, job, job.chunks, LARGE, threads)
    return 0


cdef double total(const job_t* job, int j) noexcept nogil:
    """Sum j of all chunks, in the order of the grid."""
    cdef cascade_t cascade
    cdef Py_ssize_t c
    cascade_start(&cascade)
    for c in range(job.chunks):
        cascade_add(&cascade, job.sums[WIDTH * c + j])
    return cascade_total(&cascade)


cdef double extreme(const job_t* job, Py_ssize_t first, Py_ssize_t chunks) noexcept nogil:
    """The largest over so many chunks."""
    cdef Py_ssize_t c
    cdef double x = -INFINITY
    for c in range(first, first + chunks):
        x = larger(x, job.sums[WIDTH * c])
    return x


def total_norm(list arrays, double p):
    """The p-norm of all elements together, 0 if there are none; for p = 0 how many arrays are not all zero."""
    cdef job_t job
    cdef double[2] k
    cdef double norm
    cdef Py_ssize_t i
    lay_out(&job, arrays)
    try:
        if job.parts == 0:
            return 0.0
        job.k = k
        job.start = 0
        job.sums = <double*> malloc(WIDTH * job.chunks * sizeof(double))
        if job.sums == NULL:
            raise MemoryError
        if p == 2:
            job.measure = squares
            k[0] = 1
            run(&job)
            norm = total(&job, 0)
            if not 1e-280 < norm < INFINITY and total(&job, 1) == 0:  # squares that over- or underflowed
                k[0] = 2.0**600 if norm < 1 else 2.0**-600
                run(&job)
                norm = total(&job, 0)
            return sqrt(norm) / k[0]
        if p == 1:
            job.measure[0] = <measure_t> magnitudes[float]
            job.measure[1] = <measure_t> magnitudes[double]
            run(&job)
            return total(&job, 0)
        k[0] = 1 if p >= 0 else -1
        job.start = -INFINITY
        job.measure[0] = <measure_t> extremes[float]
        job.measure[1] = <measure_t> extremes[double]
        run(&job)
        if p == 0:
            norm = 0
            for i in range(job.parts):
                norm += extreme(&job, job.part[i].first_chunk, job.part[i].chunks) != 0
            return norm
        k[1] = k[0] * extreme(&job, 0, job.chunks)
        if not 0 < k[1] < INFINITY or p == INFINITY or p == -INFINITY:
            return abs_(k[1])
        k[0] = p
        job.start = 0
        job.measure[0] = <measure_t> powers[float]
        job.measure[1] = <measure_t> powers[double]
        run(&job)
        return k[1] * exp_(log_(total(&job, 0)) / p)
    finally:
        free(job.sums)
        free(job.part)


cdef int change(list arrays, rule_t single, rule_t double_, const double* k) except -1:
    """Apply a rule to every array; what is not compact is brought into a copy, and back."""
    cdef job_t job
    cdef list compact = []
    cdef list copies = []
    cdef object array, copy
    for array in arrays:
        if array is not None and not (
            array_of(array).flags & ALIGNED and array_of(array).flags & (C_CONTIGUOUS | F_CONTIGUOUS)
        ):
            copy = np.array(array, order="C", subok=False)
            copies.append((array, copy))
            array = copy
        compact.append(array)
    lay_out(&job, compact)
    try:
        job.k = k
        job.rule[0] = single
        job.rule[1] = double_
        run(&job)
    finally:
        free(job.part)
    for array, copy in copies:
        np.copyto(array, copy)
    return 0


def scale(list arrays, double factor):
    """Multiply every element by `factor`, in place."""
    cdef rule_t single = <rule_t> multiply[float]
    if not factor >= FLT_MIN:
        single = <rule_t> multiply_in_double
    change(arrays, single, <rule_t> multiply[double], &factor)


def clamp(list arrays, double limit):
    """Bring every element into [-limit, limit], in place; NaN stays."""
    cdef double[CLIP + 1] k
    k[<int> CLIP] = limit
    change(arrays, clip[0], clip[1], k)


def first_foreign(list arrays):
    """The place of the first that is neither None nor a native float32 or float64 array; -1 if all are."""
    cdef Py_ssize_t i
    cdef object array
    for i, array in enumerate(arrays):
        if array is not None and not (
            PyObject_TypeCheck(array, ndarray) and dtype_of(array) in (FLOAT32, FLOAT64)
        ):
            return i
    return -1


cdef struct span_t:
    size_t low
    size_t high


cdef int by_address(const void* a, const void* b) noexcept nogil:
    cdef size_t x = (<const span_t*> a).low
    cdef size_t y = (<const span_t*> b).low
    return (x > y) - (x < y)


def first_fixed(list arrays):
    """The place of the first that is read-only; -1 if none is."""
    cdef Py_ssize_t i
    cdef object array
    for i, array in enumerate(arrays):
        if array is not None and not array_of(array).flags & WRITEABLE:
            return i
    return -1


def may_overlap(list arrays):
    """Whether an element may be in two places: an array has gaps, or the spans of memory of two arrays meet."""
    cdef span_t* span = <span_t*> malloc(max(len(arrays), 1) * sizeof(span_t))
    cdef Py_ssize_t i, count = 0
    cdef const array_t* a
    cdef object array
    cdef bint ascending = True
    if span == NULL:
        raise MemoryError
    try:
        for array in arrays:
            if array is None or size_of(array_of(array)) == 0:
                continue
            a = array_of(array)
            if not a.flags & (C_CONTIGUOUS | F_CONTIGUOUS):
                return True
            span[count].low = <size_t> a.data
            span[count].high = <size_t> a.data + size_of(a) * width_of(dtype_of(array))
            ascending = ascending and (count == 0 or span[count - 1].low <= span[count].low)
            count += 1
        if not ascending:
            qsort(span, count, sizeof(span_t), by_address)
        for i in range(1, count):
            if span[i - 1].high > span[i].low:
                return True
        return False
    finally:
        free(span)
