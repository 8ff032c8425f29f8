# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Kernels of the losses whose units are rows, sorted as in fastopt/losses; ROWWISE names them for the facade.

They have the shape of `_loss.pxd`: b = value, gradient, rows z, and what else a line says.
"""
# Design: a softmax over few classes would vectorize badly row by row, so its kernels take columns. Else the exponentials of
# all rows of a chunk are one loop, as are their logarithms, and only maxima and sums go by row.
from libc.math cimport INFINITY

from _core cimport (
    CHUNK, LANES, abs_, capsules, dot_lanes, exp_, expit_, fold, hot, log1p_, log_, log_sum, real, sqrt_, sum_lanes,
)
from _loss cimport COLUMNS, FEW, OWN, SCALE, STRIDE, WIDTH

cdef enum:
    SECOND = OWN + 1
    THIRD = OWN + 2


cdef inline real times(real factor, real x) noexcept nogil:
    return factor * x if factor != 0 else <real> 0


cdef inline real largest(const real* x, Py_ssize_t n) noexcept nogil:
    """The largest of n >= 1 numbers; a NaN is passed over, and comes back through the exponentials."""
    cdef real[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    cdef real top = x[0]
    if n < FEW:
        for i in range(n):
            top = x[i] if x[i] > top else top
        return top
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


cdef inline double row_sum(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    if n >= FEW:
        return sum_lanes(x, n)
    for i in range(n):
        total += <double> x[i]
    return total


# The sums of columns have the lanes of row sums, and so their bits: column c goes to lane c of as many as there are.
# The lanes of all units fit into a chunk, as the units of many columns are few.

cdef inline Py_ssize_t lanes_for(Py_ssize_t width) noexcept nogil:
    return LANES if width >= FEW else 1


cdef inline void fold_columns(double* lane, Py_ssize_t n, Py_ssize_t width) noexcept nogil:
    """Leave the sum of each unit in the first lane."""
    cdef Py_ssize_t i
    if width < FEW:
        return
    for i in range(8 * n):
        lane[i] += lane[8 * n + i]
    for i in range(4 * n):
        lane[i] += lane[4 * n + i]
    for i in range(n):
        lane[i] = (lane[i] + lane[2 * n + i]) + (lane[n + i] + lane[3 * n + i])


cdef inline void column_sums(const real* x, Py_ssize_t n, Py_ssize_t width, double* total) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_for(width)
    cdef Py_ssize_t i, c
    cdef double* lane
    for i in range(lanes * n):
        total[i] = 0
    for c in range(width):
        lane = total + (c & lanes - 1) * n
        for i in range(n):
            lane[i] += <double> x[c * n + i]
    fold_columns(total, n, width)


cdef inline void column_exponentials(const real* z, Py_ssize_t n, Py_ssize_t width, real* e, real* top) noexcept nogil:
    """As exponentials, of columns."""
    cdef Py_ssize_t i, c
    cdef real x
    for i in range(n):
        top[i] = z[i]
    for c in range(1, width):
        for i in range(n):
            top[i] = z[c * n + i] if z[c * n + i] > top[i] else top[i]
    for c in range(width):
        for i in range(n):
            x = z[c * n + i]
            e[c * n + i] = exp_(x - top[i] if x != top[i] else <real> 0)


cdef inline void exponentials(
    const real* z, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t width, real* e, real* top,
) noexcept nogil:
    """e = exp(z - top), with top the largest of each row. Infinite logits that are equal are tied."""
    cdef Py_ssize_t i, c
    cdef real x
    for i in range(n):
        top[i] = largest(z + i * stride, width)
        for c in range(width):
            x = z[i * stride + c]
            e[i * width + c] = x - top[i] if x != top[i] else <real> 0
    for i in range(n * width):
        e[i] = exp_(e[i])


cdef inline void scale_row(real* x, Py_ssize_t n, real factor) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        x[c] = factor * x[c]


cdef inline void clear_row(real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(n):
        x[c] = 0


# Class indices: an index out of range is one that is ignored but cannot be told as a double, or one that the caller
# has changed meanwhile.

cdef inline bint counts(Py_ssize_t y, Py_ssize_t width, double ignore) noexcept nogil:
    return 0 <= y < width and y != ignore


cdef hot nll(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """-w_y z_y: b = value, slope, the log probability z_y of the target, targets, class weights or NULL.

    k = ..., ignore_index.
    """
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef real scale = <real> k[SCALE]
    cdef real weight
    cdef Py_ssize_t i, y
    for i in range(n):
        y = target[i]
        weight = 0
        if counts(y, width, k[OWN]):
            weight = w[y] if w != NULL else <real> 1
        value[i] = -times(weight, z[i])
        dz[i] = -scale * weight


# A softmax with the target's exponential kept apart from the sum of the others, so that a value near 0, log(1 + rest),
# and the slope there, -rest / total, keep their relative accuracy. What is left: e, times factor / total the gradient; and
# for each row the logit's gap to the top, the extra beyond 1 of the total, the target's own exponential and the total,
# which is 0 where nothing counts.

cdef inline void part(
    const real* z, Py_ssize_t n, const double* k, const Py_ssize_t* target,
    real* e, real* gap, real* extra, real* own, real* total,
) noexcept nogil:
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef bint columns = k[COLUMNS] != 0
    cdef Py_ssize_t across = n if columns else 1  # from class to class, and
    cdef Py_ssize_t down = 1 if columns else width  # from row to row
    cdef Py_ssize_t z_down = 1 if columns else <Py_ssize_t> k[STRIDE]
    cdef double[CHUNK] rest
    cdef real[CHUNK] top
    cdef Py_ssize_t i, y
    if columns:
        column_exponentials(z, n, width, e, top)
    else:
        exponentials(z, z_down, n, width, e, top)
    for i in range(n):  # without a branch: any that depends on the data is mispredicted
        y = target[i]
        y = y if counts(y, width, k[OWN]) else 0
        gap[i] = z[i * z_down + y * across]
        own[i] = e[y * across + i * down]
        e[y * across + i * down] = 0
    if columns:
        column_sums(e, n, width, rest)
    else:
        for i in range(n):
            rest[i] = sum_lanes(e + i * width, width)
    for i in range(n):
        gap[i] = gap[i] - top[i] if gap[i] != top[i] else <real> 0
        total[i] = <real> (rest[i] + own[i])
        extra[i] = <real> (rest[i] if gap[i] == 0 else rest[i] - 1 + own[i])
    for i in range(n):
        y = target[i]
        if counts(y, width, k[OWN]):
            e[y * across + i * down] = <real> -rest[i]
        else:
            gap[i] = total[i] = extra[i] = 0


cdef inline void join(real* e, Py_ssize_t n, const double* k, const real* factor) noexcept nogil:
    """Multiply e by the factor of each row; 0 times NaN is 0, as in a row that does not count."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef Py_ssize_t i, c
    if k[COLUMNS] != 0:
        for c in range(width):
            for i in range(n):
                e[c * n + i] = times(factor[i], e[c * n + i])
        return
    for i in range(n):
        for c in range(width):
            e[i * width + c] = times(factor[i], e[i * width + c])


cdef hot cross_entropy(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., targets, class weights or NULL: w_y (lse - z_y); k = ..., ignore_index."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef real* value = b[0]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef real[CHUNK] gap
    cdef real[CHUNK] extra
    cdef real[CHUNK] own
    cdef real[CHUNK] total
    cdef real* e = b[1]
    cdef real scale = <real> k[SCALE]
    cdef real weight
    cdef Py_ssize_t i, y
    part(<const real*> b[2], n, k, target, e, gap, extra, own, total)
    for i in range(n):
        value[i] = log1p_(extra[i]) - gap[i]
        own[i] = scale / total[i] if total[i] != 0 else <real> 0
    if w != NULL:
        for i in range(n):
            y = target[i]
            weight = w[y] if total[i] != 0 and counts(y, width, k[OWN]) else <real> 0
            value[i] = times(weight, value[i])
            own[i] = times(weight, own[i])
    join(e, n, k, own)


cdef hot focal(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., targets, class weights or NULL: w_y (1 - p_y)^gamma v, v = -log p_y.

    k = ..., ignore_index, floor of gamma, the rest of it. With r = 1 - p_y the gradient is that of v times
    r^gamma + gamma r^(gamma - 1) p_y v = r^gamma (1 + gamma p_y v / r), and v / r goes to 1 with r to 0.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef real* value = b[0]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef real[CHUNK] gap
    cdef real[CHUNK] extra
    cdef real[CHUNK] own
    cdef real[CHUNK] total
    cdef real[CHUNK] wrong
    cdef real[CHUNK] power
    cdef real* e = b[1]
    cdef real scale = <real> k[SCALE]
    cdef Py_ssize_t whole = <Py_ssize_t> k[SECOND]
    cdef real rest = <real> k[THIRD]
    cdef real gamma = <real> (k[SECOND] + k[THIRD])
    cdef real v, weight, ratio
    cdef Py_ssize_t i, y, _power
    part(<const real*> b[2], n, k, target, e, gap, extra, own, total)
    for i in range(n):
        y = target[i]
        y = y if counts(y, width, k[OWN]) else 0
        wrong[i] = -(e[y * n + i] if k[COLUMNS] != 0 else e[i * width + y]) / total[i] if total[i] != 0 else <real> 0
        power[i] = 1
    if rest != 0:
        for i in range(n):
            power[i] = exp_(rest * log_(wrong[i]))
    for _power in range(whole):
        for i in range(n):
            power[i] = power[i] * wrong[i]
    for i in range(n):
        y = target[i]
        weight = (w[y] if w != NULL else <real> 1) if total[i] != 0 and counts(y, width, k[OWN]) else <real> 0
        v = log1p_(extra[i]) - gap[i]
        value[i] = times(weight, times(power[i], v))
        ratio = times(own[i] / total[i], v) / wrong[i] if wrong[i] > 0 else <real> 1
        own[i] = times(weight, scale / total[i] * (power[i] * (<real> 1 + gamma * ratio)))
    join(e, n, k, own)


# Smoothed targets and probabilities: class c weighs u_c = w_c (keep q_c + each).

cdef inline double share_of(
    const real* q, const real* w, double keep, double each, Py_ssize_t c,
) noexcept nogil:
    """u_c; no q is zeros, no w is ones."""
    return (keep * <double> q[c] + each if q != NULL else each) * (<double> w[c] if w != NULL else 1.0)


cdef inline void soft_lanes(
    const real* z, const real* q, const real* w, double keep, double each, double top, double lse, Py_ssize_t n,
    double* out,
) noexcept nogil:
    """out = sum u_c, sum u_c (lse - (z_c - top)); 0 times infinity is 0, as 0 log 0 is."""
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
            value[j] += u * (lse - (<double> z[c] - top if z[c] != top else 0.0)) if u != 0 else 0.0
    for j in range(n - LANES * blocks):
        c = LANES * blocks + j
        u = share_of(q, w, keep, each, c)
        mass[j] += u
        value[j] += u * (lse - (<double> z[c] - top if z[c] != top else 0.0)) if u != 0 else 0.0
    out[0] = fold(mass)
    out[1] = fold(value)


cdef inline void soft_columns(
    const real* z, const real* q, const real* w, double keep, double each, const double* k, Py_ssize_t n, real* e,
    real* top, double* total, double* lse, double* mass, double* value,
) noexcept nogil:
    """e = exp(z - top), its sums and their logarithms, and of each unit what soft_lanes finds of a row."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef Py_ssize_t lanes = lanes_for(width)
    cdef Py_ssize_t i, c, at
    cdef double u, factor
    column_exponentials(z, n, width, e, top)
    column_sums(e, n, width, total)
    for i in range(n):
        lse[i] = log_(total[i])
    for i in range(lanes * n):
        mass[i] = value[i] = 0
    for c in range(width):
        factor = <double> w[c] if w != NULL else 1.0
        at = (c & lanes - 1) * n
        for i in range(n):
            u = (keep * <double> q[c * n + i] + each if q != NULL else each) * factor
            mass[at + i] += u
            u = u * (lse[i] - (<double> z[c * n + i] - top[i] if z[c * n + i] != top[i] else 0.0)) if u != 0 else 0.0
            value[at + i] += u
    fold_columns(mass, n, width)
    fold_columns(value, n, width)


cdef inline void soft_slopes(
    real* e, const real* q, const real* w, double keep, double each, const double* k, Py_ssize_t n, const real* factor,
) noexcept nogil:
    """Columns of the gradient: e times the factor of its unit, less what the targets take."""
    cdef Py_ssize_t i, c
    cdef double u, weight
    for c in range(<Py_ssize_t> k[WIDTH]):
        weight = <double> w[c] if w != NULL else 1.0
        for i in range(n):
            u = (keep * <double> q[c * n + i] + each if q != NULL else each) * weight
            e[c * n + i] = factor[i] * e[c * n + i] - <real> (k[SCALE] * u)


cdef inline void smooth_columns(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """As cross_entropy_smooth."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef real* e = b[1]
    cdef const real* z = b[2]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef real[CHUNK] top
    cdef real[CHUNK] factor
    cdef double[CHUNK] total
    cdef double[CHUNK] lse
    cdef double[CHUNK] mass
    cdef double[CHUNK] value
    cdef double[CHUNK] own
    cdef double each = k[SECOND] / width
    cdef real gap
    cdef Py_ssize_t i, c, y
    soft_columns(z, <const real*> NULL, w, 0, each, k, n, e, top, total, lse, mass, value)
    for i in range(n):
        y = target[i] if counts(target[i], width, k[OWN]) else 0
        own[i] = (1 - k[SECOND]) * (<double> w[y] if w != NULL else 1.0)
        factor[i] = z[y * n + i]
    for i in range(n):
        gap = factor[i] - top[i] if factor[i] != top[i] else <real> 0
        b[0][i] = <real> (times(own[i], lse[i] - <double> gap) + value[i])
        factor[i] = <real> (k[SCALE] * (own[i] + mass[i]) / total[i])
    soft_slopes(e, <const real*> NULL, w, 0, each, k, n, factor)
    for i in range(n):
        y = target[i]
        if counts(y, width, k[OWN]):
            e[y * n + i] = e[y * n + i] - <real> (k[SCALE] * own[i])
            continue
        b[0][i] = 0
        for c in range(width):
            e[c * n + i] = 0


cdef hot cross_entropy_smooth(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., targets, class weights or NULL: (1 - s) w_y (lse - z_y) + s/C sum_c w_c (lse - z_c).

    k = ..., ignore_index, s.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef Py_ssize_t stride = <Py_ssize_t> k[STRIDE]
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef real[CHUNK] top
    cdef double scale = k[SCALE]
    cdef double each = k[SECOND] / width
    cdef double own, total, lse
    cdef double[2] spread
    cdef real gap
    cdef real* e
    cdef Py_ssize_t i, c, y
    if k[COLUMNS] != 0:
        smooth_columns(b, n, k)
        return
    exponentials(z, stride, n, width, dz, top)
    for i in range(n):
        e = dz + i * width
        y = target[i]
        if not counts(y, width, k[OWN]):
            value[i] = 0
            clear_row(e, width)
            continue
        total = row_sum(e, width)
        lse = log_(total)
        own = (1 - k[SECOND]) * (<double> w[y] if w != NULL else 1.0)
        soft_lanes(z + i * stride, <const real*> NULL, w, 0, each, top[i], lse, width, spread)
        gap = z[i * stride + y] - top[i] if z[i * stride + y] != top[i] else <real> 0
        value[i] = <real> (times(own, lse - <double> gap) + spread[1])
        scale_row(e, width, <real> (scale * (own + spread[0]) / total))
        for c in range(width):
            e[c] = e[c] - <real> (scale * share_of(<const real*> NULL, w, 0, each, c))
        e[y] = e[y] - <real> (scale * own)


cdef inline void soft_target_columns(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """As cross_entropy_soft."""
    cdef double keep = 1 - k[OWN]
    cdef double each = k[OWN] / k[WIDTH]
    cdef real[CHUNK] top
    cdef real[CHUNK] factor
    cdef double[CHUNK] total
    cdef double[CHUNK] lse
    cdef double[CHUNK] mass
    cdef double[CHUNK] value
    cdef Py_ssize_t i
    soft_columns(<const real*> b[2], <const real*> b[3], <const real*> b[4], keep, each, k, n, b[1], top, total, lse, mass, value)
    for i in range(n):
        b[0][i] = <real> value[i]
        factor[i] = <real> (k[SCALE] * mass[i] / total[i])
    soft_slopes(b[1], <const real*> b[3], <const real*> b[4], keep, each, k, n, factor)


cdef hot cross_entropy_soft(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., rows of probabilities q, class weights or NULL: sum_c w_c q'_c (lse - z_c), q' = (1 - s) q + s/C.

    k = ..., s.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef Py_ssize_t stride = <Py_ssize_t> k[STRIDE]
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* q
    cdef const real* w = b[4]
    cdef real[CHUNK] top
    cdef double scale = k[SCALE]
    cdef double keep = 1 - k[OWN]
    cdef double each = k[OWN] / width
    cdef double total
    cdef double[2] spread
    cdef real* e
    cdef Py_ssize_t i, c
    if k[COLUMNS] != 0:
        soft_target_columns(b, n, k)
        return
    exponentials(z, stride, n, width, dz, top)
    for i in range(n):
        e = dz + i * width
        q = b[3] + i * <Py_ssize_t> k[STRIDE + 1]
        total = row_sum(e, width)
        soft_lanes(z + i * stride, q, w, keep, each, top[i], log_(total), width, spread)
        value[i] = <real> spread[1]
        scale_row(e, width, <real> (scale * spread[0] / total))
        for c in range(width):
            e[c] = e[c] - <real> (scale * share_of(q, w, keep, each, c))


cdef hot softmax_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """The diagonal m p (1 - p) for rows of logits; b = ..., one number m a row."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef real* h = b[1]
    cdef const real* mass = b[3]
    cdef real[CHUNK] top
    cdef double scale = k[SCALE]
    cdef double rest, total, p
    cdef real* e
    cdef Py_ssize_t i, c, at
    exponentials(<const real*> b[2], <Py_ssize_t> k[STRIDE], n, width, h, top)
    for i in range(n):
        e = h + i * width
        b[0][i] = 0
        if mass[i] == 0:
            clear_row(e, width)
            continue
        at = 0
        for c in range(width):
            at = c if e[c] == 1 else at
        total = e[at]
        e[at] = 0
        rest = row_sum(e, width)
        total += rest
        for c in range(width):
            p = <double> e[c] / total
            e[c] = <real> (scale * mass[i] * p * (1 - p))
        e[at] = <real> (scale * mass[i] * (1 - rest / total) * (rest / total))


# Margins

cdef hot multi_margin(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., targets, class weights or NULL: w_y/C sum_{c != y} max(0, margin - z_y + z_c)^p; k = ..., margin, p."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef Py_ssize_t stride = <Py_ssize_t> k[STRIDE]
    cdef const real* z
    cdef real* dz
    cdef const Py_ssize_t* target = <const Py_ssize_t*> b[3]
    cdef const real* w = b[4]
    cdef bint square = k[SECOND] == 2
    cdef double total, slope
    cdef real own, factor, base, m
    cdef Py_ssize_t i, c, y
    for i in range(n):
        z = b[2] + i * stride
        dz = b[1] + i * width
        y = target[i]
        b[0][i] = 0
        if not counts(y, width, -1) or (w != NULL and w[y] == 0):
            clear_row(dz, width)
            continue
        own = <real> ((<double> w[y] if w != NULL else 1.0) / width)
        factor = <real> (k[SCALE] * own)
        base = <real> k[OWN] - z[y]
        for c in range(width):
            m = base + z[c]
            dz[c] = <real> 0 if m <= 0 else m
        dz[y] = 0
        total = slope = 0
        if square:
            for c in range(width):
                total += <double> dz[c] * dz[c]
            slope = 2 * row_sum(dz, width)
            scale_row(dz, width, <real> 2 * factor)
        else:
            total = row_sum(dz, width)
            for c in range(width):
                m = <real> 1 if dz[c] > 0 else dz[c]
                slope += <double> m
                dz[c] = factor * m
        b[0][i] = <real> (own * total)
        dz[y] = <real> (-factor * slope)


cdef hot multilabel_margin(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradient, scratch, z, rows of labels up to the first -1: sum of max(0, 1 - (z_t - z_c))/C over labels t
    and all c that are none."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef const real* z
    cdef real* dz
    cdef real* other
    cdef const Py_ssize_t* label
    cdef real factor = <real> (k[SCALE] / width)
    cdef double total, active
    cdef real m, on
    cdef Py_ssize_t i, c, t, y
    for i in range(n):
        z = b[3] + i * <Py_ssize_t> k[STRIDE]
        label = <const Py_ssize_t*> b[4] + i * <Py_ssize_t> k[STRIDE + 1]
        dz = b[1] + i * width
        other = b[2] + i * width
        for c in range(width):
            dz[c] = 0
            other[c] = 1
        for t in range(width):
            y = label[t]
            if not counts(y, width, -1):
                break
            other[y] = 0
        total = 0
        for t in range(width):
            y = label[t]
            if not counts(y, width, -1):
                break
            active = 0
            for c in range(width):
                m = <real> 1 - (z[y] - z[c])
                on = <real> 0 if m <= 0 else other[c]
                total += <double> times(on, m)
                active += <double> on
                dz[c] = dz[c] + factor * on
            dz[y] = <real> (dz[y] - factor * active)
        b[0][i] = <real> (total / width)


cdef hot multilabel_soft_margin(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradient, scratch, z, y, class weights or NULL: the mean over c of w_c times bce_with_logits."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef bint flat = k[STRIDE] == width and k[STRIDE + 1] == width
    cdef Py_ssize_t rows = 1 if flat else n
    cdef Py_ssize_t columns = n * width if flat else width
    cdef const real* z
    cdef const real* y
    cdef const real* w = b[5]
    cdef real* dz
    cdef real* v
    cdef real scale = <real> (k[SCALE] / width)
    cdef real e, s, u, p, q, h
    cdef Py_ssize_t i, c
    for i in range(rows):
        z = b[3] + i * <Py_ssize_t> k[STRIDE]
        y = b[4] + i * <Py_ssize_t> k[STRIDE + 1]
        dz = b[1] + i * width
        v = b[2] + i * width
        for c in range(columns):
            e = exp_(-abs_(z[c]))
            h = 1 if e > <real> 0.41421356 else 0
            s = log_sum(h, (e - h) * (<real> 1 - h / <real> 2), <real> 0)
            u = <real> 1 / (<real> 1 + e)
            p = u if z[c] > 0 else e * u
            q = e * u if z[c] > 0 else u
            v[c] = s + (times(<real> 1 - y[c], z[c]) if z[c] > 0 else times(y[c], -z[c]))
            dz[c] = scale * ((<real> 1 - y[c]) * p - y[c] * q)
    for i in range(n):
        dz = b[1] + i * width
        v = b[2] + i * width
        if w != NULL:
            for c in range(width):
                v[c] = times(w[c], v[c])
                dz[c] = times(w[c], dz[c])
        b[0][i] = <real> (row_sum(v, width) / width)


# Distances and overlaps

cdef inline void overlap_sums(const real* p, const real* y, Py_ssize_t n, double* both, double* total) noexcept nogil:
    """Add the sums of 2 p y and of p + y to what is there."""
    cdef double[LANES] product
    cdef double[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    if n < FEW:
        for i in range(n):
            both[0] += <double> 2 * p[i] * y[i]
            total[0] += <double> p[i] + <double> y[i]
        return
    for j in range(LANES):
        product[j] = 0
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            product[j] += <double> p[LANES * i + j] * <double> y[LANES * i + j]
        for j in range(LANES):
            lane[j] += <double> p[LANES * i + j] + <double> y[LANES * i + j]
    for j in range(n - LANES * blocks):
        product[j] += <double> p[LANES * blocks + j] * <double> y[LANES * blocks + j]
        lane[j] += <double> p[LANES * blocks + j] + <double> y[LANES * blocks + j]
    both[0] += 2 * fold(product)
    total[0] += fold(lane)


cdef inline double distance(
    const real* x, const real* y, Py_ssize_t n, double eps, double p, real* u,
) noexcept nogil:
    """The p-norm of x - y + eps; u is left as its gradient by x, that by y is -u. At distance 0 it is 0."""
    cdef double total = 0, a
    cdef real factor
    cdef Py_ssize_t c
    for c in range(n):
        u[c] = x[c] - y[c] + <real> eps
    if p == 2:
        total = dot_lanes(u, u, n)
        if 1e-280 < total < INFINITY:
            total = sqrt_(total)
            scale_row(u, n, <real> (1 / total))
            return total
        total = 0  # squares out of range: as for any p, by the ratios to the largest
    if p == 1:
        for c in range(n):
            total += <double> abs_(u[c])
            u[c] = <real> 1 if u[c] > 0 else (<real> -1 if u[c] < 0 else u[c])
        return total
    for c in range(n):
        total = <double> abs_(u[c]) if not abs_(u[c]) <= total else total
    if not 0 < total < INFINITY:
        scale_row(u, n, <real> (total - total))
        return total
    a = 0
    if p == INFINITY:
        for c in range(n):
            a += abs_(u[c]) == total
        for c in range(n):
            u[c] = <real> ((1 / a if u[c] > 0 else -1 / a) if abs_(u[c]) == total else 0.0)
        return total
    for c in range(n):
        a += exp_(p * log_(<double> abs_(u[c]) / total))
    a = exp_(log_(a) / p)
    for c in range(n):
        factor = <real> exp_((p - 1) * log_(<double> abs_(u[c]) / total / a)) if u[c] != 0 else <real> 0
        u[c] = factor if u[c] > 0 else -factor
    return total * a


cdef hot triplet(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradients by anchor, positive and negative, two of scratch, these three: max(0, margin + d(a, p) - d),
    d = d(a, n), or the smaller of it and d(p, n) where k = ..., margin, eps, p, swap says so."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef double eps = k[SECOND]
    cdef double p = k[THIRD]
    cdef bint swap = k[THIRD + 1] != 0
    cdef const real* anchor
    cdef const real* positive
    cdef const real* negative
    cdef real* da
    cdef real* dp
    cdef real* dn
    cdef real* u
    cdef real* v
    cdef double near, far, other, m
    cdef real scale, from_anchor, from_positive
    cdef Py_ssize_t i, c
    for i in range(n):
        anchor = b[6] + i * <Py_ssize_t> k[STRIDE]
        positive = b[7] + i * <Py_ssize_t> k[STRIDE + 1]
        negative = b[8] + i * <Py_ssize_t> k[STRIDE + 2]
        da = b[1] + i * width
        dp = b[2] + i * width
        dn = b[3] + i * width
        u = b[4] + i * width
        v = b[5] + i * width
        near = distance(anchor, positive, width, eps, p, da)
        far = distance(anchor, negative, width, eps, p, u)
        from_anchor, from_positive = 1, 0
        if swap:
            other = distance(positive, negative, width, eps, p, v)
            if other < far:
                from_anchor, from_positive = 0, 1
            elif other == far:
                from_anchor = from_positive = <real> 0.5
            far = other if other < far else far
        else:
            clear_row(v, width)
        m = k[OWN] + near - far
        b[0][i] = <real> (0.0 if m < 0 else m)
        scale = <real> (0.0 if m < 0 else k[SCALE])
        for c in range(width):
            dp[c] = scale * (-da[c] - from_positive * v[c])
            dn[c] = scale * (from_anchor * u[c] + from_positive * v[c])
            da[c] = scale * (da[c] - from_anchor * u[c])


cdef hot cosine_embedding(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradients by x1 and x2, these, y: 1 - cos for y = 1, max(0, cos - margin) for y = -1, else 0.

    cos = x1.x2 / sqrt((|x1|^2 + 1e-12) (|x2|^2 + 1e-12)), torch's; k = ..., margin.
    """
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef const real* x1
    cdef const real* x2
    cdef const real* y = b[5]
    cdef real* d1
    cdef real* d2
    cdef double margin = k[OWN]
    cdef double square1, square2, root, cos, slope
    cdef real across, along1, along2
    cdef Py_ssize_t i, c
    for i in range(n):
        x1 = b[3] + i * <Py_ssize_t> k[STRIDE]
        x2 = b[4] + i * <Py_ssize_t> k[STRIDE + 1]
        d1 = b[1] + i * width
        d2 = b[2] + i * width
        square1 = dot_lanes(x1, x1, width) + 1e-12
        square2 = dot_lanes(x2, x2, width) + 1e-12
        root = sqrt_(square1) * sqrt_(square2)
        cos = dot_lanes(x1, x2, width) / root
        if y[i] == 1:
            b[0][i] = <real> (1 - cos)
            slope = -k[SCALE]
        elif y[i] == -1:
            b[0][i] = <real> (0.0 if cos < margin else cos - margin)
            slope = 0 if cos < margin else k[SCALE]
        else:
            b[0][i] = 0
            slope = 0
        across = <real> (slope / root)
        along1 = <real> (slope * cos / square1)
        along2 = <real> (slope * cos / square2)
        for c in range(width):
            d1[c] = across * x2[c] - along1 * x1[c]
            d2[c] = across * x1[c] - along2 * x2[c]


cdef hot dice(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., y: 1 - (2 sum p y + smooth) / (sum p + sum y + smooth), p = z or expit(z); k = ..., smooth, from_logits."""
    cdef Py_ssize_t width = <Py_ssize_t> k[WIDTH]
    cdef double smooth = k[OWN]
    cdef bint from_logits = k[SECOND] != 0
    cdef const real* z
    cdef const real* y
    cdef real* p
    cdef double above, below
    cdef real first, second, e
    cdef Py_ssize_t i, c, piece, start, size
    for i in range(n):
        z = b[2] + i * <Py_ssize_t> k[STRIDE]
        y = b[3] + i * <Py_ssize_t> k[STRIDE + 1]
        p = b[1] + i * width
        above = below = smooth
        for piece in range((width + CHUNK - 1) // CHUNK):  # all passes while a piece of a long row is in L1
            start = piece * CHUNK
            size = min(width - start, <Py_ssize_t> CHUNK)
            if from_logits:
                for c in range(start, start + size):
                    p[c] = expit_(z[c])
            else:
                for c in range(start, start + size):
                    p[c] = z[c]
            overlap_sums(p + start, y + start, size, &above, &below)
        if below == 0:
            b[0][i] = 0
            clear_row(p, width)
            continue
        b[0][i] = <real> (1 - above / below)
        first = <real> (-2 * k[SCALE] / below)
        second = <real> (k[SCALE] * above / below / below)
        for c in range(width):
            p[c] = first * y[c] + second
        if from_logits:
            for c in range(width):
                e = exp_(-abs_(z[c]))
                p[c] = p[c] * (e / ((<real> 1 + e) * (<real> 1 + e)))


ROWWISE = {
    "nll": capsules(<void*> nll[float], <void*> nll[double], "fastopt.loss"),
    "cross_entropy": capsules(<void*> cross_entropy[float], <void*> cross_entropy[double], "fastopt.loss"),
    "focal": capsules(<void*> focal[float], <void*> focal[double], "fastopt.loss"),
    "cross_entropy_smooth": capsules(
        <void*> cross_entropy_smooth[float], <void*> cross_entropy_smooth[double], "fastopt.loss",
    ),
    "cross_entropy_soft": capsules(
        <void*> cross_entropy_soft[float], <void*> cross_entropy_soft[double], "fastopt.loss",
    ),
    "softmax_curvature": capsules(<void*> softmax_curvature[float], <void*> softmax_curvature[double], "fastopt.loss"),
    "multi_margin": capsules(<void*> multi_margin[float], <void*> multi_margin[double], "fastopt.loss"),
    "multilabel_margin": capsules(<void*> multilabel_margin[float], <void*> multilabel_margin[double], "fastopt.loss"),
    "multilabel_soft_margin": capsules(
        <void*> multilabel_soft_margin[float], <void*> multilabel_soft_margin[double], "fastopt.loss",
    ),
    "triplet": capsules(<void*> triplet[float], <void*> triplet[double], "fastopt.loss"),
    "cosine_embedding": capsules(<void*> cosine_embedding[float], <void*> cosine_embedding[double], "fastopt.loss"),
    "dice": capsules(<void*> dice[float], <void*> dice[double], "fastopt.loss"),
}
