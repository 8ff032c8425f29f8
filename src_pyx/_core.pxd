# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What every kernel shares: the two real types, multi-ISA dispatch, and access to NumPy buffers.

Everything here is inline, so cimporting it adds no run-time dependency between modules. A .pxd inherits no
directives: without the first line, cdivision is off and no division vectorises.
"""

from libc.math cimport sqrt, sqrtf

# Design: dispatch by return type. `cdef hot f(...)` is compiled three times by the C compiler and bound to the best
# copy when the module is loaded. hot must mean void (a result leaves through a pointer), because the attribute
# stands where a type would. Contraction is off and nothing is reassociated, so the copies give the same bits.
cdef extern from *:
    """
    #if !defined(FASTOPT_NO_CLONES) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 \\
        && defined(__x86_64__) && defined(__GLIBC__)
    #define FASTOPT_CLONES 1
    #define FASTOPT_HOT __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"))) void
    #else
    #define FASTOPT_CLONES 0
    #define FASTOPT_HOT void
    #endif
    """
    ctypedef void hot "FASTOPT_HOT"
    const int CLONES "FASTOPT_CLONES"

ctypedef fused real:
    float
    double

# The shape of every update rule and pass: buffers in declared order (parameter, gradient, state...), then scalars.
ctypedef void (*rule_t)(void** b, Py_ssize_t offset, Py_ssize_t n, const double* k) noexcept nogil

# The first scalars of every rule, written by the engine from the options that all optimizers share.
cdef enum:
    SCALE   # of the gradient: -1 to maximize
    L2      # coupled weight decay, added to the scaled gradient
    DECAY   # factor on the parameter before the update: decoupled weight decay
    COMMON  # where the rule's own scalars begin


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


cdef inline real sqrt_(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


# Sums that do not depend on threads or vector width: sixteen double lanes inside a chunk, folded in a fixed order;
# chunk sums joined in grid order by a binary counter, which is pairwise summation without an array.
cdef enum:
    CHUNK = 1024
    LANES = 16

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
    cdef Py_ssize_t half = LANES // 2
    cdef Py_ssize_t j
    while half:
        for j in range(half):
            lane[j] += lane[j + half]
        half //= 2
    return lane[0]

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
