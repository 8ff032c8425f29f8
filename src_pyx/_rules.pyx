# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Update rules, one function each in the shape of `rule_t`, sorted as in fastopt/optim; RULES names them for the facade.

A rule assumes what the engine has checked: buffers of one dtype and length, aligned, contiguous, none overlapping.
k[0..COMMON) are the options every rule shares (see _core.pxd), the rule's own scalars follow.
"""
from _core cimport COMMON, L2, SCALE, abs_, capsules, copysign_, gradient, hot, lerp, real, sqrt_


cdef inline real sign(real x) noexcept nogil:
    """-1, 0 or 1; NaN stays, so that a gradient that is none shows."""
    return copysign_(<real> 1, x) if abs_(x) > 0 else x


cdef inline real variance(real square, real mean) noexcept nogil:
    """square - mean**2, which rounding may leave below 0; a NaN stays."""
    cdef real rest = square - mean * mean
    return 0 if rest < 0 else rest


cdef hot fill(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """A start: the rule's first scalar everywhere in its first state buffer."""
    cdef real* state = b[2] + offset
    cdef real value = <real> k[COMMON]
    cdef Py_ssize_t i
    for i in range(n):
        state[i] = value


cdef hot copy(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """A start: the parameter in the first state buffer."""
    cdef const real* p = b[0] + offset
    cdef real* state = b[2] + offset
    cdef Py_ssize_t i
    for i in range(n):
        state[i] = p[i]


cdef hot sgd(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = p[i] - lr * gradient(p, g, i, scale, l2)


cdef hot sgd_momentum(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real intake = <real> k[COMMON + 2]
    cdef real d
    cdef Py_ssize_t i
    for i in range(n):
        d = momentum * momentum_buffer[i] + intake * gradient(p, g, i, scale, l2)
        momentum_buffer[i] = d
        p[i] = p[i] - lr * d


cdef hot sgd_nesterov(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real intake = <real> k[COMMON + 2]
    cdef real gi, d
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        d = momentum * momentum_buffer[i] + intake * gi
        momentum_buffer[i] = d
        p[i] = p[i] - lr * (gi + momentum * d)


cdef hot asgd(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* ax = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real keep = <real> k[COMMON]
    cdef real eta = <real> k[COMMON + 1]
    cdef real pi
    cdef Py_ssize_t i
    for i in range(n):
        pi = keep * p[i] - eta * gradient(p, g, i, scale, l2)
        ax[i] = pi
        p[i] = pi


cdef hot asgd_average(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* ax = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real keep = <real> k[COMMON]
    cdef real eta = <real> k[COMMON + 1]
    cdef real mu = <real> k[COMMON + 2]
    cdef real pi
    cdef Py_ssize_t i
    for i in range(n):
        pi = keep * p[i] - eta * gradient(p, g, i, scale, l2)
        ax[i] = ax[i] + mu * (pi - ax[i])
        p[i] = pi


cdef hot rprop(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The turn is a product of signs: that of the gradients, as in torch, may underflow to 0."""
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* step_size = b[2] + offset
    cdef real* prev = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real shrink = <real> k[COMMON + 1]
    cdef real grow = <real> k[COMMON + 2]
    cdef real low = <real> k[COMMON + 3]
    cdef real high = <real> k[COMMON + 4]
    cdef real gi, size, turn
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        turn = sign(gi) * sign(prev[i])
        size = step_size[i] * (grow if turn > 0 else shrink if turn < 0 else <real> 1)
        size = low if size < low else size
        size = high if size > high else size
        gi = 0 if turn < 0 else gi
        step_size[i] = size
        prev[i] = gi
        p[i] = p[i] - sign(gi) * size


cdef hot adagrad(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* total = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON + 1]
    cdef real inner = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real gi, si
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        si = total[i] + gi * gi
        total[i] = si
        p[i] = p[i] - lr * gi / (sqrt_(si + inner) + eps)


cdef hot adadelta(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real* u = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real rho = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real eps = <real> k[COMMON + 2]
    cdef real gi, vi, di
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = rho * v[i] + intake * gi * gi
        di = sqrt_(u[i] + eps) / sqrt_(vi + eps) * gi
        v[i] = vi
        u[i] = rho * u[i] + intake * di * di
        p[i] = p[i] - lr * di


cdef hot rmsprop(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real alpha = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real inner = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real gi, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = alpha * v[i] + intake * gi * gi
        v[i] = vi
        p[i] = p[i] - lr * gi / (sqrt_(vi + inner) + eps)


cdef hot rmsprop_momentum(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real* momentum_buffer = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real alpha = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real inner = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real momentum = <real> k[COMMON + 4]
    cdef real gi, vi, d
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = alpha * v[i] + intake * gi * gi
        d = momentum * momentum_buffer[i] + gi / (sqrt_(vi + inner) + eps)
        v[i] = vi
        momentum_buffer[i] = d
        p[i] = p[i] - lr * d


cdef hot rmsprop_centered(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real* m = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real alpha = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real inner = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real gi, vi, mi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = alpha * v[i] + intake * gi * gi
        mi = lerp(m[i], gi, alpha, intake)
        v[i] = vi
        m[i] = mi
        p[i] = p[i] - lr * gi / (sqrt_(variance(vi, mi) + inner) + eps)


cdef hot rmsprop_centered_momentum(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* v = b[2] + offset
    cdef real* m = b[3] + offset
    cdef real* momentum_buffer = b[4] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real alpha = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real inner = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real momentum = <real> k[COMMON + 4]
    cdef real gi, vi, mi, d
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = alpha * v[i] + intake * gi * gi
        mi = lerp(m[i], gi, alpha, intake)
        d = momentum * momentum_buffer[i] + gi / (sqrt_(variance(vi, mi) + inner) + eps)
        v[i] = vi
        m[i] = mi
        momentum_buffer[i] = d
        p[i] = p[i] - lr * d


cdef hot adam(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real correction2 = <real> k[COMMON + 3]
    cdef real inner = <real> k[COMMON + 4]
    cdef real eps = <real> k[COMMON + 5]
    cdef real gi, mi, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        vi = beta2 * v[i] + intake2 * gi * gi
        m[i] = mi
        v[i] = vi
        p[i] = p[i] - step * mi / (sqrt_(vi + inner) * correction2 + eps)


cdef hot adam_amsgrad(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The maximum is over the raw v, as in torch; optax takes it after bias correction."""
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real* top = b[4] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real correction2 = <real> k[COMMON + 3]
    cdef real inner = <real> k[COMMON + 4]
    cdef real eps = <real> k[COMMON + 5]
    cdef real gi, mi, vi, ti
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        vi = beta2 * v[i] + intake2 * gi * gi
        ti = top[i] if top[i] > vi else vi
        m[i] = mi
        v[i] = vi
        top[i] = ti
        p[i] = p[i] - step * mi / (sqrt_(ti + inner) * correction2 + eps)


cdef hot adamax(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* u = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real step = <real> k[COMMON + 2]
    cdef real eps = <real> k[COMMON + 3]
    cdef real gi, mi, ui, fresh
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        ui = beta2 * u[i]
        fresh = abs_(gi) + eps
        ui = ui if ui > fresh else fresh
        m[i] = mi
        u[i] = ui
        p[i] = p[i] - step * mi / ui


cdef hot radam_warmup(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The first steps of RAdam, while the variance of v is unbounded; the others are those of `adam`."""
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real gi, mi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        v[i] = beta2 * v[i] + intake2 * gi * gi
        m[i] = mi
        p[i] = p[i] - step * mi


cdef hot nadam(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real correction2 = <real> k[COMMON + 3]
    cdef real inner = <real> k[COMMON + 4]
    cdef real eps = <real> k[COMMON + 5]
    cdef real ahead = <real> k[COMMON + 6]
    cdef real gi, mi, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        vi = beta2 * v[i] + intake2 * gi * gi
        m[i] = mi
        v[i] = vi
        p[i] = p[i] - (ahead * gi + step * mi) / (sqrt_(vi + inner) * correction2 + eps)


cdef hot sign_sgd(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef Py_ssize_t i
    for i in range(n):
        p[i] = p[i] - lr * sign(gradient(p, g, i, scale, l2))


cdef hot signum(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* momentum_buffer = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real momentum = <real> k[COMMON + 1]
    cdef real intake = <real> (1 - k[COMMON + 1])
    cdef real m
    cdef Py_ssize_t i
    for i in range(n):
        m = lerp(momentum_buffer[i], gradient(p, g, i, scale, l2), momentum, intake)
        momentum_buffer[i] = m
        p[i] = p[i] - lr * sign(m)


cdef hot lion(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real lr = <real> k[COMMON]
    cdef real beta1 = <real> k[COMMON + 1]
    cdef real intake1 = <real> (1 - k[COMMON + 1])
    cdef real beta2 = <real> k[COMMON + 2]
    cdef real intake2 = <real> (1 - k[COMMON + 2])
    cdef real gi, mi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = m[i]
        m[i] = lerp(mi, gi, beta2, intake2)
        p[i] = p[i] - lr * sign(lerp(mi, gi, beta1, intake1))


cdef hot adabelief(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* s = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real correction2 = <real> k[COMMON + 3]
    cdef real floor = <real> k[COMMON + 4]
    cdef real inner = <real> k[COMMON + 5]
    cdef real eps = <real> k[COMMON + 6]
    cdef real gi, mi, si
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        si = beta2 * s[i] + intake2 * (gi - mi) * (gi - mi) + floor
        m[i] = mi
        s[i] = si
        p[i] = p[i] - step * mi / (sqrt_(si + inner) * correction2 + eps)


cdef hot yogi(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real step = <real> k[COMMON + 2]
    cdef real correction2 = <real> k[COMMON + 3]
    cdef real inner = <real> k[COMMON + 4]
    cdef real eps = <real> k[COMMON + 5]
    cdef real gi, mi, vi, excess
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        mi = lerp(m[i], gi, beta1, intake1)
        excess = v[i] - gi * gi
        vi = v[i] - intake2 * (copysign_(gi * gi, excess) if abs_(excess) > 0 else excess)
        m[i] = mi
        v[i] = vi
        p[i] = p[i] - step * mi / (sqrt_(vi + inner) * correction2 + eps)


cdef hot yogi_start(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* v = b[3] + offset
    cdef real initial_accumulator = <real> k[COMMON + 6]
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = initial_accumulator


cdef hot adan(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """Weight decay is the rule's own, in all its forms: l2, or a factor `before` or `after` the step."""
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* m = b[2] + offset
    cdef real* d = b[3] + offset
    cdef real* v = b[4] + offset
    cdef real* previous = b[5] + offset
    cdef real scale = <real> k[SCALE]
    cdef real beta1 = <real> k[COMMON]
    cdef real intake1 = <real> (1 - k[COMMON])
    cdef real beta2 = <real> k[COMMON + 1]
    cdef real intake2 = <real> (1 - k[COMMON + 1])
    cdef real beta3 = <real> k[COMMON + 2]
    cdef real intake3 = <real> (1 - k[COMMON + 2])
    cdef real step1 = <real> k[COMMON + 3]
    cdef real step2 = <real> k[COMMON + 4]
    cdef real correction3 = <real> k[COMMON + 5]
    cdef real inner = <real> k[COMMON + 6]
    cdef real eps = <real> k[COMMON + 7]
    cdef real l2 = <real> k[COMMON + 8]
    cdef real before = <real> k[COMMON + 9]
    cdef real after = <real> k[COMMON + 10]
    cdef real first = <real> k[COMMON + 11]
    cdef real gi, change, ahead, mi, di, vi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        change = gi - (gi if first != 0 else previous[i])
        ahead = gi + beta2 * change
        mi = lerp(m[i], gi, beta1, intake1)
        di = lerp(d[i], change, beta2, intake2)
        vi = beta3 * v[i] + intake3 * ahead * ahead
        m[i] = mi
        d[i] = di
        v[i] = vi
        previous[i] = gi
        p[i] = after * (before * p[i] - (step1 * mi + step2 * di) / (sqrt_(vi + inner) * correction3 + eps))


cdef hot ftrl(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* p = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* z = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real l2 = <real> k[L2]
    cdef real rate = <real> k[COMMON]
    cdef real stiffness = <real> k[COMMON + 1]
    cdef real l1 = <real> k[COMMON + 2]
    cdef real gi, vi, zi, root
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(p, g, i, scale, l2)
        vi = v[i] + gi * gi
        root = sqrt_(vi)
        zi = z[i] + (gi - (root - sqrt_(v[i])) * rate * p[i])
        z[i] = zi
        v[i] = vi
        p[i] = (copysign_(l1, zi) - zi) / (root * rate + stiffness) if not abs_(zi) <= l1 else <real> 0


cdef hot ftrl_start(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    """The z whose weights are p: where the gradients are zero, p stays."""
    cdef const real* p = b[0] + offset
    cdef real* z = b[2] + offset
    cdef real stiffness = <real> k[COMMON + 1]
    cdef real l1 = <real> k[COMMON + 2]
    cdef Py_ssize_t i
    for i in range(n):
        z[i] = -(p[i] * stiffness + sign(p[i]) * l1)


cdef hot sgd_schedule_free(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* y = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* z = b[2] + offset
    cdef real scale = <real> k[SCALE]
    cdef real lr = <real> k[COMMON]
    cdef real step = <real> k[COMMON + 1]
    cdef real weight = <real> k[COMMON + 2]
    cdef real rest = <real> (1 - k[COMMON + 2])
    cdef real l2 = <real> k[COMMON + 3]
    cdef real gi, zi
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(y, g, i, scale, l2)
        zi = z[i]
        z[i] = zi - lr * gi
        y[i] = lerp(y[i], zi, rest, weight) - step * gi


cdef hot adamw_schedule_free(real** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil:
    cdef real* y = b[0] + offset
    cdef const real* g = b[1] + offset
    cdef real* z = b[2] + offset
    cdef real* v = b[3] + offset
    cdef real scale = <real> k[SCALE]
    cdef real lr = <real> k[COMMON]
    cdef real step = <real> k[COMMON + 1]
    cdef real weight = <real> k[COMMON + 2]
    cdef real rest = <real> (1 - k[COMMON + 2])
    cdef real l2 = <real> k[COMMON + 3]
    cdef real decay = <real> k[COMMON + 4]
    cdef real beta2 = <real> k[COMMON + 5]
    cdef real intake2 = <real> (1 - k[COMMON + 5])
    cdef real correction2 = <real> k[COMMON + 6]
    cdef real inner = <real> k[COMMON + 7]
    cdef real eps = <real> k[COMMON + 8]
    cdef real gi, vi, zi, d
    cdef Py_ssize_t i
    for i in range(n):
        gi = gradient(y, g, i, scale, l2)
        vi = beta2 * v[i] + intake2 * gi * gi
        d = gi / (sqrt_(vi + inner) * correction2 + eps)
        d = d + decay * y[i] if decay != 0 else d
        zi = z[i]
        v[i] = vi
        z[i] = zi - lr * d
        y[i] = lerp(y[i], zi, rest, weight) - step * d


RULES = {
    "fill": capsules(<void*> fill[float], <void*> fill[double], "fastopt.rule"),
    "copy": capsules(<void*> copy[float], <void*> copy[double], "fastopt.rule"),
    "sgd": capsules(<void*> sgd[float], <void*> sgd[double], "fastopt.rule"),
    "sgd_momentum": capsules(<void*> sgd_momentum[float], <void*> sgd_momentum[double], "fastopt.rule"),
    "sgd_nesterov": capsules(<void*> sgd_nesterov[float], <void*> sgd_nesterov[double], "fastopt.rule"),
    "asgd": capsules(<void*> asgd[float], <void*> asgd[double], "fastopt.rule"),
    "asgd_average": capsules(<void*> asgd_average[float], <void*> asgd_average[double], "fastopt.rule"),
    "rprop": capsules(<void*> rprop[float], <void*> rprop[double], "fastopt.rule"),
    "adagrad": capsules(<void*> adagrad[float], <void*> adagrad[double], "fastopt.rule"),
    "adadelta": capsules(<void*> adadelta[float], <void*> adadelta[double], "fastopt.rule"),
    "rmsprop": capsules(<void*> rmsprop[float], <void*> rmsprop[double], "fastopt.rule"),
    "rmsprop_momentum": capsules(<void*> rmsprop_momentum[float], <void*> rmsprop_momentum[double], "fastopt.rule"),
    "rmsprop_centered": capsules(<void*> rmsprop_centered[float], <void*> rmsprop_centered[double], "fastopt.rule"),
    "rmsprop_centered_momentum": capsules(
        <void*> rmsprop_centered_momentum[float], <void*> rmsprop_centered_momentum[double], "fastopt.rule"
    ),
    "adam": capsules(<void*> adam[float], <void*> adam[double], "fastopt.rule"),
    "adam_amsgrad": capsules(<void*> adam_amsgrad[float], <void*> adam_amsgrad[double], "fastopt.rule"),
    "adamax": capsules(<void*> adamax[float], <void*> adamax[double], "fastopt.rule"),
    "radam_warmup": capsules(<void*> radam_warmup[float], <void*> radam_warmup[double], "fastopt.rule"),
    "nadam": capsules(<void*> nadam[float], <void*> nadam[double], "fastopt.rule"),
    "sign_sgd": capsules(<void*> sign_sgd[float], <void*> sign_sgd[double], "fastopt.rule"),
    "signum": capsules(<void*> signum[float], <void*> signum[double], "fastopt.rule"),
    "lion": capsules(<void*> lion[float], <void*> lion[double], "fastopt.rule"),
    "adabelief": capsules(<void*> adabelief[float], <void*> adabelief[double], "fastopt.rule"),
    "yogi": capsules(<void*> yogi[float], <void*> yogi[double], "fastopt.rule"),
    "yogi_start": capsules(<void*> yogi_start[float], <void*> yogi_start[double], "fastopt.rule"),
    "adan": capsules(<void*> adan[float], <void*> adan[double], "fastopt.rule"),
    "ftrl": capsules(<void*> ftrl[float], <void*> ftrl[double], "fastopt.rule"),
    "ftrl_start": capsules(<void*> ftrl_start[float], <void*> ftrl_start[double], "fastopt.rule"),
    "sgd_schedule_free": capsules(<void*> sgd_schedule_free[float], <void*> sgd_schedule_free[double], "fastopt.rule"),
    "adamw_schedule_free": capsules(
        <void*> adamw_schedule_free[float], <void*> adamw_schedule_free[double], "fastopt.rule"
    ),
}
