"""What a build must hold: clones, no other exports, no checked division, a stub for each module."""

import os
import platform
import re
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import fastopt

ROOT = Path(__file__).parents[1]
PACKAGE = Path(fastopt.__path__[0])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = sorted((ROOT / "src_pyx").glob("*.pyx"))
SHARED = sorted((ROOT / "src_pyx").glob("*.pxd"))
EXTENSIONS = PROJECT["tool"]["setuptools"]["ext-modules"]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")


def binary(stem: str) -> Path:
    return next(path for end in EXTENSION_SUFFIXES if (path := PACKAGE / f"{stem}{end}").exists())


def output(*command: object) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def has_clones(path: Path) -> bool:
    """Whether the compiler that made `path` was one that _core.pxd asks for clones."""
    gcc = re.search(r"GCC: \(.*?\) (\d+)", output("readelf", "--string-dump=.comment", path))
    return (
        gcc is not None
        and int(gcc[1]) >= 12
        and platform.machine() == "x86_64"
        and platform.libc_ver()[0] == "glibc"
        and "FASTOPT_NO_CLONES" not in os.environ.get("CFLAGS", "")
    )


def test_every_source_is_a_module():
    assert sorted(e["name"] for e in EXTENSIONS) == [f"fastopt.{path.stem}" for path in SOURCES]
    assert all(e["sources"] == [f"src_pyx/{e['name'].split('.')[1]}.pyx"] for e in EXTENSIONS)


def test_every_package_is_installed():
    named = PROJECT["tool"]["setuptools"]["packages"]
    on_disk = {path.parent.relative_to(ROOT) for path in ROOT.glob("fastopt/**/__init__.py")}
    assert on_disk <= {Path(*name.split(".")) for name in named}


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_module_has_a_stub(path):
    assert (PACKAGE / f"{path.stem}.pyi").exists()


@pytest.mark.parametrize("path", [*SOURCES, *SHARED], ids=lambda path: path.name)
def test_every_source_opens_with_its_directives(path):
    first = path.read_text().partition("\n")[0]
    assert first.startswith("# cython: language_level=3")
    assert ("freethreading_compatible=True" in first) == (path.suffix == ".pyx")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_division_is_checked(path, tmp_path):
    """A division that raises does not vectorize, and a .pxd inherits no cdivision=True."""
    out = tmp_path / "out.c"
    output(sys.executable, "-m", "cython", "-I", ROOT / "src_pyx", path, "-o", out)
    assert "float division" not in out.read_text()


@on_linux
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_only_the_init_function_is_exported(path):
    symbols = output("nm", "--dynamic", "--defined-only", binary(path.stem)).split("\n")
    assert [line.split()[-1] for line in symbols if line] == [f"PyInit_{path.stem}"]


@on_linux
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_hot_function_has_its_clones(path):
    hot = set(re.findall(r"^cdef hot (\w+)\(", path.read_text(), re.MULTILINE))
    built = binary(path.stem)
    symbols = output("nm", built)
    for level in ("default", "arch_x86_64_v3", "arch_x86_64_v4"):
        cloned = {name for name in hot if re.search(rf"_{name}\.{level}$", symbols, re.MULTILINE)}
        assert cloned == (hot if has_clones(built) else set())
