"""Check what an sdist and the wheel built from it hold: ``contents.py SDIST WHEEL``."""

import sys
import tarfile
import zipfile

sdist, wheel = sys.argv[1:]
source = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
built = set(zipfile.ZipFile(wheel).namelist())

for name in (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "src_pyx/_core.pxd",
    "tests/conftest.py",
    ".ci/run",
):
    assert name in source, f"{sdist} lacks {name}"
for name in (
    "fastopt/__init__.py",
    "fastopt/py.typed",
    "fastopt/_engine.pyi",
    "fastopt/examples/__init__.py",
):
    assert name in built, f"{wheel} lacks {name}"
generated = sorted(name for name in source if name.endswith((".c", ".so", ".pyd", ".pyc")))
assert not generated, f"{sdist} holds {generated}"
foreign = sorted(
    name
    for name in built
    if not name.startswith(("fastopt/", "fastopt-"))
    or name.endswith((".c", ".pyx", ".pxd", ".pyc"))
)
assert not foreign, f"{wheel} holds {foreign}"
print(f"sdist of {len(source)} files, wheel of {len(built)}")
