"""Evaluations against SciPy's L-BFGS-B: counts, whatever the load of the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "solvers.py"
if not SCRIPT.exists():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def figures(tmp_path, *arguments):
    """The tables that the script prints."""
    file = tmp_path / "figures.json"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments, "--json", str(file)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads(file.read_text())["tables"]


@pytest.mark.parametrize("family", ["quadratic-rotated-*", "rosenbrock-rotated-*", "logistic-correlated-*"])
def test_never_a_twentieth_more_evaluations_where_a_diagonal_cannot_help(family, tmp_path):
    tables = figures(tmp_path, "--kind", "structured", "--only", family)
    (counts,) = (table for table in tables if "evaluations until solved" in table["title"])
    assert counts["columns"][1:] == ["fastopt", "SciPy L-BFGS-B"]
    assert len(counts["rows"]) >= 3
    for name, ours, theirs in counts["rows"]:
        assert ours is not None or theirs is None, f"{name} is solved by SciPy only"
        assert ours is None or theirs is None or ours <= 1.05 * theirs, f"{name} takes {ours}, SciPy {theirs}"


def test_bounded_problems_are_solved_no_less_and_with_fewer_evaluations(tmp_path):
    rows = {row[0]: row for row in figures(tmp_path, "--kind", "bounded")[0]["rows"]}
    _, solved, _, outside, by_run, by_problem, *_ = rows["fastopt"]
    assert outside == 0
    assert solved >= rows["SciPy L-BFGS-B"][1]
    assert max(by_run, by_problem) <= 0.8
