"""Clipping, norms, vectors of parameters, and the check of a gradient: beside torch, exact sums, planted errors."""

import math
import re

import mpmath
import numpy as np
import pytest
from loss_cases import FAMILIES

import fastopt as fo
from fastopt import gradients

ORDERS = (1, 2, 3, 0.5, 2.5, np.inf, -np.inf, 0, -1)
SHAPES = ((5,), (3, 7), (), (0,), (1000,), (4, 5, 60), (2049,), (33,))


def drawn(dtype=np.float64, shapes=SHAPES, seed=0):
    rng = np.random.default_rng(seed)
    dtypes = (np.float32, np.float64) if dtype == "mixed" else (dtype,)
    return [np.array(rng.standard_normal(shape), dtypes[i % len(dtypes)]) for i, shape in enumerate(shapes)]


def copies(arrays):
    return [array.copy() for array in arrays]


def assert_same_bits(a, b):
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        assert np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()


@pytest.fixture(autouse=True)
def _threads():
    before = fo.get_num_threads()
    yield
    fo.set_num_threads(before)


# Beside torch.


def as_parameters(torch, arrays):
    params = [None if array is None else torch.zeros(array.shape, dtype=torch.tensor(array).dtype) for array in arrays]
    for param, array in zip(params, arrays, strict=True):
        if array is not None:
            param.grad = torch.tensor(array)
    return [torch.zeros(3) if param is None else param for param in params]


@pytest.mark.peers
@pytest.mark.parametrize("dtype", [np.float32, np.float64, "mixed"])
@pytest.mark.parametrize("p", [*ORDERS, "inf"])
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 1e6, np.inf])
def test_norms_are_clipped_as_in_torch(torch, dtype, p, max_norm):
    shapes = [shape for shape in SHAPES if shape != (0,)] if p in (-1, np.inf, "inf", -np.inf) else SHAPES
    arrays = [*drawn(dtype, shapes), None, np.zeros(3)]
    if p in (-1, -np.inf):
        arrays.pop()  # one zero makes the norm 0
    params = as_parameters(torch, arrays)
    expected = float(torch.nn.utils.clip_grad_norm_(params, max_norm, p))
    norm = fo.clip_grad_norm_(arrays, max_norm, p)
    # torch adds up in the dtype of each tensor; its float32 sums of up to 2049 terms are off by some 20 ulp, its powers
    # by p ulp of an exponent of up to 10. Smallest magnitudes as terms of p = -1 have the same.
    tolerance = 64 * float(np.finfo(np.float64 if dtype == np.float64 else np.float32).eps)
    assert norm == pytest.approx(expected, rel=tolerance)
    for array, param in zip(arrays, params, strict=True):
        if array is not None:
            np.testing.assert_allclose(array, param.grad.numpy(), rtol=2 * tolerance, atol=0)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", [np.float32, np.float64, "mixed"])
@pytest.mark.parametrize("value", [0.0, 0.3, 10.0])
def test_values_are_clipped_as_in_torch(torch, dtype, value):
    arrays = [*drawn(dtype), None, np.array([np.nan, np.inf, -np.inf, -0.0, 0.0])]
    params = as_parameters(torch, arrays)
    torch.nn.utils.clip_grad_value_(params, value)
    fo.clip_grad_value_(arrays, value)
    for array, param in zip(arrays, params, strict=True):
        if array is not None:
            np.testing.assert_array_equal(array, param.grad.numpy())


@pytest.mark.peers
@pytest.mark.parametrize("p", [1, 2, 3, np.inf, 0])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_clipped_as_in_torch(torch, p, bad):
    arrays = [np.array([1.0, bad, -2.0]), np.array([0.0, 3.0])]
    params = as_parameters(torch, arrays)
    before = copies(arrays)
    if p != 0:
        with pytest.raises(RuntimeError) as theirs:
            torch.nn.utils.clip_grad_norm_(params, 1.0, p, error_if_nonfinite=True)
        with pytest.raises(RuntimeError) as ours:
            fo.clip_grad_norm_(arrays, 1.0, p, error_if_nonfinite=True)
        assert str(ours.value) == str(theirs.value)
        assert_same_bits(arrays, before)
    expected = float(torch.nn.utils.clip_grad_norm_(params, 1.0, p))
    np.testing.assert_equal(fo.clip_grad_norm_(arrays, 1.0, p), expected)
    for array, param in zip(arrays, params, strict=True):
        np.testing.assert_array_equal(array, param.grad.numpy())


@pytest.mark.peers
@pytest.mark.parametrize("p", ORDERS)
def test_no_gradients_have_norm_0_as_in_torch(torch, p):
    assert fo.get_total_norm([], p) == float(torch.nn.utils.get_total_norm([], p)) == 0
    assert fo.clip_grad_norm_([], 1.0, p) == fo.clip_grad_norm_([None], 1.0, p) == 0
    assert fo.clip_grad_norm_((g for g in ()), 1.0, p) == 0


@pytest.mark.peers
def test_where_torch_differs_ours_is_right(torch):
    grad = np.full(4, 1e30, np.float32)
    param = as_parameters(torch, [grad])
    assert float(torch.nn.utils.clip_grad_norm_(param, 1.0)) == np.inf
    assert (param[0].grad == 0).all()
    assert fo.clip_grad_norm_(grad, 1.0) == 2 * float(np.float32(1e30))
    np.testing.assert_allclose(grad, 0.5, rtol=1e-6)
    param = torch.zeros(2)
    param.grad = torch.ones(2)
    torch.nn.utils.clip_grad_norm_([param, param], 1.0)
    assert float(param.grad.norm()) == pytest.approx(math.sqrt(2) / 4, rel=1e-5)  # counted and scaled twice
    with pytest.raises(RuntimeError, match="infinity norm on an empty tensor"):
        torch.nn.utils.get_total_norm([torch.zeros(0), torch.ones(2)], np.inf)
    assert fo.get_total_norm([np.zeros(0), np.ones(2)], np.inf) == 1
    vector, target = torch.arange(3.0), torch.zeros(2)
    torch.nn.utils.vector_to_parameters(vector, [target])  # the 2 is ignored
    with pytest.raises(ValueError, match="must be"):
        fo.vector_to_parameters(np.arange(3.0), [np.zeros(2)])


# Exact norms.


def exact(arrays, p):
    with mpmath.workdps(40):
        x = [abs(mpmath.mpf(float(v))) for array in arrays for v in array.ravel()]
        if p in (np.inf, -np.inf):
            return float(max(x) if p > 0 else min(x))
        return float(mpmath.fsum(v**p for v in x if v or p > 0) ** (mpmath.mpf(1) / p))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [p for p in ORDERS if p])
@pytest.mark.parametrize("scale", [1, 1e-30, 1e30, 1e200, 1e-200, 1e-310, 1e304])
def test_norms_are_right_whatever_the_magnitude(dtype, p, scale):
    if dtype == np.float32 and not 1e-30 <= scale <= 1e30:
        scale = 1e-42 if scale < 1 else 1e37
    arrays = [(scale * array).astype(dtype) for array in drawn(shapes=((100,), (3, 7), (300,)))]
    arrays = [np.where(array == 0, dtype(np.finfo(dtype).smallest_subnormal), array) for array in arrays]
    expected = exact(arrays, p)
    if expected == np.inf:
        assert fo.get_total_norm(arrays, p) == np.inf
        return
    # Sums of 421 terms in 16 lanes have 5 ulp at most. A power has p |log(|g| / largest)| eps, here at most p 2**4, of
    # which the root leaves a p-th; subnormal norms are rounded to their last place.
    np.testing.assert_allclose(
        fo.get_total_norm(arrays, p), expected, rtol=32 * 2.2e-16, atol=np.finfo(float).smallest_subnormal
    )


def test_huge_and_tiny_gradients_are_scaled_to_the_limit():
    for dtype, size in ((np.float32, 3e38), (np.float64, 1e308), (np.float64, 1e200), (np.float32, 1e-5)):
        for limit in (1.0, 1e-7):
            grad = np.full(100, size, dtype)
            norm = fo.clip_grad_norm_(grad, limit)
            assert norm == pytest.approx(10 * float(dtype(size)), rel=1e-15)
            eps = np.finfo(dtype).eps
            expected = float(dtype(size)) * min(1, limit / (norm + 1e-6))
            np.testing.assert_allclose(grad, expected, rtol=2 * eps)


def test_a_zero_norm_counts_arrays_as_torch_does():
    arrays = [np.zeros(5), np.array([0.0, np.nan]), np.array([0.0, -2.0]), np.array([[np.inf]]), np.zeros(0)]
    assert fo.get_total_norm(arrays, 0) == 3


def test_nan_is_seen_wherever_it_is():
    for p in ORDERS:
        for n in (1, 7, 256, 1025):
            for place in {0, n // 2, n - 1}:
                grad = np.ones(n)
                grad[place] = np.nan
                assert math.isnan(fo.get_total_norm(grad, p)) != (p == 0), (p, n, place)


# The same bits.


def strided(grad):
    wide = np.zeros((*grad.shape, 3), grad.dtype)
    wide[..., 1] = grad
    return wide[..., 1]


def backwards(grad):
    flip = (slice(None, None, -1),) * grad.ndim
    return np.ascontiguousarray(grad[flip])[flip]


def unaligned(grad):
    view = np.zeros(grad.nbytes + 1, np.uint8)[1:].view(grad.dtype).reshape(grad.shape)
    view[...] = grad
    return view


DRESSES = {
    "strided": strided,
    "backwards": backwards,
    "unaligned": unaligned,
    "fortran": np.asfortranarray,
    "turned": lambda grad: (
        np.moveaxis(np.ascontiguousarray(np.moveaxis(grad, 0, -1)), -1, 0) if grad.ndim > 2 else grad
    ),
    "subclass": lambda grad: grad.view(np.memmap),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_however_gradients_lie_in_memory(dtype, dress):
    plain = drawn(dtype)
    for p in ORDERS:
        expected, dressed = copies(plain), [DRESSES[dress](grad) for grad in plain]
        norm = fo.clip_grad_norm_(expected, 0.7, p)
        assert fo.get_total_norm(dressed, p) == norm
        assert fo.clip_grad_norm_(dressed, 0.7, p) == norm
        assert_same_bits(dressed, expected)
    expected, dressed = copies(plain), [DRESSES[dress](grad) for grad in plain]
    fo.clip_grad_value_(expected, 0.5)
    fo.clip_grad_value_(dressed, 0.5)
    assert_same_bits(dressed, expected)


def test_clipping_a_view_leaves_what_is_between_alone():
    base = np.arange(60.0).reshape(6, 10)
    view = base[::2, 1::3]
    inside = np.zeros(base.shape, bool)
    inside[::2, 1::3] = True
    before = base.copy()
    norm = fo.clip_grad_norm_(view, 1.0)
    assert (base[~inside] == before[~inside]).all()
    np.testing.assert_allclose(base[inside], before[inside] / (norm + 1e-6), rtol=1e-15)
    fo.clip_grad_value_([base[:, 0], base[:, 2]], 3.0)
    np.testing.assert_array_equal(base[:, 2], 3 * (before[:, 2] > 3) + before[:, 2] * (before[:, 2] <= 3))
    assert base[:, 3].max() == 53


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    plain = drawn(dtype, [((1 << 21) + 4321,), (3, 5), (70_001,)])
    results = []
    for threads in (1, 2, 3):
        fo.set_num_threads(threads)
        arrays = copies(plain)
        norms = [fo.get_total_norm(arrays, p) for p in (1, 2, 3, np.inf)]
        fo.clip_grad_norm_(arrays, 1.0)
        fo.clip_grad_value_(arrays, 1e-4)
        results.append((norms, arrays))
    for norms, arrays in results[1:]:
        assert norms == results[0][0]
        assert_same_bits(arrays, results[0][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_the_norm_is_last_grad_norm_to_the_bit(dtype, scale):
    grads = [np.array(scale * array, dtype) for array in drawn(shapes=((5000,), (3, 7), (0,), (1025,), ()))]
    params = [np.zeros_like(grad) for grad in grads]
    opt = fo.SGD(params, lr=1.0, clip_norm=0.5)
    opt.step(grads)
    assert fo.get_total_norm(grads) == opt.last_grad_norm
    if scale < 1e25:  # whose factor is no normal float32
        fo.clip_grad_norm_(grads, 0.5)
        for param, grad in zip(params, grads, strict=True):
            np.testing.assert_array_equal(-param, grad)
    p = fo.FlatParams({"W": (50, 30), "b": 30}, dtype)
    p.grad.flat = np.random.default_rng(1).standard_normal(1530)
    opt = fo.SGD(p, lr=1.0, clip_norm=0.5)
    opt.step(p.grad)
    assert fo.get_total_norm(p.grad) == opt.last_grad_norm


# Forms of gradients.


def test_every_form_of_gradients_is_clipped():
    def forms():
        p = fo.FlatParams({"a": 1, "b": 1}, np.float64)
        p.grad.flat = [3.0, 4.0]
        q = fo.FlatParams({"a": 1, "b": 1}, np.float64)
        q.grad.flat = [3.0, 4.0]
        a, b = fo.Parameter(np.zeros(1)), fo.Parameter(np.zeros(1))
        a.grad, b.grad = np.array([3.0]), np.array([4.0])
        lone = fo.Parameter(np.zeros(2))
        lone.grad = np.array([3.0, 4.0])
        c, d, one = np.array([3.0]), np.array([[4.0]]), np.array([3.0, 4.0])
        yield p, lambda: p.grad.flat
        yield q.grad, lambda: q.grad.flat
        yield [a, fo.Parameter(np.zeros(2)), b], lambda: np.concatenate([a.grad, b.grad])
        yield lone, lambda: lone.grad
        yield (g for g in (c, None, d)), lambda: np.append(c, d)
        yield one, lambda: one

    results = []
    for grads, read in forms():
        assert fo.clip_grad_norm_(grads, 1.0) == 5
        results.append(read())
    for result in results:
        assert_same_bits([result], [np.array([3.0, 4.0]) * (1 / (5 + 1e-6))])
    for grads, _ in forms():
        assert fo.get_total_norm(grads) == 5
    for grads, read in forms():
        fo.clip_grads_with_norm_(grads, 1.0, 10.0)
        assert_same_bits([read()], [np.array([3.0, 4.0]) * (1 / (10 + 1e-6))])
    for grads, read in forms():
        fo.clip_grad_value_(grads, 3.5)
        np.testing.assert_array_equal(read(), [3, 3.5])


def test_rows_of_a_sparse_gradient_are_added_up_first():
    def sparse():
        return fo.RowSparse([3, 0, 3], np.array([[1.0, 0.0], [0.0, 4.0], [2.0, 0.0]]), (5, 2))

    assert fo.get_total_norm([sparse()]) == 5
    grad = sparse()
    with pytest.raises(ValueError, match="gradient 1 is read-only"):
        fo.clip_grad_norm_([grad, np.broadcast_to(1.0, 3)], 1.0)
    with pytest.raises(RuntimeError, match="non-finite"):
        fo.clip_grad_norm_([grad, np.array([np.inf])], 1.0, error_if_nonfinite=True)
    assert grad.indices.tolist() == [3, 0, 3]
    assert fo.clip_grad_norm_([grad, None], 1.0) == 5
    np.testing.assert_allclose(grad.toarray(), sparse().toarray() / (5 + 1e-6), rtol=1e-15)
    grad = sparse()
    fo.clip_grad_value_(grad, 2.5)
    np.testing.assert_array_equal(grad.toarray(), np.minimum(sparse().toarray(), 2.5))
    values = np.array([[3.0], [4.0]])
    fo.clip_grad_norm_(fo.RowSparse([1, 4], values, (9, 1)), 1.0)
    assert values[0, 0] < 1  # in place, where rows ascend


def test_a_norm_is_read_from_any_floats():
    x = np.array([3.0, 4.0])
    for dtype in (np.float16, np.longdouble, ">f4", ">f8"):
        assert fo.get_total_norm([x.astype(dtype), None]) == 5
    assert fo.get_total_norm([x, x]) == math.sqrt(50)
    assert fo.get_total_norm(np.broadcast_to(2.0, 4)) == 4
    assert fo.get_total_norm([np.float32(3), np.array(4.0)]) == 5


def test_what_is_within_the_limit_keeps_its_bits():
    grads = drawn("mixed")
    before = copies(grads)
    norm = fo.clip_grad_norm_(grads, np.inf)
    assert fo.clip_grad_norm_(grads, 2 * norm) == norm
    fo.clip_grad_value_(grads, np.inf)
    assert_same_bits(grads, before)


# Refusals.


def frozen(array):
    array.flags.writeable = False
    return array


g = np.ones(3)
REFUSED = [
    (lambda a: fo.clip_grad_norm_(a, np.nan), ValueError, r"Invalid max_norm value: nan .*needs max_norm >= 0"),
    (lambda a: fo.clip_grad_norm_(a, -1.0), ValueError, r"Invalid max_norm value: -1.0"),
    (lambda a: fo.clip_grad_norm_(a, "1"), TypeError, r"Invalid max_norm value: '1'"),
    (lambda a: fo.clip_grad_norm_(a, 1.0, np.nan), ValueError, r"Invalid norm_type: nan"),
    (lambda a: fo.clip_grad_norm_(a, 1.0, "l2"), TypeError, r"Invalid norm_type: 'l2'"),
    (lambda a: fo.clip_grad_norm_(a, 1.0, 2, 1), TypeError, r"True or False for error_if_nonfinite"),
    (lambda a: fo.clip_grads_with_norm_(a, -1.0, 1.0), ValueError, r"Invalid max_norm value"),
    (lambda a: fo.clip_grads_with_norm_(a, 1.0, -1.0), ValueError, r"Invalid total_norm value"),
    (lambda a: fo.clip_grads_with_norm_(a, 1.0, None), TypeError, r"Invalid total_norm value: None"),
    (lambda a: fo.clip_grad_value_(a, -1), ValueError, r"Invalid clip_value: -1"),
    (lambda a: fo.clip_grad_value_(a, np.nan), ValueError, r"Invalid clip_value: nan"),
    (lambda a: fo.clip_grad_norm_(3, 1.0), TypeError, r"an array or an iterable of arrays, not int"),
    (lambda a: fo.clip_grad_norm_([*a, 2.0], 0.1), TypeError, r"gradient 2 is of type float"),
    (lambda a: fo.clip_grad_norm_([*a, np.ones(3, int)], 0.1), TypeError, r"gradient 2 has dtype int64"),
    (lambda a: fo.clip_grad_norm_([*a, np.ones(3, np.float16)], 0.1), TypeError, r"gradient 2 has dtype float16"),
    (lambda a: fo.clip_grad_value_([*a, np.ones(3, ">f8")], 0.1), TypeError, r"gradient 2 has dtype >f8"),
    (lambda a: fo.clip_grad_norm_([*a, frozen(np.ones(3))], 0.1), ValueError, r"gradient 2 is read-only"),
    (lambda a: fo.clip_grad_norm_([*a, None, a[0]], 0.1), ValueError, r"gradients 0 and 3 share memory"),
    (lambda a: fo.clip_grad_norm_([*a, a[1][:1]], 0.1), ValueError, r"gradients 1 and 2 share memory"),
    (lambda a: fo.clip_grad_value_([*a, a[1][::-1]], 0.1), ValueError, r"gradients 1 and 2 share memory"),
    (
        lambda a: fo.clip_grad_norm_([np.lib.stride_tricks.as_strided(a[0], (4, 2), (8, 8))], 0.1),
        ValueError,
        r"gradient 0 overlaps itself",
    ),
    (lambda a: fo.get_total_norm([*a, "x"]), TypeError, r"gradient 2 is of type str"),
    (lambda a: fo.get_total_norm([*a, np.ones(2, complex)]), TypeError, r"gradient 2 has dtype complex128"),
    (lambda a: fo.vector_to_parameters(np.zeros(9), a), ValueError, r"vec has shape \(9,\).*must be \(10,\)"),
    (lambda a: fo.vector_to_parameters(np.zeros(11), a), ValueError, r"vec has shape \(11,\).*must be \(10,\)"),
    (lambda a: fo.vector_to_parameters(np.zeros((2, 5)), a), ValueError, r"vec has shape \(2, 5\)"),
    (lambda a: fo.vector_to_parameters([0.0] * 10, a), TypeError, r"vec must be a NumPy array, not list"),
    (lambda a: fo.vector_to_parameters(np.zeros(10, complex), a), TypeError, r"vec has dtype complex128"),
    (
        lambda a: fo.vector_to_parameters(np.zeros(11), [*a, frozen(np.ones(1))]),
        ValueError,
        r"parameter 2 is read-only",
    ),
    (lambda a: fo.vector_to_parameters(np.zeros(11), [*a, np.ones(1, int)]), TypeError, r"parameter 2 has dtype int64"),
    (lambda a: fo.parameters_to_vector([]), ValueError, r"got no parameters"),
    (lambda a: fo.parameters_to_vector([*a, None]), TypeError, r"parameter 2 is of type NoneType"),
    (lambda a: fo.parameters_to_vector(3), TypeError, r"not int"),
    (lambda a: fo.check_grad(3, g), TypeError, r"Invalid fun: 3"),
    (lambda a: fo.check_grad(lambda x: (x @ x, 2 * x), g, 3), TypeError, r"Invalid jac: 3"),
    (lambda a: fo.check_grad(lambda x: x @ x, g), TypeError, r"must return \(f, gradient\)"),
    (lambda a: fo.check_grad(lambda x: (x, x), g), ValueError, r"must return one number"),
    (lambda a: fo.check_grad(lambda x: (x @ x, x[:2]), g), ValueError, r"shape \(2,\).*x shape \(3,\)"),
    (lambda a: fo.check_grad(lambda x: (x @ x, x), 1j * g), TypeError, r"Invalid x of dtype complex128"),
    (lambda a: fo.check_grad(lambda x: (x @ x, x), g, method="4-point"), ValueError, r"Invalid method"),
    (lambda a: fo.check_grad(lambda x: (x @ x, x), g, rel_step=0), ValueError, r"Invalid rel_step"),
    (lambda a: fo.check_grad(lambda x: (x @ x, x), g, rtol=-1), ValueError, r"Invalid rtol"),
    (lambda a: fo.check_grad(len, fo.FlatParams({"a": 1}), method="cs"), ValueError, r"complex numbers"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_bad_arguments_are_refused_in_words_and_nothing_is_changed(call, error, words):
    arrays = [np.arange(5.0), np.linspace(1, 2, 5, dtype=np.float32)]
    before = copies(arrays)
    with pytest.raises(error, match=words):
        call(arrays)
    assert_same_bits(arrays, before)


def test_arrays_that_interleave_but_share_nothing_are_clipped():
    base = np.ones((4, 6))
    assert fo.clip_grad_norm_([base[:, ::2], base[:, 1::2]], 1.0) == math.sqrt(24)
    np.testing.assert_allclose(base, 1 / math.sqrt(24), rtol=1e-6)


# Vectors.


@pytest.mark.peers
def test_vectors_are_those_of_torch(torch):
    arrays = drawn("mixed")
    vector = fo.parameters_to_vector(arrays)
    expected = torch.nn.utils.parameters_to_vector([torch.tensor(array) for array in arrays])
    assert_same_bits([vector], [expected.numpy()])


def test_parameters_come_back_from_their_vector():
    arrays = drawn("mixed")
    for dress in DRESSES.values():
        dressed = [dress(array) for array in copies(arrays)]
        vector = fo.parameters_to_vector(dressed)
        assert vector.shape == (sum(array.size for array in arrays),) and vector.dtype == np.float64
        for array in dressed:
            array[...] = 0
        fo.vector_to_parameters(vector, (fo.Parameter(a) if a.flags.carray else a for a in dressed))
        assert_same_bits(dressed, arrays)
    single = [np.ones(2, np.float32)]
    vector = fo.parameters_to_vector(single)
    assert vector.dtype == np.float32 and not np.shares_memory(vector, single[0])


def test_flat_params_are_one_copy():
    p = fo.FlatParams({"W": (2, 3), "b": 2})
    p.flat = np.arange(8)
    vector = fo.parameters_to_vector(p)
    assert_same_bits([vector], [p.flat])
    assert not np.shares_memory(vector, p.flat)
    fo.vector_to_parameters(p.flat[::-1], p)  # shares memory with what is written
    np.testing.assert_array_equal(p.flat, vector[::-1])
    fo.vector_to_parameters(p.flat[::-1], [*p.values()])
    np.testing.assert_array_equal(p.flat, vector)
    fo.vector_to_parameters(vector, [*p.values()])
    np.testing.assert_array_equal(p.flat, vector)
    assert fo.parameters_to_vector(p.grad).sum() == 0


# The check of a gradient.


X = np.random.default_rng(5).standard_normal((4, 3))
C = np.random.default_rng(6).standard_normal((4, 3))


def smooth(x):
    return (C * np.exp(x) + x**2).sum(), C * np.exp(x) + 2 * x


def spoiled(change):
    """`smooth` with another gradient."""

    def fun(x):
        f, grad = smooth(x)
        return f, change(grad)

    return fun


def with_row(factor):
    def change(grad):
        grad[1] *= factor
        return grad

    return change


def with_element(grad):
    grad[2, 1] += 1e-4
    return grad


def with_nan(grad):
    grad[3, 0] = np.nan
    return grad


PLANTED = [
    (lambda grad: 2 * grad, r"off by a factor of 2\.000 everywhere \(a missing 1/2, or a sum for a mean\?\)"),
    (lambda grad: grad / 12, r"off by a factor of 0\.083 everywhere \(a missing factor 2, or a mean for a sum\?\)"),
    (lambda grad: 1.3 * grad, r"off by a factor of 1\.300 everywhere\.$"),
    (lambda grad: -grad, r"opposite sign everywhere"),
    (lambda grad: 0 * grad, r"zero where it should not be"),
    (lambda grad: np.real(grad).astype(np.float16).astype(float), r"off by .*e-04 of itself at most"),
    (lambda grad: grad * (1 + 1e-6), r"off by 1\.\de-06 of itself at most"),
    (with_row(3), r"Only coordinates in x\[1, :\] are wrong. It is off by a factor of 3\.000 there"),
    (with_row(-1), r"Only coordinates in x\[1, :\] are wrong. It has the opposite sign there"),
    (with_row(0), r"Only coordinates in x\[1, :\] are wrong. It is zero"),
    (with_element, r"1 of 12 coordinates, most in x\[2, 1\].*Only coordinates in x\[2, 1\]"),
    (lambda grad: grad + 0.1, r"The errors have no pattern"),
    (lambda grad: grad.T.reshape(4, 3), r"The errors have no pattern"),
    (with_nan, r"not finite at x\[3, 0\]"),
]


@pytest.mark.parametrize(("change", "words"), PLANTED)
@pytest.mark.parametrize("method", ["3-point", "2-point", "cs"])
def test_a_planted_error_is_found_and_named(change, words, method):
    result = fo.check_grad(spoiled(change), X, method=method)
    assert not result.ok and not result
    assert result.message == str(result)
    assert re.search(words, str(result)), str(result)


def test_the_result_has_the_numbers_of_the_worst_coordinate():
    result = fo.check_grad(spoiled(with_element), X)
    truth = smooth(X)[1][2, 1]
    assert result.worst == (2, 1)
    assert result.analytic == truth + 1e-4
    assert result.numeric == pytest.approx(truth, abs=1e-8)
    assert result.error == abs(result.analytic - result.numeric)
    assert result.relative_error == result.error / max(abs(result.analytic), abs(result.numeric))
    assert 0 < result.expected < 1e-7
    with pytest.raises(AttributeError):
        result.ok = True
    right = fo.check_grad(smooth, X)
    assert right.ok and right and right.error <= right.expected


@pytest.mark.parametrize("method", ["3-point", "2-point", "cs"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3, 2), (0,)])
def test_a_right_gradient_passes_in_any_shape(method, shape):
    x = np.array(np.random.default_rng(2).uniform(-2, 2, shape))
    before = x.copy()
    result = fo.check_grad(lambda x: (np.sin(x).sum(), np.cos(x)), x, method=method)
    assert result, str(result)
    assert_same_bits([x], [before])
    assert np.shape(x) == shape


def test_fun_and_jac_may_be_apart_and_have_arguments():
    assert fo.check_grad(lambda x, a, b: a * (x @ x) + b, [1.0, 2.0], lambda x, a, b: 2 * a * x, args=(3.0, 1.0))
    assert fo.check_grad(lambda x, a: a * (x @ x), [1, 2], lambda x, a: 2 * a * x, args=3.0)
    assert fo.check_grad(lambda x: (x @ x, 2 * x), [1, 2], True)


def test_an_error_as_small_as_differences_can_tell_is_found():
    """The threshold is near what is expected: ten times above is wrong, a tenth below is right."""
    expected = fo.check_grad(smooth, X).expected

    def shifted(size):
        return fo.check_grad(spoiled(lambda grad: grad + size), X)

    assert shifted(0.1 * expected)
    assert not shifted(20 * expected)
    assert fo.check_grad(spoiled(lambda grad: grad * (1 + 1e-5)), X, rtol=1e-4)


def test_float32_is_checked_as_float32():
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return np.float32((x**2).sum()), 2 * x

    assert fo.check_grad(fun, X.astype(np.float32))
    assert seen == {np.dtype(np.float32)}
    assert not fo.check_grad(lambda x: ((x**2).sum(), 2.02 * x), X.astype(np.float32))
    assert fo.check_grad(lambda x: (np.float32((x**2).sum()), 2 * x), X)  # of float64 arguments, rounded


@pytest.mark.parametrize("x", [[1.0, 0.0, -2.0], [1.0, 1e-6, 3.0], [-2e-6, 0.5, 1.0]])
@pytest.mark.parametrize("method", ["3-point", "2-point"])
def test_a_kink_is_no_error(x, method):
    result = fo.check_grad(lambda x: (np.maximum(x, 0).sum(), (x > 0) * 1.0), x, method=method)
    assert result, str(result)
    result = fo.check_grad(lambda x: (np.maximum(x, 0).sum(), (x > 0) * 1.0), [1.0, 0.0])
    assert re_kink(result) == "x[1]"
    beyond = fo.check_grad(lambda x: (np.maximum(x, 0).sum(), (x > 0) * 1.0 - (x == 0)), [1.0, 0.0])
    assert not beyond  # not between the slopes
    both = fo.check_grad(lambda x: (np.maximum(x, 0).sum(), (x > 0) * 2.0), [1.0, 0.0])
    assert not both


def re_kink(result):
    return result.message.partition("There is a kink in ")[2].partition(" (one-sided differences disagree): not an")[0]


def test_curvature_is_no_kink():
    """One-sided differences of a parabola lie 600 times the error apart, but half as far at half the step."""
    assert not fo.check_grad(lambda x: (50 * x @ x, 100 * x * (1 + 1e-8)), [1.0, 2.0])


def test_truncation_is_expected_six_times():
    """Of a cube the error is h**2, and D(2h) - D(h) is 3 h**2."""
    result = fo.check_grad(lambda x: (np.sum(x**3), 3 * x**2), [2.0], rel_step=1e-3)
    assert result
    assert result.error == pytest.approx(4e-6, rel=1e-3)
    assert result.expected == pytest.approx(24e-6, rel=1e-3)


def test_differences_that_agree_by_chance_accuse_nobody():
    """At 0, D(h) = a h**2 + h**4 is D(2h) for a = -5 h**2, here h = 0.1."""
    assert fo.check_grad(lambda x: (np.sum(x**5 - 0.05 * x**3), 5 * x**4 - 0.15 * x**2), [0.0], rel_step=0.1)


def test_where_the_gradient_is_zero_a_factor_is_no_exception():
    x = np.zeros((4, 3))
    x[1] = [1.0, 2.0, 3.0]
    message = str(fo.check_grad(lambda x: ((x**2).sum(), 4 * x), x))
    assert "3 of 12" in message and "off by a factor of 2.000 everywhere" in message and "Only" not in message


def test_what_is_not_finite_is_said():
    def log(x):
        with np.errstate(all="ignore"):
            return np.log(x).sum(), 1 / x

    assert "f is not finite at x: it is -inf" in str(fo.check_grad(log, [1.0, 0.0]))
    beside = fo.check_grad(log, [1.0, 1e-9])
    assert not beside and beside.worst == (1,)
    assert "cannot be checked at x[1]: f is not finite next to it" in str(beside)
    assert fo.check_grad(log, [1.0, 1e-9], rel_step=1e-5)


def test_a_function_that_ignores_or_changes_its_argument_is_told():
    outer = np.ones(3)
    assert "does fun use its argument?" in str(fo.check_grad(lambda x: (outer @ outer, 2 * x), np.ones(3)))

    def greedy(x):
        x *= 2
        return x @ x / 4, x.copy()

    x = np.ones(3)
    result = fo.check_grad(greedy, x)
    assert result and "fun changed its argument" in str(result)
    assert (x == 1).all()
    assert "changed" not in str(fo.check_grad(smooth, X))


def test_a_check_that_cannot_tell_says_so():
    result = fo.check_grad(lambda x: (x @ x + 1e12, 2 * x), np.ones(3))
    assert result and "That says little" in str(result)


def model(p, W=1.0, b=1.0):
    f = (p["W"] ** 2).sum() * np.sum(p["b"])
    return f, {"W": W * 2 * p["W"] * np.sum(p["b"]), "b": b * (p["W"] ** 2).sum() * np.ones(2)}


def test_flat_params_are_named():
    p = fo.FlatParams.from_arrays({"W": X, "b": [0.5, 2.0], "s": 1.0})
    before = p.flat.copy()

    def fun(p, **factors):
        f, grads = model(p, **factors)
        return f + p["s"] ** 2, {**grads, "s": 2 * p["s"]}

    def through_grad(p):
        value, grads = fun(p)
        for name in grads:
            p.grad[name] = grads[name]
        return value, p.grad

    assert fo.check_grad(fun, p)
    assert fo.check_grad(through_grad, p)
    assert fo.check_grad(lambda p: (fun(p)[0], fo.parameters_to_vector([np.asarray(v) for v in fun(p)[1].values()])), p)
    assert (p.flat == before).all() and not p.grad.flat.any()
    rows = np.ones((4, 1))
    rows[3] = 1.5
    result = fo.check_grad(lambda p: fun(p, W=rows), p)
    assert result.worst.startswith("W[3, ") and "Only coordinates in W[3, :] are wrong" in str(result)
    result = fo.check_grad(lambda p: fun(p, b=-1), p)
    assert result.worst in ("b[0]", "b[1]") and "Only coordinates in b are wrong. It has the opposite" in str(result)
    result = fo.check_grad(lambda p: (fun(p)[0], {**fun(p)[1], "s": 0.0}), p)
    assert result.worst == "s" and "Only coordinates in s are wrong. It is zero" in str(result)
    with pytest.raises(ValueError, match=r"the gradient has the names \['W', 'b'\]"):
        fo.check_grad(lambda p: model(p), p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in fo.losses.__all__ if name != "Loss"])
def test_every_loss_passes(name, dtype):
    family = FAMILIES[name]
    given = [x.astype(dtype) if x.dtype.kind == "f" else x for x in family.draw(np.random.default_rng(1), 60)]
    given = given[: family.calls]
    options = dict(family.options)
    if hasattr(getattr(fo, name), "parameters"):
        options |= {"dtype": dtype, "rng": 0}
    loss = getattr(fo, name)(**options)

    def fun(x):
        value, grads = loss.value_and_grad(x, *given[1:])
        return value, grads[0] if isinstance(grads, tuple) else grads

    result = fo.check_grad(fun, given[0])
    assert result, str(result)


def test_the_room_lists_what_the_package_exports():
    assert set(gradients.__all__) <= set(fo.__all__)
