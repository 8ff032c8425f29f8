# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""What all losses share: `sweep` takes a kernel over all units, on threads; `reduce` is what a call comes to."""
# Design: chunk by chunk, while it is in L1: rows that are not contiguous (classes on axis 1 of more, Fortran order) are
# gathered into scratch memory, the kernel runs, weights multiply what it left, the values are added up, and rows of
# the gradient are scattered where they belong. So kernels know none of this, each byte moves through memory once, and
# a transposed copy is never made.
import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY, NAN, nextafter, nextafterf
from libc.stdlib cimport free, malloc

from _core cimport (
    ALIGNED, C_CONTIGUOUS, CHUNK, FLOAT32, FLOAT64, LANES, LARGE, READABLE, THREAD_MIN, WRITEABLE, array_of, array_t,
    cascade_add, cascade_start, cascade_t, cascade_total, dtype_of, fold, hot, real, share_t, sum_lanes,
)
from _loss cimport OWN, SCALE, STRIDE, WIDTH, loss_t

from . import _threads

cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")

cdef extern from *:
    Py_ssize_t PY_SSIZE_T_MIN

cdef type ndarray = np.ndarray
cdef int INTP = np.dtype(np.intp).num

cdef enum:
    MAX_BUFFERS = 12
    MAX_FACTORS = 3
    MAX_SCALARS = 12

# Where the numbers of a unit lie: unit i at (i // inner) * outer + (i % inner) * within, its elements `column` apart.
cdef struct layout_t:
    char* data
    int itemsize
    bint row           # `width` elements a unit, else one, else the same for all
    bint contiguous    # rows need no gathering
    Py_ssize_t outer, inner, within, column  # bytes, but for inner

cdef struct factor_t:
    char* data
    Py_ssize_t units  # that share one factor
    bint value        # does it multiply values, or gradients alone


cdef void fetch(const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, char* to) noexcept nogil:
    """Gather the rows of the units [low, low + n) into contiguous rows."""
    if a.itemsize == 4:
        move[float](a, low, n, width, <float*> to, True)
    else:
        move[double](a, low, n, width, <double*> to, True)


cdef void put(const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, char* rows) noexcept nogil:
    """Scatter contiguous rows to where the units [low, low + n) lie."""
    if a.itemsize == 4:
        move[float](a, low, n, width, <float*> rows, False)
    else:
        move[double](a, low, n, width, <double*> rows, False)


cdef void move(
    const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, real* rows, bint gather,
) noexcept nogil:
    cdef Py_ssize_t i = 0, c, j, run
    cdef char* base
    cdef char* at
    while i < n:
        run = min(n - i, a.inner - (low + i) % a.inner)  # units that differ in the inner index only
        base = a.data + (low + i) // a.inner * a.outer + (low + i) % a.inner * a.within
        for c in range(width):
            at = base + c * a.column
            if gather:
                for j in range(run):
                    rows[(i + j) * width + c] = (<real*> (at + j * a.within))[0]
            else:
                for j in range(run):
                    (<real*> (at + j * a.within))[0] = rows[(i + j) * width + c]
        i += run


cdef hot weigh(
    real* x, Py_ssize_t width, Py_ssize_t low, Py_ssize_t n, const real* w, Py_ssize_t units,
) noexcept nogil:
    """Multiply n rows of `width` from unit `low` on by the weights of their samples; 0 times infinity is 0 here."""
    cdef Py_ssize_t i = 0, j, stop
    cdef real factor
    if units == 1 and width == 1:
        for i in range(n):
            x[i] = w[low + i] * x[i] if w[low + i] != 0 else <real> 0
        return
    while i < n:
        stop = min(n, i + units - (low + i) % units)
        factor = w[(low + i) // units]
        for j in range(i * width, stop * width):
            x[j] = factor * x[j] if factor != 0 else <real> 0
        i = stop


cdef hot add_up(const real* x, Py_ssize_t n, double* total) noexcept nogil:
    total[0] = sum_lanes(x, n)


cdef void finish(Sweep s, real** b, Py_ssize_t low, Py_ssize_t n, Py_ssize_t chunk) noexcept nogil:
    """What follows the kernel on a chunk: weights, and the sum of the values."""
    cdef int f, j
    cdef factor_t* a
    for f in range(s.factors):
        a = &s.factor[f]
        if a.value:
            weigh(b[0], 1, low, n, <real*> a.data, a.units)
        for j in range(1, 1 + s.gradients):
            weigh(b[j], s.width, low, n, <real*> a.data, a.units)
    add_up(b[0], n, &s.sums[chunk])


cdef class Sweep:
    """One evaluation of a kernel over all units, chunk by chunk; the sum of the values does not depend on threads."""
    cdef loss_t kernel
    cdef layout_t[MAX_BUFFERS] buffer
    cdef int buffers, gradients
    cdef factor_t[MAX_FACTORS] factor
    cdef int factors
    cdef bint single
    cdef Py_ssize_t n, width, grain
    cdef Py_ssize_t scratch  # bytes of each of the rows that a chunk needs beside the caller's arrays
    cdef int scratches
    cdef bint failed
    cdef double[MAX_SCALARS] k
    cdef double* sums

    cdef void run(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        cdef void* local[MAX_BUFFERS]
        cdef double[CHUNK] values
        cdef char* scratch = NULL
        cdef char* spare
        cdef Py_ssize_t chunk, low, size
        cdef layout_t* a
        cdef int j
        if self.scratches:
            scratch = <char*> malloc(self.scratches * self.scratch)
            if scratch == NULL:
                self.failed = True
                return
        for chunk in range(start, stop):
            low = chunk * self.grain
            size = min(self.grain, self.n - low)
            spare = scratch
            for j in range(self.buffers):
                a = &self.buffer[j]
                if j == 0 and a.data == NULL:
                    local[0] = <void*> values
                elif a.row and (a.data == NULL or not a.contiguous):
                    local[j] = spare
                    if a.data != NULL and j > self.gradients:
                        fetch(a, low, size, self.width, spare)
                    spare += self.scratch
                else:
                    local[j] = a.data + low * a.outer if a.data != NULL else NULL
            self.kernel(local, size, self.k)
            if self.single:
                finish[float](self, <float**> local, low, size, chunk)
            else:
                finish[double](self, <double**> local, low, size, chunk)
            for j in range(1, 1 + self.gradients):
                a = &self.buffer[j]
                if a.data != NULL and not a.contiguous:
                    put(a, low, size, self.width, <char*> local[j])
        free(scratch)


cdef void run(void* sweep, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    (<Sweep> sweep).run(start, stop)


cdef int lay_out(layout_t* a, array, Py_ssize_t n, Py_ssize_t width, bint row) except -1:
    """Note where the units of `array` lie; None is scratch memory (of outputs) or nothing (of the rest)."""
    cdef array_t* x
    cdef Py_ssize_t itemsize
    cdef int d
    a.row = row
    a.contiguous = True
    a.data = NULL
    if array is None:
        return 0
    x = array_of(array)
    itemsize = sizeof(float) if dtype_of(array) == FLOAT32 else sizeof(double)
    a.data = x.data
    a.itemsize = itemsize
    a.inner = 1
    a.within = 0
    a.column = itemsize
    a.outer = itemsize * width
    if row and width != 1 and x.nd == 2:
        a.outer = x.strides[0]
        a.column = x.strides[1]
        if a.column != itemsize:
            a.contiguous = False
            a.inner, a.within = max(n, 1), a.outer
    elif row and width != 1 and x.nd > 2:
        a.contiguous = False
        a.within = itemsize
        for d in range(2, x.nd):
            a.inner *= x.shape[d]
        a.inner = max(a.inner, 1)
        a.column = a.inner * itemsize
        a.outer = width * a.column
    return 0


cdef double sweep(
    tuple kernels, values, tuple gradients, tuple inputs, tuple targets, tuple shared, tuple scalars,
    Py_ssize_t n, Py_ssize_t width, double scale, tuple factors, cotangent,
) except? -1:
    """Evaluate a kernel on n units, and return the sum of their values.

    Parameters
    ----------
    kernels : tuple of capsules
        For float32 and float64.
    values : ndarray of n numbers, or None
        Takes the value of each unit.
    gradients : tuple of ndarray or None
        Take the gradients; None where one is not wanted.
    inputs : tuple of ndarray
        What has `width` numbers a unit: contiguous, of any shape, if that is one; else of shape (n, width) with any
        strides, or (N, width, ...) contiguous with n = N * ... units, or (width,) contiguous with n = 1. The first has
        the dtype of the kernel.
    targets : tuple of ndarray
        What has one number a unit.
    shared : tuple of ndarray or None
        What all units read.
    scalars : tuple of float
    n, width : int
    scale : float
        Factor on the gradients.
    factors : tuple of (ndarray, int)
        Factors on values and gradients, and how many units in a row share each.
    cotangent : ndarray, optional
        A factor for each unit on the gradients alone.
    """
    cdef Sweep s = Sweep.__new__(Sweep)
    cdef Py_ssize_t chunks, i, threads = 1
    cdef cascade_t total
    cdef int j = 0
    s.single = dtype_of(inputs[0]) == FLOAT32
    s.kernel = <loss_t> PyCapsule_GetPointer(kernels[not s.single], "fastopt.loss")
    s.n = n
    s.width = width
    s.grain = max(CHUNK // max(width, 1), 1)
    s.gradients = len(gradients)
    s.scratch = max(<Py_ssize_t> CHUNK, width) * (sizeof(float) if s.single else sizeof(double))
    lay_out(&s.buffer[0], values, n, 1, False)
    j = 1
    for array in gradients:
        lay_out(&s.buffer[j], array, n, width, True)
        s.scratches += array is None or not s.buffer[j].contiguous
        j += 1
    for i, array in enumerate(inputs):
        lay_out(&s.buffer[j], array, n, width, True)
        s.scratches += not s.buffer[j].contiguous
        s.k[STRIDE + i] = s.buffer[j].outer // s.buffer[j].itemsize if s.buffer[j].contiguous else width
        j += 1
    for array in targets:
        lay_out(&s.buffer[j], array, n, 1, False)
        j += 1
    for array in shared:
        lay_out(&s.buffer[j], array, n, 0, False)
        j += 1
    s.buffers = j
    for array, units in factors:
        s.factor[s.factors] = factor_t(array_of(array).data, units, True)
        s.factors += 1
    if cotangent is not None:
        s.factor[s.factors] = factor_t(array_of(cotangent).data, 1, False)
        s.factors += 1
    s.k[SCALE] = scale
    s.k[WIDTH] = width
    for i in range(len(scalars)):
        s.k[OWN + i] = scalars[i]
    chunks = (n + s.grain - 1) // s.grain
    s.sums = <double*> malloc(max(chunks, 1) * sizeof(double))
    if s.sums == NULL:
        raise MemoryError
    try:
        if n * width >= THREAD_MIN:
            threads = _threads.hire()
        with nogil:
            share(run, <void*> s, chunks, LARGE // 4 if width == 1 else LARGE // 16, threads)
        if s.failed:
            raise MemoryError
        cascade_start(&total)
        for i in range(chunks):
            cascade_add(&total, s.sums[i])
        return cascade_total(&total)
    finally:
        free(s.sums)


def reduce(
    loss, tuple kernels, tuple given, tuple arrays, tuple call, tuple shape, Py_ssize_t width=1, mass=None,
    tuple targets=(), tuple shared=(), tuple scalars=(), tuple factors=(), int scratch=0,
):
    """Run a kernel over all units and reduce their values; return these, and the gradients if they are wanted.

    Parameters
    ----------
    loss : Loss
    kernels, targets, shared, scalars : as for `sweep`
    given : tuple
        The inputs as the caller passed them; gradients have the shapes of the first of them.
    arrays : tuple of ndarray
        The inputs as the kernel reads them.
    call : Call
    shape : tuple of int
        Of the values.
    width : int
    mass : callable, optional
        ``mass(weights, units)`` is what "mean" divides by, with the weights of the samples, each of `units` units in a
        row, or None. By default it counts the units.
    factors : tuple of (ndarray, int)
        Factors on values and gradients, and how many units in a row share each.
    scratch : int
        How many more rows of the size of an input the kernel needs, behind the gradients.
    """
    cdef Py_ssize_t n = 1, units = 1, i
    cdef int wanted = loss._gradients
    cdef double scale = 1, divisor, total
    cdef str reduction = loss.reduction
    cdef bint same
    cdef tuple outs = (), gradients = (None,) * wanted
    cdef object weights = None, cotangent = None, values = None
    if reduction not in loss._reductions:
        loss._check_reduction()
    for i in range(len(shape)):
        n *= <Py_ssize_t> shape[i]
    if call[3] is not None:
        weights = loss._weights(call[3], shape)
        units = n // len(weights) if len(weights) else 1
        factors += ((weights.astype(arrays[0].dtype), units),)
    divisor = mass(weights, units) if mass is not None else n if weights is None else units * <double> weights.sum()
    # With no mass the mean is NaN, as in torch, but it does not depend on the input: the gradient is 0, not NaN.
    if reduction == "none":
        values = np.empty(shape, arrays[0].dtype)
    elif reduction != "sum":
        scale = 1 / divisor if divisor != 0 else 0
    if call[2] is not None:
        if reduction == "none":
            cotangent = loss._cotangent(call[2], shape, arrays[0].dtype)
        else:
            scale *= <double> loss._number(call[2])
    if call[0]:
        same = True
        for i in range(wanted):
            same = same and given[i] is arrays[i] and array_of(arrays[i]).flags & C_CONTIGUOUS != 0
        if call[1] is None and same:
            outs = gradients = tuple([np.empty_like(arrays[i]) for i in range(wanted)])
        elif wanted == 1 and same and call[2] is None and call[3] is None and takes(call[1], arrays, targets):
            outs = gradients = (call[1],)
        else:
            outs = loss._outs(given, arrays[0].dtype, call)
            gradients = tuple([
                out.reshape(x.shape) if out.size == x.size else np.empty(x.shape, x.dtype)
                for out, x in zip(outs, arrays)
            ])
    total = sweep(
        kernels, values, gradients + (None,) * scratch, arrays, targets, shared, scalars, n, width, scale, factors,
        cotangent,
    )
    if gradients is not outs:
        for out, full in zip(outs, gradients):
            if full.size != out.size:
                loss._sum_to(full, out)
    if values is None:
        values = total if reduction == "sum" else total / divisor if divisor != 0 else NAN
    return values, outs[0] if wanted == 1 and outs else outs


cdef bint takes(out, tuple arrays, tuple targets) except -1:
    """Can `out`, at once, take the gradient of the first of these arrays? Else a slower look says why."""
    if not plain((arrays[0], out)) or array_of(out).flags & WRITEABLE == 0:
        return False
    for x in arrays + targets:
        if overlap(out, x):
            return False
    return True


def native(x):
    """Is this an aligned ndarray of float32 or float64, of any strides?"""
    return type(x) is ndarray and dtype_of(x) in (FLOAT32, FLOAT64) and array_of(x).flags & ALIGNED != 0


def plain_indices(x):
    """Is this a contiguous, aligned ndarray of intp?"""
    return type(x) is ndarray and dtype_of(x) == INTP and array_of(x).flags & READABLE == READABLE


def plain(tuple arrays):
    """Are these ndarrays of one shape and one dtype, float32 or float64, contiguous and aligned?"""
    cdef array_t* a
    cdef array_t* first = array_of(arrays[0])
    cdef int dtype, d
    if type(arrays[0]) is not ndarray:
        return False
    dtype = dtype_of(arrays[0])
    if dtype != FLOAT32 and dtype != FLOAT64:
        return False
    for array in arrays:
        if type(array) is not ndarray or dtype_of(array) != dtype:
            return False
        a = array_of(array)
        if a.flags & READABLE != READABLE or a.nd != first.nd:
            return False
        for d in range(a.nd):
            if a.shape[d] != first.shape[d]:
                return False
    return True


def overlap(a, b):
    """Might these arrays share memory? Where they are interleaved, this says yes."""
    cdef size_t[2] low
    cdef size_t[2] high
    cdef array_t* x
    cdef int i, d
    for i in range(2):
        x = array_of(b if i else a)
        low[i] = high[i] = <size_t> x.data
        for d in range(x.nd):
            if x.shape[d] == 0:
                return False
            if x.strides[d] < 0:
                low[i] += (x.shape[d] - 1) * x.strides[d]
            else:
                high[i] += (x.shape[d] - 1) * x.strides[d]
        high[i] += (b if i else a).itemsize
    return low[0] < high[1] and low[1] < high[0]


cdef hot outside_(const real* x, Py_ssize_t n, double low, double high, bint* found) noexcept nogil:
    cdef Py_ssize_t i
    cdef int bad = 0
    cdef real a = <real> low
    cdef real b = <real> high
    for i in range(n):
        bad |= not (x[i] >= a and x[i] <= b)
    found[0] = bad


def outside(array, double low, double high, bint low_open=False):
    """Is some number of a contiguous float array not in [low, high], or (low, high], or infinite or NaN?"""
    cdef bint found = False
    cdef Py_ssize_t n = array.size
    cdef char* data = array_of(array).data
    if dtype_of(array) == FLOAT32:
        low = nextafterf(<float> low, <float> INFINITY) if low_open else low
        high = min(high, <double> FLT_MAX)
        with nogil:
            outside_[float](<const float*> data, n, low, high, &found)
    else:
        low = nextafter(low, INFINITY) if low_open else low
        high = min(high, DBL_MAX)
        with nogil:
            outside_[double](<const double*> data, n, low, high, &found)
    return found


def pick(array, target, Py_ssize_t width, Py_ssize_t ignore):
    """The number of each unit's row that its target names, 0 where that is ignored."""
    picked = np.empty(target.shape, array.dtype)
    trade(array, target, width, ignore, picked, True)
    return picked


def place(array, target, Py_ssize_t width, Py_ssize_t ignore, picked):
    """Put a number for each unit back where `pick` found it, among zeros."""
    array.fill(0)
    trade(array, target, width, ignore, picked, False)


cdef int trade(array, target, Py_ssize_t width, Py_ssize_t ignore, picked, bint take) except -1:
    cdef layout_t a
    cdef const Py_ssize_t* y = <const Py_ssize_t*> array_of(target).data
    cdef char* numbers = array_of(picked).data
    cdef Py_ssize_t n = target.size
    lay_out(&a, array, n, width, True)
    with nogil:
        if a.itemsize == sizeof(float):
            exchange[float](&a, n, width, y, ignore, <float*> numbers, take)
        else:
            exchange[double](&a, n, width, y, ignore, <double*> numbers, take)
    return 0


cdef void exchange(
    const layout_t* a, Py_ssize_t n, Py_ssize_t width, const Py_ssize_t* y, Py_ssize_t ignore, real* picked, bint take,
) noexcept nogil:
    """Take picked[i] from, or put it to, column y[i] of unit i."""
    cdef Py_ssize_t i
    cdef real* at
    for i in range(n):
        if not 0 <= y[i] < width or y[i] == ignore:
            if take:
                picked[i] = 0
            continue
        at = <real*> (a.data + i // a.inner * a.outer + i % a.inner * a.within + y[i] * a.column)
        if take:
            picked[i] = at[0]
        else:
            at[0] = picked[i]


def weigh_targets(target, Py_ssize_t classes, Py_ssize_t ignore, weight, sample_weight, Py_ssize_t units):
    """The sum of the weights of the targets that are not ignored; IndexError for one that is no class.

    Parameters
    ----------
    target : ndarray of intp
    classes, ignore : int
    weight : ndarray of float64, shape (classes,), or None
    sample_weight : ndarray of float64, or None
    units : int
        How many targets in a row share a sample's weight.
    """
    cdef const Py_ssize_t* y = <const Py_ssize_t*> array_of(target).data
    cdef const double* w = <const double*> array_of(weight).data if weight is not None else NULL
    cdef const double* s = <const double*> array_of(sample_weight).data if sample_weight is not None else NULL
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
                lane[i % LANES] += (w[y[i]] if w != NULL else 1.0) * (s[i // units] if s != NULL else 1.0)
            if i % CHUNK == CHUNK - 1:
                cascade_add(&total, fold(lane))
                for j in range(LANES):
                    lane[j] = 0
    if bad >= 0:
        ignored = f", ignore_index is {ignore}" if ignore != PY_SSIZE_T_MIN else ""
        raise IndexError(f"Target {y[bad]} is out of bounds. (classes are 0 to {classes - 1}{ignored})")
    return fold(lane) + cascade_total(&total)
