# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""L-BFGS as reverse communication: passes over vectors, then the solver's moves, then the Python face.

Design: the solver never calls the objective. It holds a trial point, takes in the value and gradient there
(`advance`), and either holds the next trial or has a reason to stop. All of it is nogil and works on one struct
without pointers to Python, so that an objective in C, a batch of runs or a pickle needs nothing more. Vectors have the
dtype of the starting point, scalars are double. The facade has validated everything.

Nocedal, J. (1980), Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35(151).
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport INFINITY, NAN, fabs, isfinite, sqrt
from libc.string cimport memcpy
from _core cimport (
    ALIGNED, CHUNK, C_CONTIGUOUS, FLOAT32, FLOAT64, LANES, array_of, cascade_add, cascade_start, cascade_t,
    cascade_total, dtype_of, fold, hot, real,
)
from _linesearch cimport ACCEPTED, SEARCHING, search_advance, search_start, search_t, verdict_t


cdef inline double receive_chunk(
    real* mine, const real* g, const real* d, Py_ssize_t n, double* largest
) noexcept nogil:
    cdef double[LANES] lane
    cdef real[LANES] top
    cdef real[LANES] r
    cdef real size
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
        top[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            r[j] = g[LANES * i + j]
        for j in range(LANES):
            mine[LANES * i + j] = r[j]
        for j in range(LANES):
            size = r[j] if r[j] > 0 else -r[j]
            top[j] = size if size > top[j] else top[j]
            lane[j] += <double> r[j] * <double> d[LANES * i + j]
    for j in range(n - LANES * blocks):
        r[j] = g[LANES * blocks + j]
        mine[LANES * blocks + j] = r[j]
        size = r[j] if r[j] > 0 else -r[j]
        top[j] = size if size > top[j] else top[j]
        lane[j] += <double> r[j] * <double> d[LANES * blocks + j]
    for j in range(LANES):
        if top[j] > largest[0]:
            largest[0] = top[j]
    return fold(lane)

cdef hot receive(real* mine, const real* g, const real* d, Py_ssize_t n, double* seen) noexcept nogil:
    """mine = g; seen = (g'd, max |g|). The product is not finite where g is not."""
    cdef cascade_t total
    cdef Py_ssize_t i = 0
    cascade_start(&total)
    seen[1] = 0
    while i < n:
        cascade_add(&total, receive_chunk(mine + i, g + i, d + i, min(n - i, <Py_ssize_t> CHUNK), seen + 1))
        i += CHUNK
    seen[0] = cascade_total(&total)


cdef inline double combine_chunk(
    real* q, const real* p, const real* v, const real* w, Py_ssize_t n, real scale, real a
) noexcept nogil:
    cdef double[LANES] lane
    cdef real[LANES] r
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            r[j] = scale * (p[LANES * i + j] + a * v[LANES * i + j])
        for j in range(LANES):
            q[LANES * i + j] = r[j]
        for j in range(LANES):
            lane[j] += <double> r[j] * <double> w[LANES * i + j]
    for j in range(n - LANES * blocks):
        r[j] = scale * (p[LANES * blocks + j] + a * v[LANES * blocks + j])
        q[LANES * blocks + j] = r[j]
        lane[j] += <double> r[j] * <double> w[LANES * blocks + j]
    return fold(lane)

cdef hot combine(
    real* q, const real* p, const real* v, const real* w, Py_ssize_t n, double scale, double a, double* product
) noexcept nogil:
    """q = scale (p + a v); product = q'w. One turn of the two-loop recursion in one pass."""
    cdef cascade_t total
    cdef Py_ssize_t i = 0
    cascade_start(&total)
    while i < n:
        cascade_add(&total, combine_chunk(
            q + i, p + i, v + i, w + i, min(n - i, <Py_ssize_t> CHUNK), <real> scale, <real> a))
        i += CHUNK
    product[0] = cascade_total(&total)


cdef inline void differ_chunk(
    real* s, real* y, const real* x, const real* x2, const real* g, const real* g2, Py_ssize_t n, cascade_t* total
) noexcept nogil:
    cdef double[LANES] sy
    cdef double[LANES] yy
    cdef double[LANES] ss
    cdef real[LANES] a
    cdef real[LANES] b
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        sy[j] = 0
        yy[j] = 0
        ss[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            a[j] = x2[LANES * i + j] - x[LANES * i + j]
            b[j] = g2[LANES * i + j] - g[LANES * i + j]
        for j in range(LANES):
            s[LANES * i + j] = a[j]
        for j in range(LANES):
            y[LANES * i + j] = b[j]
        for j in range(LANES):
            sy[j] += <double> a[j] * <double> b[j]
            yy[j] += <double> b[j] * <double> b[j]
            ss[j] += <double> a[j] * <double> a[j]
    for j in range(n - LANES * blocks):
        a[j] = x2[LANES * blocks + j] - x[LANES * blocks + j]
        b[j] = g2[LANES * blocks + j] - g[LANES * blocks + j]
        s[LANES * blocks + j] = a[j]
        y[LANES * blocks + j] = b[j]
        sy[j] += <double> a[j] * <double> b[j]
        yy[j] += <double> b[j] * <double> b[j]
        ss[j] += <double> a[j] * <double> a[j]
    cascade_add(total, fold(sy))
    cascade_add(total + 1, fold(yy))
    cascade_add(total + 2, fold(ss))

cdef hot differ(
    real* s, real* y, const real* x, const real* x2, const real* g, const real* g2, Py_ssize_t n, double* products
) noexcept nogil:
    """s = x2 - x; y = g2 - g; products = (s'y, y'y, s's)."""
    cdef cascade_t[3] total
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t j
    for j in range(3):
        cascade_start(&total[j])
    while i < n:
        differ_chunk(s + i, y + i, x + i, x2 + i, g + i, g2 + i, min(n - i, <Py_ssize_t> CHUNK), total)
        i += CHUNK
    for j in range(3):
        products[j] = cascade_total(&total[j])


cdef hot walk(real* x2, const real* x, const real* d, Py_ssize_t n, double t, bint* moved) noexcept nogil:
    """x2 = x + t d; moved tells whether x2 differs from x at all."""
    cdef real step = <real> t
    cdef real[LANES] r
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    cdef int changed = 0
    for i in range(blocks):
        for j in range(LANES):
            r[j] = x[LANES * i + j] + step * d[LANES * i + j]
            changed |= r[j] != x[LANES * i + j]
        for j in range(LANES):
            x2[LANES * i + j] = r[j]
    for i in range(LANES * blocks, n):
        x2[i] = x[i] + step * d[i]
        changed |= x2[i] != x[i]
    moved[0] = changed


cdef hot survey(const real* x, const real* g, Py_ssize_t n, double* seen) noexcept nogil:
    """seen = (x'x, max |g_i| / max(1, |x_i|)): what the first step is chosen by."""
    cdef double size, squares = 0, steepest = 0
    cdef Py_ssize_t i
    for i in range(n):
        size = fabs(<double> x[i])
        squares += size * size
        steepest = max(steepest, fabs(<double> g[i]) / max(1.0, size))
    seen[0] = squares
    seen[1] = steepest


cdef enum reason_t:
    RUNNING
    GRADIENT
    DECREASE
    MAXITER
    MAXFUN
    LINESEARCH
    PRECISION
    STALLED
    NONFINITE
    STOPPED

REASONS = ("running", "gradient", "decrease", "maxiter", "maxfun", "linesearch", "precision", "stalled", "nonfinite",
           "stopped")

cdef enum:
    DIRECTION = 6  # row of the search direction in points, below three places of two rows each
    ROWS = 7
    # With ten pairs an ill-conditioned run may take some thirty iterations to halve its gradient: less patience
    # would end it short of what it can reach.
    WINDOW = 50  # iterations over which progress is judged
    PATIENCE = 50  # iterations without any

# An evaluated point: the rows of its vectors, its value and the largest size of a gradient component.
ctypedef struct place_t:
    Py_ssize_t x
    Py_ssize_t g
    double f
    double gnorm

ctypedef struct lbfgs_t:
    Py_ssize_t n
    Py_ssize_t slots  # one more than pairs are kept, so that a refused pair overwrites none
    Py_ssize_t count
    Py_ssize_t head  # the slot the next pair goes to
    Py_ssize_t nit
    Py_ssize_t nfev
    Py_ssize_t maxiter
    Py_ssize_t maxfun
    Py_ssize_t maxls
    Py_ssize_t still  # iterations without progress
    double gtol
    double ftol
    double eps  # of the vectors
    double gamma  # H0 = gamma I
    double former_f  # before the last step
    double still_gnorm
    double window_f
    double window_gnorm
    double former_window_gnorm
    place_t here
    place_t trial
    place_t best  # the best point seen that is better than `here`; f = inf when there is none
    search_t search
    reason_t reason
    void* history  # S, then Y: one row for each slot
    double* rho  # 1 / s'y for each slot, then as many numbers to work with


cdef inline real* row(real* rows, Py_ssize_t n, Py_ssize_t i) noexcept nogil:
    return rows + i * n

cdef inline bint better(const lbfgs_t* s, const place_t* a, const place_t* b) noexcept nogil:
    """Whether a is lower than b, or, where rounding hides that, flatter."""
    cdef double rounding = 2 * s.eps * fabs(b.f) if isfinite(b.f) else 0
    return a.f < b.f - rounding or (fabs(a.f - b.f) <= rounding and a.gnorm < b.gnorm)

cdef inline void swap(place_t* a, place_t* b) noexcept nogil:
    cdef place_t c = a[0]
    a[0] = b[0]
    b[0] = c


cdef double direct(lbfgs_t* s, real* points) noexcept nogil:
    """The two-loop recursion, d = -H g; returns the slope g'd."""
    cdef Py_ssize_t n = s.n
    cdef real* d = row(points, n, DIRECTION)
    cdef real* g = row(points, n, s.here.g)
    cdef real* S = <real*> s.history
    cdef real* Y = row(S, n, s.slots)
    cdef double* alpha = s.rho + s.slots
    cdef double product
    cdef Py_ssize_t newest = (s.head + s.slots - 1) % s.slots
    cdef Py_ssize_t slot = newest
    cdef Py_ssize_t i, older, newer
    combine(d, g, g, row(S, n, newest) if s.count else g, n, -1, 0, &product)
    for i in range(s.count):
        slot = (newest + s.slots - i) % s.slots
        older = (slot + s.slots - 1) % s.slots
        alpha[slot] = s.rho[slot] * product
        if i + 1 < s.count:
            combine(d, d, row(Y, n, slot), row(S, n, older), n, 1, -alpha[slot], &product)
        else:
            combine(d, d, row(Y, n, slot), row(Y, n, slot), n, s.gamma, -alpha[slot], &product)
    for i in range(s.count):
        newer = (slot + 1) % s.slots
        combine(d, d, row(S, n, slot), row(Y, n, newer) if i + 1 < s.count else g, n, 1,
                alpha[slot] - s.rho[slot] * product, &product)
        slot = newer
    return product


cdef double first_step(lbfgs_t* s, real* points, double length) noexcept nogil:
    """The first trial along steepest descent, where no pair tells how far to go; length = ||g||."""
    cdef double[2] seen
    cdef double reach
    survey(row(points, s.n, s.here.x), row(points, s.n, s.here.g), s.n, seen)
    reach = max(1.0, sqrt(seen[0] / s.n))
    if s.nit:
        return min(100 * reach / length, max(1 / length, 2 * (s.former_f - s.here.f) / (length * length)))
    return max(1 / length, min(reach / length, 1 / seen[1]))


cdef void open_search(lbfgs_t* s, real* points) noexcept nogil:
    """Choose the direction and the first trial along it."""
    cdef double slope = direct(s, points)
    if s.count and not (slope < 0 and isfinite(slope)):
        s.count = 0
        slope = direct(s, points)
    if not (slope < 0 and isfinite(slope)):
        s.reason = PRECISION if slope == 0 else LINESEARCH
        return
    search_start(
        &s.search, s.here.f, slope, 1 if s.count else first_step(s, points, sqrt(-slope)), 1e10,
        # Steepest descent is the last resort, and its length is a guess: twice the evaluations.
        s.maxls if s.count else 2 * s.maxls,
        # How far rounding may lift f: tested for double; in single precision some units in the last place.
        max(1e-9, 8 * s.eps), s.eps)
    propose(s, points)


cdef void propose(lbfgs_t* s, real* points) noexcept nogil:
    """Form the trial point for the step the search asks for."""
    cdef bint moved
    walk(row(points, s.n, s.trial.x), row(points, s.n, s.here.x), row(points, s.n, DIRECTION), s.n, s.search.t, &moved)
    if not moved:
        settle(s, points)
    elif s.nfev >= s.maxfun:
        s.reason = MAXFUN


cdef void settle(lbfgs_t* s, real* points) noexcept nogil:
    """The search found no step: take the lowest point seen; else forget the pairs; else stop."""
    if s.best.f < s.here.f:
        swap(&s.trial, &s.best)
        s.best.f = INFINITY
        accept(s, points, False)
    elif s.count:
        s.count = 0
        open_search(s, points)
    else:
        s.reason = PRECISION if s.search.agrees else LINESEARCH


cdef void accept(lbfgs_t* s, real* points, bint found) noexcept nogil:
    """Move to the trial point, learn its pair and test whether to stop; `found`: by a search that succeeded."""
    cdef double[3] products
    cdef Py_ssize_t n = s.n
    differ(
        row(<real*> s.history, n, s.head), row(<real*> s.history, n, s.slots + s.head),
        row(points, n, s.here.x), row(points, n, s.trial.x), row(points, n, s.here.g), row(points, n, s.trial.g),
        n, products)
    if (products[0] > s.eps * sqrt(products[1]) * sqrt(products[2])
            and isfinite(1 / products[0]) and isfinite(products[0] / products[1])):
        s.rho[s.head] = 1 / products[0]
        s.gamma = products[0] / products[1]
        s.head = (s.head + 1) % s.slots
        s.count = min(s.count + 1, s.slots - 1)

    s.nit += 1
    s.former_f = s.here.f
    swap(&s.here, &s.trial)
    if better(s, &s.trial, &s.here) and better(s, &s.trial, &s.best):
        swap(&s.trial, &s.best)
    elif not better(s, &s.best, &s.here):
        s.best.f = INFINITY

    s.reason = judge(s, found)
    if s.reason == RUNNING:
        open_search(s, points)


cdef reason_t judge(lbfgs_t* s, bint found) noexcept nogil:
    """Whether to stop after an iteration, and why."""
    cdef double f = s.here.f
    cdef double gnorm = s.here.gnorm
    cdef bint spent
    if gnorm <= s.gtol:
        return GRADIENT
    if found and s.ftol > 0 and s.former_f - f < s.ftol * max(fabs(f), max(fabs(s.former_f), 1.0)):
        return DECREASE

    if fabs(s.former_f - f) > 2 * s.eps * fabs(f) or gnorm < .5 * s.still_gnorm:
        s.still = 0
        s.still_gnorm = gnorm
    else:
        s.still += 1
        if s.still >= PATIENCE:
            return STALLED

    s.window_gnorm = min(s.window_gnorm, gnorm)
    if s.nit % WINDOW == 0:
        # 45 units in the last place are the 1e-14 of double precision.
        spent = s.window_f - f <= 45 * s.eps * fabs(f) and s.window_gnorm > .5 * s.former_window_gnorm
        s.former_window_gnorm = s.window_gnorm
        s.window_gnorm = INFINITY
        s.window_f = f
        if spent:
            return PRECISION
    return MAXITER if s.nit >= s.maxiter else RUNNING


cdef void begin(lbfgs_t* s, real* points, bint finite) noexcept nogil:
    """The starting point has been evaluated."""
    swap(&s.here, &s.trial)
    s.window_f = s.here.f
    s.still_gnorm = s.window_gnorm = s.here.gnorm
    if not finite:
        s.reason = NONFINITE
    elif s.here.gnorm <= s.gtol:
        s.reason = GRADIENT
    elif s.maxiter == 0:
        s.reason = MAXITER
    else:
        open_search(s, points)


cdef void advance(lbfgs_t* s, real* points, const real* g, double f) noexcept nogil:
    """Take in the value and gradient at the trial point: form the next trial or find a reason to stop."""
    cdef double[2] seen
    cdef verdict_t verdict
    cdef bint finite
    receive(row(points, s.n, s.trial.g), g, row(points, s.n, DIRECTION), s.n, seen)
    finite = isfinite(f) and isfinite(seen[0])
    s.nfev += 1
    s.trial.f = f
    s.trial.gnorm = seen[1]
    if s.nfev == 1:
        begin(s, points, finite)
        return
    verdict = search_advance(&s.search, f, seen[0])
    if verdict == ACCEPTED:
        accept(s, points, True)
        return
    if finite and better(s, &s.trial, &s.here) and better(s, &s.trial, &s.best):
        swap(&s.trial, &s.best)
    if verdict == SEARCHING:
        propose(s, points)
    else:
        settle(s, points)


cdef class LBFGSCore:
    """The solver on buffers of the facade's making: points (7, n), history (2 slots, n), rho (2 slots)."""

    cdef lbfgs_t s
    cdef object points
    cdef object history
    cdef object rho
    cdef object rows
    cdef int dtype
    cdef bint busy

    def __cinit__(self):
        self.s.reason = STOPPED

    def __init__(self, points, history, rho, *, double gtol, double ftol, Py_ssize_t maxiter, Py_ssize_t maxfun,
                 Py_ssize_t maxls):
        self.attach(points, history, rho)
        self.s.eps = 2.0**-23 if self.dtype == FLOAT32 else 2.0**-52
        self.s.gtol = gtol
        self.s.ftol = ftol
        self.s.maxiter = maxiter
        self.s.maxfun = maxfun
        self.s.maxls = maxls
        self.s.search.c1 = 1e-3
        self.s.search.c2 = .9
        self.s.search.xtol = .1
        self.s.former_window_gnorm = INFINITY
        self.s.here = place_t(x=0, g=1, f=NAN, gnorm=INFINITY)
        self.s.trial = place_t(x=2, g=3, f=INFINITY, gnorm=INFINITY)
        self.s.best = place_t(x=4, g=5, f=INFINITY, gnorm=INFINITY)
        self.s.reason = RUNNING

    cdef attach(self, points, history, rho):
        self.s.n = len(points[0])
        self.s.slots = len(rho) // 2
        if points.shape != (ROWS, self.s.n) or history.shape != (2 * self.s.slots, self.s.n) or self.s.slots < 2:
            raise ValueError(f"Buffers do not fit: points {points.shape}, history {history.shape}, rho {rho.shape}")
        self.dtype = dtype_of(points)
        if self.dtype not in (FLOAT32, FLOAT64) or dtype_of(history) != self.dtype or dtype_of(rho) != FLOAT64:
            raise TypeError(f"Buffers do not fit: points {points.dtype}, history {history.dtype}, rho {rho.dtype}")
        self.points = points
        self.history = history
        self.rho = rho
        self.rows = list(points)
        self.s.history = array_of(history).data
        self.s.rho = <double*> array_of(rho).data

    def __getstate__(self):
        return (PyBytes_FromStringAndSize(<char*> &self.s, sizeof(lbfgs_t)),
                self.points.copy(), self.history.copy(), self.rho.copy())

    def __setstate__(self, state):
        cdef bytes scalars
        scalars, points, history, rho = state
        if len(scalars) != sizeof(lbfgs_t):
            raise ValueError("This run was saved by another version of fastopt and cannot be resumed")
        memcpy(&self.s, PyBytes_AS_STRING(scalars), sizeof(lbfgs_t))
        self.attach(points, history, rho)

    def ask(self):
        """A fresh copy of the point to evaluate."""
        if self.s.reason != RUNNING:
            raise RuntimeError("ask() after the run has ended: see result()")
        return self.rows[self.s.trial.x].copy()

    def tell(self, f, g):
        """Take in f and g if they are a float and a vector usable as it lies; otherwise return False, unchanged."""
        cdef double value
        cdef void* points
        cdef void* gradient
        if self.s.reason != RUNNING:
            raise RuntimeError("tell() after the run has ended: see result()")
        if (not isinstance(f, float) or type(g) is not type(self.points) or dtype_of(g) != self.dtype
                or array_of(g).nd != 1 or array_of(g).shape[0] != self.s.n
                or array_of(g).flags & (C_CONTIGUOUS | ALIGNED) != C_CONTIGUOUS | ALIGNED):
            return False
        if self.busy:
            raise RuntimeError("tell() while another thread is inside tell()")
        value = f
        points = array_of(self.points).data
        gradient = array_of(g).data
        self.busy = True
        with nogil:
            if self.dtype == FLOAT32:
                advance(&self.s, <float*> points, <const float*> gradient, value)
            else:
                advance(&self.s, <double*> points, <const double*> gradient, value)
        self.busy = False
        return True

    def stop(self):
        """End the run from outside."""
        self.s.reason = STOPPED

    @property
    def done(self):
        return self.s.reason != RUNNING

    @property
    def reason(self):
        return REASONS[self.s.reason]

    @property
    def nit(self):
        return self.s.nit

    @property
    def nfev(self):
        return self.s.nfev

    def here(self):
        """Copies of the current iterate: (x, f, g)."""
        return self.rows[self.s.here.x].copy(), self.s.here.f, self.rows[self.s.here.g].copy()

    def best(self):
        """Copies of the answer: (x, f, g) at the lowest f seen, or where the run converged by its gradient."""
        cdef place_t* place = &self.s.here
        if better(&self.s, &self.s.best, place) and not (self.s.reason == GRADIENT and self.s.best.gnorm > self.s.gtol):
            place = &self.s.best
        return self.rows[place.x].copy(), place.f, self.rows[place.g].copy()

    def pairs(self):
        """(S, Y, gamma) with copies of the stored pairs as rows, oldest first."""
        slots = [(self.s.head + self.s.slots - self.s.count + i) % self.s.slots for i in range(self.s.count)]
        return self.history[slots], self.history[[self.s.slots + i for i in slots]], self.s.gamma if slots else 1.0
