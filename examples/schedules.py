"""Every schedule of fastopt.lr_scheduler, drawn: the learning rate over a hundred epochs, from a base of 1.

Read `PANELS` to see how each is made, and the end of it to see how they compose; `Halving` is one of your own. Run it
with `python examples/schedules.py [FOLDER]`, which writes schedules.png there (docs if not given); needs the extra
`demo`.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastopt as fo

EPOCHS = 100
COLORS = ["#0072b2", "#d55e00", "#009e73"]  # after Okabe and Ito
lr = fo.lr_scheduler


class Halving(lr.LRScheduler):
    """Half the rate after each `period`, smoothly: start / 2**(epoch / period)."""

    def __init__(self, optimizer, period, last_epoch=-1):
        self.period = period
        super().__init__(optimizer, last_epoch)

    def _rate(self, start, epoch, i):
        return start / 2 ** (epoch / self.period)


def optimizer():
    return fo.SGD(np.zeros(1), lr=1.0, momentum=0.9, weight_decay=0.1)


def rates(axes, curves):
    """What `plot` of each schedule draws."""
    for (label, build), color in zip(curves.items(), COLORS, strict=False):
        build(optimizer()).plot(EPOCHS, axes)
        axes.lines[-1].set(label=label, color=color)


def rates_and_metric(axes, curves):
    """The rates, and the metric, a made-up loss: the higher the rate, the faster it falls, and the sooner it stalls."""
    ((label, build),) = curves.items()
    sched = build(optimizer())
    losses, drawn = [0.9], sched.get_last_lr()
    for _ in range(EPOCHS):
        losses.append(losses[-1] + 0.3 * drawn[-1] * (0.1 + 0.4 * drawn[-1] - losses[-1]))
        sched.step(losses[-1])
        drawn += sched.get_last_lr()
    axes.plot(drawn, label=label, color=COLORS[0])
    axes.plot(losses, label="metric", color="gray", linestyle=":")


def rates_and_momentum(axes, curves):
    """The rates, and on an axis of its own the momentum that goes the other way."""
    rates(axes, curves)
    (build,) = curves.values()
    opt = optimizer()
    sched = build(opt)
    drawn = [opt.param_groups[0]["momentum"]]
    for _ in range(EPOCHS):
        sched.step()
        drawn.append(opt.param_groups[0]["momentum"])
    other = axes.twinx()
    other.plot(drawn, color=COLORS[1], linestyle="--")
    other.set(ylim=(0.7, 1.15), yticks=[0.7, 0.85, 1.0])
    axes.plot([], color=COLORS[1], linestyle="--", label="momentum (right)")
    other.tick_params(colors=COLORS[1])
    other.spines["top"].set_visible(False)


def cosine(low, high):
    """A function of the epoch, from high down to low."""
    return lambda epoch: low + (high - low) * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2


def warmed_up_cosine(opt):
    return lr.ChainedScheduler([lr.LinearWarmupLR(opt, 15), lr.CosineAnnealingLR(opt, EPOCHS)])


def warmed_up_plateau(opt):
    plateau = lr.ReduceLROnPlateau(opt, factor=0.5, patience=8, threshold=0.01)
    return lr.ChainedScheduler([lr.LinearWarmupLR(opt, 15), plateau])


def held_then_decayed(opt):
    parts = [lr.ConstantLR(opt, 0.5, 100), lr.ConstantLR(opt, 1.0, 0), lr.ExponentialLR(opt, 0.94)]
    return lr.SequentialLR(opt, parts, milestones=[20, 50])


# Row by row: warm-ups; without an end; within a budget; up and down; of your own; composed.
PANELS = [
    ("LinearWarmupLR", rates, {f"warmup_steps={n}": lambda opt, n=n: lr.LinearWarmupLR(opt, n) for n in (20, 50)}),
    (
        "ExponentialWarmupLR",
        rates,
        {f"warmup_steps={n}": lambda opt, n=n: lr.ExponentialWarmupLR(opt, n) for n in (10, 25)},
    ),
    (
        "LinearLR",
        rates,
        {f"start_factor={f}": lambda opt, f=f: lr.LinearLR(opt, f, total_iters=50) for f in (0.1, 0.5)},
    ),
    ("ConstantLR", rates, {f"factor={f}": lambda opt, f=f: lr.ConstantLR(opt, f, 50) for f in (0.2, 0.5)}),
    ("StepLR", rates, {f"step_size=25, gamma={g}": lambda opt, g=g: lr.StepLR(opt, 25, g) for g in (0.3, 0.7)}),
    ("MultiStepLR", rates, {"milestones=[50, 75, 90]": lambda opt: lr.MultiStepLR(opt, [50, 75, 90], 0.4)}),
    ("ExponentialLR", rates, {f"gamma={g}": lambda opt, g=g: lr.ExponentialLR(opt, g) for g in (0.95, 0.98)}),
    ("InverseSqrtLR", rates, {f"warmup_steps={n}": lambda opt, n=n: lr.InverseSqrtLR(opt, n) for n in (5, 20)}),
    ("PolynomialLR", rates, {f"power={p}": lambda opt, p=p: lr.PolynomialLR(opt, EPOCHS, p) for p in (0.5, 1, 2)}),
    ("REXLR", rates, {"total_steps=100": lambda opt: lr.REXLR(opt, EPOCHS)}),
    (
        "CosineAnnealingLR",
        rates,
        {
            f"T_max={t}, eta_min={low}": lambda opt, t=t, low=low: lr.CosineAnnealingLR(opt, t, low)
            for t, low in ((100, 0), (60, 0.2))
        },
    ),
    (
        "WarmupStableDecayLR",
        rates,
        {d: lambda opt, d=d: lr.WarmupStableDecayLR(opt, 10, 50, 40, decay=d) for d in ("linear", "cosine", "sqrt")},
    ),
    (
        "CosineAnnealingWarmRestarts",
        rates,
        {"T_0=14, T_mult=2": lambda opt: lr.CosineAnnealingWarmRestarts(opt, 14, 2)},
    ),
    ("CyclicLR", rates_and_momentum, {"triangular2": lambda opt: lr.CyclicLR(opt, 0.1, 1.0, 15, mode="triangular2")}),
    ("OneCycleLR", rates_and_momentum, {"total_steps=100": lambda opt: lr.OneCycleLR(opt, 1.0, EPOCHS)}),
    ("SWALR", rates, {s: lambda opt, s=s: lr.SWALR(opt, 0.3, 60, s) for s in ("cos", "linear")}),
    ("LambdaLR", rates, {"1 / (1 + epoch / 10)": lambda opt: lr.LambdaLR(opt, lambda epoch: 1 / (1 + epoch / 10))}),
    (
        "MultiplicativeLR",
        rates,
        {"0.97, from 50 on 0.99": lambda opt: lr.MultiplicativeLR(opt, lambda epoch: 0.97 if epoch < 50 else 0.99)},
    ),
    ("LRScheduler", rates, {"a subclass of it, Halving": lambda opt: Halving(opt, 20)}),
    (
        "ParamScheduler",
        rates,
        {"weight_decay, a cosine": lambda opt: lr.ParamScheduler(opt, "weight_decay", cosine(0.02, 0.1))},
    ),
    (
        "ReduceLROnPlateau",
        rates_and_metric,
        {"factor=0.5, patience=8": lambda opt: lr.ReduceLROnPlateau(opt, factor=0.5, patience=8, threshold=0.01)},
    ),
    ("ChainedScheduler", rates, {"warm-up upon cosine": warmed_up_cosine}),
    ("ChainedScheduler", rates_and_metric, {"warm-up upon plateau": warmed_up_plateau}),
    ("SequentialLR", rates, {"half, whole, then decay": held_then_decayed}),
]


def main(folder="docs"):
    """Write schedules.png into the folder."""
    undrawn = set(lr.__all__) - {name for name, _, _ in PANELS}
    if undrawn:
        sys.exit(f"no picture of {', '.join(sorted(undrawn))}: add a row to PANELS in {Path(__file__).name}")
    figure = Figure(figsize=(12, 14), layout="constrained")
    for axes, (name, draw, curves) in zip(figure.subplots(6, 4).flat, PANELS, strict=True):
        draw(axes, curves)
        high = 0.1 if axes.get_ylabel() == "weight_decay" else 1.0
        axes.set(title=name, xlabel="", xlim=(0, EPOCHS), xticks=[0, 25, 50, 75, 100])
        axes.set(ylabel="", ylim=(0, 1.5 * high), yticks=[0, high / 2, high])  # above 1 is room for the legend
        axes.spines["top"].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper right", fontsize="small", frameon=False, handlelength=1.5, borderpad=0)
    figure.supxlabel("epoch")
    figure.supylabel("learning rate, from a base of 1")
    path = Path(folder, "schedules.png")
    figure.savefig(path, dpi=90)
    Image.open(path).convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
