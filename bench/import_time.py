"""Time that importing fastopt adds to importing NumPy, in fresh processes."""

import subprocess
import sys

from harness import Table, best_of, main


def importing(modules):
    return lambda: subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)


def run():
    """Time that importing fastopt adds to importing NumPy, in fresh processes."""
    table = Table("Import, ms", ["NumPy", "NumPy and fastopt", "difference"])
    numpy, both = best_of(importing("numpy"), importing("numpy, fastopt"), repeats=15, min_time=0)
    table.add(1e3 * numpy, 1e3 * both, 1e3 * (both - numpy))
    yield table


if __name__ == "__main__":
    main(run)
