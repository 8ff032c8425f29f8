"""Checkpoints: `save` and `load`, an npz of arrays and one JSON member, written atomically."""

import json
import math
import os
import struct
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.lib import format as npy

# Design: the JSON member holds the structure, with {"array": i} where the array of member i.npy
# belongs and {tag: body} for every other type that JSON lacks. All members are stored, not
# compressed, so none can unpack to more than the file holds; zipfile verifies the CRC-32 of each
# as it is read to the end.

__all__ = ["load", "save"]

FORMAT_VERSION = 1
META = "fastopt.json"
ALLOWED = (
    "dict with str or int keys, list, tuple, str, int, float, bool, None, NumPy arrays and scalars "
    "(no objects, no subclasses), numpy.random.Generator and anything with state_dict()"
)


def save(path: str | os.PathLike[str], /, **objects: Any) -> None:
    """Write named objects to one file, whole or not at all.

    The file is an npz without pickles, which ``numpy.load`` opens too. It is written beside its
    destination, flushed to disk and renamed, so that after a crash at any moment `path` holds the
    old content or the new.

    Parameters
    ----------
    path : str or PathLike
        Where to write, exactly; no suffix is added. A symbolic link is followed.
    **objects
        What to save: dict (keys str or int), list, tuple, str, int of any size, float, bool, None,
        ndarray of any dtype without objects, NumPy scalars, nested at will. An object with
        ``state_dict()``, at any depth, is saved as its state dict, a NumPy Generator as its
        ``bit_generator.state``.

    Raises
    ------
    TypeError
        If something cannot be saved; the message says where it is, e.g.
        ``opt['param_groups'][0]['lr']``.
    ValueError
        If a structure contains itself.
    OSError
        If the file cannot be written. After any error the file at `path` is as it was.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/checkpoint.npz"
    >>> fo.save(path, weights={"W": np.eye(2), "b": np.zeros(2)}, epoch=7)
    >>> fo.load(path)["epoch"]
    7
    """
    arrays: list[np.ndarray] = []
    meta = {"format_version": FORMAT_VERSION, "fastopt_version": _fastopt_version()}
    try:
        encoded = {name: _encode(value, name, arrays) for name, value in objects.items()}
        text = json.dumps(meta | {"objects": encoded})
    except RecursionError:
        raise ValueError("Cannot save objects that contain themselves, or nest so deep") from None

    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    temporary = os.path.join(directory, f".fastopt-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(zipfile.ZipInfo(META), text)
                for i, array in enumerate(arrays):
                    info = zipfile.ZipInfo(f"{i}.npy")
                    with archive.open(info, "w", force_zip64=True) as member:
                        npy.write_array(member, array, version=(3, 0), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # elsewhere a directory cannot be opened, nor need it be
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(path: str | os.PathLike[str], /) -> dict[str, Any]:
    """Read what `save` wrote. Never unpickles, and returns nothing unless every checksum matches.

    Parameters
    ----------
    path : str or PathLike
        A file written by `save`.

    Returns
    -------
    dict
        Name to structure, of the types that were saved: tuples are tuples, int keys ints. Arrays
        are fresh and writable. State dicts and Generators come back as dicts, to be passed to
        ``load_state_dict`` or assigned to ``bit_generator.state``.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, foreign, or of a format this version does not know.
    OSError
        If the file cannot be opened, FileNotFoundError among others.

    Examples
    --------
    >>> import tempfile
    >>> path, rng = tempfile.mkdtemp() + "/checkpoint.npz", np.random.default_rng(0)
    >>> fo.save(path, rng=rng)
    >>> rng.bit_generator.state = fo.load(path)["rng"]
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive)
        except Exception as error:  # damaged input raises a dozen types in zipfile and numpy
            known = isinstance(error, ValueError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            raise ValueError(f"Cannot load {os.fspath(path)!r}: {reason}") from error


def _encode(value: Any, where: str, arrays: list[np.ndarray]) -> Any:
    """JSON for `value`, whose arrays are appended to `arrays`.

    Types are exact, since a subclass would come back as its base.
    """
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:  # Python limits decimal text to 4300 digits, hexadecimal not
        return value if abs(value) < 2**63 else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if kind in (list, tuple):
        items = [_encode(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if kind is dict:
        pairs = []
        for key, item in value.items():
            if type(key) not in (int, str):
                raise TypeError(f"Cannot save {where}: its key {key!r} is neither str nor int")
            at = f"{where}[{key!r}]"
            pairs.append([_encode(key, at, arrays), _encode(item, at, arrays)])
        return {"dict": pairs}
    if kind is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        if not _comes_back(array, value):
            raise TypeError(f"Cannot save {where}: the npy format does not hold {value!r} as it is")
        arrays.append(array)
        return {"array" if kind is np.ndarray else "scalar": len(arrays) - 1}
    if isinstance(value, np.random.Generator):
        return _encode(value.bit_generator.state, where, arrays)
    if callable(getattr(kind, "state_dict", None)):
        return _encode(value.state_dict(), where, arrays)
    name = f"{kind.__module__}.{kind.__qualname__}"
    raise TypeError(f"Cannot save {where}, a {name}. Allowed are {ALLOWED}")


def _comes_back(array: np.ndarray, value: np.ndarray | np.generic) -> bool:
    """Whether the npy format holds `array`, and with it `value`, exactly and without pickle."""
    dtype = array.dtype
    if dtype.hasobject:
        return False
    try:
        restored = npy.descr_to_dtype(npy.dtype_to_descr(dtype))
    except ValueError:  # fields that overlap or are out of order
        return False
    if restored != dtype or restored.type is not dtype.type:
        return False
    if array is value or dtype.kind not in "SU":
        return True
    return bool(array[()] == value)  # an array drops the trailing NULs of a string scalar


def _read(archive: zipfile.ZipFile) -> dict[str, Any]:
    members = archive.infolist()
    if META not in archive.namelist():
        raise ValueError(f"it holds no {META}, so fastopt did not write it")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its members are compressed, so fastopt did not write it")
    meta = json.loads(archive.read(META))
    if meta["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"fastopt {meta['fastopt_version']} wrote it in format {meta['format_version']}, "
            f"and this version reads format {FORMAT_VERSION}"
        )
    arrays = {i: _read_array(archive, f"{i}.npy") for i in range(len(members) - 1)}
    objects = {name: _decode(node, arrays) for name, node in meta["objects"].items()}
    if arrays:
        raise ValueError(f"nothing refers to its arrays {list(arrays)}")
    return objects


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        array: np.ndarray = npy.read_array(member, allow_pickle=False, max_header_size=2**20)
        if member.read(1):  # at the end, this verifies the checksum
            raise ValueError(f"{name} is longer than its header says")
        return array


def _decode(node: Any, arrays: dict[int, np.ndarray]) -> Any:
    """The value that `_encode` made `node` from; takes its arrays out of `arrays`, each once."""
    if isinstance(node, list):
        return [_decode(item, arrays) for item in node]
    if not isinstance(node, dict):
        return node
    ((tag, body),) = node.items()
    match tag:
        case "array":
            return arrays.pop(body)
        case "scalar":
            return arrays.pop(body)[()]
        case "dict":
            return {_decode(key, arrays): _decode(item, arrays) for key, item in body}
        case "tuple":
            return tuple(_decode(item, arrays) for item in body)
        case "int":
            return int(body, 16)
        case "float":
            return struct.unpack(">d", bytes.fromhex(body))[0]
    raise ValueError(f"{tag!r} is no tag of format {FORMAT_VERSION}")


def _fastopt_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow to import, save's alone

    try:
        return version("fastopt")
    except PackageNotFoundError:  # a source tree that is not installed
        return "unknown"
