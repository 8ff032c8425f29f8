# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What every kernel shares: the two real types, multi-ISA dispatch, and access to NumPy buffers.

Everything here is inline, so cimporting it adds no run-time dependency between modules. A .pxd inherits no
directives: without the first line, cdivision is off and no division vectorises.
"""
from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY, NAN, copysign, copysignf, fabs, fabsf, sqrt, sqrtf

# Design: dispatch by return type. `cdef hot f(...)` is compiled three times by the C compiler and bound to the best
# copy when the module is loaded. hot must mean void (a result leaves through a pointer), because the attribute
# stands where a type would. Contraction is off and nothing is reassociated, so the copies give the same bits.
# flatten inlines what is called: a function of this file left as a call would be the default copy, and not vectorise.
cdef extern from *:
    """
    #if !defined(FASTOPT_NO_CLONES) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 \\
        && defined(__x86_64__) && defined(__GLIBC__)
    #define FASTOPT_CLONES 1
    #define FASTOPT_HOT __attribute__((flatten, target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"))) void
    #else
    #define FASTOPT_CLONES 0
    #define FASTOPT_HOT void
    #endif
    """
    ctypedef void hot "FASTOPT_HOT"

ctypedef fused real:
    float
    double

# The shape of every update rule and pass: buffers in declared order (parameter, gradient, state...), then scalars.
ctypedef void (*rule_t)(void** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil

# The two specializations of a kernel, as the facade passes them around.
cdef inline tuple capsules(void* single, void* double_, const char* name):
    return PyCapsule_New(single, name, NULL), PyCapsule_New(double_, name, NULL)

# What `_threads` hands over: a piece of work on the chunks [start, stop), and the function that shares it out; from
# `large` chunks on it is worth while to wake a sleeping thread.
ctypedef void (*work_t)(void* job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
ctypedef void (*share_t)(work_t work, void* job, Py_ssize_t chunks, Py_ssize_t large, Py_ssize_t threads) noexcept nogil

# What a pass leaves behind of a chunk, added to `sums`, and how the sums of a tensor, or of a group, become scalars.
ctypedef void (*measure_t)(void** b, Py_ssize_t offset, Py_ssize_t n, const double* k, double* sums) noexcept nogil
ctypedef void (*settle_t)(const double* sums, double* k, double* memory) noexcept nogil

cdef enum:
    SUMS = 4  # at most, of a measure

# The first scalars of every rule, written by the engine from the options that all optimizers share.
cdef enum:
    SCALE      # of the gradient: -1 to maximize, smaller to clip its norm
    L2         # coupled weight decay, added to the scaled gradient
    DECAY      # factor on the parameter before the update: decoupled weight decay
    CLIP       # bound on the gradient's elements
    THRESHOLD  # of the soft threshold after the update: l1
    LOW        # bounds of the parameter
    HIGH
    SYNC       # how far lookahead's slow weights go
    WEIGHT     # of the parameter in the average
    COMMON     # where the rule's own scalars begin

# The buffers of those options, behind the rule's own.
cdef enum:
    PENDING = 13  # accumulated gradient
    SLOW = 14
    AVERAGE = 15
    MAX_BUFFERS = 16


# Design: the head of NumPy's array object, as its ABI has fixed it since 1.7. Reading it costs 2 ns where the
# buffer protocol costs 60, and a step over 100 small tensors is made of such reads. `_engine` compares it with
# what NumPy itself says when it is imported, and refuses to load on a difference.
cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        PyTypeObject *typeobj;
        char kind, type, byteorder, former_flags;
        int type_num;
    } fastopt_descr;
    typedef struct {
        PyObject_HEAD
        char *data;
        int nd;
        Py_ssize_t *shape;
        Py_ssize_t *strides;
        PyObject *base;
        fastopt_descr *descr;
        int flags;
    } fastopt_array;
    #define FASTOPT_ARRAY(o) ((fastopt_array *)(o))
    #define FASTOPT_TYPE(o) (FASTOPT_ARRAY(o)->descr->byteorder == '=' ? FASTOPT_ARRAY(o)->descr->type_num : -1)
    """
    ctypedef struct array_t "fastopt_array":
        char* data
        int nd
        Py_ssize_t* shape
        Py_ssize_t* strides
        int flags
    array_t* array_of "FASTOPT_ARRAY"(object)
    int dtype_of "FASTOPT_TYPE"(object)

cdef enum:
    FLOAT32 = 11
    FLOAT64 = 12
    C_CONTIGUOUS = 0x0001
    ALIGNED = 0x0100
    WRITEABLE = 0x0400
    READABLE = C_CONTIGUOUS | ALIGNED


cdef inline real gradient(const real* p, const real* g, Py_ssize_t i, real scale, real l2) noexcept nogil:
    """The gradient as every rule sees it: sign (maximize) and coupled weight decay cost one line here, none there."""
    return scale * g[i] + l2 * p[i] if l2 != 0 else scale * g[i]  # 0 times an infinite p would be NaN


cdef inline real lerp(real m, real g, real beta, real intake) noexcept nogil:
    """beta m + intake g, from the end that is nearer, as torch does: exact at beta 0 and 1."""
    return m + intake * (g - m) if intake < <real> 0.5 else g - beta * (g - m)


# Sums that do not depend on threads or vector width: sixteen double lanes inside a chunk, folded in a fixed order;
# chunk sums joined in grid order by a binary counter, which is pairwise summation without an array.
cdef enum:
    CHUNK = 1024
    LANES = 16
    LARGE = 1 << 11  # chunks, of an update rule
    THREAD_MIN = 1 << 16  # below this many elements waking a thread costs more than it saves

ctypedef struct cascade_t:
    double part[56]
    Py_ssize_t count

cdef inline void cascade_start(cascade_t* c) noexcept nogil:
    c.count = 0

cdef inline void cascade_add(cascade_t* c, double value) noexcept nogil:
    cdef Py_ssize_t carry = c.count
    cdef int level = 0
    while carry & 1:
        value = c.part[level] + value
        carry >>= 1
        level += 1
    c.part[level] = value
    c.count += 1

cdef inline double cascade_total(const cascade_t* c) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t rest = c.count
    cdef int level = 0
    while rest:
        if rest & 1:
            total = c.part[level] + total
        rest >>= 1
        level += 1
    return total

cdef inline double fold(double* lane) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(8):
        lane[j] += lane[j + 8]
    for j in range(4):
        lane[j] += lane[j + 4]
    return (lane[0] + lane[2]) + (lane[1] + lane[3])

cdef inline double sum_lanes(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            lane[j] += <double> x[LANES * i + j]
    for j in range(n - LANES * blocks):
        lane[j] += <double> x[LANES * blocks + j]
    return fold(lane)

cdef inline double dot_lanes(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    cdef double[LANES] lane
    cdef Py_ssize_t blocks = n // LANES
    cdef Py_ssize_t i, j
    for j in range(LANES):
        lane[j] = 0
    for i in range(blocks):
        for j in range(LANES):
            lane[j] += <double> x[LANES * i + j] * <double> y[LANES * i + j]
    for j in range(n - LANES * blocks):
        lane[j] += <double> x[LANES * blocks + j] * <double> y[LANES * blocks + j]
    return fold(lane)

cdef inline double sum_cascade(const real* x, Py_ssize_t n) noexcept nogil:
    cdef cascade_t c
    cdef Py_ssize_t i
    cascade_start(&c)
    for i in range((n + CHUNK - 1) // CHUNK):
        cascade_add(&c, sum_lanes(x + CHUNK * i, min(n - CHUNK * i, <Py_ssize_t> CHUNK)))
    return cascade_total(&c)

cdef inline double dot_cascade(const real* x, const real* y, Py_ssize_t n) noexcept nogil:
    cdef cascade_t c
    cdef Py_ssize_t i
    cascade_start(&c)
    for i in range((n + CHUNK - 1) // CHUNK):
        cascade_add(&c, dot_lanes(x + CHUNK * i, y + CHUNK * i, min(n - CHUNK * i, <Py_ssize_t> CHUNK)))
    return cascade_total(&c)


# Scalar mathematics without branches, tables or calls, so that every compiler vectorises the loops that use it and
# every instruction set gives the same bits. Results are within 2 ulp, and those of float are computed in float: in
# C an unadorned 1 or 0.5 is a double and would promote all it touches, hence <real> 1.
#
# Design: arithmetic and ternaries live here, the few steps on the bits of a number in C. DIGITS is the number of
# stored fraction bits, ONE and ROOT_HALF are the bits of 1 and of just below sqrt(1/2).
#   scale(y, k)   y * 2**k for an integer k, read from the lowest bits of k + 1.5 * 2**DIGITS. In two factors, because
#                 2**k alone overflows where y * 2**k does not; the first is exact, so a subnormal is rounded once.
#   exponent(x), fraction(x)   x = fraction * 2**exponent, fraction in [sqrt(1/2), sqrt(2)), for x positive and normal.
cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define FASTOPT_BITS(real, word, DIGITS, ONE, ROOT_HALF, TWO_DIGITS, BIAS) \\
    static inline word fastopt_bits_##real(real x) { word i; memcpy(&i, &x, sizeof i); return i; } \\
    static inline real fastopt_real_##real(word i) { real x; memcpy(&x, &i, sizeof x); return x; } \\
    static inline real fastopt_scale_##real(real y, real k) { \\
        word i = fastopt_bits_##real(k + TWO_DIGITS * (real) 1.5), half = i >> 1; \\
        return y * fastopt_real_##real((half << DIGITS) + ONE) \\
                 * fastopt_real_##real(((i - half) << DIGITS) + ONE); \\
    } \\
    static inline real fastopt_exponent_##real(real x) { \\
        word k = (fastopt_bits_##real(x) + (ONE - ROOT_HALF)) >> DIGITS; \\
        return fastopt_real_##real(k | fastopt_bits_##real(TWO_DIGITS)) - (TWO_DIGITS + BIAS); \\
    } \\
    static inline real fastopt_fraction_##real(real x) { \\
        word i = (fastopt_bits_##real(x) + (ONE - ROOT_HALF)) & (((word) 1 << DIGITS) - 1); \\
        return fastopt_real_##real(i + ROOT_HALF); \\
    }
    FASTOPT_BITS(float, uint32_t, 23, 0x3f800000u, 0x3f3504f3u, 8388608.0f, 127)
    FASTOPT_BITS(double, uint64_t, 52, 0x3ff0000000000000u, 0x3fe6a09e667f3bccu, 4503599627370496.0, 1023)
    """
    float scale_float "fastopt_scale_float"(float y, float k) noexcept nogil
    float exponent_float "fastopt_exponent_float"(float x) noexcept nogil
    float fraction_float "fastopt_fraction_float"(float x) noexcept nogil
    double scale_double "fastopt_scale_double"(double y, double k) noexcept nogil
    double exponent_double "fastopt_exponent_double"(double x) noexcept nogil
    double fraction_double "fastopt_fraction_double"(double x) noexcept nogil

cdef inline real sqrt_(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)

cdef inline real abs_(real x) noexcept nogil:
    if real is float:
        return fabsf(x)
    else:
        return fabs(x)

cdef inline real copysign_(real x, real sign) noexcept nogil:
    if real is float:
        return copysignf(x, sign)
    else:
        return copysign(x, sign)

# The t of exp(x) = 2**k (1 + t), |t| < 0.42; k goes to k[0]. With r = x - k log(2), |r| <= log(2)/2,
# t = exp(r) - 1 = r + r**2 q(r), q = mpmath.chebyfit((exp(r) - 1 - r) / r**2, |r| <= log(2)/2): relative error of
# 1 + t 1e-8 (float) and 2e-17 (double). k comes from adding 1.5 * 2**DIGITS, which leaves no room for a fraction.
# log(2) is subtracted in two parts, of which the first is short, so that a is exact. Beyond the limits of x
# the exponential has rounded to 0 or inf; the comparisons let NaN pass.
cdef inline real exp_reduce(real x, real* k) noexcept nogil:
    cdef real a, b, r, z, q
    if real is float:
        x = <float> 104 if x > 104 else x
        x = <float> -104 if x < -104 else x
        k[0] = x * <float> 1.4426950408889634 + <float> 12582912 - <float> 12582912
        a = x - k[0] * <float> 0.693145751953125
        b = k[0] * <float> 1.42860682030941723e-6
        r = a - b
        z = r * r
        q = <float> 0.041666556 + r * <float> 0.008363179 + z * <float> 0.0013926184
        q = <float> 0.5 + r * <float> 0.16666576 + z * q
    else:
        x = 746.0 if x > 746 else x
        x = -746.0 if x < -746 else x
        k[0] = x * 1.4426950408889634 + 6755399441055744.0 - 6755399441055744.0
        a = x - k[0] * 0.6931471803691238
        b = k[0] * 1.9082149292705877e-10
        r = a - b
        z = r * r
        q = 2.7620088445409746e-07 + r * 2.510038549551032e-08
        q = 2.4801521295954376e-05 + r * 2.7557268459997064e-06 + z * q
        q = 0.0013888888917213717 + r * 0.00019841269863053618 + z * q
        q = 0.04166666666662413 + r * 0.008333333333330062 + z * q
        q = 0.5 + r * 0.16666666666666669 + z * q
    return a + (z * q - b)

cdef inline real scale_(real y, real k) noexcept nogil:
    if real is float:
        return scale_float(y, k)
    else:
        return scale_double(y, k)

cdef inline real exp_(real x) noexcept nogil:
    cdef real k
    cdef real t = exp_reduce(x, &k)
    return scale_(<real> 1 + t, k)

# k log(2) + log(1 + f) + rest for 1 + f in [sqrt(1/2), sqrt(2)], to the accuracy of f. With s = f / (2 + f),
# log(1 + f) = 2 atanh(s) = f - (h - s (h + q)), h = f**2 / 2, so that f, the largest part, enters unrounded
# (fdlibm, e_log.c). q = 2 atanh(s)/s - 2 = z mpmath.chebyfit(..., z = s**2 <= 0.02947): error 1e-9 and 2e-18.
cdef inline real log_sum(real k, real f, real rest) noexcept nogil:
    cdef real s = f / (<real> 2 + f)
    cdef real z = s * s
    cdef real w = z * z
    cdef real h = f * f / <real> 2
    cdef real q
    if real is float:
        q = <float> 0.66666687 + z * <float> 0.3998876 + w * <float> 0.29580986
        rest += k * <float> 1.42860682030941723e-6
        return k * <float> 0.693145751953125 + (f - (h - (s * (h + z * q) + rest)))
    else:
        q = 0.1818289243253687 + z * 0.15331611722055008 + w * 0.14617807153417325
        q = 0.28571428626253836 + z * 0.22222211089379496 + w * q
        q = 0.666666666666667 + z * 0.3999999999989889 + w * q
        rest += k * 1.9082149292705877e-10
        return k * 0.6931471803691238 + (f - (h - (s * (h + z * q) + rest)))

# What is below the smallest normal number is scaled into the normal range by 2**32 or 2**64 first.
cdef inline real log_(real x) noexcept nogil:
    cdef real y, shift
    if real is float:
        y = x * <float> 4294967296 if x < <float> 1.1754943508222875e-38 else x
        shift = 32 if x < <float> 1.1754943508222875e-38 else 0
        y = log_sum(exponent_float(y) - shift, fraction_float(y) - <float> 1, <float> 0)
    else:
        y = x * 18446744073709551616.0 if x < 2.2250738585072014e-308 else x
        shift = 64 if x < 2.2250738585072014e-308 else 0
        y = log_sum(exponent_double(y) - shift, fraction_double(y) - 1, 0.0)
    y = y if x > 0 else <real> (-INFINITY if x == 0 else NAN)
    return y if x < <real> INFINITY else x

# u = 1 + x is rounded; x - (u - 1) is what it lost. Where u needs no scaling, f is x itself.
cdef inline real log1p_(real x) noexcept nogil:
    cdef real u = <real> 1 + x
    cdef real k, f, y
    if real is float:
        k = exponent_float(u)
        f = fraction_float(u) - <float> 1
    else:
        k = exponent_double(u)
        f = fraction_double(u) - 1
    y = log_sum(k, x if k == 0 else f, <real> 0 if k == 0 else (x - (u - <real> 1)) / u)
    y = y if u > 0 else <real> (-INFINITY if u == 0 else NAN)
    y = copysign_(y, x)
    return y if x < <real> INFINITY else x

# 1 / (1 + exp(-x)). With exp(|x|) = (1 + t) / w, w a power of two, that of -|x| is y = w / (1 + w + t), and that of |x|
# is 1 - y. The sum is rounded once: what 1 + w loses goes to t. Through exp(-|x|) the roundings add up to 2.4 ulp.
cdef inline real expit_(real x) noexcept nogil:
    cdef real k
    cdef real t = exp_reduce(abs_(x), &k)
    cdef real w = scale_(<real> 1, -k)
    cdef real u = <real> 1 + w
    cdef real y = w / (u + (t + (w - (u - <real> 1))))
    return <real> 1 - y if x > 0 else y

# log(1 + exp(x)) = max(x, 0) + log(1 + e), e = exp(-|x|); 1 + e is halved where it is beyond sqrt(2)
cdef inline real softplus_(real x) noexcept nogil:
    cdef real e = exp_(-abs_(x))
    cdef real k = 1 if e > <real> 0.41421356 else 0
    return (x if x > 0 else <real> 0) + log_sum(k, (e - k) * (<real> 1 - k / <real> 2), <real> 0)

# From 0.625 on 1 - 2 / (exp(2x) + 1); below (the limit is that of Cephes' tanh.c) x + x z p/q, z = x**2, where p/q
# equals (tanh(x)/x - 1)/z at the Chebyshev nodes of [0, 0.625**2]: error 4e-9 and 6e-18. One division serves both.
cdef inline real tanh_(real x) noexcept nogil:
    cdef real a = abs_(x)
    cdef real z = x * x
    cdef real e = exp_(a + a)
    cdef real p, q, y
    if real is float:
        p = z * (<float> -21.066529668380536 + z * <float> -0.9336470995576807)
        q = <float> 63.19958900860592 + z * (<float> 28.08077661671997 + z)
    else:
        p = z * (-1613.941322073366 + z * (-99.25157970735542 + z * -0.9643850249801493))
        q = 4841.823966220099 + z * (2234.484325610089 + z * (112.77252888384996 + z))
    y = a if a < <real> 0.625 else <real> 1
    y += y * ((p if a < <real> 0.625 else <real> -2) / (q if a < <real> 0.625 else e + <real> 1))
    return copysign_(y, x)
