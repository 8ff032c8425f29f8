"""Check what an sdist and the wheel built from it hold: ``contents.py SDIST WHEEL``."""

import sys
import tarfile
import zipfile

sdist, wheel = sys.argv[1:]
with tarfile.open(sdist) as archive:
    source = {name.partition("/")[2] for name in archive.getnames()}
with zipfile.ZipFile(wheel) as archive:
    built = set(archive.namelist())

needed = {
    "LICENSE",
    "README.md",
    "src_pyx/_core.pxd",
    "tests/conftest.py",
    "docs/schedules.md",
    "docs/schedules.png",
    ".ci/run",
}
assert needed <= source, f"{sdist} lacks {needed - source}"
needed = {
    f"fastopt/{name}"
    for name in ("__init__.py", "py.typed", "_engine.pyi", "examples/__init__.py", "examples/schedules.py")
}
assert needed <= built, f"{wheel} lacks {needed - built}"
generated = sorted(name for name in source if name.endswith((".c", ".so", ".pyd", ".pyc")))
assert not generated, f"{sdist} holds {generated}"
foreign = sorted(
    name
    for name in built
    if not name.startswith(("fastopt/", "fastopt-")) or name.endswith((".c", ".pyx", ".pxd", ".pyc"))
)
assert not foreign, f"{wheel} holds {foreign}"
print(f"sdist of {len(source)} files, wheel of {len(built)}")
