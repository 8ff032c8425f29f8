# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The engine: what a step does between the facade and the update rules.

A `Plan` is a table of tensors for one parameter group; a step fills in the gradients, lists the runs of contiguous
memory and takes every pass over each run, chunk by chunk. An `Engine` steps the plans of one optimizer together:
everything that can fail happens before the first parameter changes.
"""
# Design: why chunks. All passes of a group visit one chunk while it is in L1, so an option costs arithmetic but no
# further trip through memory. The same grid of chunks is what threads divide among themselves; rules work element
# by element, so neither the chunk nor the thread can be seen in the result.
import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock,
)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from _core cimport (
    C_CONTIGUOUS, CHUNK, COMMON, DECAY, FLOAT32, FLOAT64, L2, READABLE, SCALE, THREAD_MIN, WRITEABLE,
    array_of, array_t, dtype_of, real, rule_t, share_t,
)

from . import _threads

cdef extern from "Python.h":
    bint PyObject_TypeCheck(object, type)
    int NOWAIT_LOCK

cdef extern from *:
    """
    #if FASTOPT_CLONES
    static int fastopt_isa(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
    }
    #else
    static int fastopt_isa(void) { return 0; }
    #endif
    """
    int fastopt_isa()

cdef enum:
    MAX_BUFFERS = 16
    MAX_SCALARS = 32
    MAX_PASSES = 8
    MAX_DIMS = 64
    UPDATABLE = READABLE | WRITEABLE
    NOGIL_MIN = 1 << 12      # below this many, releasing the GIL costs more than the kernel

cdef type ndarray = np.ndarray
cdef share_t share = <share_t> PyCapsule_GetPointer(_threads.SHARE_OUT, "fastopt.share")
cdef object hire = _threads.hire


cdef struct recipe_t:        # how to make one step
    rule_t[2] update         # for float32, float64
    double[MAX_SCALARS] k

cdef struct tensor_t:
    const array_t* param     # kept alive by Plan.params
    Py_ssize_t n
    Py_ssize_t steps         # taken so far
    int type
    bint active              # has a gradient in this step
    const array_t* strided   # the gradient, if it must be gathered chunk by chunk, and
    int source               # its type
    recipe_t* recipe
    void** b                 # parameter, gradient, state...

cdef struct run_t:
    const tensor_t* tensor   # the first of those merged
    Py_ssize_t n
    Py_ssize_t first_chunk


cdef void gather(real* out, const array_t* a, int source, Py_ssize_t offset, Py_ssize_t n) noexcept nogil:
    """Elements [offset, offset + n) of a strided, unaligned or other-dtype array in C order."""
    cdef Py_ssize_t index[MAX_DIMS]
    cdef const char* x = a.data
    cdef Py_ssize_t i, size, rest = offset
    cdef Py_ssize_t stride = a.strides[a.nd - 1] if a.nd else 0
    cdef int d
    cdef float single
    cdef double double_
    for d in range(a.nd - 1, -1, -1):
        index[d] = rest % a.shape[d]
        rest = rest // a.shape[d]
        x += index[d] * a.strides[d]
    while n:
        size = min(n, a.shape[a.nd - 1] - index[a.nd - 1]) if a.nd else 1
        if source == FLOAT32:
            for i in range(size):
                memcpy(&single, x + i * stride, sizeof(float))
                out[i] = <real> single
        else:
            for i in range(size):
                memcpy(&double_, x + i * stride, sizeof(double))
                out[i] = <real> double_
        out += size
        n -= size
        if n == 0:
            return
        d = a.nd - 1
        index[d] += size
        x += size * stride
        while index[d] == a.shape[d]:
            x += a.strides[d - 1] - index[d] * a.strides[d]
            index[d] = 0
            d -= 1
            index[d] += 1


cdef inline Py_ssize_t size_of(const array_t* a) noexcept nogil:
    cdef Py_ssize_t n = 1
    cdef int d
    for d in range(a.nd):
        n *= a.shape[d]
    return n


cdef inline bint same_shape(const array_t* a, const array_t* b) noexcept nogil:
    cdef int d
    if a.nd != b.nd:
        return False
    for d in range(a.nd):
        if a.shape[d] != b.shape[d]:
            return False
    return True


cdef object foreign(object gradient, Py_ssize_t i):
    """A gradient that is not a float32 or float64 ndarray, as one; what cannot be a gradient is refused."""
    if not hasattr(gradient, "__array__"):
        raise TypeError(
            f"gradient {i} is of type {type(gradient).__name__}; a gradient is an array, or None to skip the parameter"
        )
    cdef object array = np.asarray(gradient)
    if array.dtype.kind != "f":
        raise TypeError(f"gradient {i} has dtype {array.dtype}; it must be real floating point")
    if type(array) is ndarray and dtype_of(array) in (FLOAT32, FLOAT64):
        return array
    return np.array(array, dtype=np.float32 if array.dtype.itemsize <= 4 else np.float64, subok=False)


cdef inline bint follows(const tensor_t* a, const tensor_t* b, Py_ssize_t width) noexcept nogil:
    """Whether b begins where a ends, in the parameter and in the other buffers up to `width`."""
    cdef Py_ssize_t j, size = a.n * (sizeof(float) if a.type == FLOAT32 else sizeof(double))
    if a.type != b.type:
        return False
    for j in range(max(width, 1)):
        if <char*> a.b[j] + size != <char*> b.b[j]:
            return False
    return True


cdef inline bint joins(const tensor_t* a, const tensor_t* b) noexcept nogil:
    return a.strided == NULL and b.strided == NULL and a.recipe == b.recipe


cdef inline Py_ssize_t chunks_in(Py_ssize_t n) noexcept nogil:
    return (n + CHUNK - 1) // CHUNK


cdef int unpack(tuple kernels, rule_t* pair) except -1:
    pair[0] = <rule_t> PyCapsule_GetPointer(kernels[0], "fastopt.rule")
    pair[1] = <rule_t> PyCapsule_GetPointer(kernels[1], "fastopt.rule")
    return 0


cdef object hyperparameters(dict group):
    return ", ".join(f"{name}={value!r}" for name, value in group.items() if name not in ("params", "param_names"))


def aligned_zeros(Py_ssize_t n, dtype):
    """A zeroed array of `n` elements that starts on a cache line."""
    cdef object raw = np.zeros(n * np.dtype(dtype).itemsize + 64, np.uint8)
    cdef Py_ssize_t start = -<Py_ssize_t> <size_t> array_of(raw).data & 63
    return raw[start:start + n * np.dtype(dtype).itemsize].view(dtype)


cdef class Plan:
    """The tensors of one parameter group, their step counts and state buffers, and how to update them.

    Parameters
    ----------
    params : list of ndarray
        Checked by the facade: float32 or float64, C-contiguous, aligned, writeable, none overlapping another.
    group : dict
        Hyperparameters; read anew at each step.
    scalars : callable
        ``scalars(group, t) -> (rule, tuple of float)``: the rule for step t = 1, 2, ... and its scalars; a rule has
        ``kernels`` (an entry of ``_rules.RULES``) and ``state`` (names of its buffers).
    decay : tuple
        The kernels of the pass for decoupled weight decay.
    """
    cdef readonly list params
    cdef readonly dict group
    cdef readonly dict buffers
    cdef object scalars
    cdef object rule
    cdef Py_ssize_t count, runs, chunks, elements, width
    cdef bint single         # has a float32 tensor, whose scalars must not overflow
    cdef bint grown          # has new buffers
    cdef tensor_t* tensor
    cdef run_t* run
    cdef recipe_t* recipe
    cdef void** table
    cdef rule_t[2] update
    cdef rule_t[2] shrink

    def __cinit__(self, list params, dict group, scalars, decay):
        self.count = len(params)
        self.params = params
        self.group = group
        self.buffers = {}
        self.scalars = scalars
        self.tensor = <tensor_t*> calloc(max(self.count, 1), sizeof(tensor_t))
        self.run = <run_t*> calloc(max(self.count, 1), sizeof(run_t))
        self.recipe = <recipe_t*> calloc(max(self.count, 1), sizeof(recipe_t))
        self.table = <void**> calloc(max(self.count, 1) * MAX_BUFFERS, sizeof(void*))
        if not (self.tensor and self.run and self.recipe and self.table):
            raise MemoryError
        unpack(decay, self.shrink)
        cdef Py_ssize_t i
        cdef tensor_t* t
        for i in range(self.count):
            t = &self.tensor[i]
            t.param = array_of(params[i])
            t.n = size_of(t.param)
            t.type = dtype_of(params[i])
            self.single = self.single or t.type == FLOAT32
            t.b = self.table + i * MAX_BUFFERS
            t.b[0] = array_of(params[i]).data
        self.prepare()

    def __dealloc__(self):
        free(self.tensor)
        free(self.run)
        free(self.recipe)
        free(self.table)

    @property
    def steps(self):
        """How many steps each tensor has taken."""
        return [self.tensor[i].steps for i in range(self.count)]

    cdef void restore(self, list steps, dict buffers):
        """Replace the step counts and the state; what `buffers` lacks starts at zero when a rule asks for it."""
        cdef Py_ssize_t i
        for i in range(self.count):
            self.tensor[i].steps = steps[i]
        self.buffers = buffers
        self.rule = None

    def zeros(self):
        """One zeroed buffer a tensor, contiguous with its neighbor's wherever the parameters are."""
        cdef Py_ssize_t i, end
        cdef list starts
        cdef dict total = {FLOAT32: 0, FLOAT64: 0}
        starts = []
        for i in range(self.count):
            end = total[self.tensor[i].type]
            if i and not follows(&self.tensor[i - 1], &self.tensor[i], 0):
                end = (end + 15) // 16 * 16
            starts.append(end)
            total[self.tensor[i].type] = end + self.tensor[i].n
        cdef dict flat = {
            FLOAT32: aligned_zeros(total[FLOAT32], np.float32), FLOAT64: aligned_zeros(total[FLOAT64], np.float64),
        }
        return [
            flat[self.tensor[i].type][starts[i]:starts[i] + self.tensor[i].n].reshape(self.params[i].shape)
            for i in range(self.count)
        ]

    cdef int arrange(self, object rule) except -1:
        """Take up `rule`: its kernels, and the addresses of its state.

        The rules that a group uses at different steps have the same state.
        """
        cdef Py_ssize_t i, j
        cdef object name
        cdef list buffers
        if len(rule.state) > MAX_BUFFERS - 2:
            raise ValueError(f"a rule has at most {MAX_BUFFERS - 2} state buffers, not {len(rule.state)}")
        for name in rule.state:
            if name not in self.buffers:
                self.buffers[name] = self.zeros()
                self.grown = True
        unpack(rule.kernels, self.update)
        for j, name in enumerate(rule.state):
            buffers = self.buffers[name]
            for i in range(self.count):
                self.tensor[i].b[2 + j] = array_of(buffers[i]).data
        self.width = 2 + len(rule.state)
        self.rule = rule
        return 0

    cdef int write(self, recipe_t* recipe, Py_ssize_t t) except -1:
        """Work out how to make step `t`."""
        cdef object rule, weight_decay
        cdef double* k = recipe.k
        cdef tuple own
        cdef dict group = self.group
        cdef Py_ssize_t j
        cdef double check = 0
        try:
            rule, own = self.scalars(group, t)
        except ArithmeticError as error:
            raise ValueError(f"no step can be made with {hyperparameters(group)}: {error}") from error
        if len(own) > MAX_SCALARS - COMMON:
            raise ValueError(f"a rule has at most {MAX_SCALARS - COMMON} scalars, not {len(own)}")
        k[SCALE] = -1 if group["maximize"] else 1
        k[L2] = 0
        k[DECAY] = 1
        weight_decay = group.get("weight_decay")
        if weight_decay:
            if group.get("decoupled_weight_decay"):
                k[DECAY] = 1 - <double> group["lr"] * <double> weight_decay
            else:
                k[L2] = weight_decay
        for j in range(len(own)):
            k[COMMON + j] = own[j]
        for j in range(COMMON + len(own)):
            check += (<double> <float> k[j] if self.single else k[j]) * 0
        if check != 0:
            raise ValueError(f"a hyperparameter is not finite: {hyperparameters(group)}")
        if rule is not self.rule:
            self.arrange(rule)
        recipe.update = self.update
        return 0

    cdef int prepare(self) except -1:
        """Work out how each tensor makes its next step: once for all, unless their step counts differ."""
        cdef Py_ssize_t i, j, t
        cdef bint uniform = True
        cdef dict seen
        for i in range(1, self.count):
            if self.tensor[i].steps != self.tensor[0].steps:
                uniform = False
                break
        if uniform:
            self.write(self.recipe, 1 + (self.tensor[0].steps if self.count else 0))
            for i in range(self.count):
                self.tensor[i].recipe = self.recipe
            return 0
        seen = {}
        for i in range(self.count):
            t = self.tensor[i].steps + 1
            j = seen.setdefault(t, i)
            self.tensor[i].recipe = self.recipe + j
            if i == j:
                self.write(self.recipe + j, t)
        return 0

    cdef int bind(self, tuple gradients, Py_ssize_t first, Span span, list kept) except -1:
        """Check the gradients of this group, gradients[first:first + count], and note where they are."""
        cdef Py_ssize_t i
        cdef object gradient
        cdef const array_t* p
        cdef const array_t* g
        cdef tensor_t* t
        cdef int source
        cdef bint direct
        for i in range(self.count):
            t = &self.tensor[i]
            p = t.param
            if p.data != t.b[0] or size_of(p) != t.n or (p.flags & UPDATABLE) != UPDATABLE:
                raise ValueError(
                    f"parameter {first + i} was moved, resized or made read-only since the optimizer was built"
                )
            gradient = gradients[first + i]
            t.active = gradient is not None
            if not t.active:
                continue
            if not PyObject_TypeCheck(gradient, ndarray) or dtype_of(gradient) not in (FLOAT32, FLOAT64):
                gradient = foreign(gradient, first + i)
                kept.append(gradient)
            g = array_of(gradient)
            source = dtype_of(gradient)
            if not same_shape(g, p):
                raise ValueError(
                    f"gradient {first + i} has shape {gradient.shape}, its parameter {self.params[i].shape}"
                )
            direct = source == t.type and (g.flags & READABLE) == READABLE
            if direct and t.strided == NULL and g.data == t.b[1]:
                continue  # where it was in the step before, and clear of all that a step writes to
            if span.meets(g, 4 if source == FLOAT32 else 8):
                gradient = np.array(gradient, order="C", subok=False)
                kept.append(gradient)
                g = array_of(gradient)
                direct = source == t.type
            t.source = source
            t.b[1] = g.data
            t.strided = NULL
            if not direct:
                t.strided = g
        return 0

    cdef void forget(self) noexcept:
        """Check every gradient afresh: there is more memory now that it could meet."""
        cdef Py_ssize_t i
        self.grown = False
        for i in range(self.count):
            self.tensor[i].b[1] = NULL

    cdef void merge(self) noexcept nogil:
        """List the runs: active tensors, joined with the one before where every buffer follows on."""
        cdef Py_ssize_t i, r = -1, last = -2
        cdef tensor_t* t
        self.chunks = 0
        self.elements = 0
        for i in range(self.count):
            t = &self.tensor[i]
            if not t.active or t.n == 0:
                continue
            self.elements += t.n
            if last == i - 1 and joins(t - 1, t) and follows(t - 1, t, self.width):
                self.run[r].n += t.n
            else:
                if r >= 0:
                    self.chunks += chunks_in(self.run[r].n)
                r += 1
                self.run[r].tensor = t
                self.run[r].n = t.n
                self.run[r].first_chunk = self.chunks
            last = i
        if r >= 0:
            self.chunks += chunks_in(self.run[r].n)
        self.runs = r + 1

    cdef void work(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """Take all passes over the chunks [start, stop) of the grid."""
        cdef Py_ssize_t r, i, low, high, size, grain
        cdef run_t* run
        cdef const tensor_t* t
        cdef const double* k
        cdef void* local[MAX_BUFFERS]
        cdef double[CHUNK] scratch
        cdef rule_t[MAX_PASSES] passes
        cdef int single, p, count
        for r in range(self.runs):
            run = &self.run[r]
            low = max(start - run.first_chunk, 0)
            high = min(stop - run.first_chunk, chunks_in(run.n))
            if low >= high:
                continue
            t = run.tensor
            single = t.type == FLOAT32
            count = 0
            k = t.recipe.k
            if k[DECAY] != 1:
                passes[count] = self.shrink[not single]
                count += 1
            passes[count] = t.recipe.update[not single]
            count += 1
            low *= CHUNK
            high = min(high * CHUNK, run.n)
            if t.strided == NULL:
                grain = CHUNK if count > 1 else high - low
                while low < high:
                    size = min(grain, high - low)
                    for p in range(count):
                        passes[p](t.b, low, size, k)
                    low += size
                continue
            while low < high:
                size = min(<Py_ssize_t> CHUNK, high - low)
                for i in range(self.width):
                    local[i] = <char*> t.b[i] + low * (sizeof(float) if single else sizeof(double))
                if single:
                    gather(<float*> scratch, t.strided, t.source, low, size)
                else:
                    gather(<double*> scratch, t.strided, t.source, low, size)
                local[1] = <void*> scratch
                for p in range(count):
                    passes[p](local, 0, size, k)
                low += size

    cdef void execute(self, Py_ssize_t threads) noexcept:
        """Run every pass over every chunk, with up to `threads` threads."""
        cdef Py_ssize_t i
        if self.elements >= NOGIL_MIN:
            with nogil:
                share(work, <void*> self, self.chunks, threads if self.elements >= THREAD_MIN else 1)
        else:
            work(<void*> self, 0, self.chunks)
        for i in range(self.count):
            self.tensor[i].steps += self.tensor[i].active


cdef void work(void* plan, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    (<Plan> plan).work(start, stop)


cdef class Span:
    """The memory that a step writes to, as sorted intervals: a gradient that meets it must be copied first."""
    cdef size_t* bound       # low, high, low, high...
    cdef Py_ssize_t count
    cdef object held

    def __cinit__(self, list arrays):
        cdef list bounds = []
        for array in arrays:
            if array.size:
                bounds.append((<size_t> array_of(array).data, <size_t> array_of(array).data + <size_t> array.nbytes))
        bounds.sort()
        self.held = np.array(bounds, dtype=np.uintp).reshape(-1)
        self.bound = <size_t*> array_of(self.held).data
        self.count = len(bounds)

    cdef bint meets(self, const array_t* a, Py_ssize_t itemsize) noexcept nogil:
        cdef size_t low = <size_t> a.data
        cdef size_t high = low + itemsize
        cdef Py_ssize_t left = 0, right = self.count, middle
        cdef int d
        for d in range(a.nd):
            if a.shape[d] == 0:
                return False
            if a.strides[d] < 0:
                low += (a.shape[d] - 1) * a.strides[d]
            else:
                high += (a.shape[d] - 1) * a.strides[d]
        while left < right:  # the first array that ends after `low`
            middle = (left + right) // 2
            if self.bound[2 * middle + 1] <= low:
                left = middle + 1
            else:
                right = middle
        return left < self.count and self.bound[2 * left] < high


cdef str REPLACED = "the dicts in param_groups may be edited, not replaced; groups are added with add_param_group"


cdef class Engine:
    """The plans of one optimizer, stepped together or not at all."""
    cdef readonly list plans
    cdef Span span
    cdef Py_ssize_t count
    cdef PyThread_type_lock lock

    def __cinit__(self):
        self.plans = []
        self.span = Span([])
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef int acquire(self) except -1:
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            raise RuntimeError("this optimizer is at work: in another thread, or further up in this one")
        return 0

    cdef int survey(self) except -1:
        """Note afresh what memory a step writes to."""
        cdef Plan plan
        cdef list arrays = []
        for plan in self.plans:
            arrays += plan.params
            for buffers in plan.buffers.values():
                arrays += buffers
            plan.forget()
        self.span = Span(arrays)
        return 0

    cdef int recipes(self) except -1:
        cdef Plan plan
        cdef bint grown = False
        for plan in self.plans:
            plan.prepare()
            grown = grown or plan.grown
        if grown:
            self.survey()
        return 0

    def prepare(self):
        """Make the buffers that the next step needs."""
        self.acquire()
        try:
            self.recipes()
        finally:
            PyThread_release_lock(self.lock)

    def add(self, Plan plan):
        """Take in the plan of one more group."""
        self.acquire()
        try:
            self.plans.append(plan)
            self.survey()
            self.count += plan.count
        except BaseException:
            self.plans.pop()
            raise
        finally:
            PyThread_release_lock(self.lock)

    def restore(self, loads):
        """For each (plan, group, steps, buffers), replace hyperparameters, step counts and state."""
        cdef Plan plan
        before = [(plan, dict(plan.group), plan.steps, plan.buffers) for plan in self.plans]
        self.acquire()
        try:
            for plan, group, steps, buffers in loads:
                plan.group.update(group)
                plan.restore(steps, buffers)
            self.recipes()
            self.survey()
        except BaseException:
            for plan, group, steps, buffers in before:
                plan.group.clear()
                plan.group.update(group)
                plan.restore(steps, buffers)
            raise
        finally:
            PyThread_release_lock(self.lock)

    def step(self, gradients, list groups):
        """Update every parameter with its gradient, in the order of the groups; None skips one.

        Checks and recipes come first, for all groups: if anything is wrong, nothing has changed.
        """
        cdef tuple held = tuple(gradients)
        cdef list kept = []
        cdef Py_ssize_t i, first = 0, threads = 1
        cdef Plan plan
        self.acquire()
        try:
            if len(groups) != len(self.plans):
                raise ValueError(REPLACED)
            for i in range(len(groups)):
                plan = self.plans[i]
                if plan.group is not groups[i]:
                    raise ValueError(REPLACED)
            if len(held) != self.count:
                raise ValueError(f"{len(held)} gradients for {self.count} parameters")
            self.recipes()
            for plan in self.plans:
                plan.bind(held, first, self.span, kept)
                first += plan.count
                plan.merge()
                if plan.elements >= THREAD_MIN:
                    threads = hire()
            for plan in self.plans:
                plan.execute(threads)
        finally:
            PyThread_release_lock(self.lock)


def isa():
    """The instruction set level the kernels run at."""
    return {0: "baseline (built without clones)", 1: "x86-64", 3: "x86-64-v3", 4: "x86-64-v4"}[fastopt_isa()]


def _check_layout():
    array = np.zeros((3, 5), np.float32)[1:, ::2]
    cdef array_t* a = array_of(array)
    if not (
        <size_t> a.data == <size_t> array.__array_interface__["data"][0]
        and a.nd == 2
        and (a.shape[0], a.shape[1]) == array.shape
        and (a.strides[0], a.strides[1]) == array.strides
        and dtype_of(array) == FLOAT32
        and dtype_of(np.zeros(1)) == FLOAT64
        and dtype_of(np.zeros(1, np.dtype(float).newbyteorder())) == -1
        and not a.flags & C_CONTIGUOUS
        and a.flags & WRITEABLE
        and (array_of(np.zeros(1)).flags & UPDATABLE) == UPDATABLE
    ):
        raise ImportError(f"fastopt does not know the memory layout of arrays of NumPy {np.__version__}")


_check_layout()
