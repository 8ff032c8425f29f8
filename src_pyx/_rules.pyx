# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Update rules, one function each in the shape of `rule_t`, sorted as in fastopt/optim; RULES names them for the facade.

A rule assumes what the engine has checked: buffers of one dtype and length, aligned, contiguous, none overlapping.
k[0..COMMON) are the options every rule shares (see _core.pxd), the rule's own scalars follow.
"""
from _core cimport COMMON, L2, SCALE, capsules, gradient, hot, lerp, real, sqrt_


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


RULES = {
    "sgd": capsules(<void*> sgd[float], <void*> sgd[double], "fastopt.rule"),
    "sgd_momentum": capsules(<void*> sgd_momentum[float], <void*> sgd_momentum[double], "fastopt.rule"),
    "sgd_nesterov": capsules(<void*> sgd_nesterov[float], <void*> sgd_nesterov[double], "fastopt.rule"),
    "adam": capsules(<void*> adam[float], <void*> adam[double], "fastopt.rule"),
    "adam_amsgrad": capsules(<void*> adam_amsgrad[float], <void*> adam_amsgrad[double], "fastopt.rule"),
}
