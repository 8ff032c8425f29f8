# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""L-BFGS as reverse communication: the solver's moves, then its Python face.

Design: the solver never calls the objective. It holds a trial point, takes in the value and gradient there
(`advance`), and either holds the next trial or has a reason to stop. All of it is nogil and works on one struct
without pointers to Python, so that an objective in C, a batch of runs or a pickle needs nothing more. Vectors have the
dtype of the starting point, scalars are double. The facade has validated everything.

Nocedal, J. (1980), Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35(151).
"""
import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport INFINITY, NAN, fabs, isfinite, log, sqrt
from libc.string cimport memcmp, memcpy
from _core cimport (
    ALIGNED, CHUNK, C_CONTIGUOUS, FLOAT32, FLOAT64, LANES, LARGE, THREAD_MIN, abs_, array_of, cascade_add, cascade_start,
    cascade_t, cascade_total, dot_lanes, dtype_of, fold, hot, real, share_t, sum_lanes,
)
from _linesearch cimport (
    ACCEPTED, EXHAUSTED, FIXED, HAGER_ZHANG, SEARCHING, kind_t, search_advance, search_from, search_start, search_t, verdict_t,
)

from . import _threads

cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")
cdef object hire = _threads.hire

include "_lbfgs_passes.pxi"

include "_lbfgs_box_passes.pxi"

cdef double MARGIN = .3  # how much better D must foretell
cdef double LONGEST = 1e10  # step

ctypedef struct kernels_t:
    kernel_t fetch, weigh, reverse, turn, middle, finish, descend, walk, survey
    kernel_t differ, cross, foretell, learn, conjugate
    kernel_t orient, hold, portion, drop, gauge  # of bounds

cdef void bind(kernels_t* k, real* _points, stored* _history) noexcept:
    """The kernels for points and a history of these types."""
    k.fetch = <kernel_t> fetch[real, stored]
    k.weigh = <kernel_t> weigh[real, stored]
    k.reverse = <kernel_t> reverse[real, stored]
    k.turn = <kernel_t> turn[real, stored]
    k.middle = <kernel_t> middle[real, stored]
    k.finish = <kernel_t> finish[real, stored]
    k.descend = <kernel_t> descend[real, stored]
    k.walk = <kernel_t> walk[real, stored]
    k.survey = <kernel_t> survey[real, stored]
    k.differ = <kernel_t> differ[real, stored]
    k.cross = <kernel_t> cross[real, stored]
    k.foretell = <kernel_t> foretell[real, stored]
    k.learn = <kernel_t> learn[real, stored]
    k.conjugate = <kernel_t> conjugate[real, stored]


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
    UNBOUNDED
    STOPPED

REASONS = ("running", "gradient", "decrease", "maxiter", "maxfun", "linesearch", "precision", "stalled", "nonfinite",
           "unbounded", "stopped")

cdef enum:
    DIRECTION = 6  # row of the search direction in points, below three places of two rows each
    ROWS = 7
    # With ten pairs an ill-conditioned run may take some thirty iterations to halve its gradient: less patience
    # would end it short of what it can reach.
    WINDOW = 50  # iterations over which progress is judged
    PATIENCE = 50  # iterations without any

# An evaluated point: the rows of its vectors, its value, the largest size of a gradient component and the step to it.
ctypedef struct place_t:
    Py_ssize_t x
    Py_ssize_t g
    double f
    double gnorm
    double t

ctypedef struct lbfgs_t:
    Py_ssize_t n
    Py_ssize_t stride  # n padded
    Py_ssize_t slots  # one more than pairs are kept, so that a refused pair overwrites none
    Py_ssize_t count
    Py_ssize_t head  # the slot the next pair goes to
    Py_ssize_t nit
    Py_ssize_t nfev
    Py_ssize_t maxiter
    Py_ssize_t maxfun
    Py_ssize_t maxls
    Py_ssize_t still  # iterations without progress
    Py_ssize_t far  # iterations in a row that went as far as a step may
    Py_ssize_t lessons  # pairs that D has been learned from
    Py_ssize_t held  # variables that the direction leaves where they are
    Py_ssize_t stale  # newest pairs whose products over the free variables are not known
    Py_ssize_t usable  # pairs that the direction is made of
    double gtol
    double ftol
    double init_step  # 0: chosen by the gradient
    double lr  # of the first trial of a search
    double change  # a step, a change of f or a slope of this size ends the run; -inf: none does
    double eps  # of the vectors
    double gamma  # H0 = gamma I, or
    double scale  # H0 = scale D
    double doubt  # how much worse D has foretold the newest pairs than gamma I did, as a logarithm; below 0: better
    double mean_p  # of the sums that D is made of
    double mean_q
    double slope  # g'd
    double square  # d'd
    double former_f  # before the last step
    double hit  # the step to the first bound
    double foretold  # g'(x2 - x) of the trial x2, which is clipped
    double free_gamma
    double still_gnorm
    double window_f
    double window_gnorm
    double former_window_gnorm
    place_t here
    place_t trial
    place_t best  # the best point seen that is better than `here`; f = inf when there is none
    search_t search
    reason_t reason
    bint diagonal  # D is learned
    bint conjugate
    bint learned  # there is a D
    bint scaled  # D is in use
    bint unstarted  # the starting point has not been evaluated
    bint akin  # the newest pair is of the function that is being minimized
    bint bent  # the search follows the bounds from the first it meets
    bint fresh  # and has not seen a trial yet
    bint turned  # to the gradient
    # What follows is set anew by `attach`.
    Py_ssize_t width  # bytes of an element of points
    Py_ssize_t history_width
    Py_ssize_t threads
    void* points
    void* history  # S, then Y: one row for each slot
    double* scaling  # p, q and D = sqrt(p / q)
    double* rho  # 1 / s'y for each slot, as many numbers to work with, and with bounds 1 / s'y and s'y / y'y where free
    double* partial
    void* box
    Py_ssize_t sides  # rows of the box: 0 without bounds
    kernels_t kernels
    kernels_t held_kernels


cdef inline void* vector(const lbfgs_t* s, Py_ssize_t i) noexcept nogil:
    return <char*> s.points + i * s.stride * s.width

cdef inline void* step_of(const lbfgs_t* s, Py_ssize_t slot) noexcept nogil:
    return <char*> s.history + slot * s.stride * s.history_width

cdef inline void* change_of(const lbfgs_t* s, Py_ssize_t slot) noexcept nogil:
    return step_of(s, s.slots + slot)

cdef inline void* side(const lbfgs_t* s, Py_ssize_t which) noexcept nogil:
    return <char*> s.box + (which - FREE) * s.stride * s.width

cdef inline void* slope_vector(const lbfgs_t* s) noexcept nogil:
    """The gradient that tells the slope."""
    return side(s, PSEUDO) if s.sides == WITH_L1 else vector(s, s.here.g)

cdef inline double* free_rho(const lbfgs_t* s) noexcept nogil:
    return s.rho + 2 * s.slots

cdef inline Py_ssize_t before(const lbfgs_t* s, Py_ssize_t slot) noexcept nogil:
    return slot - 1 if slot else s.slots - 1

cdef inline Py_ssize_t after(const lbfgs_t* s, Py_ssize_t slot) noexcept nogil:
    return slot + 1 if slot + 1 < s.slots else 0

cdef inline double* diagonal_of(const lbfgs_t* s) noexcept nogil:
    return s.scaling + 2 * s.stride if s.scaled else NULL

cdef inline bint better(const lbfgs_t* s, const place_t* a, const place_t* b) noexcept nogil:
    """Whether a is lower than b, or, where rounding hides that, flatter."""
    cdef double rounding = 2 * s.eps * fabs(b.f) if isfinite(b.f) else 0
    return a.f < b.f - rounding or (fabs(a.f - b.f) <= rounding and a.gnorm < b.gnorm)

cdef inline void swap(place_t* a, place_t* b) noexcept nogil:
    cdef place_t c = a[0]
    a[0] = b[0]
    b[0] = c

cdef inline void begin_pass(const lbfgs_t* s, pass_t* p) noexcept nogil:
    p.stages = 0
    p.n = s.stride
    p.partial = s.partial
    p.box = <char*> s.box
    p.sides = s.sides
    p.span = s.stride * s.width

cdef inline stage_t* then(pass_t* p, kernel_t kernel) noexcept nogil:
    cdef stage_t* stage = &p.stage[p.stages]
    cdef Py_ssize_t i
    p.stages += 1
    stage.kernel = kernel
    for i in range(p.sides):
        stage.b[FREE + i] = p.box + i * p.span
    return stage


include "_lbfgs_box.pxi"


cdef void direct(lbfgs_t* s) noexcept nogil:
    """d = -H g by the two-loop recursion, with its slope g'd and square d'd; where variables are held, in the others."""
    cdef pass_t p
    cdef stage_t* stage
    cdef const kernels_t* kernels = &s.held_kernels if s.held else &s.kernels
    cdef void* d = vector(s, DIRECTION)
    cdef void* g = slope_vector(s)
    cdef double* alpha = s.rho + s.slots
    cdef double* rho = free_rho(s) if s.held else s.rho
    cdef Py_ssize_t slot = before(s, s.head)
    cdef Py_ssize_t _i
    begin_pass(s, &p)
    if s.usable == 0:
        stage = then(&p, kernels.descend)
        stage.b[0], stage.b[1], stage.b[2] = d, g, diagonal_of(s)
        stage.k[0] = s.scale if s.scaled else 1
    else:
        stage = then(&p, kernels.reverse)
        stage.b[0], stage.b[1], stage.h[0] = d, g, step_of(s, slot)
        run(&p, s.threads)
        for _i in range(s.count - 1):
            alpha[slot] = rho[slot] * stage.sums[0]
            stage.kernel = kernels.turn
            stage.h[0], stage.h[1] = change_of(s, slot), step_of(s, before(s, slot))
            stage.k[0] = -alpha[slot]
            run(&p, s.threads)
            slot = before(s, slot)
        alpha[slot] = rho[slot] * stage.sums[0]
        stage.kernel = kernels.middle
        stage.b[1], stage.h[0] = diagonal_of(s), change_of(s, slot)
        stage.k[0], stage.k[1] = -alpha[slot], s.scale if s.scaled else s.free_gamma if s.held else s.gamma
        run(&p, s.threads)
        stage.kernel = kernels.turn
        for _i in range(s.count - 1):
            stage.h[0], stage.h[1] = step_of(s, slot), change_of(s, after(s, slot))
            stage.k[0] = alpha[slot] - rho[slot] * stage.sums[0]
            run(&p, s.threads)
            slot = after(s, slot)
        stage.kernel = kernels.finish
        stage.b[1], stage.h[0] = g, step_of(s, slot)
        stage.k[0] = alpha[slot] - rho[slot] * stage.sums[0]
    run(&p, s.threads)
    s.slope = stage.sums[0]
    s.square = stage.sums[1]


cdef inline bint descends(const lbfgs_t* s) noexcept nogil:
    return s.slope < 0 and isfinite(s.slope) and isfinite(s.square)

cdef inline void forget_scaling(lbfgs_t* s) noexcept nogil:
    s.learned = s.scaled = False


cdef double first_step(lbfgs_t* s) noexcept nogil:
    """The first trial where no pair tells how far to go."""
    cdef pass_t p
    cdef stage_t* stage
    cdef double length = sqrt(s.square)
    cdef double reach, t
    if s.search.kind == FIXED and s.nit:
        return 1
    begin_pass(s, &p)
    stage = then(&p, s.kernels.survey)
    stage.b[0], stage.b[1] = vector(s, s.here.x), vector(s, DIRECTION)
    run(&p, s.threads)
    if s.search.kind == FIXED:
        return min(1.0, 1 / stage.sums[1])
    reach = max(1.0, sqrt(stage.sums[0] / s.n))
    if s.nit:
        return min(LONGEST, min(100 * reach / length, max(1 / length, 2 * (s.here.f - s.former_f) / s.slope)))
    t = max(1 / length, min(reach / length, 1 / stage.sums[TOP]))
    return min(s.init_step, max(LONGEST, t)) if s.init_step > 0 else t


cdef void choose_direction(lbfgs_t* s) noexcept nogil:
    if s.sides:
        direct_within(s)
    else:
        s.usable = s.count
        direct(s)


cdef void open_search(lbfgs_t* s) noexcept nogil:
    """Choose the direction and the first trial along it."""
    cdef double t, stpmax
    choose_direction(s)
    if s.slope > -s.change:
        s.reason = DECREASE
        return
    if s.count and not descends(s):
        s.count = 0
        choose_direction(s)
    if s.scaled and not descends(s):
        forget_scaling(s)
        choose_direction(s)
    if not descends(s):
        s.reason = STALLED if s.slope == 0 else LINESEARCH  # the square of so small a gradient is 0
        return
    t = 1 if s.usable else first_step(s)
    stpmax = aim(s, &t) if s.sides else max(LONGEST, t)  # f may be so small that this is no long way
    search_start(
        &s.search, s.here.f, s.slope, s.lr * t, stpmax,
        # Steepest descent is the last resort, and its length is a guess: twice the evaluations.
        s.maxls if s.count or s.scaled else 2 * s.maxls,
        # How far rounding may lift f: tested for double; in single precision some units in the last place.
        max(1e-9, 8 * s.eps), s.eps)
    propose(s)


cdef bint move(lbfgs_t* s, double t) noexcept nogil:
    """Put the trial point where the step t leads, which bounds may clip; return whether it differs at all."""
    cdef pass_t p
    cdef stage_t* stage
    begin_pass(s, &p)
    stage = then(&p, s.kernels.walk)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, s.trial.x), vector(s, s.here.x), vector(s, DIRECTION)
    stage.b[3] = slope_vector(s)
    stage.k[0] = t
    run(&p, s.threads)
    s.foretold = stage.sums[0]
    return stage.sums[TOP] != 0


cdef void propose(lbfgs_t* s) noexcept nogil:
    """Form the trial point for the step the search asks for."""
    if not move(s, s.search.t):
        settle(s)
    elif s.nfev >= s.maxfun:
        s.reason = MAXFUN


cdef inline bint hidden(const search_t* search) noexcept nogil:
    """Whether the search went back to where rounding hides from f what the slope foretells."""
    return -min(search.smallest, search.t) * search.slope <= 1e4 * search.eps * fabs(search.f)


cdef void settle(lbfgs_t* s) noexcept nogil:
    """The search found no step: take the lowest point seen; else forget the pairs; else D too; else stop."""
    if s.search.kind == FIXED:
        s.reason = PRECISION if s.search.agrees else NONFINITE
    elif s.best.f < s.here.f:
        swap(&s.trial, &s.best)
        s.best.f = INFINITY
        accept(s, False)
    elif s.count:
        s.count = 0
        open_search(s)
    elif s.scaled:
        forget_scaling(s)
        open_search(s)
    elif s.nit == 0 and s.init_step > 0:  # the first trial was not of our guessing: now it is
        s.init_step = 0
        open_search(s)
    else:
        s.reason = PRECISION if s.search.agrees and (hidden(&s.search) or not move(s, s.search.t)) else LINESEARCH


cdef void accept(lbfgs_t* s, bint found) noexcept nogil:
    """Move to the trial point, learn its pair and test whether to stop; `found`: by a search that succeeded."""
    learn_pair(s)
    s.nit += 1
    s.former_f = s.here.f
    s.far = s.far + 1 if found and s.search.t >= LONGEST else 0
    swap(&s.here, &s.trial)
    if s.search.kind != FIXED and better(s, &s.trial, &s.here) and better(s, &s.trial, &s.best):
        swap(&s.trial, &s.best)
    elif not better(s, &s.best, &s.here):
        s.best.f = INFINITY

    s.reason = judge(s, found)
    if s.reason == RUNNING:
        open_search(s)


cdef void learn_pair(lbfgs_t* s) noexcept nogil:
    """Store the pair of the step to the trial point, if it curves upward, and what it tells of H0."""
    cdef pass_t p
    cdef stage_t* stage
    cdef stage_t* crossed = NULL
    cdef stage_t* foretold = NULL
    cdef const kernels_t* kernels = &s.held_kernels if s.held else &s.kernels
    cdef Py_ssize_t former = before(s, s.head)
    cdef double sy, yy, ss, floor, a, b, keep, rho
    begin_pass(s, &p)
    stage = then(&p, kernels.differ)
    stage.b[0], stage.b[1] = vector(s, s.here.x), vector(s, s.trial.x)
    stage.b[2], stage.b[3] = vector(s, s.here.g), vector(s, s.trial.g)
    stage.h[0], stage.h[1] = step_of(s, s.head), change_of(s, s.head)
    if s.conjugate and s.count and s.akin:
        crossed = then(&p, kernels.cross)
        crossed.h[0], crossed.h[1] = step_of(s, s.head), change_of(s, s.head)
        crossed.h[2], crossed.h[3] = step_of(s, former), change_of(s, former)
    if s.learned:
        foretold = then(&p, kernels.foretell)
        foretold.b[0] = s.scaling + 2 * s.stride
        foretold.h[0], foretold.h[1] = step_of(s, s.head), change_of(s, s.head)
    run(&p, s.threads)
    sy, yy, ss = stage.sums[0], stage.sums[1], stage.sums[2]
    # With a fixed step all is as in torch.optim.LBFGS.
    floor = 1e-10 if s.search.kind == FIXED else s.eps * sqrt(yy) * sqrt(ss)
    if not (sy > floor and isfinite(1 / sy) and isfinite(sy / yy)):
        return

    begin_pass(s, &p)
    stage = NULL
    if s.diagonal:
        if not s.learned:
            s.doubt = s.mean_p = s.mean_q = s.lessons = 0
        else:
            s.doubt = .8 * s.doubt + .2 * (log(foretold.sums[0] / yy) + log(foretold.sums[1] / ss))
        # Over ten pairs at first, then over more and more: in a long run a D that goes on changing costs conjugacy.
        keep = max(.9, s.lessons / (s.lessons + 2.0)) if s.lessons else 0
        s.lessons += 1
        s.mean_p = keep * s.mean_p + ss / sy / s.n
        s.mean_q = keep * s.mean_q + yy / sy / s.n
        stage = then(&p, kernels.learn)
        stage.b[0], stage.b[1], stage.b[2] = s.scaling, s.scaling + s.stride, s.scaling + 2 * s.stride
        stage.h[0], stage.h[1] = step_of(s, s.head), change_of(s, s.head)
        stage.k[0], stage.k[1], stage.k[2] = 1e-6 * s.mean_p, 1e-6 * s.mean_q, 1 / sy
        stage.k[3] = keep
    s.rho[s.head] = 1 / sy
    if crossed != NULL:
        rho = s.rho[former]
        if s.held:
            rho = 1 / crossed.sums[2] if crossed.sums[2] * rho > NEGLIGIBLE else INFINITY
        a, b = rho * crossed.sums[1], rho * crossed.sums[0]
        if fabs(a - b) <= .02 * sqrt(sy * rho) and sy - a * b / rho >= .1 * sy:
            crossed = then(&p, kernels.conjugate)
            crossed.h[0], crossed.h[1] = step_of(s, s.head), change_of(s, s.head)
            crossed.h[2], crossed.h[3] = step_of(s, former), change_of(s, former)
            crossed.k[0] = a
        else:
            crossed = NULL
    if p.stages:
        run(&p, s.threads)
    if stage != NULL:
        s.scale = sy / stage.sums[0]
        if s.held:
            s.mean_p, s.mean_q = stage.sums[1] / s.n, stage.sums[2] / s.n
        s.learned = isfinite(s.scale) and s.scale > 0 and isfinite(s.doubt)
        s.scaled = s.learned and s.doubt <= -MARGIN
    if crossed != NULL:
        s.rho[s.head] = 1 / crossed.sums[0]
    s.gamma = sy / yy
    s.akin = True
    s.head = after(s, s.head)
    s.count = min(s.count + 1, s.slots - 1)
    s.stale += 1


cdef inline bint spent_by_rounding(const lbfgs_t* s) noexcept nogil:
    """Whether the decrease that the model foretells, half of g'Hg, is lost in the rounding of f."""
    return -s.slope <= 1e3 * s.eps * fabs(s.here.f)

cdef reason_t judge(lbfgs_t* s, bint found) noexcept nogil:
    """Whether to stop after an iteration, and why."""
    cdef double f = s.here.f
    cdef double gnorm = s.here.gnorm
    cdef bint spent
    cdef pass_t p
    cdef stage_t* stage
    if gnorm <= s.gtol:
        return GRADIENT
    if found and s.change >= 0:
        begin_pass(s, &p)
        stage = then(&p, s.kernels.weigh)
        stage.b[0] = stage.b[1] = stage.b[2] = vector(s, DIRECTION)
        run(&p, s.threads)
        if s.here.t * stage.sums[TOP] <= s.change or fabs(s.former_f - f) < s.change:
            return DECREASE
    if s.search.kind == FIXED:
        return MAXITER if s.nit >= s.maxiter else RUNNING
    if s.far >= 2 or f < -1e150:
        return UNBOUNDED
    if found and s.ftol > 0 and s.former_f - f < s.ftol * max(fabs(f), max(fabs(s.former_f), 1.0)):
        return DECREASE

    if fabs(s.former_f - f) > 2 * s.eps * fabs(f) or gnorm < .5 * s.still_gnorm:
        s.still = 0
        s.still_gnorm = gnorm
    else:
        s.still += 1
        if s.still >= PATIENCE:
            return PRECISION if spent_by_rounding(s) else STALLED

    s.window_gnorm = min(s.window_gnorm, gnorm)
    if s.nit % WINDOW == 0:
        # 45 units in the last place are the 1e-14 of double precision.
        spent = s.window_f - f <= 45 * s.eps * fabs(f) and s.window_gnorm > .5 * s.former_window_gnorm
        s.former_window_gnorm = s.window_gnorm
        s.window_gnorm = INFINITY
        s.window_f = f
        if spent:
            return PRECISION if spent_by_rounding(s) else STALLED
    return MAXITER if s.nit >= s.maxiter else RUNNING


cdef void begin(lbfgs_t* s, bint finite) noexcept nogil:
    """The starting point has been evaluated."""
    swap(&s.here, &s.trial)
    s.unstarted = False
    s.former_f = s.window_f = s.here.f
    s.still_gnorm = s.window_gnorm = s.here.gnorm
    if not finite:
        s.reason = NONFINITE
    elif s.here.gnorm <= s.gtol:
        s.reason = GRADIENT
    elif s.nit >= s.maxiter:
        s.reason = MAXITER
    else:
        open_search(s)


cdef void advance(lbfgs_t* s, void* g, double f) noexcept nogil:
    """Take in the value and gradient at the trial point: form the next trial or find a reason to stop."""
    cdef pass_t p
    cdef stage_t* stage
    cdef verdict_t verdict
    cdef double slope
    cdef bint finite
    begin_pass(s, &p)
    if g != vector(s, s.trial.g):
        stage = then(&p, s.kernels.fetch)
        stage.b[0], stage.b[1] = vector(s, s.trial.g), g
        stage.k[0] = s.n
    stage = then(&p, s.kernels.weigh)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, s.trial.g), vector(s, DIRECTION), vector(s, s.here.g)
    stage.b[3] = vector(s, s.trial.x)
    stage.k[0] = s.bent
    run(&p, s.threads)
    slope = stage.sums[0]
    f += stage.sums[2]
    finite = isfinite(f) and isfinite(slope)
    s.nfev += 1
    s.trial.f = f
    s.trial.t = s.search.t
    s.trial.gnorm = stage.sums[TOP]
    if s.unstarted:
        begin(s, finite)
        return
    if s.bent:
        verdict = follow(s, f, slope)
    else:
        verdict = search_advance(&s.search, f, slope, (slope - s.slope) / (sqrt(s.square) * sqrt(stage.sums[1])))
    if verdict == ACCEPTED:
        accept(s, True)
        return
    if finite and better(s, &s.trial, &s.here) and better(s, &s.trial, &s.best):
        swap(&s.trial, &s.best)
    if verdict == SEARCHING:
        propose(s)
    else:
        settle(s)


cdef class LBFGSCore:
    """The solver from x, a vector that is copied: `limits` are None or (low, high), `weights` None or those of L1.

    Rows are padded with zeros to a multiple of LANES. Without bounds and L1 there are no rows in box; with bounds 3: room
    for 0 and 1, then low and high, padded with infinities. With L1 there follow the weights, two rows of room, and low and
    high once more.
    """

    cdef lbfgs_t s
    cdef object points
    cdef object history
    cdef object scaling
    cdef object rho
    cdef object box
    cdef object partial
    cdef object rows
    cdef int dtype
    cdef bint busy

    def __cinit__(self):
        self.s.reason = STOPPED

    def __init__(self, x, *, Py_ssize_t maxcor, history_dtype, bint diagonal, limits, weights, double gtol, double ftol,
                 Py_ssize_t maxiter, Py_ssize_t maxfun, Py_ssize_t maxls, int linesearch, double init_step, bint conjugate):
        cdef Py_ssize_t stride = (len(x) + LANES - 1) // LANES * LANES
        sides = WITH_L1 if weights is not None else WITH_BOUNDS if limits is not None else 0
        self.s.n = len(x)
        points = np.zeros((ROWS, stride), x.dtype)
        history = np.zeros((2 * maxcor + 2, stride), history_dtype)
        scaling = np.zeros((3 if diagonal else 0, stride))
        rho = np.zeros((4 if sides else 2) * (maxcor + 1))
        box = np.zeros((sides, stride), x.dtype)
        points[0, :len(x)] = points[2, :len(x)] = x
        for side in range(1, sides, 5):
            box[side:side + 2] = [[-INFINITY], [INFINITY]]
            if limits is not None:
                box[side:side + 2, :len(x)] = limits
        if weights is not None:
            box[3, :len(x)] = weights
        self.attach(points, history, scaling, rho, box)
        self.s.eps = 2.0**-23 if self.dtype == FLOAT32 else 2.0**-52
        self.s.gtol = gtol
        self.s.ftol = ftol
        self.s.maxiter = maxiter
        self.s.maxfun = maxfun
        self.s.maxls = maxls
        self.s.init_step = init_step
        self.s.diagonal = diagonal
        self.s.conjugate = conjugate
        self.s.lr = 1
        self.s.change = -INFINITY
        self.s.search.kind = <kind_t> linesearch
        self.s.search.c1 = .1 if linesearch == HAGER_ZHANG else 1e-3
        self.s.search.c2 = .9
        self.s.search.xtol = .1
        self.s.search.guard = 1e-3
        self.s.former_window_gnorm = INFINITY
        self.s.here = place_t(x=0, g=1, f=NAN, gnorm=INFINITY, t=0)
        self.s.trial = place_t(x=2, g=3, f=INFINITY, gnorm=INFINITY, t=0)
        self.s.best = place_t(x=4, g=5, f=INFINITY, gnorm=INFINITY, t=0)
        self.s.unstarted = True
        self.s.reason = RUNNING

    cdef attach(self, points, history, scaling, rho, box):
        cdef Py_ssize_t stride = (self.s.n + LANES - 1) // LANES * LANES
        self.s.stride = stride
        self.s.slots = len(history) // 2
        self.s.sides = len(box)
        if (points.shape != (ROWS, stride) or history.shape != (2 * self.s.slots, stride) or self.s.slots < 2
                or scaling.shape not in ((0, stride), (3, stride)) or self.s.sides not in (0, WITH_BOUNDS, WITH_L1)
                or box.shape != (self.s.sides, stride) or rho.shape != ((4 if len(box) else 2) * self.s.slots,)):
            raise ValueError(
                f"Buffers do not fit: points {points.shape}, history {history.shape}, scaling {scaling.shape}, "
                f"rho {rho.shape}, box {box.shape} for n = {self.s.n}")
        self.dtype = dtype_of(points)
        if (self.dtype not in (FLOAT32, FLOAT64) or dtype_of(history) not in (FLOAT32, self.dtype)
                or dtype_of(scaling) != FLOAT64 or dtype_of(rho) != FLOAT64 or dtype_of(box) != self.dtype):
            raise TypeError(
                f"Buffers do not fit: points {points.dtype}, history {history.dtype}, rho {rho.dtype}, box {box.dtype}")
        if self.dtype == FLOAT32:
            bind(&self.s.kernels, <float*> NULL, <float*> NULL)
            bind_box(&self.s, <float*> NULL, <float*> NULL)
        elif dtype_of(history) == FLOAT32:
            bind(&self.s.kernels, <double*> NULL, <float*> NULL)
            bind_box(&self.s, <double*> NULL, <float*> NULL)
        else:
            bind(&self.s.kernels, <double*> NULL, <double*> NULL)
            bind_box(&self.s, <double*> NULL, <double*> NULL)
        self.points = points
        self.history = history
        self.scaling = scaling
        self.rho = rho
        self.box = box
        self.partial = np.empty(WIDTH * STAGES * max(1, (stride + CHUNK - 1) // CHUNK))
        self.rows = [row[:self.s.n] for row in points]
        self.s.width = points.itemsize
        self.s.history_width = history.itemsize
        self.s.threads = 1
        self.s.points = array_of(points).data
        self.s.history = array_of(history).data
        self.s.scaling = <double*> array_of(scaling).data
        self.s.rho = <double*> array_of(rho).data
        self.s.box = array_of(box).data
        self.s.partial = <double*> array_of(self.partial).data

    def __getstate__(self):
        return (PyBytes_FromStringAndSize(<char*> &self.s, sizeof(lbfgs_t)),
                self.points.copy(), self.history.copy(), self.scaling.copy(), self.rho.copy(), self.box.copy())

    def __setstate__(self, state):
        cdef bytes scalars
        scalars, points, history, scaling, rho, box = state
        if len(scalars) != sizeof(lbfgs_t):
            raise ValueError("This run was saved by another version of fastopt and cannot be resumed")
        memcpy(&self.s, PyBytes_AS_STRING(scalars), sizeof(lbfgs_t))
        # What has traveled between processes may be read-only, or lie anywhere.
        self.attach(np.array(points), np.array(history), np.array(scaling), np.array(rho), np.array(box))

    def ask(self):
        """A fresh copy of the point to evaluate."""
        if self.s.reason != RUNNING:
            raise RuntimeError("ask() after the run has ended: see result()")
        return self.rows[self.s.trial.x].copy()

    def tell(self, f, g):
        """Take in f and g if they are a float and a vector usable as it lies; otherwise return False, unchanged."""
        cdef double value
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
        gradient = array_of(g).data
        self.s.threads = hire() if self.s.n >= THREAD_MIN else 1
        self.busy = True
        with nogil:
            advance(&self.s, gradient, value)
        self.busy = False
        return True

    def renew(self, *, Py_ssize_t maxiter, Py_ssize_t maxfun, double gtol, double change, double lr):
        """Begin anew at the trial point, wherever that is put, and whatever function is evaluated from now on.

        What the pairs tell is kept; of the values and gradients so far none is compared with those to come.
        """
        self.s.maxiter = self.s.nit + maxiter
        self.s.maxfun = self.s.nfev + maxfun
        self.s.gtol = gtol
        self.s.change = change
        self.s.lr = lr
        self.s.still = self.s.far = 0
        self.s.best.f = self.s.former_window_gnorm = INFINITY
        self.rows[DIRECTION][...] = 0  # the one left there may have overflowed
        self.s.unstarted = True
        self.s.akin = False
        self.s.reason = RUNNING

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

    @property
    def gnorm(self):
        """The largest size of a component of the gradient at the iterate."""
        return self.s.here.gnorm

    @property
    def step(self):
        """How far along its direction the last step went."""
        return self.s.here.t

    def trial(self):
        """The trial point itself, and where its gradient may be put before it is told."""
        return self.rows[self.s.trial.x], self.rows[self.s.trial.g]

    def here(self):
        """Copies of the current iterate: (x, f, g)."""
        return self.rows[self.s.here.x].copy(), self.s.here.f, self.rows[self.s.here.g].copy()

    cdef place_t* answer(self) noexcept:
        cdef place_t* place = &self.s.here
        if better(&self.s, &self.s.best, place) and not (self.s.reason == GRADIENT and self.s.best.gnorm > self.s.gtol):
            place = &self.s.best
        return place

    def best(self):
        """Copies of the answer: (x, f, g) at the lowest f seen, or where the run converged by its gradient."""
        cdef place_t* place = self.answer()
        return self.rows[place.x].copy(), place.f, self.rows[place.g].copy()

    def best_point(self):
        """The x of `best` itself."""
        return self.rows[self.answer().x]

    cdef list kept(self):
        """The slots of the stored pairs, oldest first."""
        return [(self.s.head + self.s.slots - self.s.count + i) % self.s.slots for i in range(self.s.count)]

    def pairs(self):
        """(S, Y, H0): copies of the stored pairs as rows, oldest first, and gamma or the diagonal."""
        slots = self.kept()
        pairs = self.history[:, :self.s.n]
        h0 = self.s.scale * self.scaling[2, :self.s.n] if self.s.scaled else self.s.gamma if slots else 1.0
        return pairs[slots], pairs[[self.s.slots + i for i in slots]], h0

    def memory(self):
        """What `renew` keeps, copied, by torch's names; pairs are rows, oldest first."""
        slots = self.kept()
        steps, changes, _ = self.pairs()
        memory = {
            "n_iter": self.s.nit, "func_evals": self.s.nfev, "H_diag": self.s.gamma, "ro": self.rho[slots],
            "old_stps": steps, "old_dirs": changes,
        }
        if self.s.learned:
            memory |= {
                "scale": self.s.scale, "doubt": self.s.doubt, "mean_p": self.s.mean_p, "mean_q": self.s.mean_q,
                "lessons": self.s.lessons, "scaling": self.scaling[:, :self.s.n].copy(),
            }
        return memory

    def recall(self, memory):
        """Take over what `memory` returned, as much of it as there is room for."""
        cdef Py_ssize_t count = min(<Py_ssize_t> len(memory["ro"]), self.s.slots - 1)
        first = len(memory["ro"]) - count
        pairs = self.history[:, :self.s.n]
        pairs[:count] = memory["old_stps"][first:]
        pairs[self.s.slots:self.s.slots + count] = memory["old_dirs"][first:]
        self.rho[:count] = memory["ro"][first:]
        self.s.nit, self.s.nfev, self.s.gamma = memory["n_iter"], memory["func_evals"], memory["H_diag"]
        self.s.count = self.s.head = count
        if self.s.diagonal and "scaling" in memory:
            self.scaling[:, :self.s.n] = memory["scaling"]
            self.scaling[2, self.s.n:] = 1  # zeros will be divided by it
            self.s.scale, self.s.doubt = memory["scale"], memory["doubt"]
            self.s.mean_p, self.s.mean_q, self.s.lessons = memory["mean_p"], memory["mean_q"], memory["lessons"]
            self.s.learned = True
            self.s.scaled = self.s.doubt <= -MARGIN
