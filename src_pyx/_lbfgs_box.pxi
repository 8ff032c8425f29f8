"""What bounds and an L1 penalty change in the solver: which variables move, how far, and along which path.

Design: variables at a bound that the gradient or the direction pushes out are held, and the two-loop recursion runs
over the others: pairs are kept whole, and their products are formed anew for the variables that are free. What then
meets a bound on its way is clipped, so that every trial is feasible and what reaches a bound is exactly there. The
search either ends at the first bound or follows the path bent along all of them. Where many bounds are near and that
path leads uphill, the first bound would be followed by the next, one in each iteration: then the search is along the
bent path of the scaled gradient, which falls past any number of bounds. With L1 the box is the orthant of x, within
which f + w'|x| is smooth; what reaches 0 stops there, and may leave for the other side in the next iteration.

Bertsekas, D. P. (1982), Projected Newton methods for optimization problems with simple constraints, SIAM J. Control and
Optimization 20(2). Andrew, G. and Gao, J. (2007), Scalable training of L1-regularized log-linear models, ICML.
"""

cdef double PREFERENCE = 10  # by how much the gradient must promise more than the way to the first bound
cdef double NEGLIGIBLE = 1e-8  # share of s'y where free, below which a pair tells nothing of the free variables

cdef enum:
    ROUNDS = 6  # of letting go of variables


cdef void bind_box(lbfgs_t* s, real* _points, stored* _history) noexcept:
    """The kernels of a problem with bounds."""
    cdef kernels_t* k = &s.kernels
    if s.sides:
        k.walk = <kernel_t> walk_within[real, stored]
        k.weigh = <kernel_t> weigh_within[real, stored] if s.sides == WITH_BOUNDS else <kernel_t> weigh_l1[real, stored]
        k.orient = <kernel_t> orient[real, stored]
        k.hold = <kernel_t> hold[real, stored]
        k.portion = <kernel_t> portion[real, stored]
        k.drop = <kernel_t> drop[real, stored]
        k.gauge = <kernel_t> gauge[real, stored]
    k = &s.held_kernels
    k.reverse = <kernel_t> reverse_held[real, stored]
    k.turn = <kernel_t> turn_held[real, stored]
    k.middle = <kernel_t> middle_held[real, stored]
    k.finish = <kernel_t> finish_held[real, stored]
    k.descend = <kernel_t> descend_held[real, stored]
    k.differ = <kernel_t> differ_held[real, stored]
    k.cross = <kernel_t> cross_held[real, stored]
    k.foretell = <kernel_t> foretell_held[real, stored]
    k.learn = <kernel_t> learn_held[real, stored]
    k.conjugate = <kernel_t> conjugate_held[real, stored]


cdef void direct_within(lbfgs_t* s) noexcept nogil:
    """The direction in the free variables, without those that it would lead out of the box, and the way to a bound."""
    cdef pass_t p
    cdef stage_t* stage
    cdef Py_ssize_t _round
    begin_pass(s, &p)
    if s.sides == WITH_L1:
        stage = then(&p, s.kernels.orient)
        stage.b[0], stage.b[1] = vector(s, s.here.x), vector(s, s.here.g)
    stage = then(&p, s.kernels.hold)
    stage.b[0], stage.b[1] = vector(s, s.here.x), slope_vector(s)
    run(&p, s.threads)
    s.held = <Py_ssize_t> stage.sums[0]
    if stage.sums[1]:
        s.stale = s.count
    begin_pass(s, &p)
    stage = then(&p, s.kernels.drop)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, s.here.x), slope_vector(s), vector(s, DIRECTION)
    for _round in range(ROUNDS):
        choose_pairs(s)
        direct(s)
        run(&p, s.threads)
        s.slope, s.square, s.hit = stage.sums[1], stage.sums[2], -stage.sums[TOP]
        if stage.sums[0] == 0:
            break
        s.held += <Py_ssize_t> stage.sums[0]
        s.stale = s.count


cdef void choose_pairs(lbfgs_t* s) noexcept nogil:
    """1 / s'y over the free variables, or 0 for a pair that has next to nothing there."""
    cdef pass_t p
    cdef stage_t* stage
    cdef double* rho = free_rho(s)
    cdef double* gamma = rho + s.slots
    cdef Py_ssize_t slot = before(s, s.head)
    cdef Py_ssize_t i
    s.usable = s.count
    if s.held == 0:
        return
    begin_pass(s, &p)
    stage = then(&p, s.kernels.portion)
    s.usable = 0
    for i in range(s.count):
        if i < s.stale:
            stage.h[0], stage.h[1] = step_of(s, slot), change_of(s, slot)
            run(&p, s.threads)
            rho[slot] = 1 / stage.sums[0] if stage.sums[0] * s.rho[slot] > NEGLIGIBLE else 0
            gamma[slot] = stage.sums[0] / stage.sums[1]
        if rho[slot]:
            if s.usable == 0:
                s.free_gamma = gamma[slot]
            s.usable += 1
        slot = before(s, slot)
    s.stale = 0


cdef inline double longer(const lbfgs_t* s) noexcept nogil:
    """The way to the first bound, lengthened by its rounding, so that what is clipped there is what meets the bound."""
    return s.hit * (1 + 4 * s.eps)

cdef inline double straight_promise(const lbfgs_t* s) noexcept nogil:
    """The decrease on the way to the first bound, by Newton's parabola."""
    return -s.slope * s.hit * (1 - .5 * s.hit)

cdef double bent_promise(const lbfgs_t* s, double f) noexcept nogil:
    """The best decrease on the segment to the clipped trial, by the parabola through f, its slope and f there."""
    cdef double bend = f - s.here.f - s.foretold
    return s.foretold * s.foretold / (4 * bend) if bend > -.5 * s.foretold else -s.foretold - bend


cdef bint turn_to_gradient(lbfgs_t* s, double rival) noexcept nogil:
    """Take the gradient, scaled as H0, for the direction if its clipped step promises to fall farther than a rival."""
    cdef pass_t p
    cdef stage_t* stage
    cdef double scale = s.scale if s.scaled else s.free_gamma if s.held else s.gamma
    if s.turned or s.usable == 0:
        return False
    begin_pass(s, &p)
    stage = then(&p, s.kernels.gauge)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, s.here.x), slope_vector(s), diagonal_of(s)
    stage.k[0] = scale
    run(&p, s.threads)
    if not -stage.sums[0] - .5 * stage.sums[1] > rival:
        return False
    begin_pass(s, &p)
    stage = then(&p, s.held_kernels.descend)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, DIRECTION), slope_vector(s), diagonal_of(s)
    stage.k[0] = scale
    stage = then(&p, s.kernels.drop)
    stage.b[0], stage.b[1], stage.b[2] = vector(s, s.here.x), slope_vector(s), vector(s, DIRECTION)
    run(&p, s.threads)
    s.slope, s.square, s.hit = stage.sums[1], stage.sums[2], -stage.sums[TOP]
    s.turned = s.fresh = s.bent = True
    return True


cdef double aim(lbfgs_t* s, double* t) noexcept nogil:
    """Choose between the straight way, at most to the first bound, and a bent one to the trial; how far it goes."""
    s.bent = s.turned = False
    if s.hit >= t[0]:
        return min(max(LONGEST, t[0]), longer(s))
    move(s, t[0])
    s.bent = s.fresh = s.foretold < 0 and s.foretold <= .1 * s.hit * s.slope
    if s.bent:
        return t[0]
    t[0] = 1 if turn_to_gradient(s, PREFERENCE * straight_promise(s)) else longer(s)
    return t[0]


cdef verdict_t follow(lbfgs_t* s, double f, double slope) noexcept nogil:
    """Judge the trial on a bent path: a decrease is enough, as a pair need not come of it.

    If the first trial fails, whichever of the ways promises most is taken.
    """
    cdef search_t* search = &s.search
    cdef bint first = s.fresh and s.hit < 1
    cdef bint finite = isfinite(f) and isfinite(slope)
    cdef double enough = s.here.f + search.c1 * min(s.foretold, 0.0)
    cdef double straight = straight_promise(s)
    cdef double bent = bent_promise(s, f) if finite else 0
    cdef verdict_t verdict
    s.fresh = False
    if finite and f <= enough:
        search.evaluations += 1
        return ACCEPTED
    if first and turn_to_gradient(s, max(PREFERENCE * straight, bent)):
        search.evaluations += 1
        search.slope = s.slope
        search_from(search, 1, 1)
        return SEARCHING
    if first and not bent > straight:
        search.evaluations += 1
        s.bent = False
        search_from(search, longer(s), longer(s))
        return SEARCHING
    verdict = search_advance(search, f, slope, -1)
    if verdict == ACCEPTED and f > max(enough, s.here.f + search.slack * fabs(s.here.f)):
        return EXHAUSTED
    return verdict
