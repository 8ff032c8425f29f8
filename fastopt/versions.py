"""What a bug report should say about the machine."""

from __future__ import annotations

import platform

from fastopt._engine import isa
from fastopt._threads import get_num_threads

PACKAGES = ("fastopt", "numpy", "scipy", "scikit-learn", "torch")


def show_versions() -> None:
    """Print versions, the instruction set level the kernels run at, and the number of threads.

    Examples
    --------
    >>> fo.show_versions()  # doctest: +ELLIPSIS
    Python           ...
    """
    from importlib import metadata  # slow to import

    rows = {"Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            rows[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            rows[package] = "not installed"
    rows["instruction set"] = isa()
    rows["threads"] = str(get_num_threads())
    for name, value in rows.items():
        print(f"{name:16} {value}")
