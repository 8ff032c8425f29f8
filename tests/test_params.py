"""Parameter and FlatParams: views that stay views, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest

import fastopt as fo


def test_a_parameter_is_the_very_array():
    array = np.ones(3)
    parameter = fo.Parameter(array, name="w")
    assert parameter.data is array
    assert parameter.grad is None
    assert parameter.name == "w"
    assert repr(parameter) == "Parameter('w', shape=(3,), dtype=float64)"
    with pytest.raises(AttributeError):
        parameter.data = np.zeros(3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_params_are_views_on_one_buffer(dtype):
    p = fo.FlatParams({"W": (4, 3), "b": 3, "s": (), "empty": (0, 2)}, dtype=dtype)
    assert p.flat.shape == (16,)
    assert p.nbytes == p.flat.nbytes == 16 * np.dtype(dtype).itemsize
    assert list(p) == list(p.keys()) == ["W", "b", "s", "empty"]
    assert [view.shape for _, view in p.items()] == [(4, 3), (3,), (), (0, 2)]
    assert p.flat.ctypes.data % 64 == p.grad.flat.ctypes.data % 64 == 0
    p["W"] = np.arange(12).reshape(4, 3)
    p["b"][...] = 7
    p["s"] = 5
    np.testing.assert_array_equal(p.flat, [*range(12), 7, 7, 7, 5])
    p.grad["b"] = 2
    assert p.grad.flat.sum() == 6
    assert (p.flat != p.grad.flat).any()


def test_from_arrays_copies_and_keeps_precision():
    w = np.ones((2, 2))
    p = fo.FlatParams.from_arrays({"w": w, "b": np.zeros(2, np.float32)})
    assert p.flat.dtype == np.float64
    p["w"] += 1
    assert (w == 1).all()
    assert fo.FlatParams.from_arrays({"w": w}, dtype=np.float32).flat.dtype == np.float32
    assert fo.FlatParams.from_arrays({"w": np.ones(2, np.float32)}).flat.dtype == np.float32


def test_params_survive_a_file(tmp_path):
    p = fo.FlatParams.from_arrays({"W": np.arange(6.0).reshape(2, 3), "s": 2.0})
    fo.save(tmp_path / "p.npz", params=p)
    q = fo.FlatParams({"W": (2, 3), "s": ()}, np.float64)
    q.load_state_dict(fo.load(tmp_path / "p.npz")["params"])
    np.testing.assert_array_equal(p.flat, q.flat)
    with pytest.raises(TypeError, match="'s' has dtype <U1"):
        q.load_state_dict({"W": np.zeros((2, 3)), "s": "x"})
    np.testing.assert_array_equal(p.flat, q.flat)
    with pytest.raises(ValueError, match="the state has"):
        fo.FlatParams({"W": (3, 2), "s": ()}).load_state_dict(p.state_dict())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: fo.Parameter([1.0]), TypeError, "a parameter must be a NumPy array, not list"),
        (lambda: fo.Parameter(np.ones(3, np.float16), "w"), TypeError, "parameter 'w' has dtype float16"),
        (lambda: fo.Parameter(np.ones((3, 3))[:, 0]), ValueError, "is not C-contiguous"),
        (lambda: fo.FlatParams({"w": 3}, dtype=int), TypeError, "FlatParams has dtype int64"),
        (lambda: fo.FlatParams({3: 3}), TypeError, "name must be a str, not 3"),
        (lambda: fo.FlatParams({"w": 2.5}), TypeError, "shape of 'w' must be an int or a tuple of ints, not 2.5"),
        (lambda: fo.FlatParams({"w": (2, -1)}), ValueError, "shape of 'w' must not be negative"),
        (lambda: fo.FlatParams.from_arrays({"w": 1j}), TypeError, "'w' has dtype complex128"),
        (lambda: fo.FlatParams([("w", 3)]), TypeError, "takes a mapping from name to shape, not list"),
    ],
)
def test_bad_arguments_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copy_has_views_on_its_own_buffers(duplicate):
    p = fo.FlatParams.from_arrays({"W": np.arange(6.0).reshape(2, 3), "s": 2.0})
    p.grad["s"] = 5
    q = duplicate(p)
    fo.SGD(q, lr=1.0).step()
    q["W"] += 1
    np.testing.assert_array_equal(q.flat, [1, 2, 3, 4, 5, 6, -3])
    np.testing.assert_array_equal(q.grad.flat, p.grad.flat)
    np.testing.assert_array_equal(p.flat, [0, 1, 2, 3, 4, 5, 2])
    assert np.shares_memory(q["W"], q.flat)


def test_buffers_are_never_rebound():
    p = fo.FlatParams({"w": 3})
    flat = p.flat
    p.flat = np.ones(3)
    assert p.flat is flat
    assert (p["w"] == 1).all()
    with pytest.raises(AttributeError):
        p.grad = np.ones(3)
    with pytest.raises(TypeError, match=r"pass its \.grad"):
        fo.SGD(p).step(p)
