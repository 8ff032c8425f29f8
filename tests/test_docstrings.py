"""Every example in a docstring does what it says."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import fastopt

MODULES = [
    module.name
    for module in pkgutil.walk_packages(fastopt.__path__, "fastopt.")
    if not module.name.endswith("__main__") and not module.name.startswith("fastopt.examples")
]


@pytest.mark.parametrize("name", ["fastopt", *MODULES])
def test_examples_do_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs={"fo": fastopt, "np": np})
    assert not failed
