# cython: language_level=3, freethreading_compatible=True
"""How many threads a large kernel may use, and the pool that they live in."""
# Design: no OpenMP. Its runtime deadlocks in a forked child that has seen a parallel region; an executor that the
# child drops does not, and a kernel over a fixed grid of chunks needs no more than a queue of ranges.
import os
from collections import deque
from queue import SimpleQueue

cdef enum:
    SHARE = 4  # ranges a thread, so that a late thread does not keep the others waiting

cdef object pool = None
cdef Py_ssize_t num_threads = 0


def set_num_threads(n):
    """Set how many threads a large step may use; the numbers it computes are the same for any.

    Parameters
    ----------
    n : int
        At least 1, the calling thread included.
    """
    global num_threads
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"the number of threads must be an int, not {type(n).__name__}")
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, not {n}")
    num_threads = n
    drop_pool()


def get_num_threads():
    """How many threads a large step may use.

    The number given to `set_num_threads`, else the environment's FASTOPT_NUM_THREADS, else its OMP_NUM_THREADS, else
    the CPUs this process may use.
    """
    global num_threads
    if num_threads == 0:
        num_threads = default_num_threads()
    return num_threads


cdef Py_ssize_t default_num_threads() except -1:
    for name in ("FASTOPT_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value:
            if not value.isdecimal() or int(value) < 1:
                raise ValueError(f"{name} must be a positive number, not {value!r}")
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def drop_pool():
    """Forget the pool: its threads end when idle; in a forked child they never were."""
    global pool
    pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=drop_pool)


def share(work, Py_ssize_t chunks):
    """Call work(start, stop) on all of [0, chunks), here and on the pool; returns an interrupt that came meanwhile.

    Every range is claimed by whoever is free, this thread included, so a pool that cannot start a thread costs
    time only. An interrupt is held back until no thread writes any longer.
    """
    global pool
    cdef Py_ssize_t i, threads = get_num_threads(), count = min(chunks, SHARE * threads)
    cdef object interrupt = None
    ranges = deque((chunks * i // count, chunks * (i + 1) // count) for i in range(count))
    done = SimpleQueue()
    try:
        if pool is None:
            from concurrent.futures import ThreadPoolExecutor
            pool = ThreadPoolExecutor(threads - 1, "fastopt")
        for _ in range(threads - 1):
            pool.submit(drain, work, ranges, done)
    except KeyboardInterrupt as error:
        interrupt = error
    except RuntimeError:  # no thread to be had: the interpreter is closing, or the system is full
        pass
    while True:
        try:
            drain(work, ranges, done)
            while count:
                done.get()
                count -= 1
            return interrupt
        except KeyboardInterrupt as error:
            interrupt = error


def drain(work, ranges, done):
    while True:
        try:
            start, stop = ranges.popleft()
        except IndexError:
            return
        work(start, stop)
        done.put(None)
