"""What `save` writes `load` returns, whole or refused, whatever happens in between."""

import io
import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fastopt import serialize
from fastopt.serialize import load, save

BIT_GENERATORS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


class Stateful:
    """An optimizer as far as `save` is concerned."""

    def __init__(self, lr=0.1):
        self.lr = lr

    def state_dict(self):
        state = {0: {"step": 3, "exp_avg": np.arange(3.0)}, 1: {}}
        return {"state": state, "param_groups": [{"lr": self.lr, "betas": (0.9, 0.999)}]}


class Tripwire:
    """Fires when unpickled."""

    def __reduce__(self):
        return exec, ("import os; os.environ['TRIPWIRE'] = 'fired'",)


def bits(value):
    """`value` as something that compares equal only if types, order and every bit agree."""
    kind = type(value)
    if kind is float:
        return kind, struct.pack("d", value)
    if kind in (list, tuple):
        return kind, [bits(item) for item in value]
    if kind is dict:
        return kind, [(bits(key), bits(item)) for key, item in value.items()]
    if kind is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        dtype = array.dtype  # padding, of records and in long doubles, means nothing
        used = sum(dtype[name].itemsize for name in dtype.names) if dtype.names else dtype.itemsize
        padded = dtype.char in "gG" or used < dtype.itemsize
        return kind, dtype, array.shape, array.tolist() if padded else array.tobytes()
    return kind, value


def roundtrip(path, value):
    save(path, value=value)
    return load(path)["value"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.npz"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("serialize") / "checkpoint.npz"


numbers = npst.boolean_dtypes() | npst.integer_dtypes() | npst.floating_dtypes(sizes=(16, 32, 64))
dtypes = npst.array_dtypes(numbers | npst.complex_number_dtypes(sizes=(64, 128)))
shapes = npst.array_shapes(min_dims=0, min_side=0)
anything = npst.arrays(dtypes | npst.unicode_string_dtypes(), shapes)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
structures = st.recursive(
    leaves | anything | numbers.flatmap(npst.from_dtype),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(structures)
def test_every_structure_comes_back_bit_for_bit(scratch, value):
    assert bits(roundtrip(scratch, value)) == bits(value)


@pytest.mark.parametrize(
    "value",
    [
        0.1 + 0.2,
        -0.0,
        5e-324,
        math.inf,
        -math.inf,
        math.nan,
        struct.unpack("d", b"\x01\0\0\0\0\0\xf0\xff")[0],
        2**63 - 1,
        -(2**63),
        2**63,
        [-(10**5000)],
        "\ud800\0é",
        True,
        (),
        [],
        {},
        {1: "int", "1": "str", -(2**70): "long", "": None},
        ((1, [2, (3,)]),),
        np.float32(0.1),
        np.bool_(True),
        np.longdouble(1) / 3,
        np.datetime64("NaT", "ns"),
        np.str_("text"),
        np.zeros(1, "i4,f8")[0],
        np.array(1.5),
        np.zeros((3, 0, 2)),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::-2, 1::2],
        np.broadcast_to(np.float32(3), (2, 3)),
        np.arange(3, dtype=">f8"),
        np.arange(3, dtype=np.longdouble) / 3,
        np.array(["a", "bc\0"]),
        np.array([b"a\0", b""]),
        np.zeros(2, np.dtype("i1,f8", align=True)),
        np.zeros(2, [("\u0100", "f4")]),
        np.zeros(3, "V0"),
        np.frombuffer(bytes(8), np.uint8),
    ],
)
def test_corner_value_comes_back_bit_for_bit(path, value):
    assert bits(roundtrip(path, value)) == bits(value)


def test_arrays_come_back_fresh_and_writable(path):
    array = np.zeros(3)
    array.flags.writeable = False
    first, second = roundtrip(path, [array, array])
    first += 1
    assert not second.any() and not array.any()


def test_state_dicts_are_saved_at_any_depth(path):
    save(path, opt=Stateful(), both=[Stateful(1), {"inner": Stateful(2)}])
    loaded = load(path)
    assert list(loaded) == ["opt", "both"]
    assert bits(loaded["opt"]) == bits(Stateful().state_dict())
    assert bits(loaded["both"][1]["inner"]) == bits(Stateful(2).state_dict())


@pytest.mark.parametrize("name", BIT_GENERATORS)
def test_generator_resumes_where_it_was(path, name):
    bit_generator = getattr(np.random, name)
    rng, resumed = (np.random.Generator(bit_generator(seed)) for seed in (0, 1))
    rng.integers(10, size=3, dtype=np.int32)  # leaves half a word behind
    resumed.bit_generator.state = roundtrip(path, rng)
    assert (rng.random(5) == resumed.random(5)).all()
    assert rng.integers(2**32, dtype=np.uint32) == resumed.integers(2**32, dtype=np.uint32)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"param_groups": [{"lr": lambda t: t}]}, "value['param_groups'][0]['lr']"),
        (Stateful(object()), "value['param_groups'][0]['lr']"),
        ({3: (0, np.array([None]))}, "value[3][1]"),
        ([np.ma.masked_array([1])], "value[0]"),
        ([np.zeros(2).view(np.recarray)], "value[0]"),
        (np.zeros(1, {"names": "ab", "formats": ["i4", "i4"], "offsets": [0, 2]}), "value"),
        (np.rec.array([(1, 2.0)])[0], "value"),
        (np.str_("a\0"), "value"),
        ({"a": {(1, 2): 3}}, "value['a']"),
        ({"a": {True: 3}}, "value['a']"),
        ({"a": {np.int64(1): 3}}, "value['a']"),
        (type("Dict", (dict,), {})(), "value"),
        ([1j], "value[0]"),
        ([b"bytes"], "value[0]"),
        ({"a": {1, 2}}, "value['a']"),
        (Stateful, "value"),
        (np.random.RandomState(0), "value"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(path, value, where):
    with pytest.raises(TypeError) as raised:
        save(path, fine=np.ones(2), value=value)
    assert str(raised.value).startswith((f"Cannot save {where}:", f"Cannot save {where},"))
    assert not os.listdir(path.parent)


def test_a_structure_that_contains_itself_is_refused(path):
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contain themselves"):
        save(path, loop=loop)
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("fault", ["state_dict", "write_array", "fsync", "replace"])
def test_after_a_failure_the_old_file_stands_alone(path, monkeypatch, fault):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    save(path, value="old")
    owner = {"state_dict": Stateful, "write_array": serialize.npy}.get(fault, os)
    monkeypatch.setattr(owner, fault, fail)
    with pytest.raises(OSError, match="No space"):
        save(path, value="new", array=np.ones(3), opt=Stateful())
    assert load(path) == {"value": "old"}
    assert os.listdir(path.parent) == [path.name]


def test_the_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("plain", path="an object may be called path")
    assert os.listdir() == ["plain"]
    assert load("plain") == {"path": "an object may be called path"}
    for wrong in (3, None, sys.stdout):
        with pytest.raises(TypeError):
            save(wrong, value=1)


def test_a_symbolic_link_is_written_through(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    save(real, value=1)
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("no right to make symbolic links")
    save(link, value=2)
    assert link.is_symlink() and load(real) == {"value": 2}


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_the_file_has_the_permissions_of_any_new_file(path):
    save(path, value=1)
    ordinary = path.with_suffix(".txt")
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_equal_objects_make_equal_files(tmp_path):
    for name in "ab":
        save(tmp_path / name, opt=Stateful(), rng=np.random.default_rng(0))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numpy_opens_the_file(path):
    save(path, a=np.arange(3), b=np.ones(2))
    with np.load(path, allow_pickle=False) as archive:
        assert (archive["0"] == np.arange(3)).all() and (archive["1"] == np.ones(2)).all()
        assert json.loads(archive["fastopt.json"])["format_version"] == 1


def test_only_a_missing_file_is_not_a_value_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent")
    with pytest.raises(OSError):  # noqa: PT011
        load(tmp_path)


def test_importing_loads_neither_scipy_nor_the_rest_of_fastopt():
    code = (
        f"import runpy, sys; runpy.run_path({serialize.__file__!r});"
        "assert not {'scipy', 'fastopt'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def forge(path, meta, members=(), compression=zipfile.ZIP_STORED):
    """A zip with correct checksums and hostile content."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        if meta is not None:
            archive.writestr("fastopt.json", meta if isinstance(meta, str) else json.dumps(meta))
        for i, content in enumerate(members):
            archive.writestr(f"{i}.npy", content)


def npy(array):
    """The bytes of `array` in an .npy file, pickled if need be."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def meta(node, **changes):
    return {"format_version": 1, "fastopt_version": "0", "objects": {"value": node}} | changes


def header(shape):
    """An .npy file that ends where the data should begin."""
    buffer = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


ONE = npy(np.ones(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((meta(1, format_version=2, fastopt_version="9.9"),), "fastopt 9.9 wrote it in format 2"),
        ((None, [ONE]), "holds no fastopt.json"),
        ((meta(1), [], zipfile.ZIP_DEFLATED), "compressed"),
        ((meta({"array": 0}),), "Cannot load"),
        ((meta(1), [ONE]), "nothing refers to"),
        ((meta([{"array": 0}, {"array": 0}]), [ONE]), "Cannot load"),
        ((meta({"array": 0}), [ONE + b"more"]), "longer than its header"),
        ((meta({"array": 0}), [ONE[:-1]]), "Cannot load"),
        ((meta({"array": 0}), [header((10**9,))]), "EOF"),
        ((meta({"array": 0}), [header((10**17,))]), "Unable to allocate"),
        ((meta({"array": 0}), [npy(np.array([Tripwire()]))]), "Object arrays"),
        ((meta({"array": 0}), [pickle.dumps(Tripwire())]), "Cannot load"),
        ((meta({"pickle": "0"}),), "'pickle' is no tag"),
        ((meta({}),), "Cannot load"),
        ((meta({"int": 3}),), "Cannot load"),
        ((meta({"dict": [[[], 1]]}),), "Cannot load"),
        (("[]",), "Cannot load"),
        (("{",), "Cannot load"),
        (("[" * 100_000,), "Cannot load"),
    ],
)
def test_hostile_file_is_refused_in_words(path, content, message, monkeypatch):
    monkeypatch.setenv("TRIPWIRE", "set")
    forge(path, *content)
    with pytest.raises(ValueError, match=message) as raised:
        load(path)
    assert str(raised.value).removeprefix(f"Cannot load {str(path)!r}: ") not in (
        "",
        str(raised.value),
    )
    assert os.environ["TRIPWIRE"] == "set"


@pytest.mark.parametrize("content", [b"", b"PK", b"text\n" * 100, ONE, pickle.dumps(Tripwire())])
def test_foreign_file_is_refused_in_words(path, content, monkeypatch):
    monkeypatch.setenv("TRIPWIRE", "set")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Cannot load"):
        load(path)
    assert os.environ["TRIPWIRE"] == "set"


@pytest.fixture
def whole(path):
    """A sound file, its bytes and its content."""
    save(path, opt=Stateful(), rng=np.random.default_rng(0), values=[np.arange(100), math.inf])
    return path, path.read_bytes(), bits(load(path))


def test_flipped_bits_are_refused_or_harmless(whole):
    path, sound, expected = whole
    rng, refused = random.Random(0), 0
    for i in range(len(sound)):
        damaged = bytearray(sound)
        damaged[i] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert bits(load(path)) == expected
        except ValueError as error:
            refused += 1
            assert str(error).startswith("Cannot load")  # noqa: PT017
    assert refused > len(sound) / 2


def test_truncated_file_is_refused(whole):
    path, sound, _ = whole
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match="Cannot load"):
            load(path)


WRITER = """
import sys, numpy as np
from fastopt.serialize import save
for generation in range(10**9):
    save(sys.argv[1], generation=generation, arrays=[np.full(50_000, generation)] * 4)
    if generation == 0:
        print("ready", flush=True)
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new(path):
    rng = random.Random(2)
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.03))
            writer.kill()
        loaded = load(path)
        assert all((array == loaded["generation"]).all() for array in loaded["arrays"])
