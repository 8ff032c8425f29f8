# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Update rules that must know something of a whole tensor, or of a whole group, before they can update an element.

Most come in three parts: a measure, which also updates the moments and sums over a chunk; a function that settles the
remaining scalars from the sums; the update. What is cheap to work out again is not stored in between. The rules of
matrices have one chunk, the tensor itself.
"""
from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport sqrt

from _core cimport (
    CHUNK, COMMON, L2, SCALE, abs_, capsules, cascade_add, cascade_start, cascade_t, cascade_total, dot_cascade,
    dot_lanes, gradient, hot, lerp, real, sqrt_, sum_cascade, sum_lanes,
)

cdef enum:  # scalars that are settled
    STEP = COMMON


cdef inline real adam_direction(real p, real m, real v, const double* k) noexcept nogil:
    return <real> k[COMMON + 3] * m / (sqrt_(v + <real> k[COMMON + 5]) * <real> k[COMMON + 4] + <real> k[COMMON + 6]) + (
        <real> k[COMMON + 7] * p
    )


cdef hot lamb_measure(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """Adam's moments; sums of p**2 and of the direction's square."""
    cdef const real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real[CHUNK] u
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON + 1]
    cdef real intake1 = <real> (1 - k[COMMON + 1])
    cdef real beta2 = <real> k[COMMON + 2]
    cdef real intake2 = <real> (1 - k[COMMON + 2])
    cdef real gi, mi, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        vi = beta2 * v[i] + intake2 * gi * gi
        m[i] = mi
        v[i] = vi
        u[i] = adam_direction(p[i], mi, vi, k)
    sums[0] += dot_lanes(p, p, n)
    sums[1] += dot_lanes(u, u, n)


cdef void lamb_settle(const double* sums, double* k, double* memory) noexcept nogil:
    """The step is scaled by |p| / |direction|, unless one of them is 0."""
    if sums[0] > 0 and sums[1] > 0:
        k[STEP] *= sqrt(sums[0]) / sqrt(sums[1])


cdef hot lamb(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* m = b[2] + offset
    cdef const real* v = b[3] + offset
    cdef real step = <real> k[STEP]
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = p[i] - step * adam_direction(p[i], m[i], v[i], k)


cdef hot lars_measure(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """Sums of p**2 and of g**2."""
    cdef const real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real[CHUNK] u
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = gradient(p, g, i, scale, l2)
    sums[0] += dot_lanes(p, p, n)
    sums[1] += dot_lanes(u, u, n)


cdef void lars_settle(const double* sums, double* k, double* memory) noexcept nogil:
    """The step is scaled by trust |p| / (|g| + weight_decay |p| + eps), unless one of the norms is 0."""
    cdef double p = sqrt(sums[0])
    cdef double g = sqrt(sums[1])
    if p > 0 and g > 0:
        k[STEP] *= k[COMMON + 3] * p / (g + k[COMMON + 2] * p + k[COMMON + 4])


cdef hot lars(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> (k[L2] + k[COMMON + 2])
    cdef real step = <real> k[STEP]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real d
    cdef Py_ssize_t i
    for i in range(n):
        d = momentum * momentum_buffer[i] + step * gradient(p, g, i, scale, l2)
        momentum_buffer[i] = d
        p[i] = p[i] - d


cdef hot lars_nesterov(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> (k[L2] + k[COMMON + 2])
    cdef real step = <real> k[STEP]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real gi, d
    cdef Py_ssize_t i
    for i in range(n):
        gi = step * gradient(p, g, i, scale, l2)
        d = momentum * momentum_buffer[i] + gi
        momentum_buffer[i] = d
        p[i] = p[i] - (gi + momentum * d)


cdef enum:  # Prodigy's scalars
    BETA1 = COMMON
    BETA2
    BETA3
    D          # the estimate before the step
    RATIO      # d / d0
    DLR        # d lr, bias-corrected
    INTAKE3    # of s
    EPS        # times the estimate after the step, once settled
    KEEP       # decoupled weight decay
    COEF
    FIRST      # whether d is still d0
    SLOWNESS   # 1 / growth_rate
    NUMERATOR
    D_MAX
    COUPLED    # weight decay in the gradient


cdef hot prodigy_start(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef const real* p = b[0] + offset
    cdef real* p0 = b[5] + offset
    cdef Py_ssize_t i
    for i in range(n):
        p0[i] = p[i]


cdef hot prodigy_measure(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    """The moments; sums of g (p0 - p) and of |s|."""
    cdef const real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real* s = b[4] + offset
    cdef const real* p0 = b[5] + offset
    cdef real[CHUNK] x
    cdef real[CHUNK] y
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[COUPLED]
    cdef real beta1 = <real> k[BETA1]
    cdef real intake1 = <real> (k[D] * (1 - k[BETA1]))
    cdef real beta2 = <real> k[BETA2]
    cdef real intake2 = <real> (k[D] * k[D] * (1 - k[BETA2]))
    cdef real beta3 = <real> k[BETA3]
    cdef real intake3 = <real> k[INTAKE3]
    cdef real gi, si
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        si = beta3 * s[i] + intake3 * gi
        m[i] = beta1 * m[i] + intake1 * gi
        v[i] = beta2 * v[i] + intake2 * gi * gi
        s[i] = si
        x[i] = gi
        y[i] = p0[i] - p[i]
    sums[0] += dot_lanes(x, y, n)
    for i in range(n):
        x[i] = abs_(s[i])
    sums[1] += sum_lanes(x, n)


cdef void prodigy_settle(const double* sums, double* k, double* memory) noexcept nogil:
    """The new estimate d; memory is d, d_max, d_numerator."""
    cdef double numerator = k[BETA3] * k[NUMERATOR] + k[RATIO] * k[DLR] * sums[0]
    cdef double d = k[D]
    cdef double d_max = k[D_MAX]
    cdef double estimate
    if sums[1] > 0:
        estimate = k[COEF] * numerator / sums[1]
        if k[FIRST] != 0 and estimate > d:
            d = estimate
        if estimate > d_max:
            d_max = estimate
        if k[SLOWNESS] == 0 or d / k[SLOWNESS] > d_max:
            d = d_max
        else:
            d = d / k[SLOWNESS]
    k[EPS] *= d
    if k[BETA1] == 0:  # the reference takes g itself for m then, times the new estimate
        k[DLR] *= d / k[D]
    memory[0] = d
    memory[1] = d_max
    memory[2] = numerator


cdef hot prodigy(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* m = b[2] + offset
    cdef const real* v = b[3] + offset
    cdef real keep = <real> k[KEEP]
    cdef real step = <real> k[DLR]
    cdef real eps = <real> k[EPS]
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = keep * p[i] - step * m[i] / (sqrt_(v[i]) + eps)


cdef enum:  # Adafactor's scalars after STEP, which is rho first and then the step
    WEIGHT = COMMON + 1   # of the new square
    EPS1                  # negative for that of the type
    EPS2
    LIMIT                 # d
    KEPT                  # decoupled weight decay
    JOINED                # weight decay in the gradient
    BATCH
    ROWS
    COLUMNS


cdef inline real smallest(real kind, const double* k) noexcept nogil:
    if k[EPS1] >= 0:
        return <real> k[EPS1]
    return <real> 1.1920928955078125e-07 if real is float else <real> 2.220446049250313e-16


cdef inline double adafactor_step(double p, double u, const double* k) noexcept nogil:
    """The step from the sums of p**2 and u**2."""
    cdef double n = k[BATCH] * k[ROWS] * k[COLUMNS]
    cdef double size = sqrt(p / n)
    cdef double update = sqrt(u / n) / k[LIMIT]
    return k[STEP] * (size if size > k[EPS2] else k[EPS2]) / (update if update > 1 else 1)


cdef hot adafactor_measure(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil:
    cdef const real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real[CHUNK] u
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[JOINED]
    cdef real keep = <real> (1 - k[WEIGHT])
    cdef real weight = <real> k[WEIGHT]
    cdef real least = smallest(weight, k) * smallest(weight, k)
    cdef real gi, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = lerp(v[i], gi * gi, keep, weight)
        v[i] = vi
        u[i] = gi / sqrt_(vi if vi > least else least)
    sums[0] += dot_lanes(p, p, n)
    sums[1] += dot_lanes(u, u, n)


cdef void adafactor_settle(const double* sums, double* k, double* memory) noexcept nogil:
    k[STEP] = adafactor_step(sums[0], sums[1], k)


cdef hot adafactor(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const real* v = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[JOINED]
    cdef real keep = <real> k[KEPT]
    cdef real step = <real> k[STEP]
    cdef real least = smallest(step, k) * smallest(step, k)
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = keep * p[i] - step * gradient(p, g, i, scale, l2) / sqrt_(v[i] if v[i] > least else least)


cdef inline double floored_mean(const real* x, Py_ssize_t n, real low) noexcept nogil:
    cdef double mean = sum_cascade(x, n) / n
    return mean if mean > low else low


cdef inline real factored(
    const real* p, const real* g, const real* column, Py_ssize_t i, real row, real least, real scale, real l2
) noexcept nogil:
    cdef real v = row * column[i]
    return gradient(p, g, i, scale, l2) / sqrt_(v if v > least else least)


cdef hot adafactor_matrix(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """All of Adafactor for a stack of matrices, whose second moment is the product of its row and column means."""
    cdef real* p = b[0]
    cdef const real* g = b[1]
    cdef real* row_var = b[2]
    cdef real* col_var = b[3]
    cdef double* sums = <double*> b[4]
    cdef Py_ssize_t rows = <Py_ssize_t> k[ROWS]
    cdef Py_ssize_t columns = <Py_ssize_t> k[COLUMNS]
    cdef real[CHUNK] u
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[JOINED]
    cdef real keep = <real> (1 - k[WEIGHT])
    cdef real weight = <real> k[WEIGHT]
    cdef real kept = <real> k[KEPT]
    cdef real eps = smallest(weight, k)
    cdef real least = eps * eps
    cdef real row, step
    cdef double row_sum, x, mean
    cdef cascade_t total
    cdef Py_ssize_t batch, i, j, c, low, size, start
    cascade_start(&total)
    for batch in range(<Py_ssize_t> k[BATCH]):
        for j in range(columns):
            sums[j] = 0
        for i in range(rows):
            start = (batch * rows + i) * columns
            row_sum = 0
            for c in range((columns + CHUNK - 1) // CHUNK):
                low = c * CHUNK
                size = min(columns - low, <Py_ssize_t> CHUNK)
                for j in range(size):
                    u[j] = gradient(p + start + low, g + start + low, j, scale, l2)
                for j in range(size):
                    x = <double> u[j]
                    sums[low + j] += x * x
                row_sum += dot_lanes(u, u, size)
            j = batch * rows + i
            row_var[j] = lerp(row_var[j], <real> (row_sum / columns), keep, weight)
        for j in range(columns):
            col_var[batch * columns + j] = lerp(col_var[batch * columns + j], <real> (sums[j] / rows), keep, weight)
        mean = floored_mean(row_var + batch * rows, rows, eps)
        for i in range(rows):
            start = (batch * rows + i) * columns
            row = <real> (row_var[batch * rows + i] / mean)
            for c in range((columns + CHUNK - 1) // CHUNK):
                low = c * CHUNK
                size = min(columns - low, <Py_ssize_t> CHUNK)
                for j in range(size):
                    u[j] = factored(
                        p + start + low, g + start + low, col_var + batch * columns + low, j, row, least, scale, l2
                    )
                cascade_add(&total, dot_lanes(u, u, size))
    step = <real> adafactor_step(dot_cascade(p, p, n), cascade_total(&total), k)
    for batch in range(<Py_ssize_t> k[BATCH]):
        mean = floored_mean(row_var + batch * rows, rows, eps)
        for i in range(rows):
            start = (batch * rows + i) * columns
            row = <real> (row_var[batch * rows + i] / mean)
            for j in range(columns):
                p[start + j] = kept * p[start + j] - step * factored(
                    p + start, g + start, col_var + batch * columns, j, row, least, scale, l2
                )


cdef hot muon(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The direction has been worked out from the new momentum, in NumPy, before; here the momentum follows."""
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef const real* direction = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real step = <real> k[STEP]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef Py_ssize_t i
    for i in range(n):
        momentum_buffer[i] = lerp(momentum_buffer[i], gradient(p, g, i, scale, l2), momentum, intake)
        p[i] = p[i] - step * direction[i]


RULES = {
    "lamb": capsules(<void*> lamb[float], <void*> lamb[double], "fastopt.rule"),
    "lars": capsules(<void*> lars[float], <void*> lars[double], "fastopt.rule"),
    "lars_nesterov": capsules(<void*> lars_nesterov[float], <void*> lars_nesterov[double], "fastopt.rule"),
    "prodigy_start": capsules(<void*> prodigy_start[float], <void*> prodigy_start[double], "fastopt.rule"),
    "prodigy": capsules(<void*> prodigy[float], <void*> prodigy[double], "fastopt.rule"),
    "adafactor": capsules(<void*> adafactor[float], <void*> adafactor[double], "fastopt.rule"),
    "adafactor_matrix": capsules(<void*> adafactor_matrix[float], <void*> adafactor_matrix[double], "fastopt.rule"),
    "muon": capsules(<void*> muon[float], <void*> muon[double], "fastopt.rule"),
}
MEASURES = {
    "lamb": capsules(<void*> lamb_measure[float], <void*> lamb_measure[double], "fastopt.measure"),
    "lars": capsules(<void*> lars_measure[float], <void*> lars_measure[double], "fastopt.measure"),
    "prodigy": capsules(<void*> prodigy_measure[float], <void*> prodigy_measure[double], "fastopt.measure"),
    "adafactor": capsules(<void*> adafactor_measure[float], <void*> adafactor_measure[double], "fastopt.measure"),
}
SETTLES = {
    "lamb": PyCapsule_New(<void*> lamb_settle, "fastopt.settle", NULL),
    "lars": PyCapsule_New(<void*> lars_settle, "fastopt.settle", NULL),
    "prodigy": PyCapsule_New(<void*> prodigy_settle, "fastopt.settle", NULL),
    "adafactor": PyCapsule_New(<void*> adafactor_settle, "fastopt.settle", NULL),
}
