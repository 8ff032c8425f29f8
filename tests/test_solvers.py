"""Evaluations against SciPy's L-BFGS-B where a diagonal cannot help: counts, whatever the load of the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "solvers.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not here")
@pytest.mark.parametrize("family", ["quadratic-rotated-*", "rosenbrock-rotated-*", "logistic-correlated-*"])
def test_no_more_than_a_twentieth_more_evaluations_than_scipy(family, tmp_path):
    file = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--kind", "structured", "--only", family, "--json", str(file)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    tables = json.loads(file.read_text())["tables"]
    (counts,) = (table for table in tables if "evaluations until solved" in table["title"])
    _, ours, theirs = counts["columns"]
    assert (ours, theirs) == ("fastopt", "SciPy L-BFGS-B")
    assert len(counts["rows"]) >= 3
    for name, a, b in counts["rows"]:
        assert a is not None or b is None, f"{name} is solved by SciPy only"
        assert a is None or b is None or a <= 1.05 * b, f"{name} takes {a} evaluations, SciPy {b}"
