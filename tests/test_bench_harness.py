"""The benchmark harness: its table, its clock, its command line."""

import gc
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "bench" / "harness.py"

spec = importlib.util.spec_from_file_location("harness", PATH)
harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(harness)


def test_table_is_aligned_markdown():
    table = harness.Table("Steps", ["method", "n", "us"])
    table.add("Adam", 1_000_000, 4692.4)
    table.add("a peer's", np.int64(7), None)
    assert str(table).splitlines() == [
        "### Steps",
        "",
        "| method   |         n |    us |",
        "| -------- | --------: | ----: |",
        "| Adam     | 1 000 000 | 4 690 |",
        "| a peer's |         7 |     - |",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.2345, "0.234"),
        (2.0, "2.00"),
        (14.04, "14.0"),
        (999.4, "999"),
        (999.6, "1 000"),
        (49365.0, "49 400"),
        (np.float32(0.5), "0.500"),
        (1e-9, "1.00e-09"),
        (float("nan"), "nan"),
        (0, "0"),
    ],
)
def test_numbers_have_three_significant_digits(number, text):
    table = harness.Table("", ["x"])
    table.add(number)
    assert str(table).splitlines()[-1].strip("| ") == text


def test_a_row_has_a_cell_for_every_column():
    with pytest.raises(ValueError, match="1 cells for the 2 columns of 'T'"):
        harness.Table("T", "ab").add(1)


def test_best_of_orders_calls_that_differ_a_hundredfold():
    def spin(n):
        return lambda: sum(range(n))

    small, large = harness.best_of(spin(100), spin(10_000), repeats=3, min_time=1e-4)
    assert 0 < small < large < 1


def test_best_of_takes_turns_without_the_garbage_collector(monkeypatch):
    monkeypatch.setattr(harness, "PAUSE", 0)
    seen = []

    def call(name):
        return lambda: seen.append((name, gc.isenabled()))

    harness.best_of(call("a"), call("b"), repeats=3, min_time=0)
    assert seen == [("a", False), ("b", False)] * 4
    assert gc.isenabled()


def test_a_repetition_loops_for_the_time_asked_for():
    class Clock:
        """Takes a millisecond a call."""

        def timeit(self, n):
            return 1e-3 * n

    assert harness._loops(Clock(), 1e-3) == 1
    assert 2000 <= harness._loops(Clock(), 2) <= 2401


def test_machine_is_one_line_with_versions():
    line = harness.machine()
    assert "\n" not in line and f"numpy {np.__version__}" in line


def test_the_machine_is_described_without_importing_the_peers():
    code = (
        f"import runpy, sys; runpy.run_path({str(PATH)!r})['machine']();"
        "assert not {'torch', 'scipy', 'sklearn', 'fastopt'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_main_prints_every_table_and_writes_json(tmp_path, monkeypatch, capsys):
    def run(size):
        for title in "AB":
            table = harness.Table(title, ["n", "us"])
            table.add(np.int64(size), 0.5)
            yield table

    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["script", "--json", str(file), "--size", "3"])
    options = harness.parser()
    options.add_argument("--size", type=int)
    harness.main(run, options)
    printed, figures = capsys.readouterr().out, json.loads(file.read_text())
    assert printed.startswith(harness.machine()) and "### A" in printed and "### B" in printed
    assert figures["machine"] == harness.machine()
    assert figures["tables"][1] == {"title": "B", "columns": ["n", "us"], "rows": [[3, 0.5]]}
