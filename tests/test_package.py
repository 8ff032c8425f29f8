"""The package as a whole: what it exports, what importing it costs and leaves alone, and its examples."""

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastopt as fo

ROOMS = (fo, fo.optim, fo.losses, fo.lr_scheduler)


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_importing_brings_in_no_peer_and_starts_no_thread():
    code = (
        "import sys, threading; import fastopt; "
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'rich', 'scipy.optimize', 'concurrent.futures.thread') "
        "if m in sys.modules], threading.active_count())"
    )
    assert python(code) == "[] 1"


def test_importing_leaves_subnormals_alone():
    assert python("import fastopt, numpy as np; print(np.array([1e-310]) * np.array([1.0]))") == "[1.e-310]"


def test_importing_leaves_random_state_alone():
    code = (
        "import numpy as np; np.random.seed(0); a = np.random.get_state()[1].copy(); import fastopt; "
        "print((np.random.get_state()[1] == a).all())"
    )
    assert python(code) == "True"


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_every_public_name_exists_and_has_a_docstring(room):
    for name in room.__all__:
        public = getattr(room, name)
        assert inspect.getdoc(public), f"{room.__name__}.{name} has no docstring"


def documented():
    seen = {}
    for room in ROOMS:
        for name in room.__all__:
            public = getattr(room, name)
            if inspect.isclass(public) or inspect.isroutine(public):
                seen[f"{public.__module__}.{name}"] = public
    return seen


@pytest.mark.parametrize("name", documented())
def test_examples_of_docstrings_run(name):
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(documented()[name], name, globs={"fo": fo, "np": np}):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def concrete():
    bases = (fo.Optimizer, fo.Loss, fo.lr_scheduler.LRScheduler)
    return {name: public for name, public in documented().items() if inspect.isclass(public) and public not in bases}


@pytest.mark.parametrize("name", concrete())
def test_docstrings_of_algorithms_have_example_and_reference(name):
    text = inspect.getdoc(concrete()[name])
    assert ">>>" in text
    if not name.startswith("fastopt.params"):
        assert "References\n----------" in text


README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_the_code_in_the_readme_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    if "result" in names:
        np.testing.assert_allclose(names["result"].x, 1, atol=1e-4)
        assert names["m"].result().success
    if "value" in names:
        assert names["value"] < np.log(3)  # better than guessing among three classes
        assert (tmp_path / "run.npz").exists()
