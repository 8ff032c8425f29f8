"""Learning rate and momentum, on the smallest problem there is: y = (2 x)**2, by gradient descent from x = -1.

Its curvature is 8 everywhere, so a step takes x to (1 - 8 lr) x: look at how that factor decides what happens, and at
what momentum changes. Run it with `python examples/momentum.py [FOLDER]`, which writes momentum.png there (docs if not
given); needs the extra `demo`.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastopt as fo

STEPS = 40
COLORS = ["#0072b2", "#009e73", "#e69f00", "#d55e00"]  # after Okabe and Ito
RATES = {
    "lr = 0.01\ntoo small": {"lr": 0.01},
    "lr = 0.1\ngood": {"lr": 0.1},
    "lr = 0.23\nswings": {"lr": 0.23},
    "lr = 0.26\ndiverges": {"lr": 0.26},
}
MOMENTA = {
    "lr = 0.01\nno momentum": {"lr": 0.01, "momentum": 0.0},
    "lr = 0.01\nmomentum 0.5": {"lr": 0.01, "momentum": 0.5},
    "lr = 0.01\nmomentum 0.9": {"lr": 0.01, "momentum": 0.9},
    "lr = 0.26\nmomentum 0.5": {"lr": 0.26, "momentum": 0.5},
}


def y(x):
    return (2 * x) ** 2


def slope(x):
    return 8 * x


def descend(steps=STEPS, **settings):
    """The x at the start and after each step."""
    x = np.array([-1.0])
    opt = fo.SGD(x, **settings)
    path = [x[0]]
    for _ in range(steps):
        opt.step(slope(x))
        path.append(x[0])
    return np.array(path)


def draw(row, runs):
    """Each path on the curve, and all of them over the steps."""
    *panels, over_steps = row
    grid = np.linspace(-1.5, 1.5, 200)
    for axes, color, (title, settings) in zip(panels, COLORS, runs.items(), strict=True):
        path = descend(**settings)
        axes.plot(grid, y(grid), color="#bbbbbb")
        axes.plot(path, y(path), color=color, linewidth=0.8, marker="o", markersize=3.5)
        axes.plot(path[0], y(path[0]), color="black", marker="o", markersize=6, markerfacecolor="none")
        axes.set(title=title, xlabel="x", xlim=(-1.5, 1.5), ylim=(-0.4, 9), xticks=[-1, 0, 1], yticks=[0, 4, 8])
        over_steps.plot(y(path), color=color, label=title.replace("\n", ", "))
    panels[0].set_ylabel("y")
    over_steps.set(title="y over the steps", xlabel="step", yscale="log", xlim=(0, STEPS), ylim=(1e-9, 1e9))
    over_steps.grid(alpha=0.3)
    over_steps.legend(loc="upper left", fontsize="small", frameon=False)
    for axes in row:
        axes.spines[["top", "right"]].set_visible(False)


def main(folder="docs"):
    """Write momentum.png into the folder."""
    path = Path(folder, "momentum.png")
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    for row, runs in zip(figure.subplots(2, 5, width_ratios=[1, 1, 1, 1, 1.6]), (RATES, MOMENTA), strict=True):
        draw(row, runs)
    figure.savefig(path, dpi=90)
    Image.open(path).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
