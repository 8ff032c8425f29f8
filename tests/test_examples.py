"""The examples that draw: they run, nothing is left out, and what they show is true; the pages show what they draw."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import fastopt as fo

ROOT = Path(__file__).parents[1]
SCRIPTS = ("schedules", "momentum", "averages")
EPS = np.finfo(float).eps


def load(name):
    """The names of a script, which needs matplotlib."""
    pytest.importorskip("matplotlib")
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_draws_the_same_small_picture_each_time(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    script, pictures = str(ROOT / "examples" / f"{name}.py"), []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        monkeypatch.setattr(sys, "argv", [script, str(folder)])
        runpy.run_path(script, run_name="__main__")
        (path,) = folder.iterdir()
        assert path.name == f"{name}.png"
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")
    assert 10_000 < len(pictures[0]) < 150_000


def test_a_schedule_without_a_picture_is_named(tmp_path, monkeypatch):
    main = load("schedules")["main"]
    monkeypatch.setattr(fo.lr_scheduler, "__all__", [*fo.lr_scheduler.__all__, "NewLR"])
    with pytest.raises(SystemExit, match="no picture of NewLR: add a row to PANELS"):
        main(tmp_path)
    assert not list(tmp_path.iterdir())


def test_panels_hold_what_their_titles_say():
    script = load("schedules")
    for name, _, curves in script["PANELS"]:
        for build in curves.values():
            assert isinstance(build(script["optimizer"]()), getattr(fo.lr_scheduler, name))


def test_the_table_of_schedules_is_complete():
    page = (ROOT / "docs" / "schedules.md").read_text()
    rows = re.findall(r"^\| (\w+) \|.*\|.*\|.*\|$", page, re.MULTILINE)
    assert sorted(set(rows) - {"schedule"}) == sorted(fo.lr_scheduler.__all__)


def test_pages_show_every_picture():
    shown = re.findall(r"\]\((\w+)\.png\)", (ROOT / "docs" / "gallery.md").read_text())
    assert sorted(shown) == sorted(SCRIPTS)
    assert "](schedules.png)" in (ROOT / "docs" / "schedules.md").read_text()
    for name in SCRIPTS:
        assert (ROOT / "docs" / f"{name}.png").stat().st_size < 150_000


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.23, 0.26])
def test_each_step_on_the_parabola_is_a_factor_of_x(lr):
    steps = 40
    path = load("momentum")["descend"](steps, lr=lr)
    rtol = steps * EPS * (1 + 4 * lr / abs(1 - 8 * lr))  # half an EPS a step of 8 lr x, of the sum, of the factor
    np.testing.assert_allclose(path, -((1 - 8 * lr) ** np.arange(steps + 1.0)), rtol=rtol)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_limits_of_the_learning_rate_are_those_of_the_page(momentum):
    limit = 2 * (1 + momentum) / 8
    descend = load("momentum")["descend"]
    assert abs(descend(2000, lr=0.99 * limit, momentum=momentum)[-1]) < 1e-6
    assert abs(descend(2000, lr=1.01 * limit, momentum=momentum)[-1]) > 1e6


def test_averages_are_weighted_as_the_page_says():
    script, beta = load("averages"), 0.9
    series = script["temperatures"]()[:50]
    age = np.arange(50)[::-1]
    weights = (1 - beta) * beta**age
    first = np.where(age == 49, beta**49, weights)
    rtol = 2 * 50 * EPS  # three roundings of half an EPS a day, all terms positive, and those of the weights
    np.testing.assert_allclose(script["from_zero"](series, beta)[-1], weights @ series, rtol=rtol)
    np.testing.assert_allclose(script["corrected"](series, beta)[-1], np.average(series, weights=beta**age), rtol=rtol)
    np.testing.assert_allclose(script["from_first"](series, beta)[-1], first @ series, rtol=rtol)
