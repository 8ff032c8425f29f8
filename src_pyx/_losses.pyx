# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Loss kernels, value and gradient in one pass, sorted as in fastopt/losses; LOSSES names them for the facade.

A kernel has the shape of `rule_t`. It works on n units, elements or rows, from `offset` on: b[0] takes the value of
each unit, b[1] the gradient or is NULL, the inputs follow; k[GRADIENT_SCALE] multiplies the gradient, k[WIDTH] is
the number of columns of a row, the kernel's own scalars follow. It assumes what the facade has checked: aligned,
contiguous buffers of one dtype, targets in range.
"""
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdlib cimport free, malloc

from _core cimport (
    CHUNK, FLOAT32, LANES, THREAD_MIN, array_of, capsules, cascade_add, cascade_start, cascade_t, cascade_total, dtype_of, exp_,
    fold, hot, log_, real, rule_t, share_t,
    sum_lanes,
)

from . import _threads

cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")

cdef enum:
    GRADIENT_SCALE
    WIDTH
    OWN
    MAX_BUFFERS = 8
    MAX_SCALARS = 16


cdef hot mse(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0] + offset
    cdef real* dz = b[1] + offset
    cdef const real* z = b[2] + offset
    cdef const real* y = b[3] + offset
    cdef real scale = <real> (2 * k[GRADIENT_SCALE])
    cdef real d
    cdef bint wanted = b[1] != NULL
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        value[i] = d * d
        if wanted:
            dz[i] = scale * d


cdef inline real max_lanes(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of n >= 1 numbers; a NaN is passed over, and comes back through the sum of exponentials."""
    cdef real[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = x[0]
    for i in range(blocks):
        for j in range(LANES):
            lane[j] = x[LANES * i + j] if x[LANES * i + j] > lane[j] else lane[j]
    for j in range(n - LANES * blocks):
        lane[j] = x[LANES * blocks + j] if x[LANES * blocks + j] > lane[j] else lane[j]
    for j in range(1, LANES):
        lane[0] = lane[j] if lane[j] > lane[0] else lane[0]
    return lane[0]


cdef inline double exp_lanes(const real* z, real shift, Py_ssize_t n, real* e) noexcept nogil:
    """The sum of exp(z - shift); each term is kept in `e` unless that is NULL."""
    cdef double[LANES] lane
    cdef real[LANES] part
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            part[j] = exp_(z[LANES * i + j] - shift)
        for j in range(LANES):
            lane[j] += <double> part[j]
        if e != NULL:
            for j in range(LANES):
                e[LANES * i + j] = part[j]
    for j in range(n - LANES * blocks):
        part[j] = exp_(z[LANES * blocks + j] - shift)
        lane[j] += <double> part[j]
        if e != NULL:
            e[LANES * blocks + j] = part[j]
    return fold(lane)


cdef inline double share_of(
    const real* q, const real* w, double keep, double each, Py_ssize_t c,
) noexcept nogil:
    """Class c of the smoothed and weighted target: w_c (keep q_c + each); no q is zeros, no w is ones."""
    return (keep * <double> q[c] + each if q != NULL else each) * (<double> w[c] if w != NULL else 1.0)


cdef inline void soft_lanes(
    const real* z, const real* q, const real* w, double keep, double each, double top, double lse, Py_ssize_t n,
    double* out,
) noexcept nogil:
    """out = sum u_c, sum u_c (lse - (z_c - top)) with u_c = share_of(...); 0 times infinity is 0, as 0 log 0 is."""
    cdef double[LANES] mass
    cdef double[LANES] value
    cdef double u
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j, c
    for j in range(LANES):
        mass[j] = 0
        value[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            c = LANES * i + j
            u = share_of(q, w, keep, each, c)
            mass[j] += u
            value[j] += u * (lse - (<double> z[c] - top)) if u != 0 else 0.0
    for j in range(n - LANES * blocks):
        c = LANES * blocks + j
        u = share_of(q, w, keep, each, c)
        mass[j] += u
        value[j] += u * (lse - (<double> z[c] - top)) if u != 0 else 0.0
    out[0] = fold(mass)
    out[1] = fold(value)


cdef hot cross_entropy(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Rows of logits against class indices: b = value, gradient, logits, targets, class weights or NULL.

    With s = label smoothing a row's value is (1 - s) w_y (lse - z_y) + s/C sum_c w_c (lse - z_c);
    k = ..., s, ignore_index.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3] + offset
    cdef const real* w = b[4]
    cdef const real* z
    cdef real* dz = NULL
    cdef double scale = k[GRADIENT_SCALE]
    cdef double smoothing = k[OWN]
    cdef double each = smoothing / width
    cdef double ignore = k[OWN + 1]
    cdef double own, total, lse
    cdef double[2] spread
    cdef real top, factor
    cdef Py_ssize_t i, c, y
    spread[0] = spread[1] = 0
    for i in range(n):
        z = b[2] + (offset + i) * width
        if b[1] != NULL:
            dz = b[1] + (offset + i) * width
        y = target[i]
        # Out of range is what was ignored and cannot be told as a double, or what the caller has changed meanwhile.
        if y < 0 or y >= width or y == ignore:
            b[0][offset + i] = 0
            if dz != NULL:
                for c in range(width):
                    dz[c] = 0
            continue
        top = max_lanes(z, width)
        total = exp_lanes(z, top, width, dz)
        lse = log_(total)
        own = (1 - smoothing) * (<double> w[y] if w != NULL else 1.0)
        if smoothing != 0:
            soft_lanes(z, <const real*> NULL, w, 0, each, top, lse, width, spread)
        b[0][offset + i] = <real> (own * (lse - (<double> z[y] - <double> top)) + spread[1])
        if dz != NULL:
            factor = <real> (scale * (own + spread[0]) / total)
            for c in range(width):
                dz[c] = factor * dz[c]
            if smoothing != 0:
                for c in range(width):
                    dz[c] = dz[c] - <real> (scale * share_of(<const real*> NULL, w, 0, each, c))
            dz[y] = dz[y] - <real> (scale * own)


cdef hot cross_entropy_soft(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Rows of logits against probabilities q: b = value, gradient, logits, q, class weights or NULL.

    A row's value is sum_c w_c q'_c (lse - z_c), with q' = (1 - s) q + s/C; k = ..., s.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef const real* w = b[4]
    cdef const real* z
    cdef const real* q
    cdef real* dz = NULL
    cdef double scale = k[GRADIENT_SCALE]
    cdef double keep = 1 - k[OWN]
    cdef double each = k[OWN] / width
    cdef double total
    cdef double[2] spread
    cdef real top, factor
    cdef Py_ssize_t i, c
    for i in range(n):
        z = b[2] + (offset + i) * width
        q = b[3] + (offset + i) * width
        if b[1] != NULL:
            dz = b[1] + (offset + i) * width
        top = max_lanes(z, width)
        total = exp_lanes(z, top, width, dz)
        soft_lanes(z, q, w, keep, each, top, log_(total), width, spread)
        b[0][offset + i] = <real> spread[1]
        if dz != NULL:
            factor = <real> (scale * spread[0] / total)
            for c in range(width):
                dz[c] = factor * dz[c] - <real> (scale * share_of(q, w, keep, each, c))


LOSSES = {
    "mse": capsules(<void*> mse[float], <void*> mse[double], "fastopt.loss"),
    "cross_entropy": capsules(<void*> cross_entropy[float], <void*> cross_entropy[double], "fastopt.loss"),
    "cross_entropy_soft": capsules(<void*> cross_entropy_soft[float], <void*> cross_entropy_soft[double], "fastopt.loss"),
}


def weigh_targets(target, Py_ssize_t classes, Py_ssize_t ignore, weight):
    """The sum of the class weights of the targets that are not ignored; IndexError for one that is no class."""
    cdef const Py_ssize_t* y = <const Py_ssize_t*> array_of(target).data
    cdef const double* w = <const double*> array_of(weight).data if weight is not None else NULL
    cdef Py_ssize_t i, j, n = target.size
    cdef Py_ssize_t bad = -1
    cdef cascade_t total
    cdef double[LANES] lane
    cascade_start(&total)
    with nogil:
        for j in range(LANES):
            lane[j] = 0
        for i in range(n):
            if y[i] != ignore:
                if y[i] < 0 or y[i] >= classes:
                    bad = i
                    break
                lane[i % LANES] += w[y[i]] if w != NULL else 1.0
            if i % CHUNK == CHUNK - 1:
                cascade_add(&total, fold(lane))
                for j in range(LANES):
                    lane[j] = 0
    if bad >= 0:
        raise IndexError(
            f"Target {y[bad]} is out of bounds. (classes are 0 to {classes - 1}, ignore_index is {ignore})"
        )
    return fold(lane) + cascade_total(&total)


cdef class Sweep:
    """One evaluation of a kernel over all units, chunk by chunk; the sum of the values does not depend on threads."""
    cdef rule_t kernel
    cdef char* b[MAX_BUFFERS]
    cdef Py_ssize_t step[MAX_BUFFERS]
    cdef int buffers, itemsize
    cdef Py_ssize_t n, grain
    cdef double k[MAX_SCALARS]
    cdef double* sums

    cdef void run(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        cdef void* local[MAX_BUFFERS]
        cdef double[CHUNK] scratch
        cdef Py_ssize_t chunk, low, size
        cdef int j
        for chunk in range(start, stop):
            low = chunk * self.grain
            size = min(self.grain, self.n - low)
            for j in range(self.buffers):
                local[j] = self.b[j] + low * self.step[j] if self.b[j] != NULL else NULL
            if local[0] == NULL:
                local[0] = <void*> scratch
            self.kernel(local, 0, size, self.k)
            if self.itemsize == sizeof(float):
                self.sums[chunk] = sum_lanes(<const float*> local[0], size)
            else:
                self.sums[chunk] = sum_lanes(<const double*> local[0], size)


cdef void run(void* sweep, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    (<Sweep> sweep).run(start, stop)


def sweep(
    tuple kernels, tuple arrays, tuple shared, tuple scalars, Py_ssize_t n, Py_ssize_t width, double gradient_scale,
):
    """Evaluate a kernel on n units of `width` elements each, and return the sum of their values.

    Parameters
    ----------
    kernels : entry of LOSSES
    arrays : tuple of ndarray or None
        What has a part for each unit: values and gradient (None where not wanted), then inputs. The third fixes the
        dtype.
    shared : tuple of ndarray or None
        What all units read, such as class weights.
    scalars : tuple of float
    n, width : int
    gradient_scale : float
    """
    cdef Sweep s = Sweep.__new__(Sweep)
    cdef Py_ssize_t chunks, i, threads = 1
    cdef cascade_t total
    cdef int j
    s.itemsize = sizeof(float) if dtype_of(arrays[2]) == FLOAT32 else sizeof(double)
    s.kernel = <rule_t> PyCapsule_GetPointer(kernels[s.itemsize != sizeof(float)], "fastopt.loss")
    s.n = n
    s.grain = max(CHUNK // max(width, 1), 1)
    s.buffers = len(arrays) + len(shared)
    for j, array in enumerate(arrays + shared):
        if array is not None:
            s.b[j] = array_of(array).data
            s.step[j] = array.nbytes // n if n and j < len(arrays) else 0
    s.k[GRADIENT_SCALE] = gradient_scale
    s.k[WIDTH] = width
    for j in range(len(scalars)):
        s.k[OWN + j] = scalars[j]
    chunks = (n + s.grain - 1) // s.grain
    s.sums = <double*> malloc(max(chunks, 1) * sizeof(double))
    if s.sums == NULL:
        raise MemoryError
    try:
        if n * width >= THREAD_MIN:
            threads = _threads.hire()
        with nogil:
            share(run, <void*> s, chunks, threads)
        cascade_start(&total)
        for i in range(chunks):
            cascade_add(&total, s.sums[i])
        return cascade_total(&total)
    finally:
        free(s.sums)
