"""Run every optimizer on the problems of the tests; write their table into optimizers.md and draw convergence.png.

Needs the extra `demo`. From the root of the repository: PYTHONPATH=tests python docs/convergence.py
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image
from problems import PROBLEMS, descend, remaining, settings

import fastopt as fo

HERE = Path(__file__).parent
FAMILIES = {
    "plain and averaged": ["SGD", "ASGD", "SGDScheduleFree"],
    "signs": ["SignSGD", "Signum", "Lion", "Rprop"],
    "sums of squares": ["Adagrad", "Adadelta", "RMSprop", "FTRL"],
    "Adam": ["Adam", "AdamW", "SparseAdam", "Adamax", "NAdam", "NAdamW", "RAdam"],
    "after Adam": ["AdaBelief", "Yogi", "Adan", "AdamWScheduleFree", "Prodigy"],
    "whole tensors": ["LARS", "LAMB", "Adafactor", "Muon"],
}
COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc3d95", "#e69f00", "#56b4e9", "#000000"]  # after Okabe and Ito
DASHES = ["-", (0, (4, 2)), (0, (1, 1.5)), "-.", (0, (6, 1)), (0, (2, 3)), (0, (1, 4))]  # where curves coincide
FLOOR = 1e-12  # the least values themselves are known no better


def curves(problem):
    """For each optimizer, the value relative to the first, at the start and after each step."""
    return {
        name: [1.0, *(max(remaining(problem, opt), FLOOR) for opt in descend(name, problem, **settings(name, problem)))]
        for names in FAMILIES.values()
        for name in names
    }


def table(results):
    header = [f"{problem.name}, {problem.steps} steps" for problem in PROBLEMS]
    lines = ["| | " + " | ".join(header) + " |", "| --- |" + " --: |" * len(PROBLEMS)]
    for name in next(iter(results.values())):
        cells = []
        for problem in PROBLEMS:
            value = results[problem.name][name][-1]
            lr = settings(name, problem).get("lr")
            cells.append((f"{value:.0e}" if value > FLOOR else f"< {FLOOR:.0e}") + (f" ({lr:g})" if lr else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(results, path):
    """A row for each family, over all the others in gray."""
    figure = Figure(figsize=(12, 13), layout="constrained")
    grid = figure.subplots(len(FAMILIES), len(PROBLEMS), sharex="col", sharey="col")
    for row, (family, names) in zip(grid, FAMILIES.items(), strict=True):
        for axes, problem in zip(row, PROBLEMS, strict=True):
            lowest = {name: np.minimum.accumulate(curve) for name, curve in results[problem.name].items()}
            for curve in lowest.values():
                axes.plot(curve, color="#dddddd", linewidth=0.8)
            for name, color, dashes in zip(names, COLORS, DASHES, strict=False):
                axes.plot(lowest[name], color=color, linestyle=dashes, linewidth=1.8, label=name)
            bottom = max(FLOOR, min(curve[-1] for curve in lowest.values()) / 2)
            axes.set(
                yscale="log", ylim=(bottom, 2), xlim=(0, problem.steps), xticks=[0, problem.steps // 2, problem.steps]
            )
            axes.yaxis.set_major_locator(LogLocator(numticks=5))
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
        row[-1].legend(
            loc="center left", bbox_to_anchor=(1, 0.5), title=family, alignment="left", frameon=False, handlelength=2.6
        )
    for axes, problem in zip(grid[0], PROBLEMS, strict=True):
        axes.set_title(problem.name)
    figure.supxlabel("steps")
    figure.supylabel("lowest value so far, the first being 1")
    figure.savefig(path, dpi=90)
    Image.open(path).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE).save(
        path, optimize=True
    )  # a fifth of the size


def main():
    assert {name for names in FAMILIES.values() for name in names} == set(fo.optim.__all__) - {"Optimizer", "LBFGS"}
    results = {problem.name: curves(problem) for problem in PROBLEMS}
    page = HERE / "optimizers.md"
    marked = re.compile(r"(?<=<!-- convergence -->\n).*?(?=<!-- end -->)", re.DOTALL)
    page.write_text(marked.sub(table(results), page.read_text()))
    draw(results, HERE / "convergence.png")


if __name__ == "__main__":
    main()
