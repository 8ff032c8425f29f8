# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Line searches over scalars only, as state machines: of Moré and Thuente, of Hager and Zhang, and backtracking.

Design: a search never sees a vector and never calls the objective. The solver asks for the trial step `t`,
evaluates f and the slope there however it likes, and advances the search by one verdict. Everything is inline, as in
_core.pxd, so that a solver carries the search in its own state and no kernel imports another when it runs. What is a
good step, where the domain ends and when to give up is the same for all, but for the curvature they ask for; how the
next trial is found is one function for each kind.

Moré, J. J. and Thuente, D. J. (1994), Line search algorithms with guaranteed sufficient decrease, ACM TOMS 20(3).
Hager, W. W. and Zhang, H. (2006), Algorithm 851: CG_DESCENT, a conjugate gradient method with guaranteed descent,
ACM TOMS 32(1).
"""
from libc.math cimport INFINITY, NAN, fabs, isfinite, sqrt

cdef enum kind_t:
    MORE_THUENTE
    HAGER_ZHANG
    ARMIJO
    FIXED  # no search: every trial that is finite will do

cdef enum verdict_t:
    SEARCHING = 0  # evaluate at t
    ACCEPTED = 1  # the trial just evaluated meets the conditions
    EXHAUSTED = 2  # no trial did; whether the lowest one will do is for the solver to say

# What the last trial of Hager and Zhang's search was, or what it stands in for while the interval is halved.
cdef enum phase_t:
    WIDENING
    FIRST_STEP
    SECOND_STEP
    MIDPOINT

# One end of the interval that holds the sought step, or the trial itself: a step, with the value and slope there.
ctypedef struct point_t:
    double t
    double f
    double slope

ctypedef struct search_t:
    kind_t kind
    double c1  # sufficient decrease: f(t) <= f(0) + c1 t f'(0)
    double c2  # curvature: |f'(t)| <= c2 |f'(0)|; Hager and Zhang: -f'(t) <= c2 |f'(0)|; Armijo: none
    double guard  # sufficient decrease alone will do for a step whose change of gradient has this cosine with it
    double xtol  # relative width at which the interval is used up
    double slack  # approximate Wolfe: how far, relative to |f(0)|, rounding may lift f(t); -inf turns it off
    double stpmax
    double t
    double eps  # unit roundoff of f
    double f
    double slope
    point_t low  # the best end
    point_t high
    double near  # the next trial lies in [near, far]
    double far
    double width
    double last_width
    double smallest  # the smallest step at which f and slope could be compared
    Py_ssize_t evaluations
    Py_ssize_t maxls
    bint bracketed
    bint lowering  # stage one of Moré and Thuente: no step yet with sufficient decrease and a rising slope
    phase_t phase
    bint halving  # no rising slope yet below a value that is too high
    bint agrees  # f fell, or rose, as the slopes foretold


cdef inline void search_from(search_t* s, double t, double stpmax) noexcept nogil:
    """(Re)open the interval [0, stpmax] with first trial t; what was learned about the budget is kept."""
    s.stpmax = stpmax
    s.t = min(t, stpmax)
    s.low.t = s.high.t = 0
    s.low.f = s.high.f = s.f
    s.low.slope = s.high.slope = s.slope
    s.near = 0
    s.far = 5 * s.t
    s.width = stpmax
    s.last_width = 2 * stpmax
    s.bracketed = False
    s.lowering = True
    s.phase = WIDENING

cdef inline void search_start(
    search_t* s, double f, double slope, double t, double stpmax, Py_ssize_t maxls, double slack, double eps
) noexcept nogil:
    """Start a search with value f and slope < 0 at step 0. The fields down to xtol are set beforehand."""
    s.f = f
    s.slope = slope
    s.slack = slack
    s.eps = eps
    s.maxls = maxls
    s.evaluations = 0
    s.smallest = INFINITY
    s.agrees = True
    search_from(s, t, stpmax)


cdef inline double cubic_fraction(point_t a, point_t b, bint* turns) noexcept nogil:
    """Where the cubic through a and b has its minimizer, as a fraction of the way from a to b.

    `turns` tells whether the cubic has a minimizer at all.
    """
    cdef double theta = 3 * (a.f - b.f) / (b.t - a.t) + a.slope + b.slope
    cdef double scale = max(fabs(theta), max(fabs(a.slope), fabs(b.slope)))
    cdef double discriminant = (theta / scale) * (theta / scale) - (a.slope / scale) * (b.slope / scale)
    cdef double root = scale * sqrt(max(0.0, discriminant))
    turns[0] = discriminant > 0
    if b.t < a.t:
        root = -root
    return ((root - a.slope) + theta) / (((root - a.slope) + root) + b.slope)

cdef inline double secant(point_t a, point_t b) noexcept nogil:
    """Where the line through the slopes at a and b crosses zero."""
    return a.t + a.slope / (a.slope - b.slope) * (b.t - a.t)

cdef inline double next_step(search_t* s, point_t low, point_t high, point_t now) noexcept nogil:
    """The safeguarded step from the trial `now` by interpolation (section 4 of the paper), in four cases."""
    cdef bint turns
    cdef double cubic, quadratic, fraction, step
    if now.f > low.f:
        # The minimum is bracketed: the cubic if it lies nearer to the best end, else half-way to the quadratic.
        cubic = low.t + cubic_fraction(low, now, &turns) * (now.t - low.t)
        quadratic = low.t + .5 * low.slope / ((low.f - now.f) / (now.t - low.t) + low.slope) * (now.t - low.t)
        s.bracketed = True
        step = cubic if fabs(cubic - low.t) < fabs(quadratic - low.t) else cubic + .5 * (quadratic - cubic)
        # Where f is beyond all measure at the trial, as next to the edge of a domain, it tells nothing of how far to go.
        return low.t + 1e-5 * (now.t - low.t) if fabs(step - low.t) < 1e-5 * fabs(now.t - low.t) else step
    if now.slope * low.slope < 0:
        # Bracketed by the sign of the slope: the step farther from the trial.
        cubic = now.t + cubic_fraction(now, low, &turns) * (low.t - now.t)
        quadratic = secant(now, low)
        s.bracketed = True
        return cubic if fabs(cubic - now.t) > fabs(quadratic - now.t) else quadratic
    if fabs(now.slope) < fabs(low.slope):
        # The slope flattens: the cubic counts only if it turns beyond the trial; stay short of two thirds of a bracket.
        fraction = cubic_fraction(now, low, &turns)
        if fraction < 0 and turns:
            cubic = now.t + fraction * (low.t - now.t)
        else:
            cubic = s.far if now.t > low.t else s.near
        quadratic = secant(now, low)
        if s.bracketed:
            step = cubic if fabs(cubic - now.t) < fabs(quadratic - now.t) else quadratic
            if now.t > low.t:
                return min(now.t + .66 * (high.t - now.t), step)
            return max(now.t + .66 * (high.t - now.t), step)
        step = cubic if fabs(cubic - now.t) > fabs(quadratic - now.t) else quadratic
        return max(s.near, min(s.far, step))
    # The slope does not flatten: the cubic through the other end, or as far as allowed.
    if s.bracketed:
        return now.t + cubic_fraction(now, high, &turns) * (high.t - now.t)
    return s.far if now.t > low.t else s.near

cdef inline point_t tilt(point_t p, double slope) noexcept nogil:
    """The point on the auxiliary function f(t) - t slope."""
    cdef point_t q = p
    q.f = p.f - p.t * slope
    q.slope = p.slope - slope
    return q

cdef inline void more_thuente(search_t* s, point_t now) noexcept nogil:
    """Put the trial into the interval and choose the next trial (sections 2 and 3 of the paper)."""
    cdef double demanded = s.c1 * s.slope
    cdef bint lower = now.f <= s.f + now.t * demanded
    cdef bint auxiliary = s.lowering and now.f <= s.low.f and not lower
    cdef point_t low = tilt(s.low, demanded) if auxiliary else s.low
    cdef point_t high = tilt(s.high, demanded) if auxiliary else s.high
    cdef point_t trial = tilt(now, demanded) if auxiliary else now
    cdef double step = next_step(s, low, high, trial)

    if lower and now.slope >= 0:
        s.lowering = False
    if trial.f > low.f:
        s.high = now
    else:
        if trial.slope * low.slope < 0:
            s.high = s.low
        s.low = now

    if s.bracketed:
        if fabs(s.high.t - s.low.t) >= .66 * s.last_width:
            step = s.low.t + .5 * (s.high.t - s.low.t)
        s.last_width = s.width
        s.width = fabs(s.high.t - s.low.t)
        s.near = min(s.low.t, s.high.t)
        s.far = max(s.low.t, s.high.t)
    else:
        s.near = step + 1.1 * (step - s.low.t)
        s.far = step + 4 * (step - s.low.t)
    if not isfinite(step):
        step = s.low.t + .5 * (s.high.t - s.low.t) if s.bracketed else 2 * now.t
    s.t = min(step, s.stpmax)


cdef inline double bottom(point_t a, point_t b) noexcept nogil:
    """Where the cubic through a and b has its minimizer, or, if it has none, where the slope would be zero.

    The paper knows secants only; with cubics, as in the authors' program since its version 5, a value that is too high
    by orders of magnitude costs a few trials, not tens of them.
    """
    cdef bint turns
    cdef double fraction = cubic_fraction(a, b, &turns)
    return a.t + fraction * (b.t - a.t) if turns else secant(a, b)

cdef inline double midpoint(search_t* s) noexcept nogil:
    return s.low.t + .5 * (s.high.t - s.low.t)

cdef inline bint inside(search_t* s, double step) noexcept nogil:
    return s.low.t < step < s.high.t

cdef inline void hager_zhang(search_t* s, point_t now) noexcept nogil:
    """Put the trial into the interval and choose the next trial (section 4 of the paper, whose labels these are).

    The slope falls at `low`, where f is not too high, and rises at `high`, except while the interval is halved.
    """
    cdef point_t former_low = s.low
    cdef point_t former_high = s.high
    cdef bint high = now.f > s.f + max(0.0, s.slack) * fabs(s.f)
    cdef double step = NAN
    if now.slope >= 0:  # U1, B1
        s.high = now
        s.halving = False
    elif not high and now.t < s.stpmax:  # U2
        s.low = now
        if s.phase == WIDENING:  # B3
            s.t = min(5 * now.t, s.stpmax)
            return
    else:  # U3, B2: from the former trial, as in the authors' program; in the paper from 0
        s.high = now
        s.halving = True
    s.bracketed = True
    s.near = s.low.t
    s.far = s.high.t

    if s.halving:
        s.phase = SECOND_STEP  # The halves are short enough, and the trial is no end of theirs.
        s.t = midpoint(s)
        return
    if s.phase == FIRST_STEP:  # S2, S3
        step = bottom(former_high, now) if now.slope >= 0 else bottom(former_low, now)
        s.phase = SECOND_STEP
    if not inside(s, step):
        if s.phase == SECOND_STEP and s.high.t - s.low.t > 2 * s.width / 3:  # L2
            s.phase = MIDPOINT
        else:  # L3, S1
            s.width = s.high.t - s.low.t
            step = bottom(s.low, s.high)
            s.phase = FIRST_STEP if inside(s, step) else MIDPOINT
    s.t = midpoint(s) if s.phase == MIDPOINT else step


cdef inline void armijo(search_t* s, point_t now) noexcept nogil:
    """Go back to the minimizer of the cubic through 0 and the trial, but between a tenth and half of the way.

    A cubic without one falls so far that the minimizer of the quadratic lies beyond half of the way.
    """
    cdef bint turns
    cdef double fraction = cubic_fraction(s.low, now, &turns)
    s.t = now.t * (max(.1, min(.5, fraction)) if turns else .5)


cdef inline bint search_spent(search_t* s) noexcept nogil:
    """Whether there can be no further trial worth its evaluation."""
    return s.evaluations >= s.maxls or s.t <= 0 or (
        s.bracketed and (s.t <= s.near or s.t >= s.far or s.far - s.near <= s.xtol * s.far)
    )

cdef inline bint curved(search_t* s, double slope, double cosine) noexcept nogil:
    """Whether a step of sufficient decrease needs not be longer or shorter."""
    if s.kind == ARMIJO or cosine > s.guard:
        return True
    return (fabs(slope) if s.kind == MORE_THUENTE else -slope) <= -s.c2 * s.slope

cdef inline verdict_t search_advance(search_t* s, double f, double slope, double cosine) noexcept nogil:
    """Take in the value and the slope at the trial step s.t; on SEARCHING, s.t is the next trial.

    `cosine` is that of the step and the change of the gradient; NaN if unknown.
    """
    cdef point_t now
    cdef double rounding, gap
    now.t = s.t
    now.f = f
    now.slope = slope
    s.evaluations += 1
    if s.kind == FIXED:
        s.agrees = isfinite(f) and isfinite(slope)
        return ACCEPTED if s.agrees else EXHAUSTED
    if not (isfinite(f) and isfinite(slope)):
        # Out of the domain: no step that long again, and a fifth of the way back from the best end.
        s.agrees = s.agrees and s.smallest < INFINITY  # until a shorter step tells
        search_from(s, s.low.t + .2 * (now.t - s.low.t), .999 * now.t)
        return EXHAUSTED if search_spent(s) else SEARCHING

    # Where the foretold change exceeds rounding a hundredfold, the trapezoid rule tells whether f and slope belong
    # together; the shortest such step decides whether a failure is one of precision or of the gradient.
    rounding = s.eps * fabs(s.f)
    if now.t < s.smallest and -now.t * s.slope > 100 * rounding:
        s.smallest = now.t
        gap = fabs(f - s.f - .5 * now.t * (s.slope + slope))
        s.agrees = gap <= .1 * max(fabs(f - s.f), -now.t * s.slope)

    if f <= s.f + s.c1 * now.t * s.slope:
        if curved(s, slope, cosine) or (now.t >= s.stpmax and slope <= s.c1 * s.slope):
            return ACCEPTED
    elif f <= s.f + s.slack * fabs(s.f) and -.8 * s.slope >= slope >= s.c2 * s.slope:
        # Hager and Zhang (2005): near the minimum rounding hides the decrease, but not the slope.
        return ACCEPTED

    if s.kind == MORE_THUENTE:
        more_thuente(s, now)
    elif s.kind == HAGER_ZHANG:
        hager_zhang(s, now)
    else:
        armijo(s, now)
    return EXHAUSTED if search_spent(s) else SEARCHING
