# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Connectionist temporal classification: forward and backward recursion over one sequence, sequences on threads.

The facade has checked dtypes and shapes; lengths and labels are checked here, on copies nobody else can change.
"""
# Design: a probability is m 2**e, two doubles, e an integer. Probabilities of long sequences leave the range of a
# double; logarithms cost three exponentials and a logarithm per state and step, and the rounding of numbers of the size
# of the loss; and one scale for all states of a step loses those that are small now and decide later. Here products and
# sums are those of ordinary doubles, the powers of two that align them are exact, and a step costs some thirty
# branch-free operations per state. One exponential is left for each label and step, or class and step of logits.
#
# States: blank i comes before label i, blank S after the last one. Both kinds lie in lanes of their own, padded to
# whole vectors with lanes whose emission is 0. The last lane is always such a one; its emission holds the blank's.
# A row of the forward recursion is six arrays of `width` lanes: m of blanks, m of labels, e of blanks, e of labels,
# m of emissions, e of emissions.
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from _core cimport (
    CHUNK, FLOAT32, LARGE, THREAD_MIN, array_of, cascade_add, cascade_start, cascade_t, cascade_total, dtype_of, exp_reduce,
    exponent_double, hot, log_sum, real, share_t,
)

from . import _threads

cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")

# power(k): 2**k for an integer k <= 1023; below -1022, and for NaN, it is 0.
# occupy(flag): set it, and say whether it was set before.
cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define FASTOPT_NEVER -1e308
    #define FASTOPT_LEAST -1e300
    static inline double fastopt_power(double k) {
        uint64_t i;
        double y;
        k = (k > -1023 ? k : -1023) + 6755399441055744.0;
        memcpy(&i, &k, sizeof i);
        i = (i << 52) + 0x3ff0000000000000u;
        memcpy(&y, &i, sizeof y);
        return y;
    }
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define FASTOPT_OCCUPY(flag) _InterlockedExchange8(flag, 1)
    #define FASTOPT_RELEASE(flag) _InterlockedExchange8(flag, 0)
    #else
    #define FASTOPT_OCCUPY(flag) __atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE)
    #define FASTOPT_RELEASE(flag) __atomic_store_n(flag, 0, __ATOMIC_RELEASE)
    #endif
    """
    double NEVER "FASTOPT_NEVER"  # the exponent of a probability of 0
    double LEAST "FASTOPT_LEAST"  # what has a smaller logarithm is 0
    double power "fastopt_power"(double k) noexcept nogil
    bint occupy "FASTOPT_OCCUPY"(char* flag) noexcept nogil
    void release "FASTOPT_RELEASE"(char* flag) noexcept nogil

cdef enum:
    LANE = 8   # doubles of the widest vector
    ROW = 6    # arrays of a row


cdef struct job_t:
    const char* x        # item n at step t: x + n * item_step + t * time_step, in bytes
    Py_ssize_t item_step
    Py_ssize_t time_step
    char* dx             # C-contiguous, or NULL
    Py_ssize_t steps
    Py_ssize_t items
    Py_ssize_t classes
    Py_ssize_t blank
    const Py_ssize_t* label
    const Py_ssize_t* start   # of each item's labels
    const Py_ssize_t* size    # of them
    const Py_ssize_t* length  # in steps
    const double* weight      # an item of weight 0 is not looked at
    const double* slope       # factor of its gradient
    double* value
    bint single
    bint logits
    bint zero_infinity
    Py_ssize_t grain          # chunks an item counts for
    double* scratch           # a piece for each thread
    Py_ssize_t piece
    char* busy


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    return (n + LANE - 1) // LANE * LANE


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline void settle(double m, double e, double* m_out, double* e_out) noexcept nogil:
    """m 2**e with m near 1; a NaN stays, 0 gets the exponent that is below all others."""
    cdef double k = exponent_double(m)
    m_out[0] = m * power(-k)
    e_out[0] = e + k if m != 0 else NEVER


cdef inline void exponential(double x, double* m_out, double* e_out) noexcept nogil:
    """exp(x) for any x; as exp_reduce, whose range is that of a double, after a first reduction of its own kind."""
    cdef double z = LEAST if x < LEAST else x
    cdef double k = z * 1.4426950408889634 + 6755399441055744.0 - 6755399441055744.0
    cdef double j
    cdef double t = exp_reduce(z - k * 0.6931471803691238 - k * 1.9082149292705877e-10, &j)
    m_out[0] = 0 if x < LEAST else 1 + t
    e_out[0] = k + j if t == t else 0


cdef inline void store(const double* part, double* out) noexcept nogil:
    """A loop of its own for each array: the compiler cannot know that two do not overlap."""
    cdef Py_ssize_t j
    for j in range(LANE):
        out[j] = part[j]


cdef inline double fold_lanes(double* lane) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(4):
        lane[j] += lane[j + 4]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])


cdef inline void emit(const double* x, Py_ssize_t width, double* m, double* e) noexcept nogil:
    cdef double[LANE] part_m
    cdef double[LANE] part_e
    cdef Py_ssize_t i, j
    for i in range(width // LANE):
        for j in range(LANE):
            exponential(x[LANE * i + j], part_m + j, part_e + j)
        store(part_m, m + LANE * i)
        store(part_e, e + LANE * i)


cdef inline double softmax(double* x, Py_ssize_t width, double* m, double* e) noexcept nogil:
    """x becomes exp(x - its largest), which is m 2**e too; returned is the sum. A NaN in x makes the sum NaN."""
    cdef double[LANE] lane
    cdef double[LANE] part_m
    cdef double[LANE] part_e
    cdef double[LANE] part
    cdef double top
    cdef Py_ssize_t i, j
    for j in range(LANE):
        lane[j] = x[j]
    for i in range(1, width // LANE):
        for j in range(LANE):
            lane[j] = larger(x[LANE * i + j], lane[j])
    for j in range(4):
        lane[j] = larger(lane[j + 4], lane[j])
    top = larger(larger(lane[0], lane[1]), larger(lane[2], lane[3]))
    for j in range(LANE):
        lane[j] = 0
    for i in range(width // LANE):
        for j in range(LANE):
            exponential(x[LANE * i + j] - top, part_m + j, part_e + j)
            part[j] = part_m[j] * power(part_e[j])
            lane[j] += part[j]
        store(part, x + LANE * i)
        store(part_m, m + LANE * i)
        store(part_e, e + LANE * i)
    return fold_lanes(lane)


cdef inline void forward(const double* a, Py_ssize_t width, const double* bar, double* b) noexcept nogil:
    """One step from row `a` to row `b`, whose emissions are there: a state follows itself and those before it.

    bar[i] is added to the exponent of what goes from label i - 1 straight to label i. What is read in front of the
    labels is the last lane of the blanks, which is 0.
    """
    cdef const double* label_m = a + width
    cdef const double* blank_e = a + 2 * width
    cdef const double* label_e = a + 3 * width
    cdef const double* emit_m = b + 4 * width
    cdef const double* emit_e = b + 5 * width
    cdef double silence_m = emit_m[width - 1]
    cdef double silence_e = emit_e[width - 1]
    cdef double[4][LANE] part
    cdef double top, m, skip
    cdef Py_ssize_t i, j, s
    for i in range(width // LANE):
        for j in range(LANE):
            s = LANE * i + j
            top = larger(blank_e[s], label_e[s - 1])
            m = a[s] * power(blank_e[s] - top) + label_m[s - 1] * power(label_e[s - 1] - top)
            settle(m * silence_m, top + silence_e, &part[0][j], &part[2][j])
            skip = label_e[s - 1] + bar[s]
            top = larger(larger(label_e[s], blank_e[s]), skip)
            m = label_m[s] * power(label_e[s] - top) + a[s] * power(blank_e[s] - top)
            m += label_m[s - 1] * power(skip - top)
            settle(m * emit_m[s], top + emit_e[s], &part[1][j], &part[3][j])
        for j in range(4):
            store(part[j], b + j * width + LANE * i)


cdef inline double backward(
    double* h, const double* a, Py_ssize_t width, const double* bar, double* post, double* silence,
) noexcept nogil:
    """One step back, in place, and what passes through each state of row `a`, its step: labels to `post`, blanks' sum.

    h has the arrays of a row but emissions, each followed by a vector of zeros, and includes the emissions of its step.
    Returned is the sum over all states, whose unit is the largest.
    """
    cdef Py_ssize_t stride = width + LANE
    cdef double* label_m = h + stride
    cdef double* blank_e = h + 2 * stride
    cdef double* label_e = h + 3 * stride
    cdef const double* emit_m = a + 4 * width
    cdef const double* emit_e = a + 5 * width
    cdef double silence_m = emit_m[width - 1]
    cdef double silence_e = emit_e[width - 1]
    cdef double[4][LANE] part
    cdef double[4][LANE] through
    cdef double[LANE] lane
    cdef double[LANE] voiced
    cdef double top, m, skip
    cdef Py_ssize_t i, j, s
    for j in range(LANE):
        lane[j] = 2 * NEVER
    for i in range(width // LANE):
        for j in range(LANE):
            s = LANE * i + j
            top = larger(blank_e[s], label_e[s])
            m = h[s] * power(blank_e[s] - top) + label_m[s] * power(label_e[s] - top)
            through[0][j] = m * a[s]
            through[2][j] = top + a[2 * width + s]
            settle(m * silence_m, top + silence_e, &part[0][j], &part[2][j])
            skip = label_e[s + 1] + bar[s + 1]
            top = larger(larger(label_e[s], blank_e[s + 1]), skip)
            m = label_m[s] * power(label_e[s] - top) + h[s + 1] * power(blank_e[s + 1] - top)
            m += label_m[s + 1] * power(skip - top)
            through[1][j] = m * a[width + s]
            through[3][j] = top + a[3 * width + s]
            settle(m * emit_m[s], top + emit_e[s], &part[1][j], &part[3][j])
            lane[j] = larger(larger(through[2][j], through[3][j]), lane[j])
        for j in range(4):
            store(part[j], h + j * stride + LANE * i)
            store(through[j], post + j * width + LANE * i)
    for j in range(4):
        lane[j] = larger(lane[j + 4], lane[j])
    top = larger(larger(lane[0], lane[1]), larger(lane[2], lane[3]))
    for j in range(LANE):
        lane[j] = 0
        voiced[j] = 0
    for i in range(width // LANE):
        for j in range(LANE):
            s = LANE * i + j
            lane[j] += post[s] * power(post[2 * width + s] - top)
            part[0][j] = post[width + s] * power(post[3 * width + s] - top)
            voiced[j] += part[0][j]
        store(part[0], post + LANE * i)
    silence[0] = fold_lanes(lane)
    return silence[0] + fold_lanes(voiced)


cdef hot ctc(const real* x, real* dx, const job_t* job, Py_ssize_t n, double* scratch) noexcept nogil:
    """Value and gradient of item n; x and dx are at its first step, dx may be NULL."""
    cdef Py_ssize_t classes = job.classes, blank = job.blank, size = job.size[n], length = job.length[n]
    cdef const Py_ssize_t* label = job.label + job.start[n]
    cdef Py_ssize_t width = padded(size + 2)
    cdef Py_ssize_t stride = width + LANE
    cdef Py_ssize_t wide = padded(classes + 1)
    cdef double* bar = scratch
    cdef double* scores = bar + stride
    cdef double* class_m = scores + max(width, wide)
    cdef double* class_e = class_m + wide
    cdef double* mass = class_e + wide
    cdef double* hind = mass + wide
    cdef double* post = hind + 4 * stride
    cdef double* rows = post + 4 * width
    cdef double* row = rows
    cdef double* after
    cdef const real* z = x
    cdef real* dz
    cdef double total, top, m, e, silence, factor, norm
    cdef Py_ssize_t i, c, t
    cdef bint possible

    for i in range(stride):
        bar[i] = 0 if 0 < i < size and label[i] != label[i - 1] else -INFINITY
    for i in range(2 * width):
        row[i] = 0
        row[2 * width + i] = NEVER
    row[0] = 1
    row[2 * width] = 0
    for i in range(max(width, wide)):
        scores[i] = -INFINITY
    for t in range(length):
        z = <const real*> (<const char*> x + t * job.time_step)
        after = rows + (t + 1 if dx != NULL else (t + 1) % 2) * ROW * width
        if job.logits:
            for c in range(classes):
                scores[c] = z[c]
            total = softmax(scores, wide, class_m, class_e)
            norm = 1 / total
            for i in range(size):
                after[4 * width + i] = class_m[label[i]] * norm
                after[5 * width + i] = class_e[label[i]]
            for i in range(size, width):
                after[4 * width + i] = 0
                after[5 * width + i] = 0
            after[5 * width - 1] = class_m[blank] * norm
            after[6 * width - 1] = class_e[blank]
            if dx != NULL:
                dz = dx + t * job.items * classes
                for c in range(classes):
                    dz[c] = <real> (scores[c] * norm)
            for c in range(classes, wide):
                scores[c] = -INFINITY
        else:
            for i in range(size):
                scores[i] = z[label[i]]
            scores[width - 1] = z[blank]
            emit(scores, width, after + 4 * width, after + 5 * width)
        forward(row, width, bar, after)
        row = after

    m = row[size]
    e = row[2 * width + size]
    if size > 0:
        top = larger(e, row[3 * width + size - 1])
        m = m * power(e - top) + row[width + size - 1] * power(row[3 * width + size - 1] - top)
        settle(m, top, &m, &e)
    possible = m != 0
    if possible:
        job.value[n] = 0 - log_sum(e, m - 1, 0.0)
    else:
        job.value[n] = 0.0 if job.zero_infinity else INFINITY
    if dx == NULL:
        return

    for i in range(2 * stride):
        hind[i] = 0
        hind[2 * stride + i] = NEVER
    hind[size] = 1
    hind[2 * stride + size] = 0
    for c in range(classes):
        mass[c] = 0
    for t in range(job.steps - 1, -1, -1):
        dz = dx + t * job.items * classes
        if t >= length or not possible:
            for c in range(classes):
                dz[c] = 0
            continue
        total = backward(hind, rows + (t + 1) * ROW * width, width, bar, post, &silence)
        for i in range(size):
            mass[label[i]] += post[i]
        mass[blank] += silence
        factor = job.slope[n]
        norm = factor / total
        for c in range(classes):
            dz[c] = <real> ((factor * <double> dz[c] if job.logits else 0.0) - norm * mass[c])
            mass[c] = 0


cdef void run(void* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The items whose first chunk is in [start, stop)."""
    cdef const job_t* job = <const job_t*> context
    cdef Py_ssize_t n, t, slot = 0
    cdef Py_ssize_t itemsize = sizeof(float) if job.single else sizeof(double)
    cdef char* dx
    cdef const char* x
    while occupy(job.busy + slot):
        slot += 1
    for n in range((start + job.grain - 1) // job.grain, (stop + job.grain - 1) // job.grain):
        dx = job.dx + n * job.classes * itemsize if job.dx != NULL else NULL
        x = job.x + n * job.item_step
        if job.weight[n] == 0:
            job.value[n] = 0
            for t in range(job.steps if dx != NULL else 0):
                memset(dx + t * job.items * job.classes * itemsize, 0, job.classes * itemsize)
        elif job.single:
            ctc(<const float*> x, <float*> dx, job, n, job.scratch + slot * job.piece)
        else:
            ctc(<const double*> x, <double*> dx, job, n, job.scratch + slot * job.piece)
    release(job.busy + slot)


def locate(target, input_lengths, target_lengths, Py_ssize_t steps, Py_ssize_t classes, Py_ssize_t blank, starts):
    """Check lengths and labels, and note in `starts` where each item's labels begin.

    All arrays are contiguous and of the platform's integers; target is (N, S), or 1-d with one item after the other.
    """
    cdef const Py_ssize_t* label = <const Py_ssize_t*> array_of(target).data
    cdef const Py_ssize_t* length = <const Py_ssize_t*> array_of(input_lengths).data
    cdef const Py_ssize_t* size = <const Py_ssize_t*> array_of(target_lengths).data
    cdef Py_ssize_t* start = <Py_ssize_t*> array_of(starts).data
    cdef Py_ssize_t items = array_of(starts).shape[0]
    cdef bint flat = array_of(target).nd == 1
    cdef Py_ssize_t room = array_of(target).shape[0 if flat else 1]
    cdef Py_ssize_t n, i, used = 0
    for n in range(items):
        if not 0 <= length[n] <= steps:
            raise ValueError(f"input_lengths[{n}] is {length[n]}; it must be in [0, {steps}], the steps of the input")
        if size[n] < 0 or size[n] > (room - used if flat else room):
            allowed = f"[0, {room}], the width of targets"
            if flat:
                allowed = f"[0, {room - used}], as targets has {room} labels, {used} of them used before"
            raise ValueError(f"target_lengths[{n}] is {size[n]}; it must be in {allowed}")
        start[n] = used if flat else n * room
        used += size[n]
        for i in range(start[n], start[n] + size[n]):
            if not 0 <= label[i] < classes:
                raise IndexError(
                    f"Target {label[i]} is out of bounds: label {i - start[n]} of item {n} must be in [0, {classes})"
                )
            if label[i] == blank:
                raise IndexError(
                    f"Target {label[i]} is the blank: label {i - start[n]} of item {n} must be another class of "
                    f"[0, {classes})"
                )
    if flat and used != room:
        raise ValueError(f"targets has {room} labels; target_lengths add up to {used}")


def ctc_loss(
    x, gradient, values, target, starts, target_lengths, input_lengths, weight, slope, Py_ssize_t blank, bint logits,
    bint zero_infinity,
):
    """Compute the value of each item, and the gradient if it is not None; return sum(weight * value).

    x is (T, N, C) with contiguous classes; weight, slope and values are (N,) of double. An item of weight 0 is not
    looked at.
    """
    cdef job_t job
    cdef Py_ssize_t n, longest = 0, widest = 0, threads = 1, rows, width, wide
    cdef cascade_t total
    job.x = array_of(x).data
    job.time_step = array_of(x).strides[0]
    job.item_step = array_of(x).strides[1]
    job.dx = array_of(gradient).data if gradient is not None else NULL
    job.steps, job.items, job.classes = x.shape
    job.blank = blank
    job.label = <const Py_ssize_t*> array_of(target).data
    job.start = <const Py_ssize_t*> array_of(starts).data
    job.size = <const Py_ssize_t*> array_of(target_lengths).data
    job.length = <const Py_ssize_t*> array_of(input_lengths).data
    job.weight = <const double*> array_of(weight).data
    job.slope = <const double*> array_of(slope).data
    job.value = <double*> array_of(values).data
    job.single = dtype_of(x) == FLOAT32
    job.logits = logits
    job.zero_infinity = zero_infinity
    for n in range(job.items):
        longest = max(longest, job.length[n])
        widest = max(widest, job.size[n])
    width = padded(widest + 2)
    wide = padded(job.classes + 1)
    job.grain = 1 + longest * (8 * width + (8 * wide if logits else wide)) // CHUNK
    if job.grain * job.items * CHUNK >= THREAD_MIN:
        threads = min(_threads.hire(), job.items)
    rows = longest + 1 if job.dx != NULL else 2
    # Python's integers, as this may not fit into another.
    doubles = (
        <object> rows * ROW * width + (width + LANE) + max(width, wide) + 3 * wide + 4 * (width + LANE) + 4 * width
    )
    if doubles * threads > (<Py_ssize_t> ((<size_t> -1) >> 1)) // 8:
        raise MemoryError(f"{rows} steps of {width} states do not fit into memory")
    job.piece = doubles
    job.busy = <char*> calloc(max(threads, 1), 1)
    job.scratch = <double*> malloc(max(threads, 1) * job.piece * sizeof(double))
    try:
        if job.busy == NULL or job.scratch == NULL:
            raise MemoryError(f"{rows} steps of {width} states do not fit into memory")
        with nogil:
            share(run, &job, job.items * job.grain, LARGE, threads)
        cascade_start(&total)
        for n in range(job.items):
            cascade_add(&total, job.weight[n] * job.value[n])
        return cascade_total(&total)
    finally:
        free(job.busy)
        free(job.scratch)
