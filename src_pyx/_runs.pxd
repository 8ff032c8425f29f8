# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One phase of a step: passes over runs of contiguous memory, chunk by chunk, without the GIL.

A chunk is worked on in place where the kernels can do that. Elsewhere (gradients that are strided, of another type,
sparse or to be clipped, state of another type) it is brought piece by piece, and put back.
"""
from libc.math cimport INFINITY

from _buffers cimport fetch, gather, put, width_of
from _core cimport (
    CHUNK, CLIP, COMMON, FLOAT64, MAX_BUFFERS, PENDING, SUMS, array_t, cascade_add, cascade_start, cascade_t, cascade_total,
    measure_t, rule_t, settle_t,
)

cdef enum:
    MAX_SCALARS = 40
    MAX_PASSES = 10
    MEMORY = 4
    SEVERAL = CHUNK // 2     # of a chunk, where it is passed over more than once
    PIECE = CHUNK // 4       # of a chunk, where buffers are converted on the way, and in sums, to be the same there

cdef enum phase_t:
    ALL                      # every pass
    ADD                      # the gradient to the accumulated one
    NORM                     # of the gradient
    BEFORE                   # the passes ahead of the rule, and its measure
    UPDATE                   # the others
    START                    # those before the first update of all, over a whole tensor


cdef struct recipe_t:        # how to make one step
    rule_t[2][MAX_PASSES] passes
    int count
    int starts               # so many before the first update of all,
    int before               # so many ahead of the measure
    measure_t[2] measure
    settle_t settle
    bint joint
    double[MAX_SCALARS] k
    double[MEMORY] memory    # after the step

cdef struct tensor_t:
    const array_t* param     # kept alive by Plan.params
    Py_ssize_t n
    Py_ssize_t steps         # taken so far
    Py_ssize_t pending       # gradients accumulated for the next
    double[MEMORY] memory
    int type                 # of the parameter,
    int state_type           # of the rule's buffers, and
    int compute              # of the kernels: the wider of the two
    bint active              # has a gradient in this step
    const array_t* strided   # the gradient, if it must be gathered chunk by chunk
    int source               # the gradient's type
    const Py_ssize_t* rows   # those that a sparse gradient touches,
    Py_ssize_t block         # their length, and
    Py_ssize_t size          # the elements in them; n if dense
    bint whole
    bint direct              # the kernels may work on the buffers themselves
    Py_ssize_t width         # buffers of parameter, gradient and rule
    recipe_t* recipe
    recipe_t* adding
    void** b                 # parameter, gradient, state...

cdef struct run_t:
    tensor_t* tensor         # the first of those merged
    Py_ssize_t n
    Py_ssize_t chunks
    Py_ssize_t first_chunk

cdef struct job_t:           # a phase of a step
    phase_t phase
    Py_ssize_t runs
    Py_ssize_t chunks
    Py_ssize_t elements
    run_t* run
    double* sums             # SUMS of each chunk
    double factor            # of the norm, against overflow
    measure_t[2] norm
    rule_t[2] clip


cdef inline int type_of(const tensor_t* t, int p) noexcept nogil:
    return t.source if p == 1 else t.type if p == 0 or p >= PENDING else t.state_type


cdef inline void* fetched(
    const tensor_t* t, int p, Py_ssize_t offset, Py_ssize_t size, bint clipped, double* scratch
) noexcept nogil:
    """Where the elements [offset, offset + size) of buffer `p` are: in place if they can be, else in `scratch`."""
    cdef int type = type_of(t, p)
    if type == t.compute and not (p == 1 and (clipped or t.strided != NULL)):
        return <char*> t.b[p] + offset * width_of(type)
    if p == 1 and t.strided != NULL:
        if t.compute == FLOAT64:
            gather(scratch, t.strided, type, offset, size)
        else:
            gather(<float*> scratch, t.strided, type, offset, size)
    elif t.compute == FLOAT64:
        fetch(scratch, t.b[p], type, offset, size)
    else:
        fetch(<float*> scratch, t.b[p], type, offset, size)
    return scratch


cdef inline bint adjoin(const void* a, const void* b, Py_ssize_t size) noexcept nogil:
    return <const char*> a + size == <const char*> b


cdef inline bint follows(const tensor_t* a, const tensor_t* b) noexcept nogil:
    """Whether b begins where a ends, in every buffer that both have."""
    cdef Py_ssize_t j, size = a.n * width_of(a.type)
    for j in range(a.width):
        if not adjoin(a.b[j], b.b[j], size):
            return False
    for j in range(PENDING, MAX_BUFFERS):
        if a.b[j] != NULL and not adjoin(a.b[j], b.b[j], size):
            return False
    return True


cdef inline Py_ssize_t chunks_in(Py_ssize_t n) noexcept nogil:
    return (n + CHUNK - 1) // CHUNK


cdef inline void list_runs(job_t* job, tensor_t* tensor, Py_ssize_t count, bint apart, bint adding) noexcept nogil:
    """List the runs: active tensors, joined with the one before where every buffer follows on, unless kept `apart`."""
    cdef Py_ssize_t i, r = -1, last = -2
    cdef tensor_t* t
    cdef run_t* run
    job.chunks = 0
    job.elements = 0
    for i in range(count):
        t = &tensor[i]
        if not t.active or t.size == 0:
            continue
        t.direct = (
            t.strided == NULL and t.rows == NULL and t.source == t.compute and t.type == t.state_type
            and (t.whole or adding or t.recipe.k[CLIP] == INFINITY)
        )
        job.elements += t.size
        if (
            last == i - 1 and not apart and t.direct and (t - 1).direct and not t.whole
            and t.recipe == (t - 1).recipe and t.adding == (t - 1).adding and t.type == (t - 1).type
            and follows(t - 1, t)
        ):
            job.run[r].n += t.n
        else:
            r += 1
            job.run[r].tensor = t
            job.run[r].n = t.size
        last = i
    job.runs = r + 1
    for r in range(job.runs):
        run = &job.run[r]
        run.first_chunk = job.chunks
        run.chunks = 1 if run.tensor.whole else chunks_in(run.n)
        job.chunks += run.chunks


cdef inline void pass_over(const job_t* job, const tensor_t* t, Py_ssize_t low, Py_ssize_t high, Py_ssize_t chunk) noexcept nogil:
    """Take the passes of this phase over the elements [low, high) of a run, which is of one chunk if measured."""
    cdef recipe_t* recipe = t.adding if job.phase == ADD else t.recipe
    cdef int kind = t.compute == FLOAT64
    cdef int first = recipe.before if job.phase == UPDATE else 0
    cdef int last = recipe.count
    cdef measure_t measure = job.norm[kind] if job.phase == NORM else recipe.measure[kind]
    cdef double* k = <double*> &job.factor if job.phase == NORM else recipe.k
    cdef double* sums = NULL
    cdef bint clipped = job.phase != ADD and job.phase != START and recipe.k[CLIP] < INFINITY and not t.whole
    cdef bint scattered = t.rows != NULL and job.phase != START and job.phase != NORM
    cdef Py_ssize_t size, grain, offset, row
    cdef int p, i, count = 0
    cdef int[MAX_BUFFERS] slot   # that this phase has buffers in
    cdef void* local[MAX_BUFFERS]
    cdef double[MAX_BUFFERS * PIECE] scratch
    if job.phase == NORM:
        last = 0
    elif job.phase == BEFORE:
        if recipe.settle == NULL:
            return
        last = recipe.before
    elif job.phase == START:
        last = recipe.starts
    if job.phase == NORM or job.phase == BEFORE:
        sums = job.sums + SUMS * chunk
        for p in range(SUMS):
            sums[p] = 0
    if t.direct:
        grain = PIECE if sums != NULL else high - low if last - first == 1 or t.whole else SEVERAL
        while low < high:
            size = min(grain, high - low)
            for p in range(first, last):
                recipe.passes[kind][p](t.b, low, size, k)
            if sums != NULL:
                measure(t.b, low, size, k, sums)
            low += size
        return
    for p in range(MAX_BUFFERS):
        local[p] = NULL
        if t.b[p] != NULL and (p < t.width or p >= PENDING) and job.phase != (NORM if p != 1 else START):
            slot[count] = p
            count += 1
    while low < high:
        size = min(<Py_ssize_t> PIECE, high - low)
        offset = low
        if scattered:  # as far as the rows are neighbors
            row = low // t.block
            offset = t.rows[row] * t.block + low % t.block
            grain = t.block - low % t.block
            while grain < size and t.rows[row + 1] == t.rows[row] + 1:
                row += 1
                grain += t.block
            size = min(size, grain)
        for i in range(count):
            p = slot[i]
            local[p] = fetched(t, p, low if p == 1 else offset, size, clipped, scratch + p * PIECE)
        if clipped:
            job.clip[kind](local, 0, size, recipe.k)
        for p in range(first, last):
            recipe.passes[kind][p](local, 0, size, k)
        if sums != NULL:
            measure(local, 0, size, k, sums)
        for i in range(count):
            p = slot[i]
            if p != 1 and local[p] == <void*> (scratch + p * PIECE):
                if t.compute == FLOAT64:
                    put(<double*> local[p], t.b[p], type_of(t, p), offset, size)
                else:
                    put(<float*> local[p], t.b[p], type_of(t, p), offset, size)
        low += size


cdef inline void work_on(const job_t* job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Take the passes of this phase over the chunks [start, stop) of the grid."""
    cdef Py_ssize_t r, low, high, c
    cdef run_t* run
    cdef bint apart = job.phase == NORM or job.phase == BEFORE
    for r in range(job.runs):
        run = &job.run[r]
        low = max(start - run.first_chunk, 0)
        high = min(stop - run.first_chunk, run.chunks)
        if low >= high:
            continue
        if run.tensor.whole:
            pass_over(job, run.tensor, 0, run.n, run.first_chunk)
        elif apart:
            for c in range(low, high):
                pass_over(job, run.tensor, c * CHUNK, min((c + 1) * CHUNK, run.n), run.first_chunk + c)
        else:
            pass_over(job, run.tensor, low * CHUNK, min(high * CHUNK, run.n), run.first_chunk)


cdef inline void total(const job_t* job, Py_ssize_t first, Py_ssize_t last, double* sums) noexcept nogil:
    """The sums over the runs [first, last), in the order of the grid."""
    cdef cascade_t cascade
    cdef Py_ssize_t c
    cdef int j
    for j in range(SUMS):
        cascade_start(&cascade)
        for c in range(job.run[first].first_chunk, job.run[last - 1].first_chunk + job.run[last - 1].chunks):
            cascade_add(&cascade, job.sums[SUMS * c + j])
        sums[j] = cascade_total(&cascade)
