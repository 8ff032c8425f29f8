"""What every benchmark script shares: timing in turn, one Markdown table, the machine, `--json`.

def run():
    table = Table("Adam step, us", ["n", "fastopt", "torch", "torch / fastopt"])
    for n in (1_000, 100_000):
        ours, theirs = best_of(lambda: ..., lambda: ...)
        table.add(n, 1e6 * ours, 1e6 * theirs, theirs / ours)
    yield table

if __name__ == "__main__":
    main(run)
"""

import argparse
import json
import os
import platform
from importlib import metadata
from numbers import Integral, Real
from pathlib import Path
from time import perf_counter, sleep
from timeit import Timer

PAUSE = 0.02  # seconds
PACKAGES = ("numpy", "scipy", "torch", "jax", "optax", "scikit-learn", "fastopt")


def best_of(*calls, repeats=7, min_time=2e-3):
    """Seconds per call of each of `calls`, in their order.

    The calls are timed in turn, `repeats` times over, so that a change of clock or load meets all
    of them; the best counts. A repetition loops until it takes about `min_time` seconds, with the
    garbage collector off. Before it comes a pause, in which the threads of the peer before, which
    wait awake for a while, fall asleep, and a run of as long, in which clock, caches and threads
    get going. The figure includes some 30 ns of Python call.
    """
    timers = [Timer(call) for call in calls]
    loops = [_loops(timer, min_time) for timer in timers]
    rounds = [[_rested(timer, n) / n for timer, n in zip(timers, loops, strict=True)] for _ in range(repeats)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _rested(timer, n):
    sleep(PAUSE)
    end = perf_counter() + PAUSE
    while perf_counter() < end:
        timer.timeit(1)
    return timer.timeit(n)


def _loops(timer, min_time):
    """How many calls take `min_time`; finding out warms the caches."""
    n = 1
    while (elapsed := timer.timeit(n)) < min_time:
        n = min(10 * n, 1 + int(1.2 * n * min_time / max(elapsed, 1e-9)))
    return n


class Table:
    """Rows of numbers and words under a title; `str` of it is Markdown, aligned."""

    def __init__(self, title, columns):
        self.title, self.columns, self.rows = title, list(columns), []

    def add(self, *cells):
        """Append a row; None stands for a peer that is not there."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for the {len(self.columns)} columns of {self.title!r}")
        self.rows.append(list(cells))

    def __str__(self):
        lines = [self.columns, *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
        words = [any(isinstance(row[i], str) for row in self.rows) for i in range(len(widths))]
        rule = ["-" * w if left else "-" * (w - 1) + ":" for w, left in zip(widths, words, strict=True)]
        body = [
            " | ".join(
                cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(line, widths, words, strict=True)
            )
            for line in (lines[0], rule, *lines[1:])
        ]
        return f"### {self.title}\n\n" + "\n".join(f"| {line} |" for line in body)


def _text(cell):
    """Three significant digits, thousands apart, no exponent where it can be helped."""
    if cell is None:
        return "-"
    if isinstance(cell, Integral):
        return f"{cell:,}".replace(",", " ")
    if not isinstance(cell, Real):
        return str(cell)
    if 999.5 <= abs(cell) < 1e9:
        return f"{float(f'{cell:.3g}'):,.0f}".replace(",", " ")
    return f"{cell:#.3g}".rstrip(".")


def machine():
    """One line: processor, CPUs this process may use, versions of Python and its packages."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{_processor()}, {cpus} CPUs; {', '.join(versions)}"


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def parser(description=None):
    """The command line of a script: `--json FILE`, to which it may add its own options."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--json", metavar="FILE", type=Path, help="also write the figures here")
    return options


def main(run, options=None):
    """Print the machine and each table that `run` yields; `run` gets the script's own options."""
    arguments = vars((options or parser(run.__doc__)).parse_args())
    file = arguments.pop("json")
    print(machine())
    tables = []
    for table in run(**arguments):
        print(f"\n{table}", flush=True)
        tables.append(vars(table))
    if file:
        figures = {"machine": machine(), "tables": tables}
        file.write_text(json.dumps(figures, indent=1, default=lambda number: number.item()) + "\n")
