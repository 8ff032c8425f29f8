# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Kernels of the losses of one element each, sorted as in fastopt/losses; POINTWISE names them for the facade.

They have the shape of `_loss.pxd`: b = value, gradient, input z, target y, and what else a line says. Each is the loss
and its derivative; a curvature is the second derivative, left where the gradient would be.
"""
# Design: comparisons are written so that NaN takes the branch that shows it, and 0 times infinity is 0 where the
# loss has that limit. A kink has the slope that torch gives it, or scikit-learn where torch lacks the loss.
from libc.math cimport INFINITY

from _core cimport CHUNK, abs_, capsules, exp_, hot, log1p_, log_, log_sum, real, tanh_
from _loss cimport OWN, SCALE

cdef enum:
    SECOND = OWN + 1
    THIRD = OWN + 2


cdef inline real sign(real d) noexcept nogil:
    return <real> 1 if d > 0 else (<real> -1 if d < 0 else d)


cdef inline real times(real factor, real x) noexcept nogil:
    return factor * x if factor != 0 else <real> 0


cdef inline real log1p_exp(real e) noexcept nogil:
    """log(1 + e) for e in [0, 1]; 1 + e is halved where it is beyond sqrt(2)."""
    cdef real k = 1 if e > <real> 0.41421356 else 0
    return log_sum(k, (e - k) * (<real> 1 - k / <real> 2), <real> 0)


cdef inline void add_stirling(real* value, const real* y, Py_ssize_t n) noexcept nogil:
    """y log y - y + log(2 pi y)/2 for y > 1, about log(y!), in a loop of its own, so that the other stays small."""
    cdef real log
    cdef Py_ssize_t i
    for i in range(n):
        log = log_(y[i])
        value[i] += y[i] * log - y[i] + <real> 0.5 * (<real> 1.8378770664093453 + log) if y[i] > 1 else <real> 0


# Regression: of d = z - y

cdef hot l1(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real d
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        value[i] = abs_(d)
        dz[i] = scale * sign(d)


cdef hot mse(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> (2 * k[SCALE])
    cdef real d
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        value[i] = d * d
        dz[i] = scale * d


cdef hot mse_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef real scale = <real> (2 * k[SCALE])
    cdef Py_ssize_t i
    for i in range(n):
        value[i] = 0
        h[i] = scale


cdef hot smooth_l1(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., beta > 0."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real beta = <real> k[OWN]
    cdef real d, a
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        a = abs_(d)
        value[i] = a - <real> 0.5 * beta if a >= beta else <real> 0.5 * d * (d / beta)
        dz[i] = scale * (sign(d) if a >= beta else d / beta)


cdef hot huber(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., delta."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real delta = <real> k[OWN]
    cdef real d, a
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        a = abs_(d)
        value[i] = delta * (a - <real> 0.5 * delta) if a > delta else <real> 0.5 * d * d
        dz[i] = scale * (delta * sign(d) if a > delta else d)


cdef hot huber_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., delta."""
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real delta = <real> k[OWN]
    cdef Py_ssize_t i
    for i in range(n):
        value[i] = 0
        h[i] = <real> 0 if abs_(z[i] - y[i]) > delta else scale


cdef hot pinball(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., quantile."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real below = <real> -k[OWN]
    cdef real above = <real> (1 - k[OWN])
    cdef real d, slope
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        slope = below if d <= 0 else (above if d > 0 else d)
        value[i] = slope * d
        dz[i] = scale * slope


cdef hot log_cosh(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """With t = tanh |d|, the value is -log(1 - t^2)/2 = |d| + log(1 + (1 - t)/(1 + t)) - log 2: exact near 0, and far."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real d, a, t, log
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        a = abs_(d)
        t = tanh_(a)
        log = log1p_(-t * t if a < 1 else (<real> 1 - t) / (<real> 1 + t))
        value[i] = <real> -0.5 * log if a < 1 else a - <real> 0.6931471805599453 + log
        dz[i] = scale * (t if d > 0 else -t)


cdef hot log_cosh_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """1 / cosh(d)^2 = 4 e / (1 + e)^2 with e = exp(-2 |d|)."""
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> (4 * k[SCALE])
    cdef real e
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(<real> -2 * abs_(z[i] - y[i]))
        value[i] = 0
        h[i] = scale * (e / ((<real> 1 + e) * (<real> 1 + e)))


cdef hot cauchy(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., scale c: c^2/2 log(1 + u^2), u = d/c. Where u^2 overflows it is 2 log u."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> (k[SCALE] * k[OWN])
    cdef real half = <real> (k[OWN] * k[OWN] / 2)
    cdef real c = <real> k[OWN]
    cdef real u, a
    cdef Py_ssize_t i
    for i in range(n):
        u = (z[i] - y[i]) / c
        a = abs_(u)
        value[i] = half * (<real> 2 * log_(a) if a > <real> 1e18 else log1p_(u * u))
        dz[i] = scale * (<real> 1 / u if a > <real> 1e18 else u / (<real> 1 + u * u))


cdef hot epsilon_insensitive(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., epsilon."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real epsilon = <real> k[OWN]
    cdef real d, a
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        a = abs_(d)
        value[i] = <real> 0 if a <= epsilon else a - epsilon
        dz[i] = <real> 0 if a <= epsilon else scale * sign(d)


cdef hot gaussian_nll(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradients by z and by the variance v, z, v, y; k = ..., eps, constant. (log v + d^2/v)/2 + constant."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef real* dv = b[2]
    cdef const real* z = b[3]
    cdef const real* variance = b[4]
    cdef const real* y = b[5]
    cdef real scale = <real> k[SCALE]
    cdef real half = <real> (0.5 * k[SCALE])
    cdef real eps = <real> k[OWN]
    cdef real constant = <real> k[SECOND]
    cdef real d, v, q
    cdef Py_ssize_t i
    for i in range(n):
        d = z[i] - y[i]
        v = eps if variance[i] < eps else variance[i]
        q = d / v
        value[i] = <real> 0.5 * (log_(v) + d * q) + constant
        dz[i] = scale * q
        dv[i] = half * (<real> 1 / v - q * q)


# Counts and positive numbers: the mean is exp(z)

cdef hot poisson(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """exp(z) - y z, plus about log(y!) if k = ..., full; beside an infinite mean the product is nothing."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(z[i])
        value[i] = e - (times(y[i], z[i]) if e < <real> INFINITY else <real> 0)
        dz[i] = scale * (e - y[i])
    if k[OWN] != 0:
        add_stirling(value, y, n)


cdef hot poisson_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef real scale = <real> k[SCALE]
    cdef Py_ssize_t i
    for i in range(n):
        value[i] = 0
        h[i] = scale * exp_(z[i])


cdef hot poisson_rate(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """z - y log(z + eps), plus what log(y!) is about for y > 1; k = ..., full, eps."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real eps = <real> k[SECOND]
    cdef real r
    cdef Py_ssize_t i
    for i in range(n):
        r = z[i] + eps
        value[i] = z[i] - (times(y[i], log_(r)) if z[i] < <real> INFINITY else <real> 0)
        dz[i] = scale * (<real> 1 - (y[i] / r if y[i] != 0 else <real> 0))
    if k[OWN] != 0:
        add_stirling(value, y, n)


cdef hot gamma(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """z + y exp(-z)."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e
    cdef Py_ssize_t i
    for i in range(n):
        e = times(y[i], exp_(-z[i]))
        value[i] = z[i] + e if e < <real> INFINITY else e
        dz[i] = scale * (<real> 1 - e)


cdef hot gamma_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef Py_ssize_t i
    for i in range(n):
        value[i] = 0
        h[i] = scale * times(y[i], exp_(-z[i]))


# Tweedie's exponentials, exp((2 - p) z) and y exp((1 - p) z), may both overflow: the larger is their factor, and the
# ratio of the other is e = exp(-|z|). For a target of 0 the first is all there is.

cdef hot tweedie(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """exp((2 - p) z)/(2 - p) - y exp((1 - p) z)/(1 - p); k = ..., p."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real one = <real> (1 - k[OWN])
    cdef real two = <real> (2 - k[OWN])
    cdef real e, factor, u, v
    cdef bint first
    cdef Py_ssize_t i
    for i in range(n):
        first = (z[i] > 0) | (y[i] == 0)
        e = exp_(-abs_(z[i]))
        factor = exp_(z[i] * (two if first else one))
        u = <real> 1 if first else e
        v = y[i] * e if first else y[i]
        value[i] = times(u / two - v / one, factor)
        dz[i] = scale * times(u - v, factor)


cdef hot tweedie_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """k = ..., p."""
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real one = <real> (1 - k[OWN])
    cdef real two = <real> (2 - k[OWN])
    cdef real e, u, v
    cdef bint first
    cdef Py_ssize_t i
    for i in range(n):
        first = (z[i] > 0) | (y[i] == 0)
        e = exp_(-abs_(z[i]))
        u = <real> 1 if first else e
        v = y[i] * e if first else y[i]
        value[i] = 0
        h[i] = scale * times(two * u - one * v, exp_(z[i] * (two if first else one)))


cdef hot exp_mse(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """(exp(z) - y)^2 / 2: Tweedie's loss for p = 0."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e, d
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(z[i])
        d = e - y[i]
        value[i] = <real> 0.5 * d * d
        dz[i] = scale * times(e, d)


cdef hot exp_mse_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(z[i])
        value[i] = 0
        h[i] = scale * times(e, <real> 2 * e - y[i])


# Distributions and probabilities

cdef hot kl_div(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """y (log y - z), y a probability."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef Py_ssize_t i
    for i in range(n):
        value[i] = times(y[i], log_(y[i]) - z[i]) if z[i] == z[i] else z[i]
        dz[i] = -scale * y[i]


cdef hot kl_div_log(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """exp(y) (y - z), y the log of a probability."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(y[i])
        value[i] = times(e, y[i] - z[i]) if z[i] == z[i] else z[i]
        dz[i] = -scale * e


cdef hot bce(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """-y log z - (1 - y) log(1 - z), z and y in [0, 1]; no log is below -100, as in torch."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real floor = -100
    cdef real u, v, slope
    cdef Py_ssize_t i
    for i in range(n):
        u = log_(z[i])
        v = log1p_(-z[i])
        value[i] = (y[i] - <real> 1) * (v if v > floor else floor) - y[i] * (u if u > floor else floor)
        slope = (<real> 1 - z[i]) * z[i]
        dz[i] = scale * (z[i] - y[i]) / (slope if slope > <real> 1e-12 else <real> 1e-12)


# With e = exp(-|z|), both probabilities of a logit and both logs keep their relative accuracy:
# the larger is u = 1 / (1 + e), the smaller e u; log(1 + exp(z)) = s + max(z, 0), log(1 + exp(-z)) = s + max(-z, 0).

cdef hot bce_with_logits(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """y log(1 + exp(-z)) + (1 - y) log(1 + exp(z))."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real e, s, u, p, q
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(-abs_(z[i]))
        s = log1p_exp(e)
        u = <real> 1 / (<real> 1 + e)
        p = u if z[i] > 0 else e * u
        q = e * u if z[i] > 0 else u

        value[i] = s + (times(<real> 1 - y[i], z[i]) if z[i] > 0 else times(y[i], -z[i]))
        dz[i] = scale * ((<real> 1 - y[i]) * p - y[i] * q)


cdef hot bce_with_logits_weighted(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., w: w y log(1 + exp(-z)) + (1 - y) log(1 + exp(z))."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef const real* w = b[4]
    cdef real e, s, u, p, q, pos, neg
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(-abs_(z[i]))
        s = log1p_exp(e)
        u = <real> 1 / (<real> 1 + e)
        p = u if z[i] > 0 else e * u
        q = e * u if z[i] > 0 else u

        pos = w[i] * y[i]
        neg = <real> 1 - y[i]
        value[i] = (pos + neg) * s + (times(neg, z[i]) if z[i] > 0 else times(pos, -z[i]))
        dz[i] = scale * (neg * p - pos * q)


cdef hot bce_with_logits_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """e / (1 + e)^2."""
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef real scale = <real> k[SCALE]
    cdef real e, u
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(-abs_(z[i]))
        u = <real> 1 / (<real> 1 + e)
        value[i] = 0
        h[i] = scale * (e * u * u)


cdef hot bce_with_logits_weighted_curvature(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = ..., w."""
    cdef real* value = b[0]
    cdef real* h = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef const real* w = b[4]
    cdef real e, u
    cdef Py_ssize_t i
    for i in range(n):
        e = exp_(-abs_(z[i]))
        u = <real> 1 / (<real> 1 + e)
        value[i] = 0
        h[i] = scale * ((w[i] * y[i] + (<real> 1 - y[i])) * (e * u * u))


cdef hot sigmoid_focal(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """a r^gamma c, with c = bce_with_logits, r = p (1 - y) + (1 - p) y, a = first y + second (1 - y).

    k = ..., floor of gamma, the rest of it, first, second. Whole powers are products: exp(gamma log r) would
    lose |log r| bits of it. dr/dz = p q (1 - 2 y), and p q / r is finite.
    """
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef Py_ssize_t whole = <Py_ssize_t> k[OWN]
    cdef real rest = <real> k[SECOND]
    cdef real gamma = <real> (k[OWN] + k[SECOND])
    cdef real first = <real> k[THIRD]
    cdef real second = <real> k[THIRD + 1]
    cdef real[CHUNK] power
    cdef real[CHUNK] wrong
    cdef real e, s, u, p, q, c, a, r
    cdef Py_ssize_t i, _power
    for i in range(n):
        e = exp_(-abs_(z[i]))
        u = <real> 1 / (<real> 1 + e)
        p = u if z[i] > 0 else e * u
        q = e * u if z[i] > 0 else u
        wrong[i] = p * (<real> 1 - y[i]) + q * y[i]
        power[i] = 1
    if rest != 0:
        for i in range(n):
            power[i] = exp_(rest * log_(wrong[i]))
    for _power in range(whole):
        for i in range(n):
            power[i] = power[i] * wrong[i]
    for i in range(n):
        e = exp_(-abs_(z[i]))
        s = log1p_exp(e)
        u = <real> 1 / (<real> 1 + e)
        p = u if z[i] > 0 else e * u
        q = e * u if z[i] > 0 else u
        c = s + (times(<real> 1 - y[i], z[i]) if z[i] > 0 else times(y[i], -z[i]))
        a = first * y[i] + second * (<real> 1 - y[i])
        r = c * (p * q / wrong[i]) * (<real> 1 - <real> 2 * y[i]) if p * q > 0 else <real> 0
        value[i] = times(a * power[i], c)
        dz[i] = scale * a * power[i] * (((<real> 1 - y[i]) * p - y[i] * q) + gamma * r)


# Margins: of y z with y = +-1

cdef hot soft_margin(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """log(1 + exp(-y z))."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real m, e, u
    cdef Py_ssize_t i
    for i in range(n):
        m = y[i] * z[i]
        e = exp_(-abs_(m))
        u = <real> 1 / (<real> 1 + e)
        value[i] = log1p_exp(e) + (<real> 0 if m > 0 else -m)
        dz[i] = -scale * y[i] * (e * u if m > 0 else u)


cdef hot hinge(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """max(0, margin - y z); k = ..., margin."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real margin = <real> k[OWN]
    cdef real m
    cdef Py_ssize_t i
    for i in range(n):
        m = margin - y[i] * z[i]
        value[i] = <real> 0 if m < 0 else m
        dz[i] = <real> 0 if m < 0 else -scale * y[i]


cdef hot squared_hinge(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """max(0, margin - y z)^2; k = ..., margin."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real margin = <real> k[OWN]
    cdef real m
    cdef Py_ssize_t i
    for i in range(n):
        m = margin - y[i] * z[i]
        m = <real> 0 if m < 0 else m
        value[i] = m * m
        dz[i] = <real> -2 * scale * y[i] * m


cdef hot modified_huber(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """With m = y z: 0 from 1 on, (1 - m)^2 from -1 on, else -4 m."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real m, r
    cdef Py_ssize_t i
    for i in range(n):
        m = y[i] * z[i]
        r = <real> 0 if m >= 1 else <real> 1 - m
        value[i] = <real> -4 * m if m < -1 else r * r
        dz[i] = scale * y[i] * (<real> -4 if m < -1 else <real> -2 * r)


cdef hot hinge_embedding(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """z where y is not -1, plus max(0, margin - z) where y is not 1; k = ..., margin."""
    cdef real* value = b[0]
    cdef real* dz = b[1]
    cdef const real* z = b[2]
    cdef const real* y = b[3]
    cdef real scale = <real> k[SCALE]
    cdef real margin = <real> k[OWN]
    cdef real m
    cdef Py_ssize_t i
    for i in range(n):
        m = margin - z[i]
        value[i] = (z[i] if y[i] != -1 else <real> 0) + (<real> 0 if y[i] == 1 or m < 0 else m)
        dz[i] = scale * ((<real> 1 if y[i] != -1 else <real> 0) - (<real> 0 if y[i] == 1 or m < 0 else <real> 1))


cdef hot margin_ranking(real** b, Py_ssize_t n, const double* k) noexcept nogil:
    """b = value, gradients by x1 and x2, x1, x2, y; max(0, margin - y (x1 - x2)); k = ..., margin."""
    cdef real* value = b[0]
    cdef real* dx1 = b[1]
    cdef real* dx2 = b[2]
    cdef const real* x1 = b[3]
    cdef const real* x2 = b[4]
    cdef const real* y = b[5]
    cdef real scale = <real> k[SCALE]
    cdef real margin = <real> k[OWN]
    cdef real m, slope
    cdef Py_ssize_t i
    for i in range(n):
        m = margin - y[i] * (x1[i] - x2[i])
        slope = <real> 0 if m < 0 else scale * y[i]
        value[i] = <real> 0 if m < 0 else m
        dx1[i] = -slope
        dx2[i] = slope


POINTWISE = {
    "l1": capsules(<void*> l1[float], <void*> l1[double], "fastopt.loss"),
    "mse": capsules(<void*> mse[float], <void*> mse[double], "fastopt.loss"),
    "mse_curvature": capsules(<void*> mse_curvature[float], <void*> mse_curvature[double], "fastopt.loss"),
    "smooth_l1": capsules(<void*> smooth_l1[float], <void*> smooth_l1[double], "fastopt.loss"),
    "huber": capsules(<void*> huber[float], <void*> huber[double], "fastopt.loss"),
    "huber_curvature": capsules(<void*> huber_curvature[float], <void*> huber_curvature[double], "fastopt.loss"),
    "pinball": capsules(<void*> pinball[float], <void*> pinball[double], "fastopt.loss"),
    "log_cosh": capsules(<void*> log_cosh[float], <void*> log_cosh[double], "fastopt.loss"),
    "log_cosh_curvature": capsules(
        <void*> log_cosh_curvature[float], <void*> log_cosh_curvature[double], "fastopt.loss",
    ),
    "cauchy": capsules(<void*> cauchy[float], <void*> cauchy[double], "fastopt.loss"),
    "epsilon_insensitive": capsules(
        <void*> epsilon_insensitive[float], <void*> epsilon_insensitive[double], "fastopt.loss",
    ),
    "gaussian_nll": capsules(<void*> gaussian_nll[float], <void*> gaussian_nll[double], "fastopt.loss"),
    "poisson": capsules(<void*> poisson[float], <void*> poisson[double], "fastopt.loss"),
    "poisson_curvature": capsules(<void*> poisson_curvature[float], <void*> poisson_curvature[double], "fastopt.loss"),
    "poisson_rate": capsules(<void*> poisson_rate[float], <void*> poisson_rate[double], "fastopt.loss"),
    "gamma": capsules(<void*> gamma[float], <void*> gamma[double], "fastopt.loss"),
    "gamma_curvature": capsules(<void*> gamma_curvature[float], <void*> gamma_curvature[double], "fastopt.loss"),
    "tweedie": capsules(<void*> tweedie[float], <void*> tweedie[double], "fastopt.loss"),
    "tweedie_curvature": capsules(<void*> tweedie_curvature[float], <void*> tweedie_curvature[double], "fastopt.loss"),
    "exp_mse": capsules(<void*> exp_mse[float], <void*> exp_mse[double], "fastopt.loss"),
    "exp_mse_curvature": capsules(<void*> exp_mse_curvature[float], <void*> exp_mse_curvature[double], "fastopt.loss"),
    "kl_div": capsules(<void*> kl_div[float], <void*> kl_div[double], "fastopt.loss"),
    "kl_div_log": capsules(<void*> kl_div_log[float], <void*> kl_div_log[double], "fastopt.loss"),
    "bce": capsules(<void*> bce[float], <void*> bce[double], "fastopt.loss"),
    "bce_with_logits": capsules(<void*> bce_with_logits[float], <void*> bce_with_logits[double], "fastopt.loss"),
    "bce_with_logits_weighted": capsules(
        <void*> bce_with_logits_weighted[float], <void*> bce_with_logits_weighted[double], "fastopt.loss",
    ),
    "bce_with_logits_curvature": capsules(
        <void*> bce_with_logits_curvature[float], <void*> bce_with_logits_curvature[double], "fastopt.loss",
    ),
    "bce_with_logits_weighted_curvature": capsules(
        <void*> bce_with_logits_weighted_curvature[float], <void*> bce_with_logits_weighted_curvature[double], "fastopt.loss",
    ),
    "sigmoid_focal": capsules(<void*> sigmoid_focal[float], <void*> sigmoid_focal[double], "fastopt.loss"),
    "soft_margin": capsules(<void*> soft_margin[float], <void*> soft_margin[double], "fastopt.loss"),
    "hinge": capsules(<void*> hinge[float], <void*> hinge[double], "fastopt.loss"),
    "squared_hinge": capsules(<void*> squared_hinge[float], <void*> squared_hinge[double], "fastopt.loss"),
    "modified_huber": capsules(<void*> modified_huber[float], <void*> modified_huber[double], "fastopt.loss"),
    "hinge_embedding": capsules(<void*> hinge_embedding[float], <void*> hinge_embedding[double], "fastopt.loss"),
    "margin_ranking": capsules(<void*> margin_ranking[float], <void*> margin_ranking[double], "fastopt.loss"),
}
