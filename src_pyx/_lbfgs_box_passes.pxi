"""The passes that only bounds and an L1 penalty need.

`free` is 1 where the direction moves a variable, or 0; those that are held have d = 0 and s = 0. The direction and the
pair are made with products over the free variables: each such kernel is that of _lbfgs_passes.pxi with a mask, and
gives its very bits where all are free.
"""

cdef enum:
    FREE = 4  # the sides of the box, where every kernel finds them in b
    LOW = 5  # of the orthant, with L1
    HIGH = 6
    WEIGHT = 7
    TILT = 8  # what L1 adds to the gradient
    PSEUDO = 9  # the gradient with it
    FLOOR = 10  # the bounds
    CEILING = 11
    WITH_BOUNDS = 3  # sides
    WITH_L1 = 8


cdef inline void masked(stored* product, const stored* x, const real* free, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        product[i] = x[i] * <stored> free[i]


cdef hot reverse_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = -g; sums: d's."""
    cdef real* d = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const real* free = b[FREE] + offset
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = -g[i] * free[i]
    sums[0] = dot_stored(<const real*> d, <const stored*> h[0] + offset, n)


cdef hot turn_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d += k v; sums: d'w."""
    cdef real* d = b[0] + offset
    cdef const real* free = b[FREE] + offset
    cdef const stored* v = h[0] + offset
    cdef const stored* w = h[1] + offset
    cdef real a = <real> k[0]
    cdef double[LANES] lane
    cdef real[LANES] r
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            r[j] = d[LANES * i + j] + a * (<real> v[LANES * i + j] * free[LANES * i + j])
        for j in range(LANES):
            d[LANES * i + j] = r[j]
        for j in range(LANES):
            lane[j] += <double> r[j] * <double> w[LANES * i + j]
    sums[0] = fold(lane)


cdef hot middle_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = k1 (d + k0 v), with the diagonal in b[1] if there is one; sums: d'v."""
    cdef real* d = b[0] + offset
    cdef const double* diagonal = <const double*> b[1] + offset
    cdef const real* free = b[FREE] + offset
    cdef const stored* v = h[0] + offset
    cdef real a = <real> k[0]
    cdef double scale = k[1]
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = d[i] + a * (<real> v[i] * free[i])
    if b[1] == NULL:
        for i in range(n):
            d[i] = <real> (scale * <double> d[i])
    else:
        for i in range(n):
            d[i] = <real> (scale * diagonal[i] * <double> d[i])
    sums[0] = dot_stored(<const real*> d, v, n)


cdef hot finish_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d += k v; sums: d'g, d'd."""
    cdef real* d = b[0] + offset
    cdef const real* free = b[FREE] + offset
    cdef const stored* v = h[0] + offset
    cdef real a = <real> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = d[i] + a * (<real> v[i] * free[i])
    sums[0] = dot_lanes(<const real*> d, <const real*> b[1] + offset, n)
    sums[1] = dot_lanes(<const real*> d, <const real*> d, n)


cdef hot descend_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = -k g, or -k diagonal g if there is a diagonal in b[2]; sums: d'g, d'd."""
    cdef real* d = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const double* diagonal = <const double*> b[2] + offset
    cdef const real* free = b[FREE] + offset
    cdef double scale = k[0]
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = -g[i] * free[i]
    if b[2] == NULL:
        for i in range(n):
            d[i] = <real> (scale * <double> d[i])
    else:
        for i in range(n):
            d[i] = <real> (scale * diagonal[i] * <double> d[i])
    sums[0] = dot_lanes(<const real*> d, g, n)
    sums[1] = dot_lanes(<const real*> d, <const real*> d, n)


cdef hot differ_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """s = x2 - x, y = g2 - g, which is kept whole; sums: s'y, y'y where free, s's."""
    cdef stored* s = h[0] + offset
    cdef stored* y = h[1] + offset
    cdef stored[CHUNK] part
    differ(b, h, offset, n, k, sums)
    masked(part, <const stored*> y, <const real*> b[FREE] + offset, n)
    sums[1] = dot_lanes(<const stored*> part, <const stored*> part, n)


cdef hot portion(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: s'y, y'y where free."""
    cdef stored[CHUNK] part
    masked(part, <const stored*> h[1] + offset, <const real*> b[FREE] + offset, n)
    sums[0] = dot_lanes(<const stored*> h[0] + offset, <const stored*> part, n)
    sums[1] = dot_lanes(<const stored*> part, <const stored*> part, n)


cdef hot cross_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: s'y0, y's0 and s0'y0 where free."""
    cdef const stored* y0 = h[3] + offset
    cdef stored[CHUNK] part
    masked(part, <const stored*> h[2] + offset, <const real*> b[FREE] + offset, n)
    sums[0] = dot_lanes(<const stored*> h[0] + offset, y0, n)
    sums[1] = dot_lanes(<const stored*> h[1] + offset, <const stored*> part, n)
    sums[2] = dot_lanes(<const stored*> part, y0, n)


cdef hot foretell_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: y'Dy where free, s'D^-1 s."""
    cdef const stored* s = h[0] + offset
    cdef const stored* y = h[1] + offset
    cdef const double* diagonal = <const double*> b[0] + offset
    cdef const real* free = b[FREE] + offset
    cdef double[CHUNK] term
    cdef Py_ssize_t i
    for i in range(n):
        term[i] = <double> free[i] * (<double> y[i] * <double> y[i] * diagonal[i])
    sums[0] = sum_lanes(<const double*> term, n)
    for i in range(n):
        term[i] = <double> s[i] * <double> s[i] / diagonal[i]
    sums[1] = sum_lanes(<const double*> term, n)


cdef hot learn_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """As `learn` where free, or where k3 = 0, a new beginning; else p and q stay. Sums: y'Dy where free, p, q."""
    cdef double* p = <double*> b[0] + offset
    cdef double* q = <double*> b[1] + offset
    cdef double* diagonal = <double*> b[2] + offset
    cdef const real* free = b[FREE] + offset
    cdef const stored* s = h[0] + offset
    cdef const stored* y = h[1] + offset
    cdef double[CHUNK] square
    cdef double floor_p = k[0]
    cdef double floor_q = k[1]
    cdef double rho = k[2]
    cdef double keep = k[3]
    cdef double otherwise = 1 if keep else 0
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = (keep if free[i] else otherwise) * p[i] + rho * (<double> s[i] * <double> s[i])
    for i in range(n):
        square[i] = <double> free[i] * (<double> y[i] * <double> y[i])
    for i in range(n):
        q[i] = (keep if free[i] else otherwise) * q[i] + rho * square[i]
    for i in range(n):
        diagonal[i] = sqrt((p[i] + floor_p) / (q[i] + floor_q))
    sums[0] = dot_lanes(<const double*> square, <const double*> diagonal, n)
    sums[1] = sum_lanes(<const double*> p, n)
    sums[2] = sum_lanes(<const double*> q, n)


cdef hot conjugate_held(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """s -= k s0 where free, y -= k y0; sums: s'y."""
    cdef stored* s = h[0] + offset
    cdef stored* y = h[1] + offset
    cdef const stored* s0 = h[2] + offset
    cdef const stored* y0 = h[3] + offset
    cdef const real* free = b[FREE] + offset
    cdef stored share = <stored> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = s[i] - share * (s0[i] * <stored> free[i])
        y[i] = y[i] - share * y0[i]
    sums[0] = dot_lanes(<const stored*> s, <const stored*> y, n)


cdef hot orient(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """The orthant of x, and at zeros that into which f falls: its sides, and the gradient of f + w'|x| in it."""
    cdef const real* x = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const real* weight = b[WEIGHT] + offset
    cdef const real* floor = b[FLOOR] + offset
    cdef const real* ceiling = b[CEILING] + offset
    cdef real* low = b[LOW] + offset
    cdef real* high = b[HIGH] + offset
    cdef real* tilt = b[TILT] + offset
    cdef real* pseudo = b[PSEUDO] + offset
    cdef real up, down
    cdef Py_ssize_t i
    for i in range(n):
        up = (x[i] > 0) | ((x[i] == 0) & (g[i] < 0))
        down = (x[i] < 0) | ((x[i] == 0) & (g[i] > 0))
        tilt[i] = weight[i] * (up - down)
        pseudo[i] = g[i] + tilt[i]
        # Without a weight all is allowed; else what lies on this side of 0.
        low[i] = floor[i] if (down > 0) | (weight[i] == 0) | (floor[i] > 0) else <real> 0
        high[i] = ceiling[i] if (up > 0) | (weight[i] == 0) | (ceiling[i] < 0) else <real> 0


cdef hot hold(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """free = 0 where there is no room, or x is at a bound and -g leads out; sums: how many, how many changed."""
    cdef const real* x = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const real* low = b[LOW] + offset
    cdef const real* high = b[HIGH] + offset
    cdef real* free = b[FREE] + offset
    cdef real[CHUNK] held
    cdef real[CHUNK] changed
    cdef Py_ssize_t i
    for i in range(n):
        held[i] = (low[i] >= high[i]) | ((x[i] <= low[i]) & (g[i] > 0)) | ((x[i] >= high[i]) & (g[i] < 0))
    for i in range(n):
        changed[i] = abs_(<real> 1 - held[i] - free[i])
        free[i] = <real> 1 - held[i]
    sums[0] = sum_lanes(<const real*> held, n)
    sums[1] = sum_lanes(<const real*> changed, n)


cdef hot drop(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """free = d = 0 where x is at a bound and d leads out; sums: how many, g'd, d'd; -max is the way to a bound."""
    cdef const real* x = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* d = b[2] + offset
    cdef const real* low = b[LOW] + offset
    cdef const real* high = b[HIGH] + offset
    cdef real* free = b[FREE] + offset
    cdef real[CHUNK] out
    cdef real[LANES] least
    cdef real[LANES] room
    cdef real nearest
    cdef Py_ssize_t i, j
    for i in range(n):
        out[i] = ((x[i] <= low[i]) & (d[i] < 0)) | ((x[i] >= high[i]) & (d[i] > 0))
    for i in range(n):
        d[i] = <real> 0 if out[i] else d[i]
        free[i] = free[i] - out[i]
    for j in range(LANES):
        least[j] = <real> INFINITY
    for i in range(n // LANES):
        for j in range(LANES):
            room[j] = (high[LANES * i + j] if d[LANES * i + j] > 0 else low[LANES * i + j]) - x[LANES * i + j]
        for j in range(LANES):
            room[j] = room[j] / d[LANES * i + j] if d[LANES * i + j] != 0 else <real> INFINITY
        for j in range(LANES):
            least[j] = room[j] if room[j] < least[j] else least[j]
    nearest = least[0]
    for j in range(1, LANES):
        nearest = min(nearest, least[j])
    sums[0] = sum_lanes(<const real*> out, n)
    sums[1] = dot_lanes(<const real*> d, g, n)
    sums[2] = dot_lanes(<const real*> d, <const real*> d, n)
    sums[TOP] = -nearest


cdef hot walk_within(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """x2 = x + k d, clipped; sums: g'(x2 - x), 1 if x2 differs from x at all."""
    cdef real* x2 = b[0] + offset
    cdef const real* x = b[1] + offset
    cdef const real* d = b[2] + offset
    cdef const real* low = b[LOW] + offset
    cdef const real* high = b[HIGH] + offset
    cdef real step = <real> k[0]
    cdef real[CHUNK] r
    cdef Py_ssize_t i
    for i in range(n):
        r[i] = x[i] + step * d[i]
        r[i] = low[i] if r[i] < low[i] else r[i]
        r[i] = high[i] if r[i] > high[i] else r[i]
    memcpy(x2, r, n * sizeof(real))
    sums[TOP] = memcmp(x2, x, n * sizeof(real)) != 0
    for i in range(n):
        r[i] = r[i] - x[i]
    sums[0] = dot_lanes(<const real*> r, <const real*> b[3] + offset, n)


cdef hot gauge(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: g'p, p'D^-1 p of the clipped step p = P(x - D g) - x where free; D = k, or k times the diagonal in b[2]."""
    cdef const real* x = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const double* diagonal = <const double*> b[2] + offset
    cdef const real* free = b[FREE] + offset
    cdef const real* low = b[LOW] + offset
    cdef const real* high = b[HIGH] + offset
    cdef double scale = k[0]
    cdef double[CHUNK] metric
    cdef double[CHUNK] p
    cdef Py_ssize_t i
    for i in range(n):
        metric[i] = scale
    if b[2] != NULL:
        for i in range(n):
            metric[i] = scale * diagonal[i]
    for i in range(n):
        p[i] = x[i] - metric[i] * <double> (g[i] * free[i])
        p[i] = low[i] if p[i] < low[i] else p[i]
        p[i] = high[i] if p[i] > high[i] else p[i]
        p[i] = p[i] - x[i]
    sums[0] = dot_stored(g, <const double*> p, n)
    for i in range(n):
        p[i] = p[i] * p[i] / metric[i]
    sums[1] = sum_lanes(<const double*> p, n)


cdef inline double slope_of(
    const real* g, const real* d, const real* x, const real* low, const real* high, bint bent, Py_ssize_t n
) noexcept nogil:
    """g'd, of a path that is bent over those variables that are not yet at a bound."""
    cdef real[CHUNK] moving
    cdef Py_ssize_t i
    if not bent:
        return dot_lanes(g, d, n)
    for i in range(n):
        moving[i] = d[i] if (x[i] > low[i]) & (x[i] < high[i]) else <real> 0
    return dot_lanes(g, <const real*> moving, n)


cdef inline double square_of_free_difference(
    const real* x, const real* y, const real* free, Py_ssize_t n
) noexcept nogil:
    cdef double[LANES] lane
    cdef double[LANES] r
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            r[j] = (<double> x[LANES * i + j] - <double> y[LANES * i + j]) * <double> free[LANES * i + j]
        for j in range(LANES):
            lane[j] += r[j] * r[j]
    return fold(lane)


cdef hot weigh_within(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: g'd, on a bent path if k says so, |g - g0|^2 where free, max |x - P(x - g)|."""
    cdef const real* g = b[0] + offset
    cdef const real* x = b[3] + offset
    cdef const real* low = b[LOW] + offset
    cdef const real* high = b[HIGH] + offset
    cdef real[CHUNK] r
    cdef Py_ssize_t i
    # Not by x - g, which would round a small g away.
    for i in range(n):
        r[i] = x[i] - high[i]
        r[i] = r[i] if r[i] > g[i] else g[i]
        r[i] = r[i] if r[i] < x[i] - low[i] else x[i] - low[i]
    sums[0] = slope_of(g, <const real*> b[1] + offset, x, low, high, <bint> k[0], n)
    sums[1] = square_of_free_difference(g, <const real*> b[2] + offset, <const real*> b[FREE] + offset, n)
    sums[TOP] = largest_size(<const real*> r, n)


cdef hot weigh_l1(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """As weigh_within, with the slope of f + w'|x|, and of x - P(prox(x - g)) the largest; sums besides: w'|x|."""
    cdef const real* g = b[0] + offset
    cdef const real* x = b[3] + offset
    cdef const real* weight = b[WEIGHT] + offset
    cdef const real* tilt = b[TILT] + offset
    cdef const real* floor = b[FLOOR] + offset
    cdef const real* ceiling = b[CEILING] + offset
    cdef real[CHUNK] r
    cdef Py_ssize_t i
    for i in range(n):
        r[i] = g[i] + tilt[i]
    sums[0] = slope_of(
        <const real*> r, <const real*> b[1] + offset, x, <const real*> b[LOW] + offset, <const real*> b[HIGH] + offset,
        <bint> k[0], n)
    sums[1] = square_of_free_difference(g, <const real*> b[2] + offset, <const real*> b[FREE] + offset, n)
    for i in range(n):
        r[i] = abs_(x[i])
    sums[2] = dot_lanes(<const real*> r, weight, n)
    # x - prox(x - g) is x brought between g - w and g + w.
    for i in range(n):
        r[i] = x[i] if x[i] > g[i] - weight[i] else g[i] - weight[i]
        r[i] = r[i] if r[i] < g[i] + weight[i] else g[i] + weight[i]
        r[i] = r[i] if r[i] > x[i] - ceiling[i] else x[i] - ceiling[i]
        r[i] = r[i] if r[i] < x[i] - floor[i] else x[i] - floor[i]
    sums[TOP] = largest_size(<const real*> r, n)
