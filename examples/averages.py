"""Exponentially weighted averages: what optimizers keep of gradients and of weights, on a year's weather.

Each day, average = beta * average + (1 - beta) * value. Look at how beta trades noise for lag, and at the first weeks,
where it matters what an average starts from. Run it with `python examples/averages.py [FOLDER]`, which writes
averages.png there (docs if not given); needs the extra `demo`.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastopt as fo

BETAS = {0.8: "#e69f00", 0.9: "#009e73", 0.95: "#0072b2", 0.98: "#cc3d95"}  # after Okabe and Ito


def temperatures(seed=26):
    """Daily temperatures of a year south of the equator, in degrees Celsius: warm in January, and noisy."""
    day = np.arange(365)
    return 15 + 8 * np.cos(2 * np.pi * (day - 20) / 365) + 2.5 * np.random.default_rng(seed).standard_normal(365)


def from_zero(series, beta):
    """The average that Adam keeps of its gradients, `exp_avg`, which begins with 0."""
    opt = fo.Adam(np.zeros(1), lr=0.0, betas=(beta, 0.999))
    averages = []
    for value in series:
        opt.step(np.array([value]))
        averages.append(opt.state[0]["exp_avg"][0])
    return np.array(averages)


def corrected(series, beta):
    """The same divided by the sum of its weights, 1 - beta**t, as Adam does before it uses it."""
    return from_zero(series, beta) / (1 - beta ** np.arange(1, len(series) + 1))


def from_first(series, beta):
    """The average that the option `ema` keeps of the weights; here a weight that each step brings to the next value."""
    weight = np.zeros(1)
    opt = fo.SGD(weight, lr=1.0, ema=beta)
    averages = []
    for value in series:
        opt.step(weight - value)
        averages.append(opt.eval_params()[0][0])
    return np.array(averages)


def draw(axes, title, average, days):
    series = temperatures()
    axes.plot(np.arange(1, days + 1), series[:days], ".", color="#aaaaaa", markersize=4)
    for beta, color in BETAS.items():
        label = f"beta = {beta}: about {1 / (1 - beta):.0f} days"
        axes.plot(np.arange(1, days + 1), average(series, beta)[:days], color=color, linewidth=1.8, label=label)
    axes.set(title=title, xlabel="day", xlim=(0, days), ylim=(0, 32))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def main(folder="docs"):
    """Write averages.png into the folder."""
    path = Path(folder, "averages.png")
    figure = Figure(figsize=(11, 7), layout="constrained")
    grid = figure.subplot_mosaic([["year"] * 3, ["from 0", "corrected", "from first"]])
    draw(grid["year"], "A year, with bias correction", corrected, 365)
    grid["year"].legend(loc="upper center", title="span 1 / (1 - beta)", frameon=False)
    draw(grid["from 0"], "The start, from 0", from_zero, 60)
    draw(grid["corrected"], "The start, from 0, with bias correction", corrected, 60)
    draw(grid["from first"], "The start, from the first value (ema)", from_first, 60)
    for name in ("year", "from 0"):
        grid[name].set_ylabel("temperature")
    figure.savefig(path, dpi=90)
    Image.open(path).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
