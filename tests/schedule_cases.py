"""Schedules as plain data, (name, arguments), and what is made of it: the library's, torch's and the composed oracle.

Members of a composite stand in its arguments as data too. In the order of torch's documentation: single schedules,
compositions, and EXCEPTIONS, the rows where torch says something else.
"""

import math

import numpy as np
import schedule_oracles

EPOCHS = 100
BASES = (1.0, 0.3)  # the rates of the two groups
EPS = np.finfo(float).eps
METRICS = [float(m) for m in np.exp(-np.arange(200) / 20) + 0.1 * np.random.default_rng(5).random(200) + 0.1]
COMPOSITES = ("ChainedScheduler", "SequentialLR")
OF_ITS_OWN = ("CyclicLR", "OneCycleLR")  # take no notice of the rate they find
OF_THE_BASE = ("LambdaLR", "CosineAnnealingWarmRestarts", "ParamScheduler")
BEYOND_TORCH = (
    "LinearWarmupLR",
    "ExponentialWarmupLR",
    "WarmupStableDecayLR",
    "InverseSqrtLR",
    "REXLR",
    "ParamScheduler",
)
PER_GROUP = ("base_lr", "max_lr", "base_momentum", "max_momentum", "min_lr", "swa_lr", "lr_lambda", "schedule")


def halves(epoch):
    return 0.5 ** (epoch // 10)


def wave(epoch):
    return 1 + math.sin(epoch) / 2


def fading(epoch):
    return 1 - 0.3 / (1 + epoch)


class Power:
    """A callable that holds its own numbers."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


SINGLE = {
    "LambdaLR": [{"lr_lambda": halves}, {"lr_lambda": [halves, wave]}, {"lr_lambda": Power(0.9)}],
    "MultiplicativeLR": [{"lr_lambda": fading}, {"lr_lambda": [fading, wave]}, {"lr_lambda": Power(0.999)}],
    "StepLR": [{"step_size": 1}, {"step_size": 7, "gamma": 0.5}, {"step_size": 30, "gamma": 1.5}, {"step_size": 200}],
    "MultiStepLR": [
        {"milestones": [30, 80]},
        {"milestones": [5, 20, 5], "gamma": 0.5},
        {"milestones": [0, 3], "gamma": 0.7},
        {"milestones": []},
    ],
    "ConstantLR": [
        {},
        {"factor": 0.5, "total_iters": 40},
        {"factor": 1.0},
        {"factor": 0.0, "total_iters": 7},
        {"total_iters": 0},
    ],
    "LinearLR": [
        {},
        {"start_factor": 0.1, "total_iters": 50},
        {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 100},
        {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 33},
        {"start_factor": 0.5, "end_factor": 0.5},
        {"end_factor": 0.5, "total_iters": 0},
    ],
    "ExponentialLR": [{"gamma": 0.9}, {"gamma": 1.0}, {"gamma": 1.01}, {"gamma": 0.5}],
    "PolynomialLR": [
        {},
        {"total_iters": 50, "power": 2.0},
        {"total_iters": 100, "power": 0.5},
        {"total_iters": 33, "power": 1.0},
        {"total_iters": 0},
    ],
    "CosineAnnealingLR": [{"T_max": 1}, {"T_max": 50}, {"T_max": 33, "eta_min": 0.01}, {"T_max": 200}],
    "ReduceLROnPlateau": [
        {},
        {"factor": 0.5, "patience": 2},
        {"mode": "max", "factor": 0.7, "patience": 0, "cooldown": 3},
        {"factor": 0.3, "patience": 1, "threshold": 0.05, "threshold_mode": "abs", "min_lr": [0.01, 0.1]},
        {"factor": 0.3, "patience": 3, "threshold": 0.1, "cooldown": 5, "min_lr": 0.02, "eps": 0.05},
        {"mode": "max", "factor": 0.9, "patience": 5, "threshold": 0.0, "threshold_mode": "abs", "eps": 0.0},
    ],
    "CyclicLR": [
        {"base_lr": 0.1, "max_lr": 1.0},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 5},
        {"base_lr": [0.1, 0.2], "max_lr": [1.0, 2.0], "step_size_up": 4, "step_size_down": 9, "mode": "triangular2"},
        {"base_lr": 0.1, "max_lr": [1.0, 0.5], "step_size_up": 1, "mode": "exp_range", "gamma": 0.97},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 6, "scale_fn": Power(0.8)},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 6, "scale_fn": halves, "scale_mode": "iterations"},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 20, "cycle_momentum": False},
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 8, "base_momentum": [0.5, 0.6], "max_momentum": 0.99},
    ],
    "CosineAnnealingWarmRestarts": [
        {"T_0": 10},
        {"T_0": 7, "T_mult": 2},
        {"T_0": 1, "T_mult": 3, "eta_min": 0.05},
        {"T_0": 200, "eta_min": 0.5},
    ],
    "OneCycleLR": [
        {"max_lr": 1.0, "total_steps": 100},
        {"max_lr": [1.0, 2.0], "epochs": 10, "steps_per_epoch": 11, "anneal_strategy": "linear"},
        {"max_lr": 1.0, "total_steps": 120, "pct_start": 0.25, "three_phase": True, "div_factor": 5.0},
        {"max_lr": 1.0, "total_steps": 101, "pct_start": 0.0, "final_div_factor": 10.0},
        {"max_lr": 1.0, "total_steps": 101, "cycle_momentum": False, "three_phase": True, "anneal_strategy": "linear"},
        {"max_lr": 1.0, "total_steps": 150, "base_momentum": [0.5, 0.6], "max_momentum": 0.99},
        {"max_lr": 1.0, "total_steps": 100, "pct_start": 0.01},
        {"max_lr": 1.0, "total_steps": 100, "pct_start": 1.0},
    ],
    "SWALR": [
        {"swa_lr": 0.05},
        {"swa_lr": [0.05, 0.5], "anneal_epochs": 33},
        {"swa_lr": 0.05, "anneal_epochs": 20, "anneal_strategy": "linear"},
        {"swa_lr": 0.05, "anneal_epochs": 0},
    ],
    "LinearWarmupLR": [{"warmup_steps": 1}, {"warmup_steps": 30}, {"warmup_steps": 200}],
    "ExponentialWarmupLR": [{"warmup_steps": 1}, {"warmup_steps": 30}, {"warmup_steps": 2000}],
    "WarmupStableDecayLR": [
        {"warmup_steps": 10, "stable_steps": 50, "decay_steps": 30},
        {"warmup_steps": 0, "stable_steps": 20, "decay_steps": 60, "min_factor": 0.1, "decay": "cosine"},
        {"warmup_steps": 5, "stable_steps": 0, "decay_steps": 95, "min_factor": 0.2, "decay": "sqrt"},
        {"warmup_steps": 1, "stable_steps": 33, "decay_steps": 1, "min_factor": 1.0},
        {"warmup_steps": 4, "stable_steps": 3, "decay_steps": 0, "min_factor": 0.5},
    ],
    "InverseSqrtLR": [{"warmup_steps": 1}, {"warmup_steps": 30}, {"warmup_steps": 200}],
    "REXLR": [{"total_steps": 1}, {"total_steps": 60}, {"total_steps": 150}],
    "ParamScheduler": [
        {"name": "momentum", "schedule": fading},
        {"name": "weight_decay", "schedule": [halves, Power(0.9)]},
    ],
}
SINGLES = {f"{name} {i}": (name, row) for name, rows in SINGLE.items() for i, row in enumerate(rows)}


def chain(*members):
    return "ChainedScheduler", {"schedulers": list(members)}


def sequence(milestones, *members):
    return "SequentialLR", {"schedulers": list(members), "milestones": milestones}


LAMBDA = ("LambdaLR", {"lr_lambda": wave})
TIMES = ("MultiplicativeLR", {"lr_lambda": fading})
STEP = ("StepLR", {"step_size": 7, "gamma": 0.5})
MULTI = ("MultiStepLR", {"milestones": [4, 4, 30], "gamma": 0.5})
CONSTANT = ("ConstantLR", {"factor": 0.5, "total_iters": 8})
LINEAR = ("LinearLR", {"start_factor": 0.1, "total_iters": 10})
EXPONENTIAL = ("ExponentialLR", {"gamma": 0.95})
POLYNOMIAL = ("PolynomialLR", {"total_iters": 80, "power": 2.0})
COSINE = ("CosineAnnealingLR", {"T_max": 120})
RISING = ("CosineAnnealingLR", {"T_max": 20})
FLOOR = ("CosineAnnealingLR", {"T_max": 120, "eta_min": 0.1})
CYCLE = ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 6})
RESTARTS = ("CosineAnnealingWarmRestarts", {"T_0": 7, "T_mult": 2})
ONE = ("OneCycleLR", {"max_lr": 1.0, "total_steps": 150})
SWA = ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 20})
PLATEAU = ("ReduceLROnPlateau", {"factor": 0.5, "patience": 2})
WARM = ("LinearWarmupLR", {"warmup_steps": 10})
EXPWARM = ("ExponentialWarmupLR", {"warmup_steps": 5})
WSD = ("WarmupStableDecayLR", {"warmup_steps": 5, "stable_steps": 20, "decay_steps": 30, "decay": "sqrt"})
INVERSE = ("InverseSqrtLR", {"warmup_steps": 9})
REX = ("REXLR", {"total_steps": 90})

COMPOSITIONS = {
    "chain: alone": chain(STEP),
    "chain: step, exponential": chain(STEP, EXPONENTIAL),
    "chain: linear, cosine": chain(LINEAR, COSINE),
    "chain: constant, times, polynomial": chain(CONSTANT, TIMES, POLYNOMIAL),
    "chain: multistep twice": chain(MULTI, MULTI),
    "chain: cosine twice": chain(COSINE, ("CosineAnnealingLR", {"T_max": 150})),
    "chain: lambda first": chain(LAMBDA, EXPONENTIAL),
    "chain: lambda last": chain(EXPONENTIAL, LAMBDA),
    "chain: restarts first": chain(RESTARTS, STEP),
    "chain: restarts last": chain(STEP, RESTARTS),
    "chain: cycle first": chain(CYCLE, EXPONENTIAL),
    "chain: cycle last": chain(LINEAR, CYCLE),
    "chain: one cycle last": chain(MULTI, ONE),
    "chain: cycle, lambda, step": chain(STEP, LAMBDA, CYCLE),
    "chain: exponential, rising": chain(EXPONENTIAL, RISING),
    "chain: exponential, floor": chain(EXPONENTIAL, FLOOR),
    "chain: step, swa": chain(STEP, SWA),
    "chain: linear, plateau": chain(LINEAR, PLATEAU),
    "chain: plateau, restarts": chain(PLATEAU, RESTARTS),
    "chain: warm, wsd, rex": chain(WARM, WSD, REX),
    "chain: in a chain": chain(chain(STEP, LINEAR), EXPONENTIAL),
    "chain: in a chain in a chain": chain(MULTI, chain(CONSTANT, chain(TIMES, COSINE))),
    "chain: of sequences": chain(sequence([9], LINEAR, COSINE), sequence([20, 40], STEP, EXPONENTIAL, MULTI)),
    "chain: exponential, sequence": chain(EXPONENTIAL, sequence([10], LINEAR, STEP)),
    "sequence: alone": sequence([], COSINE),
    "sequence: linear, cosine": sequence([10], LINEAR, COSINE),
    "sequence: constant, exponential, step": sequence([8, 33], CONSTANT, EXPONENTIAL, STEP),
    "sequence: at 0": sequence([0], STEP, EXPONENTIAL),
    "sequence: at 1": sequence([1], STEP, EXPONENTIAL),
    "sequence: at 0 and 1": sequence([0, 1], LINEAR, STEP, RESTARTS),
    "sequence: at 0 and 0": sequence([0, 0], LINEAR, STEP, POLYNOMIAL),
    "sequence: at 5 and 5": sequence([5, 5], STEP, EXPONENTIAL, COSINE),
    "sequence: at 5, 6 and 7": sequence([5, 6, 7], LINEAR, CONSTANT, MULTI, COSINE),
    "sequence: lambda, restarts": sequence([12], LAMBDA, RESTARTS),
    "sequence: restarts, lambda": sequence([12], RESTARTS, LAMBDA),
    "sequence: exponential, times": sequence([12], EXPONENTIAL, TIMES),
    "sequence: times, exponential": sequence([12], TIMES, EXPONENTIAL),
    "sequence: polynomial, floor, rising": sequence([15, 30], POLYNOMIAL, FLOOR, RISING),
    "sequence: exponential, swa": sequence([30], EXPONENTIAL, SWA),
    "sequence: cycle, step": sequence([20], CYCLE, STEP),
    "sequence: step, cycle": sequence([20], STEP, CYCLE),
    "sequence: one cycle, step": sequence([90], ONE, STEP),
    "sequence: linear, plateau": sequence([10], LINEAR, PLATEAU),
    "sequence: plateau, cosine": sequence([40], PLATEAU, COSINE),
    "sequence: expwarm, inverse": sequence([5], EXPWARM, INVERSE),
    "sequence: warm, chain with plateau": sequence([10], WARM, chain(EXPONENTIAL, PLATEAU)),
    "sequence: chain first": sequence([20], chain(EXPONENTIAL, LINEAR), STEP),
    "sequence: chain of steps first": sequence([20], chain(STEP, MULTI), EXPONENTIAL),
    "sequence: chain last": sequence([20], STEP, chain(EXPONENTIAL, LINEAR)),
    "sequence: in a sequence, first": sequence([20], sequence([5], LINEAR, EXPONENTIAL), STEP),
    "sequence: in a sequence, last": sequence([20], STEP, sequence([5], LINEAR, EXPONENTIAL)),
    "sequence: of depth 3": sequence(
        [0, 6], STEP, chain(LINEAR, sequence([3], CONSTANT, STEP)), sequence([1], WARM, REX)
    ),
}
CASES = {**SINGLES, **COMPOSITIONS}

OVERRIDDEN = "torch overrides what the chain had so far: the member goes by its own base"
NEVER_ENDS = "torch does not come to the end of 0 epochs"
DIVIDES = "torch divides by zero"
RESTARTED = "torch starts a composite inside a sequence with steps that it has not undone, or cannot"
EXCEPTIONS = {
    "ConstantLR 3": DIVIDES,
    "ConstantLR 4": NEVER_ENDS,
    "LinearLR 5": NEVER_ENDS,
    "PolynomialLR 4": NEVER_ENDS,
    "OneCycleLR 6": DIVIDES,
    "chain: lambda first": OVERRIDDEN,
    "chain: lambda last": OVERRIDDEN,
    "chain: restarts first": OVERRIDDEN,
    "chain: restarts last": OVERRIDDEN,
    "chain: cycle first": OVERRIDDEN,
    "chain: cycle last": OVERRIDDEN,
    "chain: one cycle last": OVERRIDDEN,
    "chain: cycle, lambda, step": OVERRIDDEN,
    "chain: of sequences": OVERRIDDEN,
    "chain: exponential, sequence": OVERRIDDEN,
    "chain: exponential, rising": "once a cosine has reached its end, torch goes on from the base",
    "chain: exponential, floor": "torch draws the rate it finds toward the floor, so that the path counts",
    "chain: step, swa": "torch draws the rate it finds toward swa_lr, so that the path counts",
    "sequence: exponential, times": "torch goes on from the rate it finds, times factor 0",
    "sequence: exponential, swa": "torch goes on from the rate it finds",
    "sequence: cycle, step": "torch takes the foot of the cycle for the base",
    "sequence: one cycle, step": "torch takes the foot of the cycle for the base",
    "sequence: chain first": RESTARTED,
    "sequence: chain last": RESTARTED,
    "sequence: in a sequence, first": RESTARTED,
    "sequence: in a sequence, last": RESTARTED,
}


def members(case):
    name, arguments = case
    return [case] if name not in COMPOSITES else [m for member in arguments["schedulers"] for m in members(member)]


def in_torch(case):
    """Whether torch has, and takes, all of it: it refuses ReduceLROnPlateau inside of composites."""
    beyond = any(name in BEYOND_TORCH for name, _ in members(case))
    return not beyond and not (case[0] in COMPOSITES and uses(case, "ReduceLROnPlateau"))


def torch_room(name):
    from torch import optim

    return getattr(optim.lr_scheduler, name, None) or getattr(optim.swa_utils, name)


def torch_optimizer(kind="SGD"):
    import torch

    groups = [{"params": [torch.zeros(2)], "lr": BASES[0]}, {"params": [torch.zeros(3)], "lr": BASES[1]}]
    return getattr(torch.optim, kind)(groups)


def uses(case, *names):
    return any(name in names for name, _ in members(case))


def listed(case):
    """Whether an argument has one entry a group."""
    return any(isinstance(row[name], list) for _, row in members(case) for name in PER_GROUP if name in row)


def watched(case):
    """The entry of a group that the schedule sets."""
    return case[1].get("name", "lr")


def build(room, opt, case, **more):
    """The schedule of `case` on `opt`, its classes found by `room(name)`."""
    name, arguments = case
    if name in COMPOSITES:
        arguments = {**arguments, "schedulers": [build(room, opt, member) for member in arguments["schedulers"]]}
    return room(name)(**{"optimizer": opt, **arguments, **more})


def own(case, group):
    """The arguments of one group, as its oracle has them."""
    name, arguments = case
    arguments = {k: v[group] if k in PER_GROUP and isinstance(v, list) else v for k, v in arguments.items()}
    if name == "CyclicLR":
        arguments["low"] = arguments.pop("base_lr")
    return arguments


def precedence(case):
    """Schedules with rates of their own come first in a chain, then those of the base, then what scales."""
    return min(0 if name in OF_ITS_OWN else 1 if name in OF_THE_BASE else 2 for name, _ in members(case))


def oracle(case, group, start=0):
    """The schedule of one group of `case` as a function of base_lr and t, where t = 0 is epoch `start`."""
    name, arguments = case
    if name == "ChainedScheduler":
        ranked = sorted(arguments["schedulers"], key=precedence)
        arguments = {"schedulers": [oracle(member, group, start) for member in ranked]}
    elif name == "SequentialLR":
        starts = [0, *arguments["milestones"]]
        stages = zip(arguments["schedulers"], starts, strict=True)
        arguments = {**arguments, "schedulers": [oracle(member, group, start + at) for member, at in stages]}
    else:
        arguments = own(case, group)
    if name == "ReduceLROnPlateau":
        arguments["metrics"] = METRICS[start + 1 :]
    return lambda base_lr, t: getattr(schedule_oracles, name)(base_lr, t, **arguments)


def expected(case, epoch, bases=BASES):
    return [oracle(case, group)(base, epoch) for group, base in enumerate(bases)]


def momenta(case, epoch):
    """What becomes of the momentum, or of beta1, of each group."""
    formula = getattr(schedule_oracles, f"{case[0]}_momentum")
    return [formula(epoch, **own(case, group)) for group in range(len(BASES))]


def metrics(case, epoch):
    """What to pass to the step to `epoch`."""
    return (METRICS[epoch],) if uses(case, "ReduceLROnPlateau") else ()


def height(case):
    """The largest rate that the arguments name, or 1, the largest base: what absolute errors are relative to."""
    return max(np.max(row.get("max_lr", 1.0)) for _, row in members(case))


def tolerance(case, epoch):
    """Relative and absolute distance that rounding allows from the oracle.

    Power laws are right to a few ulp, products to one ulp a factor. Elsewhere a difference is taken, and a position in
    a cycle, epoch / period, or the angle pi times that, is rounded first: with periods of at least one epoch an
    absolute error of some ulp of pi * epoch.
    """
    count = len(members(case))
    rtol = EPS * count * (8 + (epoch if uses(case, "MultiplicativeLR") else 0))
    powers = ("LambdaLR", "MultiplicativeLR", "StepLR", "MultiStepLR", "ConstantLR", "ExponentialLR", "InverseSqrtLR")
    exact = all(name in (*powers, "LinearWarmupLR", "ReduceLROnPlateau") for name, _ in members(case))
    return {"rtol": rtol, "atol": 0.0 if exact else EPS * count * (4 + math.pi * epoch) * height(case)}
