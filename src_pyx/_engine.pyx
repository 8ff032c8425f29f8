# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""The engine: what a step does between the facade and the update rules.

A `Plan` (_plan.pxi) is a table of tensors for one parameter group; a step fills in the gradients, lists the runs of
contiguous memory and takes every pass over each run, chunk by chunk (_runs.pxd). An `Engine` steps the plans of one
optimizer together: everything that can fail happens before the first parameter changes.
"""
# Design: why chunks. All passes of a group visit one chunk while it is in L1, so an option costs arithmetic but no
# further trip through memory. The same grid of chunks is what threads divide among themselves; rules work element
# by element, so neither the chunk nor the thread can be seen in the result. What a rule or an option must know of
# whole tensors first (norms) is summed by chunks in a phase before, and added up in the order of the grid.
import numpy as np

from libc.math cimport INFINITY, hypot

from _core cimport C_CONTIGUOUS, FLOAT32, FLOAT64, LARGE, READABLE, THREAD_MIN, WRITEABLE, array_of, array_t, dtype_of

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

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static int fastopt_claim(int *busy) { return _InterlockedExchange((volatile long *) busy, 1); }
    static void fastopt_free(int *busy) { _InterlockedExchange((volatile long *) busy, 0); }
    #else
    static int fastopt_claim(int *busy) { return __atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE); }
    static void fastopt_free(int *busy) { __atomic_store_n(busy, 0, __ATOMIC_RELEASE); }
    #endif
    """
    bint fastopt_claim(int* busy) noexcept nogil
    void fastopt_free(int* busy) noexcept nogil


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


include "_plan.pxi"


cdef str REPLACED = "the dicts in param_groups may be edited, not replaced; groups are added with add_param_group"


cdef class Engine:
    """The plans of one optimizer, stepped together or not at all."""
    cdef readonly list plans
    cdef public Py_ssize_t skipped         # steps whose gradients were not finite
    cdef public object norm                # of the gradients, where it was clipped last
    cdef Span span
    cdef Py_ssize_t count
    cdef int busy            # in a step, or another method

    def __cinit__(self):
        self.plans = []
        self.span = Span([])

    cdef int acquire(self) except -1:
        if fastopt_claim(&self.busy):
            raise RuntimeError("this optimizer is at work: in another thread, or further up in this one")
        return 0

    cdef int survey(self) except -1:
        """Note afresh what memory a step writes to."""
        cdef Plan plan
        cdef list arrays = []
        for plan in self.plans:
            arrays += plan.params
            for buffers in plan.buffers.values():
                arrays += [buffer for buffer in buffers if buffer is not None]
            plan.forget()
        self.span = Span(arrays)
        return 0

    cdef int recipes(self, bint all) except -1:
        cdef Plan plan
        cdef bint grown = False
        for plan in self.plans:
            if all:
                plan.begin()
            if all or plan.due:
                plan.prepare()
            grown = grown or plan.grown
        if grown:
            self.survey()
        return 0

    def prepare(self):
        """Make the buffers that the next step needs."""
        self.acquire()
        try:
            self.recipes(True)
        finally:
            fastopt_free(&self.busy)

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
            fastopt_free(&self.busy)

    def restore(self, loads, Py_ssize_t skipped):
        """For each (plan, group, taken, scalars, buffers), replace hyperparameters, counts and state."""
        cdef Plan plan
        before = [(plan, *plan.snapshot()) for plan in self.plans]
        self.acquire()
        try:
            for plan, group, taken, scalars, buffers in loads:
                plan.restore(group, taken, scalars, buffers)
            self.recipes(True)
            self.survey()
            self.skipped = skipped
        except BaseException:
            for plan, group, taken, scalars, buffers in before:
                plan.restore(group, taken, scalars, buffers)
            raise
        finally:
            fastopt_free(&self.busy)

    cdef bint sound(self, Py_ssize_t threads):
        """Clip norms; False if a gradient that must be finite is not."""
        cdef Plan plan
        cdef bint clipped = False, finite = True
        cdef double norm, factor, total = 0
        for plan in self.plans:
            if plan.due and (plan.guarded or plan.limit < INFINITY):
                norm = plan.gradient_norm(threads)
                finite = finite and (plan.finite or not plan.guarded)
                if plan.limit < INFINITY:
                    clipped = True
                    total = hypot(total, norm)
                    factor = plan.limit / (norm + 1e-6)
                    if not factor >= 1:
                        plan.scale(factor)
        if clipped:
            self.norm = total
        return finite

    def step(self, gradients, list groups):
        """Update every parameter with its gradient, in the order of the groups; None skips one.

        Checks and recipes come first, for all groups: if anything is wrong, nothing has changed.
        """
        cdef tuple held = tuple(gradients)
        cdef list kept = []
        cdef Py_ssize_t i, first = 0, threads = 1
        cdef bint sound
        cdef Plan plan
        self.acquire()
        try:
            if len(groups) != len(self.plans):
                raise ValueError(REPLACED)
            for i in range(len(groups)):
                plan = self.plans[i]
                if plan.group is not groups[i]:
                    raise ValueError(REPLACED)
                plan.begin()
            if len(held) != self.count:
                raise ValueError(f"{len(held)} gradients for {self.count} parameters")
            self.recipes(False)
            for plan in self.plans:
                plan.bind(held, first, self.span, kept)
                first += plan.count
                plan.reserve()
                plan.merge()
                if plan.job.elements >= THREAD_MIN:
                    threads = hire()
            norm = self.norm
            try:
                for plan in self.plans:
                    if plan.adds and plan.due:
                        plan.keep_sums()
                        plan.add_up(threads)
                sound = self.sound(threads)
                if sound:
                    for plan in self.plans:
                        if plan.due and plan.by_shape:
                            plan.prologue()
            except BaseException:
                for plan in self.plans:
                    plan.take_back()
                self.norm = norm
                raise
            for plan in self.plans:
                if plan.due and sound:
                    plan.update(threads)
                elif plan.due:
                    plan.close()
                elif sound:
                    plan.add_up(threads)
            self.skipped += not sound
        finally:
            fastopt_free(&self.busy)


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
