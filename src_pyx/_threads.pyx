# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""How many threads a large kernel may use, and the parked threads that help with it."""
# Design: no OpenMP, whose runtime deadlocks in a forked child that has seen a parallel region, and no executor, whose
# round trip takes some 40 us. A helper waits for a lock without the GIL, so waking it takes some 5 us, and threads pay
# from 2**16 elements on. Everyone claims ranges until none is left; a helper that has not woken by then is called
# off, so a busy machine costs nothing. Whoever finds the helpers taken, or is a forked child, does without.
import os
import threading

from cpython.pycapsule cimport PyCapsule_New
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_release_lock, PyThread_type_lock,
)

from _core cimport work_t

cdef extern from "Python.h":
    int WAIT_LOCK
    int NOWAIT_LOCK

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define FASTOPT_CLAIM(x) ((Py_ssize_t) _InterlockedExchangeAdd64((volatile long long *)(x), 1))
    #else
    #define FASTOPT_CLAIM(x) __atomic_fetch_add((x), (Py_ssize_t) 1, __ATOMIC_RELAXED)
    #endif
    """
    Py_ssize_t claim "FASTOPT_CLAIM"(Py_ssize_t*) noexcept nogil

cdef enum:
    MAX_HELPERS = 255
    RANGES = 4  # a thread, so that a late thread does not keep the others waiting
    SPINS = 2000  # tries before sleeping, some 40 us: steps in a row find the helpers awake

cdef struct helper_t:
    PyThread_type_lock go    # released to wake it
    PyThread_type_lock done  # released when it found no more to do

cdef struct task_t:
    work_t work
    void* job
    Py_ssize_t chunks
    Py_ssize_t ranges
    Py_ssize_t claimed

cdef helper_t[MAX_HELPERS] helper
cdef Py_ssize_t helpers
cdef PyThread_type_lock taken
cdef task_t task
cdef Py_ssize_t num_threads = 0


cdef PyThread_type_lock new_lock(bint held) except NULL:
    cdef PyThread_type_lock lock = PyThread_allocate_lock()
    if lock == NULL:
        raise MemoryError
    if held:
        PyThread_acquire_lock(lock, WAIT_LOCK)
    return lock


def forget_helpers():
    """Start without helpers: at import, and in a forked child, where none of the parent's threads live."""
    global helpers, taken
    taken = new_lock(False)
    helpers = 0


forget_helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_helpers)


def set_num_threads(n):
    """Set how many threads a large step may use; the numbers it computes are the same for any.

    Parameters
    ----------
    n : int
        At least 1, the calling thread included.

    Raises
    ------
    TypeError, ValueError
        `n` is no int, or less than 1.

    Examples
    --------
    >>> before = fo.get_num_threads()
    >>> fo.set_num_threads(2)
    >>> fo.get_num_threads()
    2
    >>> fo.set_num_threads(before)
    """
    global num_threads
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"the number of threads must be an int, not {type(n).__name__}")
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, not {n}")
    num_threads = min(n, MAX_HELPERS + 1)


def get_num_threads():
    """How many threads a large step may use.

    Returns
    -------
    n : int
        The number given to `set_num_threads`, else the environment's FASTOPT_NUM_THREADS, else its OMP_NUM_THREADS,
        else the CPUs this process may use; at most 256.

    Raises
    ------
    ValueError
        The environment has something else than a positive number there.
    """
    if num_threads == 0:
        set_num_threads(default_num_threads())
    return num_threads


cdef object default_num_threads():
    for name in ("FASTOPT_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value:
            if not value.isdecimal() or int(value) < 1:
                raise ValueError(f"{name} must be a positive number, not {value!r}")
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hire():
    """How many threads can share a task now; starts the helpers that are not there yet."""
    global helpers
    cdef Py_ssize_t wanted = get_num_threads() - 1
    while helpers < wanted:
        helper[helpers].go = new_lock(True)
        helper[helpers].done = new_lock(True)
        thread = threading.Thread(target=serve, args=(helpers,), daemon=True, name=f"fastopt-{helpers + 1}")
        try:
            thread.start()
        except RuntimeError:  # no thread to be had: the system is full, or the interpreter closing
            break
        helpers += 1
    return 1 + min(wanted, helpers)


def serve(Py_ssize_t i):
    """The life of helper i."""
    cdef PyThread_type_lock go = helper[i].go
    cdef PyThread_type_lock done = helper[i].done
    with nogil:
        while True:
            take(go)
            toil()
            PyThread_release_lock(done)


cdef void take(PyThread_type_lock lock) noexcept nogil:
    cdef int i
    for i in range(SPINS):
        if PyThread_acquire_lock(lock, NOWAIT_LOCK):
            return
    PyThread_acquire_lock(lock, WAIT_LOCK)


cdef void toil() noexcept nogil:
    """Claim and do ranges of the task until none is left."""
    cdef Py_ssize_t i = claim(&task.claimed)
    while i < task.ranges:
        task.work(task.job, task.chunks * i // task.ranges, task.chunks * (i + 1) // task.ranges)
        i = claim(&task.claimed)


cdef void share(work_t work, void* job, Py_ssize_t chunks, Py_ssize_t threads) noexcept nogil:
    """Do work(job, start, stop) on all of [0, chunks), with up to `threads` threads, this one included."""
    cdef Py_ssize_t i
    if threads < 2 or not PyThread_acquire_lock(taken, NOWAIT_LOCK):
        work(job, 0, chunks)
        return
    task.work = work
    task.job = job
    task.chunks = chunks
    task.ranges = min(chunks, RANGES * threads)
    task.claimed = 0
    for i in range(threads - 1):
        PyThread_release_lock(helper[i].go)
    toil()
    for i in range(threads - 1):
        if not PyThread_acquire_lock(helper[i].go, NOWAIT_LOCK):
            take(helper[i].done)
    PyThread_release_lock(taken)


SHARE_OUT = PyCapsule_New(<void*> share, "fastopt.share", NULL)
