"""The passes of L-BFGS over vectors: kernels of one shape, and what runs them chunk by chunk, on threads if n is large.

A kernel leaves three sums and a maximum. `b` holds vectors of the points' type, `h` those of the history's. All are
padded with zeros to a multiple of LANES, so that no kernel has a tail.
"""
# Design: the chunks' sums are joined in the order of the grid, so that threads do not change a bit. Several kernels
# may follow each other within a chunk, whose vectors they find in the cache.

cdef enum:
    VECTORS = 12
    STORED = 4
    STAGES = 3
    WIDTH = 4  # sums of a kernel, the last of them a maximum
    TOP = 3

ctypedef fused stored:
    float
    double

ctypedef void (*kernel_t)(
    void** b, void** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil

ctypedef struct stage_t:
    kernel_t kernel
    void* b[VECTORS]
    void* h[STORED]
    double k[4]
    double sums[WIDTH]

ctypedef struct pass_t:
    stage_t stage[STAGES]
    Py_ssize_t stages
    Py_ssize_t n
    double* partial  # of each chunk
    char* box  # rows of `span` bytes that every kernel finds behind its own vectors
    Py_ssize_t sides
    Py_ssize_t span

cdef void work(void* job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Run the kernels on the chunks [start, stop)."""
    cdef pass_t* p = <pass_t*> job
    cdef stage_t* stage
    cdef double* sums
    cdef Py_ssize_t c, i, j
    for c in range(start, stop):
        for i in range(p.stages):
            stage = &p.stage[i]
            sums = p.partial + WIDTH * (STAGES * c + i)
            for j in range(WIDTH):
                sums[j] = 0
            stage.kernel(
                stage.b, stage.h, CHUNK * c, min(p.n - CHUNK * c, <Py_ssize_t> CHUNK), stage.k, sums)

cdef void run(pass_t* p, Py_ssize_t threads) noexcept nogil:
    """Run a pass over all of its vectors; each stage is left with its sums."""
    cdef cascade_t[TOP] total
    cdef double* sums
    cdef Py_ssize_t chunks = max(1, (p.n + CHUNK - 1) // CHUNK)
    cdef Py_ssize_t c, i, j
    if threads > 1:
        share(work, p, chunks, LARGE, threads)
    else:
        work(p, 0, chunks)
    for i in range(p.stages):
        sums = p.partial + WIDTH * i
        for j in range(WIDTH):
            p.stage[i].sums[j] = sums[j]
        if chunks == 1:
            continue
        for j in range(TOP):
            cascade_start(&total[j])
        for c in range(chunks):
            for j in range(TOP):
                cascade_add(&total[j], sums[j])
            p.stage[i].sums[TOP] = max(p.stage[i].sums[TOP], sums[TOP])
            sums += WIDTH * STAGES
        for j in range(TOP):
            p.stage[i].sums[j] = cascade_total(&total[j])


# Gcc vectorizes a loop with one sum in it, and takes two apart into shuffles: a vector is passed over again for each
# further sum, and is in L1 by then.

cdef inline double dot_stored(const real* x, const stored* y, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            lane[j] += <double> x[LANES * i + j] * <double> y[LANES * i + j]
    return fold(lane)

cdef inline double square_of_difference(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef double[LANES] r
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            r[j] = <double> x[LANES * i + j] - <double> y[LANES * i + j]
        for j in range(LANES):
            lane[j] += r[j] * r[j]
    return fold(lane)

cdef inline double largest_size(const real* x, Py_ssize_t n) noexcept nogil:
    """max |x|, for which NaN is no number."""
    cdef real[LANES] top
    cdef real[LANES] r
    cdef Py_ssize_t i, j
    for j in range(LANES):
        top[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            r[j] = abs_(x[LANES * i + j])
        for j in range(LANES):
            top[j] = r[j] if r[j] > top[j] else top[j]
    for j in range(1, LANES):
        top[0] = max(top[0], top[j])
    return top[0]


cdef hot fetch(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """mine = g, the caller's, whose length is k."""
    memcpy(b[0] + offset, b[1] + offset, min(n, <Py_ssize_t> k[0] - offset) * sizeof(real))


cdef hot weigh(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: g'd, |g - g0|^2, max |g|. The first is not finite where g is not."""
    cdef const real* g = b[0] + offset
    sums[0] = dot_lanes(g, <const real*> b[1] + offset, n)
    sums[1] = square_of_difference(g, <const real*> b[2] + offset, n)
    sums[TOP] = largest_size(g, n)


cdef hot reverse(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = -g; sums: d's."""
    cdef real* d = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = -g[i]
    sums[0] = dot_stored(<const real*> d, <const stored*> h[0] + offset, n)


cdef hot turn(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d += k v; sums: d'w. One turn of the two-loop recursion."""
    cdef real* d = b[0] + offset
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
            r[j] = d[LANES * i + j] + a * <real> v[LANES * i + j]
        for j in range(LANES):
            d[LANES * i + j] = r[j]
        for j in range(LANES):
            lane[j] += <double> r[j] * <double> w[LANES * i + j]
    sums[0] = fold(lane)


cdef hot middle(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = k1 (d + k0 v), with the diagonal in b[1] if there is one; sums: d'v. The turning point of the recursion."""
    cdef real* d = b[0] + offset
    cdef const double* diagonal = <const double*> b[1] + offset
    cdef const stored* v = h[0] + offset
    cdef real a = <real> k[0]
    cdef double scale = k[1]
    cdef Py_ssize_t i
    if b[1] == NULL:
        for i in range(n):
            d[i] = <real> (scale * <double> (d[i] + a * <real> v[i]))
    else:
        for i in range(n):
            d[i] = <real> (scale * diagonal[i] * <double> (d[i] + a * <real> v[i]))
    sums[0] = dot_stored(<const real*> d, v, n)


cdef hot finish(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d += k v; sums: d'g, d'd. The last turn of the recursion."""
    cdef real* d = b[0] + offset
    cdef const stored* v = h[0] + offset
    cdef real a = <real> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        d[i] = d[i] + a * <real> v[i]
    sums[0] = dot_lanes(<const real*> d, <const real*> b[1] + offset, n)
    sums[1] = dot_lanes(<const real*> d, <const real*> d, n)


cdef hot descend(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """d = -g, or -k diagonal g if there is a diagonal in b[2]; sums: d'g, d'd."""
    cdef real* d = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef const double* diagonal = <const double*> b[2] + offset
    cdef Py_ssize_t i
    if b[2] == NULL:
        for i in range(n):
            d[i] = -g[i]
    else:
        for i in range(n):
            d[i] = <real> (-k[0] * diagonal[i] * <double> g[i])
    sums[0] = dot_lanes(<const real*> d, g, n)
    sums[1] = dot_lanes(<const real*> d, <const real*> d, n)


cdef hot walk(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """x2 = x + k d; sums: 1 if x2 differs from x at all."""
    cdef real* x2 = b[0] + offset
    cdef const real* x = b[1] + offset
    cdef const real* d = b[2] + offset
    cdef real step = <real> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        x2[i] = x[i] + step * d[i]
    sums[TOP] = memcmp(x2, x, n * sizeof(real)) != 0


cdef hot survey(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: x'x, |g_1| + ... + |g_n|, max |g_i| / max(1, |x_i|). What the first step is chosen by."""
    cdef const real* x = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef double size, squares = 0, slopes = 0, steepest = 0
    cdef Py_ssize_t i
    for i in range(n):
        size = fabs(<double> x[i])
        squares += size * size
        slopes += fabs(<double> g[i])
        steepest = max(steepest, fabs(<double> g[i]) / max(1.0, size))
    sums[0] = squares
    sums[1] = slopes
    sums[TOP] = steepest


cdef hot differ(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """s = x2 - x, y = g2 - g, rounded as they are stored; sums: s'y, y'y, s's."""
    cdef const real* x = b[0] + offset
    cdef const real* x2 = b[1] + offset
    cdef const real* g = b[2] + offset
    cdef const real* g2 = b[3] + offset
    cdef stored* s = h[0] + offset
    cdef stored* y = h[1] + offset
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = <stored> (x2[i] - x[i])
    for i in range(n):
        y[i] = <stored> (g2[i] - g[i])
    sums[0] = dot_lanes(<const stored*> s, <const stored*> y, n)
    sums[1] = dot_lanes(<const stored*> y, <const stored*> y, n)
    sums[2] = dot_lanes(<const stored*> s, <const stored*> s, n)


cdef hot cross(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: s'y0, y's0, of a pair with the one before."""
    sums[0] = dot_lanes(<const stored*> h[0] + offset, <const stored*> h[3] + offset, n)
    sums[1] = dot_lanes(<const stored*> h[1] + offset, <const stored*> h[2] + offset, n)


cdef hot foretell(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """Sums: y'Dy, s'D^-1 s, by which a diagonal D is judged on a pair it has not seen."""
    cdef const stored* s = h[0] + offset
    cdef const stored* y = h[1] + offset
    cdef const double* diagonal = <const double*> b[0] + offset
    cdef double[CHUNK] term
    cdef Py_ssize_t i
    for i in range(n):
        term[i] = <double> y[i] * <double> y[i] * diagonal[i]
    sums[0] = sum_lanes(<const double*> term, n)
    for i in range(n):
        term[i] = <double> s[i] * <double> s[i] / diagonal[i]
    sums[1] = sum_lanes(<const double*> term, n)


cdef hot learn(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """p = k3 p + k2 s^2, q = k3 q + k2 y^2, D = sqrt((p + k0) / (q + k1)); sums: y'Dy."""
    cdef double* p = <double*> b[0] + offset
    cdef double* q = <double*> b[1] + offset
    cdef double* diagonal = <double*> b[2] + offset
    cdef const stored* s = h[0] + offset
    cdef const stored* y = h[1] + offset
    cdef double[CHUNK] square
    cdef double floor_p = k[0]
    cdef double floor_q = k[1]
    cdef double rho = k[2]
    cdef double keep = k[3]
    cdef double u, v
    cdef Py_ssize_t i
    if keep == 0:  # what was learned before may be infinite
        for i in range(n):
            p[i] = 0
            q[i] = 0
    for i in range(n):
        square[i] = <double> y[i] * <double> y[i]
        u = keep * p[i] + rho * (<double> s[i] * <double> s[i])
        v = keep * q[i] + rho * square[i]
        p[i] = u
        q[i] = v
        diagonal[i] = sqrt((u + floor_p) / (v + floor_q))
    sums[0] = dot_lanes(<const double*> square, <const double*> diagonal, n)


cdef hot conjugate(
    real** b, stored** h, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums
) noexcept nogil:
    """s -= k s0, y -= k y0; sums: s'y."""
    cdef stored* s = h[0] + offset
    cdef stored* y = h[1] + offset
    cdef const stored* s0 = h[2] + offset
    cdef const stored* y0 = h[3] + offset
    cdef stored share = <stored> k[0]
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = s[i] - share * s0[i]
        y[i] = y[i] - share * y0[i]
    sums[0] = dot_lanes(<const stored*> s, <const stored*> y, n)
