"""Gradients that touch some rows: the dense step on those rows, and nothing at all elsewhere."""

import numpy as np
import optim_oracles
import pytest
import scipy.sparse

import fastopt as fo
from fastopt._sparse import summed

REFUSING = {"Adafactor", "LAMB", "LARS", "Muon", "Prodigy"}  # their rules look at whole tensors
OPTIMIZERS = [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS", *REFUSING}]
DENSE = [name for name in OPTIMIZERS if getattr(fo, name)._dense]
SHAPES = [(40,), (40, 1), (40, 3), (9, 1000), (20, 2, 4)]
OPTIONS = {
    "plain": {},
    "decayed": {"weight_decay": 0.1, "maximize": True},
    "bounded": {"clip_value": 0.5, "l1": 0.1, "bounds": (-0.5, 1.0), "decay_mode": "decoupled", "weight_decay": 0.1},
    "clipped": {"clip_norm": 0.5},
    "guarded": {"skip_nonfinite": True},
    "wide": {"state_dtype": np.float64},
    "narrow": {"state_dtype": np.float32},
}


@pytest.fixture(autouse=True)
def _threads():
    before = fo.get_num_threads()
    yield
    fo.set_num_threads(before)


def make(name, params, **options):
    if name == "FTRL":
        options.pop("decay_mode", None)
    return getattr(fo, name)(params, **{"lr": 0.1} | options)


def values_of(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def assert_same_state(sparse, dense, rows):
    """Buffers of the parameter on `rows` are those of the parameter made of them."""
    assert sparse.keys() == dense.keys()
    for name, value in dense.items():
        whole = sparse[name]
        np.testing.assert_array_equal(whole[rows] if np.ndim(value) else whole, value)


# Against the dense step.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", DENSE)
def test_a_sparse_step_is_the_dense_step_on_its_rows(name, options, dtype):
    """Several parameters in one group; a dense one among them does not notice."""
    rng = np.random.default_rng(0)
    starts = [values_of(rng, shape, dtype) for shape in SHAPES]
    rows = [np.sort(rng.permutation(shape[0])[: shape[0] // 2]) for shape in SHAPES]
    params = [start.copy() for start in starts] + [np.ones(7, dtype)]
    parts = [start[row] for start, row in zip(starts, rows, strict=True)] + [np.ones(7, dtype)]
    sparse, dense = make(name, params, **OPTIONS[options]), make(name, parts, **OPTIONS[options])
    for _ in range(6):
        grads = [values_of(rng, part.shape, dtype) for part in parts]
        shuffled = []
        for row, grad, shape in zip(rows, grads, SHAPES, strict=False):
            order = rng.permutation(len(row))
            shuffled.append(fo.RowSparse(row[order], grad[order], shape))
        sparse.step([*shuffled, grads[-1]])
        dense.step(grads)
    for i, (start, row) in enumerate(zip(starts, rows, strict=True)):
        expected = start.copy()
        expected[row] = parts[i]
        np.testing.assert_array_equal(params[i], expected)
        assert_same_state(sparse.state[i], dense.state[i], row)
    np.testing.assert_array_equal(params[-1], parts[-1])
    assert sparse.last_grad_norm == dense.last_grad_norm


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_untouched_rows_rest_with_their_state(name, dtype):
    rng = np.random.default_rng(1)
    w = values_of(rng, (50, 3), dtype)
    opt = make(name, w, weight_decay=0.1)
    opt.step([fo.RowSparse(np.arange(50), values_of(rng, w.shape, dtype), w.shape)])
    for step in range(5):
        rows = np.unique(rng.integers(0, 50, 10))
        others = np.setdiff1d(np.arange(50), rows)
        before = w.copy()
        buffers = {name: value.copy() for name, value in opt.state[0].items() if np.ndim(value)}
        opt.step([fo.RowSparse(rows, values_of(rng, (len(rows), 3), dtype), w.shape)])
        assert (w[rows] != before[rows]).any()
        np.testing.assert_array_equal(w[others], before[others])
        for name, buffer in buffers.items():
            np.testing.assert_array_equal(opt.state[0][name][others], buffer[others])
        assert opt.state[0]["step"] == step + 2


@pytest.mark.parametrize("form", ["rows", "coo"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", DENSE)
def test_dense_mode_is_the_dense_gradient(name, options, form):
    rng = np.random.default_rng(2)
    a = values_of(rng, (30, 4), np.float32)
    b = a.copy()
    sparse, dense = make(name, a, sparse="dense", **OPTIONS[options]), make(name, b, **OPTIONS[options])
    for _ in range(5):
        rows = rng.integers(0, 30, 10)
        gradient = fo.RowSparse(rows, values_of(rng, (10, 4), np.float32), a.shape)
        dense.step([gradient.toarray()])
        sparse.step([gradient if form == "rows" else scipy.sparse.coo_array(gradient.toarray())])
    np.testing.assert_array_equal(a, b)
    assert_same_state(sparse.state[0], dense.state[0], slice(None))


def test_dense_mode_accumulates_and_averages():
    a, b = np.ones((5, 2)), np.ones((5, 2))
    options = {"accumulate": 2, "ema": 0.9, "lookahead": (2, 0.5)}
    sparse, dense = make("Adam", a, sparse="dense", **options), make("Adam", b, **options)
    for step in range(8):
        gradient = fo.RowSparse([step % 5], [[1.0, 2.0]], (5, 2))
        sparse.step(gradient)
        dense.step(gradient.toarray())
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(sparse.eval_params(), dense.eval_params())


# The form of the gradient.


@pytest.mark.parametrize("block", [(), (1,), (3,), (257,), (2, 2)])
def test_repeated_rows_are_summed(block):
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 12, 60)
    values = rng.integers(-8, 8, (60, *block)).astype(np.float32)  # whole numbers, so that any order gives one sum
    gradient = fo.RowSparse(rows, values, (12, *block))
    a, b = np.ones((12, *block), np.float32), np.ones((12, *block), np.float32)
    make("SGD", a, momentum=0.9).step(gradient)
    make("SGD", b, momentum=0.9).step(gradient.toarray())
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("limit", [1, 2, 2048, 2049, 10**6, 2**40])
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_rows_come_out_sorted_and_summed(limit, count):
    rng = np.random.default_rng(4)
    indices = rng.integers(0, min(limit, 700), count) * (max(1, limit // 700))
    values = rng.integers(-8, 8, (count, 3)).astype(np.float64)
    rows, sums = summed(indices, values, limit)
    unique, group = np.unique(indices, return_inverse=True)
    expected = np.zeros((len(unique), 3))
    np.add.at(expected, group, values)
    np.testing.assert_array_equal(rows, unique)
    np.testing.assert_array_equal(sums, expected)
    with pytest.raises(IndexError, match=f"has a row {limit}, its parameter {limit} rows"):
        summed(np.array([0, limit]), values[:1].repeat(2, axis=0) if count else np.ones((2, 3)), limit)


def test_repeated_values_are_added_in_the_order_in_which_they_come():
    w = np.zeros((2, 1))
    opt = make("SGD", w, lr=1.0)
    opt.step(fo.RowSparse([1, 0, 1, 1], [[1e16], [5.0], [1.0], [-1e16]], (2, 1)))
    np.testing.assert_array_equal(w, [[-5.0], [-(1e16 + 1.0 - 1e16)]])


FORMATS = {
    "csr": scipy.sparse.csr_array,
    "csc": scipy.sparse.csc_array,
    "coo": scipy.sparse.coo_array,
    "lil": scipy.sparse.lil_array,
    "csr matrix": scipy.sparse.csr_matrix,
    "coo matrix": scipy.sparse.coo_matrix,
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scipys_arrays_touch_what_they_store(name, form):
    rng = np.random.default_rng(5)
    mask = rng.uniform(size=(30, 6)) < 0.2
    w = rng.standard_normal((30, 6))
    before, part = w.copy(), w[mask]
    sparse, rest = make(name, w), make(name, part)
    for _ in range(4):
        values = rng.standard_normal(mask.sum())
        dense = np.zeros_like(w)
        dense[mask] = values
        sparse.step(FORMATS[form](dense))
        rest.step([values if rest._dense else fo.RowSparse(np.arange(len(values)), values, values.shape)])
    np.testing.assert_array_equal(w[mask], part)
    np.testing.assert_array_equal(w[~mask], before[~mask])


def test_a_vector_takes_one_dimensional_arrays_and_single_rows():
    expected = np.array([0.0, -2.0, 0.0, -3.0])
    dense = -expected
    gradients = [
        scipy.sparse.coo_array(dense),
        scipy.sparse.csr_array(dense[None]),
        scipy.sparse.csr_matrix(dense),
        scipy.sparse.coo_array(([1.0, 3.0, 1.0], ([1, 3, 1],)), shape=(4,)),
        fo.RowSparse([3, 1], [3.0, 2.0], (4,)),
    ]
    if hasattr(scipy.sparse.csr_array(dense[None]), "coords"):
        gradients.append(scipy.sparse.csr_array(dense))
    for gradient in gradients:
        w = np.zeros(4)
        make("SGD", w, lr=1.0).step([gradient])
        np.testing.assert_array_equal(w, expected)


def test_what_is_stored_counts_even_if_zero():
    w = np.ones((3, 2))
    opt = make("SGD", w, lr=1.0, weight_decay=0.5)
    opt.step(scipy.sparse.coo_array(([0.0, 1.0, -1.0], ([0, 2, 2], [0, 1, 1])), shape=(3, 2)))
    np.testing.assert_array_equal(w, [[0.5, 1], [1, 1], [1, 0.5]])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_of_any_float_dtype(dtype, kind):
    rng = np.random.default_rng(6)
    values = rng.standard_normal((20, 3)).astype(kind)
    a, b, c = (np.ones((20, 3), dtype) for _ in range(3))
    for w, gradient in (
        (a, fo.RowSparse(np.arange(20), values, (20, 3))),
        (b, values),
        (c, fo.RowSparse(np.arange(20)[::-1], values[::-1], (20, 3))),
    ):
        opt = make("Adam", w, state_dtype=np.float64)
        for _ in range(3):
            opt.step([gradient])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.uint64, ">i4"])
def test_indices_of_any_integer_dtype(kind):
    w = np.zeros((6, 2))
    make("SGD", w, lr=1.0).step(fo.RowSparse(np.array([4, 1, 4], kind), np.ones((3, 2)), w.shape))
    np.testing.assert_array_equal(w[:, 0], [0, -1, 0, 0, -2, 0])


def test_strided_and_read_only_parts():
    w = np.zeros((6, 2))
    indices, values = np.array([5, 0, 3, 0, 1, 0])[::2], np.arange(12.0).reshape(6, 2)[::2]
    values.flags.writeable = False
    indices.flags.writeable = False
    make("SGD", w, lr=1.0).step(fo.RowSparse(indices, values, w.shape))
    np.testing.assert_array_equal(-w[[5, 3, 1]], values)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_without_rows_counts_as_a_step(name):
    w = np.ones((4, 2))
    opt = make(name, w)
    empty = [fo.RowSparse([], np.zeros((0, 2)), (4, 2)), scipy.sparse.csr_array((4, 2))]
    for step, gradient in enumerate(empty * 2):
        opt.step(gradient)
        assert opt.state[0]["step"] == step + 1
    assert (w == 1).all()
    none = np.ones((0, 3)), np.ones((5, 0))
    opt = make(name, none)
    opt.step([fo.RowSparse([], np.zeros((0, 3)), (0, 3)), fo.RowSparse([4, 4], np.zeros((2, 0)), (5, 0))])
    assert [opt.state[i]["step"] for i in (0, 1)] == [1, 1]


def test_the_gradient_may_be_the_parameter_or_its_state():
    for indices in ([1, 3, 5], [5, 3, 1]):
        w = np.arange(1.0, 7)
        opt = make("SGD", w, lr=1.0, momentum=1.0)
        opt.step(np.ones(6))
        for memory in (w, opt.state[0]["momentum_buffer"]):
            twin = np.copy(w)
            other = make("SGD", twin, lr=1.0, momentum=1.0)
            other.load_state_dict(opt.state_dict())
            other.step(fo.RowSparse(indices, memory[1:4].copy(), (6,)))
            opt.step(fo.RowSparse(indices, memory[1:4], (6,)))
            np.testing.assert_array_equal(w, twin)


def test_parameters_and_closures_bring_sparse_gradients():
    p = fo.Parameter(np.zeros((3, 1)))
    opt = make("SGD", [p], lr=1.0)
    p.grad = fo.RowSparse([1], [[1.0]], (3, 1))
    opt.step()
    assert opt.step(lambda: (7.0, p.grad)) == 7.0
    np.testing.assert_array_equal(p.data, [[0], [-2], [0]])


# SparseAdam.

HYPER = [{}, {"betas": (0.5, 0.9), "eps": 1e-2}, {"maximize": True}]
MORE = [{"weight_decay": 0.1}, {"eps": 1e-2, "eps_mode": "root"}, {"eps": 1e-2, "eps_mode": "hat"}, {"l1": 0.1}]


def batches(dtype, steps=60):
    """Rows, repeated and unsorted, and their values; now and then none."""
    rng = np.random.default_rng(7)
    for step in range(steps):
        count = 0 if step % 9 == 4 else 12
        yield rng.integers(0, 20, count), rng.standard_normal((count, 3)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", HYPER + MORE)
def test_sparse_adam_follows_its_oracle(options, dtype):
    w = np.random.default_rng(8).standard_normal((20, 3)).astype(dtype)
    expected = [w.astype(np.float64)]
    opt, oracle = fo.SparseAdam(w, lr=0.01, **options), optim_oracles.SparseAdam(lr=0.01, **options)
    for rows, values in batches(dtype):
        opt.step(fo.RowSparse(rows, values, w.shape))
        oracle.step(expected, [(rows, values)])
    # Sixty steps of at most 0.05, each rounded some eight times, to a parameter of at most 4.
    np.testing.assert_allclose(w, expected[0], rtol=0, atol=60 * np.finfo(dtype).eps / 2 * (4 + 8 * 0.05))


@pytest.mark.peers
@pytest.mark.parametrize("options", HYPER)
def test_sparse_adam_agrees_with_torch(options):
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(9).standard_normal((20, 3))
    tensor = torch.tensor(w, requires_grad=True)
    opt, peer = fo.SparseAdam(w, lr=0.01, **options), torch.optim.SparseAdam([tensor], lr=0.01, **options)
    for rows, values in batches(np.float64):
        opt.step(fo.RowSparse(rows, values, w.shape))
        tensor.grad = torch.sparse_coo_tensor(rows[None], values, w.shape, check_invariants=True)
        peer.step()
    np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert opt.state[0]["step"] == peer.state[tensor]["step"] == 60


def test_sparse_adam_refuses_dense_gradients_whole():
    a, b = np.ones((3, 2)), np.ones((3, 2))
    opt = fo.SparseAdam([a, b])
    with pytest.raises(RuntimeError, match="does not support dense gradients, please consider Adam instead"):
        opt.step([fo.RowSparse([1], [[1.0, 1.0]], a.shape), np.ones((3, 2))])
    assert (a == 1).all()
    assert not opt.state


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0}, r"Invalid learning rate: 0 \(SparseAdam needs lr > 0\)"),
        ({"eps": 0}, r"Invalid epsilon value: 0 \(SparseAdam needs eps > 0\)"),
        ({"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1"),
        ({"accumulate": 2}, "SparseAdam has no accumulate: its gradients are sparse"),
        ({"ema": 0.9}, "has no ema"),
        ({"swa_start": 3}, "has no swa_start"),
        ({"lookahead": (3, 0.5)}, "has no lookahead"),
        ({"sparse": "dense"}, "has no sparse"),
    ],
)
def test_sparse_adam_refuses_what_it_cannot_do(options, words):
    with pytest.raises(ValueError, match=words):
        fo.SparseAdam(np.ones(3), **options)


def test_a_schedule_may_end_at_0():
    w = np.ones(3)
    opt = fo.SparseAdam(w)
    opt.param_groups[0]["lr"] = 0.0
    opt.step(fo.RowSparse([1], [1.0], (3,)))
    opt.load_state_dict(opt.state_dict())
    assert (w == 1).all()


# Bad input changes nothing.


def altered(**parts):
    gradient = fo.RowSparse([0, 2], np.ones((2, 2)), (4, 2))
    for name, part in parts.items():
        setattr(gradient, name, part)
    return gradient


def spoiled():
    array = scipy.sparse.coo_array(([1.0], ([1], [1])), shape=(4, 2))
    array.coords[0][0] = 9
    return array


@pytest.mark.parametrize(
    ("make_gradient", "error", "words"),
    [
        (lambda: fo.RowSparse([4], np.ones((1, 2)), (4, 2)), IndexError, "indices from 4 to 4 for 4 rows"),
        (lambda: fo.RowSparse([0, -1], np.ones((2, 2)), (4, 2)), IndexError, "indices from -1 to 0 for 4 rows"),
        (lambda: fo.RowSparse([1.0], np.ones((1, 2)), (4, 2)), TypeError, "indices have dtype float64"),
        (lambda: fo.RowSparse([True], np.ones((1, 2)), (4, 2)), TypeError, "indices have dtype bool"),
        (lambda: fo.RowSparse([1], np.ones((1, 2), int), (4, 2)), TypeError, "values have dtype int64"),
        (lambda: fo.RowSparse([1], np.ones((1, 2), complex), (4, 2)), TypeError, "values have dtype complex128"),
        (lambda: fo.RowSparse([1], np.ones(2), (4, 2)), ValueError, r"must be \(k,\) and \(k, 2\)"),
        (lambda: fo.RowSparse([1, 2], np.ones((1, 2)), (4, 2)), ValueError, "do not make a gradient of shape"),
        (lambda: fo.RowSparse([[1]], np.ones((1, 2)), (4, 2)), ValueError, r"indices of shape \(1, 1\)"),
        (lambda: fo.RowSparse([], [], ()), ValueError, r"of shape \(\)"),
        (
            lambda: fo.RowSparse([1], np.ones((1, 3)), (4, 3)),
            ValueError,
            r"gradient 1 has shape \(4, 3\), its parameter",
        ),
        (lambda: fo.RowSparse([1], np.ones((1, 2)), (5, 2)), ValueError, r"gradient 1 has shape \(5, 2\)"),
        (lambda: altered(indices=np.array([0, 4])), IndexError, "a gradient has a row 4, its parameter 4 rows"),
        (lambda: altered(indices=np.array([-1, 3])), IndexError, "a gradient has a row -1"),
        (lambda: altered(values=np.ones((1, 2))), ValueError, "do not make a gradient"),
        (lambda: altered(values=np.ones((2, 1))), ValueError, "do not make a gradient"),
        (lambda: scipy.sparse.csr_array((2, 4)), ValueError, r"gradient 1 has shape \(2, 4\)"),
        (lambda: scipy.sparse.csr_array(np.ones((4, 2), int)), TypeError, "gradient 1 has dtype int64"),
        (lambda: scipy.sparse.csr_array(np.ones((4, 2), complex)), TypeError, "gradient 1 has dtype complex128"),
        (spoiled, ValueError, "invalid entry in"),
    ],
)
@pytest.mark.parametrize("name", ["SGD", "SparseAdam"])
def test_bad_gradients_change_nothing(name, make_gradient, error, words):
    params = [np.ones((4, 2)), np.ones((4, 2))]
    opt = make(name, params)
    good = fo.RowSparse([0], np.ones((1, 2)), (4, 2))
    with pytest.raises(error, match=words):
        opt.step([good, make_gradient()])
    assert all((param == 1).all() for param in params)
    assert not opt.state


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"ema": 0.9}, {"swa_start": 5}, {"lookahead": (3, 0.5)}])
@pytest.mark.parametrize("name", DENSE)
def test_options_that_need_whole_tensors_refuse_sparse_gradients(name, options):
    w = np.ones((4, 2))
    opt = make(name, [np.ones(3), w], **options)
    opt.step([np.zeros(3), np.zeros((4, 2))])
    before, state = w.copy(), opt.state_dict()
    with pytest.raises(ValueError, match="gradient 1 is sparse, which neither a rule that looks at whole tensors nor"):
        opt.step([np.ones(3), fo.RowSparse([1], np.ones((1, 2)), (4, 2))])
    np.testing.assert_array_equal(w, before)
    np.testing.assert_equal(opt.state_dict(), state)


@pytest.mark.parametrize("name", sorted(REFUSING & {*fo.optim.__all__}))
def test_rules_that_need_whole_tensors_refuse_sparse_gradients(name):
    w = np.ones((4, 2))
    opt = make(name, w)
    with pytest.raises(ValueError, match="gradient 0 is sparse, which neither a rule that looks at whole tensors nor"):
        opt.step(fo.RowSparse([1], np.ones((1, 2)), (4, 2)))
    assert (w == 1).all()
    assert not opt.state
    make(name, w, sparse="dense").step(fo.RowSparse([1], np.ones((1, 2)), (4, 2)))
    assert (w != 1).any()


def test_nonfinite_sparse_gradients_are_skipped():
    w = np.ones((4, 2))
    opt = make("Adam", w, skip_nonfinite=True)
    opt.step(fo.RowSparse([1], [[1.0, np.inf]], (4, 2)))
    assert (w == 1).all()
    assert opt.skipped_steps == 1
    assert not opt.state


# Threads.


@pytest.mark.parametrize("options", [{}, {"clip_norm": 1.0}, {"state_dtype": np.float64, "clip_value": 0.5}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_same_bits_for_any_number_of_threads(name, options):
    results = []
    for threads in (1, 2, 3):
        fo.set_num_threads(threads)
        rng = np.random.default_rng(10)
        params = [np.ones((30_000, 16), np.float32), np.ones((300_000,), np.float32)]
        opt = make(name, params, **options)
        for _ in range(2):
            counts = (15_000, 100_000)
            rows = [rng.integers(0, len(param), count) for param, count in zip(params, counts, strict=True)]
            opt.step(
                [
                    fo.RowSparse(row, rng.standard_normal((len(row), *param.shape[1:]), np.float32), param.shape)
                    for row, param in zip(rows, params, strict=True)
                ]
            )
        results.append(params)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


# Faults that once were.


def test_rows_of_an_earlier_step_are_forgotten():
    w = np.ones((4, 2))
    opt = make("SGD", w, lr=1.0)
    opt.step(fo.RowSparse([3], np.ones((1, 2)), (4, 2)))
    state = opt.state_dict()
    state["state"][0] |= {"accumulated": 1, "grad_sum": np.full((4, 2), 4.0)}
    state["param_groups"][0] |= {"accumulate": 2, "accumulated": 1}
    opt.load_state_dict(state)
    w[...] = 1
    opt.step([None])
    np.testing.assert_array_equal(w, np.full((4, 2), -1.0))


def test_the_average_of_asgd_starts_at_the_parameter_where_it_is_touched_late():
    w = np.array([3.0, 5.0])
    opt = fo.ASGD(w, lr=1.0, lambd=0, t0=0)
    for row in (0, 0, 0, 1):
        opt.step(fo.RowSparse([row], [1.0], (2,)))
    np.testing.assert_array_equal(w, [0, 4])
    np.testing.assert_allclose(opt.state[0]["ax"], [(1 + 0) / 2, 5 - 1 / 3], rtol=1e-15)


def test_indices_changed_while_in_use_do_no_harm():
    indices = np.array([0, 1])
    gradient = fo.RowSparse(indices, np.ones((2, 1)), (3, 1))
    rows, _ = summed(gradient.indices, gradient.values, 3)
    indices[...] = 10**9
    np.testing.assert_array_equal(rows, [0, 1])
    with pytest.raises(IndexError):
        make("SGD", np.ones((3, 1))).step(gradient)
