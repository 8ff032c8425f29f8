# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""What all losses share: `sweep` takes a kernel over all units, on threads; `reduce` is what a call comes to."""
# Design: chunk by chunk, while it is in L1: rows that are not contiguous (classes on axis 1 of more, Fortran order), or
# that the kernel wants as columns, are gathered into scratch memory, the kernel runs, weights multiply what it left,
# the values are added up, and rows of the gradient are scattered where they belong. So kernels know none of this, each
# byte moves through memory once, and a transposed copy is never made.
import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY, NAN, nextafter, nextafterf
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from _core cimport (
    ALIGNED, C_CONTIGUOUS, CHUNK, FLOAT32, FLOAT64, LANES, LARGE, READABLE, THREAD_MIN, WRITEABLE, array_of, array_t,
    cascade_add, cascade_start, cascade_t, cascade_total, dtype_of, fold, hot, real, share_t, sum_lanes,
)
from _loss cimport COLUMNS, FEW, OWN, SCALE, STRIDE, WIDTH, loss_t

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


cdef void transport(
    const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, bint columns, char* local, bint gather,
) noexcept nogil:
    """Gather the units [low, low + n) into contiguous rows or columns, or scatter these to where the units lie."""
    if a.itemsize == 4:
        move[float](a, low, n, width, columns, <float*> local, gather)
    else:
        move[double](a, low, n, width, columns, <double*> local, gather)


cdef void move(
    const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, bint columns, real* local, bint gather,
) noexcept nogil:
    cdef Py_ssize_t down = 1 if columns else width  # in `local`, from unit to unit
    cdef Py_ssize_t across = n if columns else 1
    cdef Py_ssize_t within = a.within // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t column = a.column // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t i = 0, run
    cdef real* base
    while i < n:
        run = min(n - i, a.inner - (low + i) % a.inner)  # units that differ in the inner index only
        base = <real*> (a.data + (low + i) // a.inner * a.outer + (low + i) % a.inner * a.within)
        if gather:
            transcribe(base, within, column, run, width, local + i * down, down, across)
        else:
            transcribe(local + i * down, down, across, run, width, base, within, column)
        i += run


cdef void transcribe(
    const real* x, Py_ssize_t x_down, Py_ssize_t x_across, Py_ssize_t n, Py_ssize_t width,
    real* y, Py_ssize_t down, Py_ssize_t across,
) noexcept nogil:
    """y = x, n by width numbers."""
    cdef Py_ssize_t whole = n - n % 4 if down != 1 or x_down != 1 else 0
    cdef Py_ssize_t i, c
    for i in range(0, whole, 4):  # neither side has vectors to offer: this only saves counting
        for c in range(width):
            y[c * across + i * down] = x[c * x_across + i * x_down]
            y[c * across + (i + 1) * down] = x[c * x_across + (i + 1) * x_down]
            y[c * across + (i + 2) * down] = x[c * x_across + (i + 2) * x_down]
            y[c * across + (i + 3) * down] = x[c * x_across + (i + 3) * x_down]
    for c in range(width):
        if down == 1 and x_down == 1:
            for i in range(n):
                y[c * across + i] = x[c * x_across + i]
        else:
            for i in range(whole, n):
                y[c * across + i * down] = x[c * x_across + i * x_down]


cdef void trade(
    const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, const Py_ssize_t* y, char* picked, bint take,
) noexcept nogil:
    if a.itemsize == 4:
        exchange[float](a, low, n, width, y, <float*> picked, take)
    else:
        exchange[double](a, low, n, width, y, <double*> picked, take)


cdef void exchange(
    const layout_t* a, Py_ssize_t low, Py_ssize_t n, Py_ssize_t width, const Py_ssize_t* y, real* picked, bint take,
) noexcept nogil:
    """Take picked[i] from, or put it to, column y[i] of each unit, 0 and nowhere if there is none."""
    cdef Py_ssize_t i = 0, j, run, c
    cdef char* base
    cdef real* at
    while i < n:
        run = min(n - i, a.inner - (low + i) % a.inner) if a.inner > 1 else n
        base = a.data + low * a.outer
        if a.inner > 1:
            base = a.data + (low + i) // a.inner * a.outer + (low + i) % a.inner * a.within
        for j in range(i, i + run):
            c = y[j]
            if not 0 <= c < width:
                if take:
                    picked[j] = 0
                continue
            at = <real*> (base + (j - i) * (a.outer if a.inner == 1 else a.within) + c * a.column)
            if take:
                picked[j] = at[0]
            else:
                at[0] = picked[j]
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
    cdef Py_ssize_t c
    cdef Py_ssize_t columns = s.width if s.columns else 1
    cdef factor_t* a
    for f in range(s.factors):
        a = &s.factor[f]
        if a.value:
            weigh(b[0], 1, low, n, <real*> a.data, a.units)
        for j in range(1, 1 + s.gradients):
            for c in range(columns):
                weigh(b[j] + c * n, 1 if s.picked or s.columns else s.width, low, n, <real*> a.data, a.units)
    add_up(b[0], n, &s.sums[chunk])


cdef class Sweep:
    """One evaluation of a kernel over all units, chunk by chunk; the sum of the values does not depend on threads."""
    cdef loss_t kernel
    cdef layout_t[MAX_BUFFERS] buffer
    cdef int buffers, gradients
    cdef factor_t[MAX_FACTORS] factor
    cdef int factors
    cdef bint single
    cdef bint columns  # the kernel sees the rows of a chunk as columns
    cdef bint picked  # only the number that the target names is read of a row, and only it is not 0 in the gradient
    cdef Py_ssize_t n, width
    cdef Py_ssize_t grain, size  # units and numbers of a chunk
    cdef Py_ssize_t scratch  # bytes of each of the rows that a chunk needs beside the caller's arrays
    cdef int scratches
    cdef bint failed
    cdef double[MAX_SCALARS] k
    cdef double* sums

    cdef const Py_ssize_t* targets(self) noexcept nogil:
        return <const Py_ssize_t*> self.buffer[self.gradients + 2].data

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
                elif a.row and (a.data == NULL or not a.contiguous or self.picked):
                    local[j] = spare
                    if a.data != NULL and j > self.gradients:
                        if self.picked:
                            trade(a, low, size, self.width, self.targets() + low, spare, True)
                        else:
                            transport(a, low, size, self.width, self.columns, spare, True)
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
                if a.data != NULL and self.picked:
                    if a.contiguous:
                        memset(a.data + low * a.outer, 0, size * a.outer)
                    trade(a, low, size, self.width, self.targets() + low, <char*> local[j], False)
                elif a.data != NULL and not a.contiguous:
                    transport(a, low, size, self.width, self.columns, <char*> local[j], False)
        free(scratch)


cdef void run(void* sweep, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    (<Sweep> sweep).run(start, stop)


cdef int lay_out(layout_t* a, array, Py_ssize_t n, Py_ssize_t width, bint row, bint columns=False) except -1:
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
        a.outer = x.strides[0] if n > 1 else itemsize * width  # the stride of an axis of one means nothing
        a.column = x.strides[1]
        if a.column != itemsize or columns:
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


cdef bint side_by_side(array) except -1:
    """Do the numbers of a row follow each other in memory?"""
    cdef array_t* x = array_of(array)
    return x.nd == 1 or x.nd == 2 and x.strides[1] == <Py_ssize_t> array.itemsize


cdef double sweep(
    tuple kernels, values, tuple gradients, tuple inputs, tuple targets, tuple shared, tuple scalars,
    Py_ssize_t n, Py_ssize_t width, double scale, tuple factors, cotangent, bint picked, bint columns,
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
    picked : bool
        The kernel sees one number of each row, that of its target; the gradient is 0 elsewhere.
    columns : bool
        The kernel can be given columns.
    """
    cdef Sweep s = Sweep.__new__(Sweep)
    cdef Py_ssize_t chunks, i, threads = 1
    cdef cascade_t total
    cdef int j = 0
    s.single = dtype_of(inputs[0]) == FLOAT32
    s.kernel = <loss_t> PyCapsule_GetPointer(kernels[not s.single], "fastopt.loss")
    s.n = n
    s.width = width
    s.picked = picked
    s.columns = columns and (width < FEW or width <= CHUNK and not side_by_side(inputs[0]))
    s.grain = max(CHUNK // max(width, 1), 1)
    if width <= CHUNK:  # whole vectors, and cache lines, of units
        s.grain = (s.grain + LANES - 1) // LANES * LANES
    s.size = s.grain * max(width, 1)
    s.gradients = len(gradients)
    s.scratch = s.size * (sizeof(float) if s.single else sizeof(double))
    lay_out(&s.buffer[0], values, n, 1, False)
    j = 1
    for array in gradients:
        lay_out(&s.buffer[j], array, n, width, True, s.columns)
        s.scratches += picked or array is None or not s.buffer[j].contiguous
        if picked and not s.buffer[j].contiguous:
            array.fill(0)
        j += 1
    for i, array in enumerate(inputs):
        lay_out(&s.buffer[j], array, n, width, True, s.columns)
        s.scratches += picked or not s.buffer[j].contiguous
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
    s.k[COLUMNS] = s.columns
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
            share(run, <void*> s, chunks, LARGE // 4 if width == 1 else LARGE // 16 * CHUNK // s.size, threads)
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
    bint picked=False, bint columns=False,
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
    picked : bool
        The kernel sees one number of each row, that of its target; the gradient is 0 elsewhere.
    columns : bool
        The kernel can be given columns.
    """
    cdef Py_ssize_t n = 1, units = 1, i
    cdef int wanted = loss._gradients
    cdef double scale = 1, divisor, total
    cdef object reduction = loss.reduction
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
        elif wanted == 1 and same and call[2] is None and call[3] is None and takes(call[1], given):
            outs = gradients = (call[1],)
        else:
            outs = loss._outs(given, arrays[0].dtype, call)
            gradients = tuple([
                out.reshape(x.shape) if out.size == x.size else np.empty(x.shape, x.dtype)
                for out, x in zip(outs, arrays)
            ])
    total = sweep(
        kernels, values, gradients + (None,) * scratch, arrays, targets, shared, scalars, n, width, scale, factors,
        cotangent, picked, columns,
    )
    if gradients is not outs:
        for out, full in zip(outs, gradients):
            if full.size != out.size:
                loss._sum_to(full.reshape(shape + full.shape[1:]) if full.ndim < out.ndim else full, out)
    if values is None:
        values = total if reduction == "sum" else total / divisor if divisor != 0 else NAN
    return values, outs[0] if wanted == 1 and outs else outs


cdef bint takes(out, tuple given) except -1:
    """Can `out`, at once, take the gradient of the first of these arguments? Else a slower look says why."""
    if not plain((given[0], out)) or array_of(out).flags & WRITEABLE == 0:
        return False
    for x in given:
        if type(x) is not ndarray or overlap(out, x):
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


cdef hot survey(
    const Py_ssize_t* y, Py_ssize_t n, Py_ssize_t classes, Py_ssize_t ignore, Py_ssize_t* counted, bint* bad,
) noexcept nogil:
    """How many targets are not ignored, and is there one among them that is no class?"""
    cdef Py_ssize_t i, count = 0, outside = 0
    cdef Py_ssize_t none = ignore == PY_SSIZE_T_MIN
    for i in range(n):
        count += y[i] != ignore
        outside |= ((y[i] != ignore) | none) & ((y[i] < 0) | (y[i] >= classes))
    counted[0] = count
    bad[0] = outside != 0


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
    cdef Py_ssize_t i, j, counted, n = target.size
    cdef Py_ssize_t bad = -1
    cdef bint some
    cdef cascade_t total
    cdef double[LANES] lane
    with nogil:
        survey(y, n, classes, ignore, &counted, &some)
    if w == NULL and s == NULL and not some:
        return counted
    cascade_start(&total)
    with nogil:
        for j in range(LANES):
            lane[j] = 0
        for i in range(n):
            if y[i] != ignore or ignore == PY_SSIZE_T_MIN:
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
