"""Reference schedules in plain Python, under their public names, each a closed form from its paper or torch's docs.

Design: every schedule is ``Name(base_lr, t, **arguments)``, the learning rate of one group at epoch t = 0, 1, ...
What is a list with one entry a group there is the group's own entry here. The two combinators take schedules of
base_lr and t.
"""

from bisect import bisect_right
from itertools import pairwise
from math import cos, expm1, inf, isinf, pi, prod, sqrt


def LambdaLR(base_lr, t, lr_lambda):
    return base_lr * lr_lambda(t)


def MultiplicativeLR(base_lr, t, lr_lambda):
    return base_lr * prod(lr_lambda(s) for s in range(1, t + 1))


def StepLR(base_lr, t, step_size, gamma=0.1):
    """Decayed by gamma every `step_size` epochs."""
    return base_lr * gamma ** (t // step_size)


def MultiStepLR(base_lr, t, milestones, gamma=0.1):
    """Decayed by gamma at each milestone; one that is named twice counts twice."""
    return base_lr * gamma ** sum(milestone <= t for milestone in milestones)


def ConstantLR(base_lr, t, factor=1 / 3, total_iters=5):
    return base_lr * factor if t < total_iters else base_lr


def LinearLR(base_lr, t, start_factor=1 / 3, end_factor=1.0, total_iters=5):
    z = t / total_iters if t < total_iters else 1
    return base_lr * (start_factor * (1 - z) + end_factor * z)


def ExponentialLR(base_lr, t, gamma):
    return base_lr * gamma**t


def PolynomialLR(base_lr, t, total_iters=5, power=1.0):
    return base_lr * ((total_iters - t) / total_iters if t < total_iters else 0) ** power


def CosineAnnealingLR(base_lr, t, T_max, eta_min=0.0):
    """Loshchilov & Hutter (2017), eq. 5 without restarts; rises again after T_max."""
    return eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2


def CosineAnnealingWarmRestarts(base_lr, t, T_0, T_mult=1, eta_min=0.0):
    """Loshchilov & Hutter (2017), eq. 5: runs of T_0, T_0 T_mult, T_0 T_mult**2, ... epochs; t may be a fraction."""
    while t >= T_0:
        t, T_0 = t - T_0, T_0 * T_mult
    return CosineAnnealingLR(base_lr, t, T_0, eta_min)


def cyclic(t, step_size_up, step_size_down, mode, gamma, scale_fn, scale_mode):
    """Height of the triangle of Smith (2017), as a share of the whole range, at epoch t."""
    down = step_size_up if step_size_down is None else step_size_down
    cycle, position = divmod(t, step_size_up + down)
    height = position / step_size_up if position <= step_size_up else (step_size_up + down - position) / down
    if scale_fn is not None:
        return height * scale_fn(cycle + 1 if scale_mode == "cycle" else t)
    return height * {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": gamma**t}[mode]


def CyclicLR(
    base_lr,
    t,
    low,
    max_lr,
    step_size_up=2000,
    step_size_down=None,
    mode="triangular",
    gamma=1.0,
    scale_fn=None,
    scale_mode="cycle",
    **momenta,
):
    """Smith (2017). `low` is torch's argument base_lr; the group's own rate does not matter."""
    return low + (max_lr - low) * cyclic(t, step_size_up, step_size_down, mode, gamma, scale_fn, scale_mode)


def CyclicLR_momentum(t, base_momentum=0.8, max_momentum=0.9, **arguments):
    """Falls where the rate of `CyclicLR` rises."""
    arguments = {name: value for name, value in arguments.items() if name != "cycle_momentum"}
    return CyclicLR(None, t, **{**arguments, "low": max_momentum, "max_lr": base_momentum})


def one_cycle(t, start, middle, end, total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, three_phase):
    """Smith & Topin (2018): from start to middle, (back to start,) and to end, at the epochs where torch has them.

    torch's rate of epoch total_steps lies beyond the last phase; here it is that of the epoch before.
    """
    total = epochs * steps_per_epoch if total_steps is None else total_steps
    if t > total:
        raise ValueError(f"epoch {t} of {total}")
    t = min(t, total - 1)
    stops = [(0, start), (pct_start * total - 1, middle), (total - 1, end)]
    if three_phase:
        stops.insert(2, (2 * pct_start * total - 2, start))
    for (since, here), (until, there) in pairwise(stops):
        if t <= until or until == total - 1:
            z = (t - since) / (until - since) if until > since else 1.0
            return here + (there - here) * (z if anneal_strategy == "linear" else (1 - cos(pi * z)) / 2)
    raise AssertionError


def OneCycleLR(
    base_lr,
    t,
    max_lr,
    total_steps=None,
    epochs=None,
    steps_per_epoch=None,
    pct_start=0.3,
    anneal_strategy="cos",
    div_factor=25.0,
    final_div_factor=1e4,
    three_phase=False,
    **momenta,
):
    """Smith & Topin (2018). The group's own rate does not matter."""
    low = max_lr / div_factor
    phases = (total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, three_phase)
    return one_cycle(t, low, max_lr, low / final_div_factor, *phases)


def OneCycleLR_momentum(
    t,
    base_momentum=0.85,
    max_momentum=0.95,
    total_steps=None,
    epochs=None,
    steps_per_epoch=None,
    pct_start=0.3,
    anneal_strategy="cos",
    three_phase=False,
    **rates,
):
    """Falls where the rate of `OneCycleLR` rises; the last of three phases keeps it up."""
    phases = (total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, three_phase)
    return one_cycle(t, max_momentum, base_momentum, max_momentum, *phases)


def SWALR(base_lr, t, swa_lr, anneal_epochs=10, anneal_strategy="cos"):
    """Izmailov et al. (2018): to swa_lr in `anneal_epochs` epochs."""
    z = min(1, t / anneal_epochs) if anneal_epochs else 1
    return base_lr + (swa_lr - base_lr) * (z if anneal_strategy == "linear" else (1 - cos(pi * z)) / 2)


def ReduceLROnPlateau(
    base_lr,
    t,
    metrics,
    mode="min",
    factor=0.1,
    patience=10,
    threshold=1e-4,
    threshold_mode="rel",
    cooldown=0,
    min_lr=0,
    eps=1e-8,
):
    """The rate after the first t of `metrics`; better by a share of |best|, where torch takes a share of best."""
    sign = 1 if mode == "min" else -1
    lr, best, bad, cooling = base_lr, inf, 0, 0
    for metric in metrics[:t]:
        scale = abs(best) if threshold_mode == "rel" else 1.0
        if sign * metric < best - (0 if isinf(best) else threshold * scale):
            best, bad = sign * metric, 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            reduced = max(lr * factor, min_lr)
            lr, cooling, bad = reduced if lr - reduced > eps else lr, cooldown, 0
    return lr


def ChainedScheduler(base_lr, t, schedulers):
    """Each schedule takes the rate of the one before for its base."""
    for schedule in schedulers:
        base_lr = schedule(base_lr, t)
    return base_lr


def SequentialLR(base_lr, t, schedulers, milestones):
    """Each schedule from its milestone on, counting from there."""
    stage = bisect_right(milestones, t)
    return schedulers[stage](base_lr, t - (milestones[stage - 1] if stage else 0))


def LinearWarmupLR(base_lr, t, warmup_steps):
    """Ma & Yarats (2021), untuned linear warmup."""
    return base_lr * min(1, (t + 1) / warmup_steps)


def ExponentialWarmupLR(base_lr, t, warmup_steps):
    """Ma & Yarats (2021), untuned exponential warmup."""
    return base_lr * -expm1(-(t + 1) / warmup_steps)


def WarmupStableDecayLR(base_lr, t, warmup_steps, stable_steps, decay_steps, min_factor=0.0, decay="linear"):
    """Hu et al. (2024); the decay 1 - sqrt is that of Haegele et al. (2024)."""
    if t < warmup_steps:
        return LinearWarmupLR(base_lr, t, warmup_steps)
    start = warmup_steps + stable_steps
    z = 0 if t < start else min(1, (t - start) / decay_steps) if decay_steps else 1
    share = {"linear": 1 - z, "cosine": (1 + cos(pi * z)) / 2, "sqrt": 1 - sqrt(z)}[decay]
    return base_lr * (min_factor + (1 - min_factor) * share)


def InverseSqrtLR(base_lr, t, warmup_steps):
    """Vaswani et al. (2017), eq. 3, scaled to reach base_lr at the end of the warmup."""
    return base_lr * min((t + 1) / warmup_steps, sqrt(warmup_steps / (t + 1)))


def REXLR(base_lr, t, total_steps):
    """Chen et al. (2022), eq. 2."""
    left = 1 - min(1, t / total_steps)
    return base_lr * left / (0.5 + left / 2)


def ParamScheduler(base_lr, t, name, schedule):
    """Any option of a group, as `schedule` says."""
    return schedule(t)
