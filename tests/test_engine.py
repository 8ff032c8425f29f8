"""The engine's promises: the same bits however memory and threads are arranged, no allocation, no way to corrupt."""

import gc
import os
import signal
import threading
import time
import tracemalloc
import warnings

import numpy as np
import pytest

import fastopt as fo

OPTIMIZERS = [name for name in fo.optim.__all__ if getattr(fo, name)._dense and name not in {"Optimizer", "LBFGS"}]
OPTIONS = {"SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True, "weight_decay": 0.1}}
THREADED = (1 << 21) + 4321  # elements: so large that helper threads always take part


@pytest.fixture(autouse=True)
def _threads():
    before = fo.get_num_threads()
    yield
    fo.set_num_threads(before)


def make(name, params):
    return getattr(fo, name)(params, lr=0.01, **OPTIONS.get(name, {}))


def trajectory(name, shapes, dtype, steps=50, dress=lambda grad: grad, allocate=None):
    """Parameters after `steps` seeded steps; `dress` changes how a gradient lies in memory, not its values."""
    rng = np.random.default_rng(3)
    params = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    if allocate is not None:
        params = allocate(params)
    opt = make(name, params)
    grads = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    for _ in range(steps):
        opt.step([dress(grad) for grad in grads])
        for grad in grads:
            grad *= dtype(-0.9)
    return params


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits_for_any_number_of_threads(name, dtype):
    shapes = [(THREADED,), (3, 5), (1000,), (70_001,)]
    fo.set_num_threads(1)
    expected = trajectory(name, shapes, dtype, steps=8)
    for threads in (2, 3, 7):
        fo.set_num_threads(threads)
        assert_same_bits(trajectory(name, shapes, dtype, steps=8), expected)


def strided(grad):
    wide = np.zeros((*grad.shape, 3), grad.dtype)
    wide[..., 1] = grad
    return wide[..., 1]


def reversed_twice(grad):
    return np.ascontiguousarray(grad[::-1])[::-1]


def unaligned(grad):
    raw = np.zeros(grad.nbytes + 1, np.uint8)[1:]
    view = raw.view(grad.dtype).reshape(grad.shape)
    view[...] = grad
    return view


def read_only(grad):
    grad = grad.copy()
    grad.flags.writeable = False
    return grad


DRESSES = {
    "strided": strided,
    "reversed": reversed_twice,
    "unaligned": unaligned,
    "read-only": read_only,
    "fortran": np.asfortranarray,
    "big-endian": lambda grad: grad.astype(grad.dtype.newbyteorder()),
    "subclass": lambda grad: grad.view(np.memmap),
    "foreign": lambda grad: type("Foreign", (), {"__array__": lambda self, dtype=None, copy=None: grad})(),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits_however_a_gradient_lies_in_memory(name, dtype, dress):
    shapes = [(2500,), (7, 11, 31), (1,), (0,), (5, 3)]
    dressed = trajectory(name, shapes, dtype, dress=DRESSES[dress])
    assert_same_bits(dressed, trajectory(name, shapes, dtype))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits_for_gradients_of_the_other_dtype(name):
    shapes = [(2500,), (7, 11, 31)]
    wider = trajectory(name, shapes, np.float32, dress=lambda grad: grad.astype(np.float64))
    assert_same_bits(wider, trajectory(name, shapes, np.float32))
    half = [np.float16(0.1) * np.ones(9, np.float16)]
    a, b = np.ones(9), np.ones(9)
    make(name, a).step(half)
    make(name, b).step([half[0].astype(float)])
    assert_same_bits([a], [b])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits_for_neighbors_and_strangers(name, dtype):
    """Parameters that lie one after the other are merged into one run; nothing else may change."""
    shapes = [(100,), (3, 5), (1,), (0,), (2000,)]

    def adjacent(params):
        flat = np.concatenate([param.ravel() for param in params])
        cuts = np.cumsum([param.size for param in params])[:-1]
        return [part.reshape(param.shape) for part, param in zip(np.split(flat, cuts), params, strict=True)]

    assert_same_bits(trajectory(name, shapes, dtype, allocate=adjacent), trajectory(name, shapes, dtype))


def test_skipping_inside_a_merged_run_leaves_the_skipped_one():
    p = fo.FlatParams({"a": 10, "b": 10, "c": 10}, np.float64)
    opt = fo.Adam(p, lr=0.1)
    opt.step([np.ones(10), None, np.ones(10)])
    assert (p["a"] != 0).all()
    assert (p["b"] == 0).all()
    assert (p["c"] == p["a"]).all()
    opt.step([np.ones(10)] * 3)
    assert opt.state[1]["step"] == 1
    np.testing.assert_allclose(p["b"], -0.1, rtol=1e-6)


def test_a_gradient_that_shares_memory_with_a_parameter_is_read_before_it_changes():
    w = np.arange(1.0, 9.0)
    for gradient in (lambda w: w, lambda w: w[::-1], lambda w: np.broadcast_to(w[:1], w.shape)):
        expected = w.copy()
        fo.AdamW(expected, lr=0.1, weight_decay=0.5).step(gradient(expected).copy())
        actual = w.copy()
        fo.AdamW(actual, lr=0.1, weight_decay=0.5).step(gradient(actual))
        np.testing.assert_array_equal(actual, expected)
    a, b = np.ones(4), np.full(4, 2.0)
    fo.SGD([a, b], lr=0.5).step([b, a])
    assert (a == 0).all()
    assert (b == 1.5).all()


def test_a_gradient_that_is_another_groups_parameter_is_read_before_it_changes():
    a, b = np.ones(4), np.full(4, 2.0)
    opt = fo.SGD([{"params": b}, {"params": a}], lr=0.5)
    opt.step([np.ones(4), b])
    assert (a == 0).all()
    assert (b == 1.5).all()


# No allocation.


FORMS = ["grads", "parameter", "closure", "flat", "strided", "float64 for float32"]


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in OPTIMIZERS for form in FORMS[: None if name in ("Adam", "LAMB") else 1]]
)
def test_a_step_allocates_no_array(name, form):
    n = THREADED
    p = fo.FlatParams({"w": n}, np.float32)
    p.grad.flat[...] = 1
    parameter = fo.Parameter(np.ones(n, np.float32))
    parameter.grad = np.ones(n, np.float32)
    opt, arg = {
        "grads": lambda: (make(name, p.flat), [p.grad.flat]),
        "parameter": lambda: (make(name, [parameter]), None),
        "closure": lambda: (make(name, [parameter]), lambda: 1.0),
        "flat": lambda: (make(name, p), p.grad),
        "strided": lambda: (make(name, p.flat), [np.ones((n, 2), np.float32)[:, 0]]),
        "float64 for float32": lambda: (make(name, p.flat), [np.ones(n)]),
    }[form]()
    fo.set_num_threads(2)
    opt.step(arg)  # the helpers start here
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            opt.step(arg)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000  # bytes; the smallest array of the problem has over a million


def test_the_first_step_allocates_no_array_either():
    w, g = np.ones(100_000), np.ones(100_000)
    opt = fo.Adam(w)
    tracemalloc.start()
    try:
        opt.step([g])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def test_the_allocation_test_would_see_an_array():
    tracemalloc.start()
    try:
        np.ones(100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak >= 800_000


# Memory that changes under the optimizer.


def test_a_moved_or_resized_parameter_is_refused():
    w = np.ones(1000)
    opt = fo.SGD(w, lr=0.5)
    w.resize(10, refcheck=False)
    with pytest.raises(ValueError, match="parameter 0 was moved, resized, reshaped or made read-only"):
        opt.step(np.ones(10))
    w = np.ones(3)
    opt = fo.SGD(w, lr=0.5)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="made read-only"):
        opt.step(np.ones(3))
    assert (w == 1).all()


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_a_reshaped_parameter_is_refused_where_the_rule_depends_on_its_shape(name):
    w, bias = np.ones((2, 300)), np.ones(3)
    opt = getattr(fo, name)([w, bias], lr=0.5)
    for shape in ((300, 2), (600,)):
        w.resize(shape, refcheck=False)
        with pytest.raises(ValueError, match="parameter 0 was moved, resized, reshaped"):
            opt.step([np.ones(shape), np.ones(3)])
    assert (w == 1).all()


def test_the_optimizer_keeps_its_arrays_alive():
    opt = fo.SGD([np.ones(1000) for _ in range(50)], lr=0.5)
    gc.collect()
    opt.step([np.ones(1000)] * 50)
    assert all((array == 0.5).all() for array in opt._arrays())


def test_steps_and_setup_do_not_leak():
    def cycle():
        for _ in range(50):
            opt = fo.Adam([np.ones(500), np.ones((3, 4))])
            for _ in range(20):
                opt.step([np.ones(500), np.ones((4, 3)).T])
            opt.load_state_dict(opt.state_dict())

    cycle()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cycle()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4000


# Threads and processes.


def test_a_large_step_is_shared_with_helpers():
    w, g = np.ones(THREADED, np.float32), np.ones(THREADED, np.float32)
    fo.set_num_threads(3)
    fo.SGD(w, lr=1.0).step(g)
    assert {"fastopt-1", "fastopt-2"} <= {thread.name for thread in threading.enumerate()}
    assert (w == 0).all()


def test_bad_numbers_of_threads_are_refused():
    for value, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="number of threads"):
            fo.set_num_threads(value)
    fo.set_num_threads(np.int64(3))
    assert fo.get_num_threads() == 3


def test_optimizers_step_side_by_side_in_threads():
    expected = trajectory("Adam", [(THREADED,)], np.float32, steps=5)
    results = [None] * 4

    def run(i):
        results[i] = trajectory("Adam", [(THREADED,)], np.float32, steps=5)

    fo.set_num_threads(2)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_same_bits(result, expected)


def test_an_optimizer_refuses_to_step_inside_its_own_step():
    w = np.ones(3)
    opt = fo.SGD(w, lr=0.5)

    class Rate:
        def __float__(self):
            opt.step(np.ones(3))
            return 0.5

    opt.param_groups[0]["lr"] = Rate()
    with pytest.raises(RuntimeError, match="this optimizer is at work"):
        opt.step(np.ones(3))
    opt.param_groups[0]["lr"] = 0.5
    opt.step(np.ones(3))
    assert (w == 0.5).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_steps_on_threads_of_its_own():
    fo.set_num_threads(2)
    w, g = np.ones(THREADED, np.float32), np.ones(THREADED, np.float32)
    opt = fo.SGD(w, lr=1.0)
    for _ in range(50):
        opt.step([g])
        before = float(w[-1])
        with warnings.catch_warnings():  # Python >= 3.12 warns of fork with threads, which is what is tested
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                opt.step([g])
                helped = any(thread.name == "fastopt-1" for thread in threading.enumerate())
                os._exit(0 if helped and (w == before - 1).all() else 1)
            finally:
                os._exit(2)
        assert wait(child, seconds=20) == 0
        assert w[-1] == before


def wait(child, seconds):
    """The exit code of `child`, killed if it hangs.

    Asked for again and again, as a thread with a timer would be at work while the next child is forked, and the
    allocator of AddressSanitizer, which knows no forks, would leave that thread's lock to the child forever.
    """
    deadline = time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(1e-3)
    return os.waitstatus_to_exitcode(ended[1])
