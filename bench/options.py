"""What the options that every optimizer shares add to a step of Adam in float32.

"bytes" is the memory that a step must move for each element, on average over steps; plain Adam moves 28. The last
column is the time for a byte in relation to plain Adam's: at 1.00 the options cost their traffic and nothing else. It
has a meaning where memory is the limit, so at 1e7. Each row is timed in turn with plain Adam.
"""

import math

import numpy as np
from harness import Table, best_of, main, parser

import fastopt as fo

SIZES = {"1e3": 1_000, "1e5": 100_000, "1e7": 10_000_000}
OPTIONS = [
    {},
    {"maximize": True},
    {"weight_decay": 0.01},
    {"weight_decay": 0.01, "decay_mode": "decoupled"},
    {"eps_mode": "root"},
    {"l1": 0.01},
    {"bounds": (-3, 3)},
    {"clip_value": 1},
    {"clip_norm": 1},
    {"skip_nonfinite": True},
    {"accumulate": 4},
    {"ema": 0.999},
    {"swa_start": 1},
    {"lookahead": (5, 0.5)},
    {"state_dtype": "float64"},
    {"weight_decay": 0.01, "decay_mode": "decoupled", "clip_norm": 1},
    {"clip_norm": 1, "skip_nonfinite": True, "ema": 0.999},
    {"l1": 0.01, "bounds": (-3, 3), "clip_value": 1},
    {"weight_decay": 0.01, "decay_mode": "decoupled", "l1": 0.01, "bounds": (-3, 3), "clip_norm": 1, "ema": 0.999},
    {"clip_value": 1, "clip_norm": 1, "skip_nonfinite": True, "lookahead": (5, 0.5), "ema": 0.999},
]


def traffic(options):
    """Bytes that a step moves for each element, on average: p, m, v read and written, g read; and what options add."""
    total = 28 + 4 * ("clip_norm" in options or "skip_nonfinite" in options)
    total += 8 * ("ema" in options or "swa_start" in options)
    total += 16 * ("state_dtype" in options)
    if "lookahead" in options:
        total += 8 / options["lookahead"][0]
    parts = options.get("accumulate", 1)
    if parts > 1:  # the first gradient is copied, the others are added; the update reads the sum
        total = (8 + 12 * (parts - 1) + total) / parts
    return total


def steps(options, array, grads):
    """A call that makes as many steps as it takes for all options to come round, and how many these are."""
    period = math.lcm(options.get("accumulate", 1), options.get("lookahead", (1,))[0])
    opt = fo.Adam([array.copy()], **options)
    if period == 1:
        return lambda: opt.step(grads), 1

    def call():
        for _ in range(period):
            opt.step(grads)

    return call, period


def run(repeats=9):
    """What the options that every optimizer shares add to a step of Adam in float32."""
    for label, n in SIZES.items():
        table = Table(
            f"Adam with options, float32, n = {label}; {fo.get_num_threads()} threads",
            ["options", "us", "plain Adam", "us / plain", "bytes", "time / traffic"],
        )
        rng = np.random.default_rng(0)
        array, grad = (rng.standard_normal(n, np.float32) for _ in range(2))
        for options in OPTIONS:
            call, period = steps(options, array, [grad])
            plain, _ = steps({}, array, [grad])
            ours, base = best_of(call, plain, repeats=repeats)
            ours /= period
            moved = traffic(options)
            words = ", ".join(f"{name}={value!r}" for name, value in options.items())
            table.add(words or "none", 1e6 * ours, 1e6 * base, ours / base, moved, ours / base * 28 / moved)
        yield table


if __name__ == "__main__":
    arguments = parser(run.__doc__)
    arguments.add_argument("--repeats", type=int, default=9)
    main(run, arguments)
