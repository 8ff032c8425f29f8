# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""How many threads a large kernel may use, and the parked threads that help with it."""
# Design: no OpenMP, whose runtime deadlocks in a forked child that has seen a parallel region, and no executor, whose
# round trip takes some 40 us. A helper waits for a lock without the GIL, for SPINS tries awake and then asleep. Awake
# it answers within 1 us, which halves a step of 2**16 elements; asleep, on a core that halts or runs another library's
# threads, it answers so late and with so cold a cache that only large work gains. So small work is shared if it
# follows other work at once, large work always. Each thread has a block of the chunks, the same at every step so that
# its cache keeps it, claims a few at a time, and goes on to the blocks of the others; a helper that has not come when
# all is claimed is called off. Whoever finds the helpers taken does without.
import os
import threading
from numbers import Integral

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
    #include <time.h>
    static long long fastopt_now(void) {
        struct timespec t;
        timespec_get(&t, TIME_UTC);
        return 1000000000LL * t.tv_sec + t.tv_nsec;
    }
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define FASTOPT_CLAIM(x, n) ((Py_ssize_t) _InterlockedExchangeAdd64((volatile long long *)(x), n))
    #else
    #define FASTOPT_CLAIM(x, n) __atomic_fetch_add((x), (Py_ssize_t) (n), __ATOMIC_RELAXED)
    #endif
    """
    long long now "fastopt_now"() noexcept nogil
    Py_ssize_t claim "FASTOPT_CLAIM"(Py_ssize_t*, Py_ssize_t) noexcept nogil

cdef enum:
    MAX_HELPERS = 255
    GRAIN = 4  # chunks claimed at a time at least, and
    CLAIMS = 32  # how often a thread claims at most: what a late one holds keeps the others waiting
    SPINS = 2000  # some 40 us
    AT_ONCE = 50_000  # nanoseconds

cdef struct helper_t:
    PyThread_type_lock go    # released to wake it
    PyThread_type_lock done  # released when it found no more to do

cdef struct block_t:
    Py_ssize_t claimed  # chunks, in order; may run past the end
    Py_ssize_t[7] apart  # a cache line each

cdef struct task_t:
    work_t work
    void* job
    Py_ssize_t chunks
    Py_ssize_t threads
    Py_ssize_t grain
    block_t[MAX_HELPERS + 1] block
    long long ended

cdef helper_t[MAX_HELPERS] helper
cdef Py_ssize_t helpers
cdef object hiring
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
    global helpers, hiring, taken
    cdef int i
    hiring = threading.Lock()
    taken = new_lock(False)
    helpers = 0
    for i in range(MAX_HELPERS):
        helper[i].done = NULL


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
    if not isinstance(n, Integral) or isinstance(n, bool):
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
    if helpers < wanted:
        with hiring:
            while helpers < wanted:
                if helper[helpers].done == NULL:
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
            toil(i + 1)
            PyThread_release_lock(done)


cdef void take(PyThread_type_lock lock) noexcept nogil:
    cdef int _spin
    for _spin in range(SPINS):
        if PyThread_acquire_lock(lock, NOWAIT_LOCK):
            return
    PyThread_acquire_lock(lock, WAIT_LOCK)


cdef void toil(Py_ssize_t me) noexcept nogil:
    """Claim and do chunks until none is left, beginning with the block of thread `me`."""
    cdef Py_ssize_t i, block, start, stop
    for i in range(task.threads):
        block = (me + i) % task.threads
        stop = task.chunks * (block + 1) // task.threads
        start = claim(&task.block[block].claimed, task.grain)
        while start < stop:
            task.work(task.job, start, min(start + task.grain, stop))
            start = claim(&task.block[block].claimed, task.grain)


cdef void share(work_t work, void* job, Py_ssize_t chunks, Py_ssize_t large, Py_ssize_t threads) noexcept nogil:
    """Do work(job, start, stop) on all of [0, chunks), with up to `threads` threads, this one included."""
    cdef Py_ssize_t i
    if threads < 2 or not PyThread_acquire_lock(taken, NOWAIT_LOCK):
        work(job, 0, chunks)
        return
    if chunks < large and not 0 <= now() - task.ended < AT_ONCE:
        threads = 1
    task.work = work
    task.job = job
    task.chunks = chunks
    task.threads = threads
    task.grain = max(GRAIN, chunks // (CLAIMS * threads))
    for i in range(threads):
        task.block[i].claimed = chunks * i // threads
    for i in range(threads - 1):
        PyThread_release_lock(helper[i].go)
    toil(0)
    for i in range(threads - 1):
        if not PyThread_acquire_lock(helper[i].go, NOWAIT_LOCK):
            take(helper[i].done)
    task.ended = now()
    PyThread_release_lock(taken)


SHARE_OUT = PyCapsule_New(<void*> share, "fastopt.share", NULL)
