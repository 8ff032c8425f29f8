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

ROOMS = (fo, fo.init, fo.optim, fo.losses, fo.lr_scheduler, fo.gradients, fo.penalties, fo.training)
OPTIONAL = {"fastopt.training.ProgressBar": "rich", "fastopt.training.TensorBoard": "tensorboardX"}


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_importing_brings_in_no_peer_and_starts_no_thread():
    optional = ["torch", "sklearn", "matplotlib", "pandas", "rich", "tqdm", "tensorboardX"]
    foreign = [*optional, "scipy.optimize", "concurrent.futures.thread"]
    code = (
        "import sys, threading; import fastopt; "
        f"print([m for m in {foreign} if m in sys.modules], threading.active_count())"
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


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.peers] * (name in OPTIONAL)) for name in documented()]
)
def test_examples_of_docstrings_run(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(documented()[name], name, globs={"fo": fo, "np": np}):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def concrete():
    bases = (fo.Optimizer, fo.Loss, fo.Penalty, fo.lr_scheduler.LRScheduler)
    return {name: public for name, public in documented().items() if inspect.isclass(public) and public not in bases}


@pytest.mark.parametrize("name", concrete())
def test_docstrings_of_algorithms_have_example_and_reference(name):
    text = inspect.getdoc(concrete()[name])
    assert ">>>" in text
    if not name.startswith(("fastopt.params", "fastopt.training")):
        assert "References\n----------" in text


ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
}


@pytest.mark.parametrize(
    ("page", "code"),
    [(page, code) for page in PAGES for code in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)],
)
def test_the_code_on_pages_runs(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, page, "exec"), names)
    if "result" in names:
        np.testing.assert_allclose(names["result"].x, 1, atol=1e-4)
        assert names["m"].result().success
    if {"sched", "value"} <= names.keys():
        assert names["value"] < np.log(3)  # better than guessing among three classes
        assert (tmp_path / "run.npz").exists()


def test_the_tables_of_optimizers_are_complete_and_right():
    lines = PAGES["docs/optimizers.md"].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    optimizers = [name for name in fo.optim.__all__ if name not in {"Optimizer", "LBFGS"}]
    converged = {row[0] for row in rows if len(row) == 5}
    assert converged == {*optimizers, "", "---"}, "run docs/convergence.py"
    rows = {row[0]: row for row in rows if len(row) == 7}
    assert rows.keys() == {*optimizers, "LBFGS", "optimizer", "---"}
    for name in optimizers:
        _, _, _, state, sparse, eps, reference = rows[name]
        w = np.ones((6, 4))
        opt = getattr(fo, name)(w)
        try:
            opt.step([fo.RowSparse([1, 3], np.ones((2, 4)), w.shape)])
        except ValueError:
            assert not sparse
            opt.step(np.ones((6, 4)))
        else:
            assert sparse == "yes"
        buffers = [value for value in opt.state[0].values() if np.shape(value) == w.shape]
        assert int(re.match("[0-9]+", state)[0]) == len(buffers)
        try:
            getattr(fo, name)(w, eps_mode="root")
        except ValueError:
            assert not eps
        else:
            assert eps == "yes"
        assert reference.split()[-1] in inspect.getdoc(getattr(fo, name))


def test_the_table_of_losses_is_complete_and_right():
    lines = PAGES["docs/losses.md"].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = {row[0]: row for row in rows if not row[0].startswith("**")}
    losses = {name for name in fo.losses.__all__ if name != "Loss"}
    assert rows.keys() >= losses
    assert all(len(row) == 6 for row in rows.values())
    for name in losses:
        assert hasattr(getattr(fo, name), "hessian_diag") == bool(rows[name][5]), name


def test_the_table_of_initializers_is_complete():
    lines = PAGES["docs/init.md"].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert all(len(row) == 3 for row in rows)
    assert {row[0] for row in rows} == {*fo.init.__all__, "function", "---"}
