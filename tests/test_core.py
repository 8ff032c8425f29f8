"""The scalar mathematics and the sums of `_core`: accuracy, edges, reproducibility."""

import math
import shutil
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from fastopt import _probe

DTYPES = (np.float32, np.float64)
INF, NAN = math.inf, math.nan
ULPS = 2

# name: (mpmath reference, the same in NumPy, by dtype the open interval to look at)
ACCURATE = {
    "exp": (mpmath.exp, np.exp, {np.float32: (-104, 88.7228), np.float64: (-745.2, 709.7827)}),
    "log": (mpmath.log, np.log, {np.float32: (0, 3.4e38), np.float64: (0, 1.7e308)}),
    "log1p": (mpmath.log1p, np.log1p, {np.float32: (-1, 3.4e38), np.float64: (-1, 1.7e308)}),
    "expit": (
        lambda x: 1 / (1 + mpmath.exp(-x)),
        lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x))),
        {np.float32: (-104, 1e4), np.float64: (-745.2, 1e4)},
    ),
    "softplus": (
        lambda x: mpmath.log1p(mpmath.exp(x)),
        lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))),
        {np.float32: (-104, 1e4), np.float64: (-745.2, 1e4)},
    ),
    "tanh": (mpmath.tanh, np.tanh, {np.float32: (-1e4, 1e4), np.float64: (-1e4, 1e4)}),
}
# where one formula of an implementation gives way to the next
SEAMS = np.array([0.41421356, 0.625, 0.5**0.5, 2**0.5, 2**0.5 - 1, 0.5**0.5 - 1, math.log(2) / 2])
# by dtype the last argument whose exp is finite, and the first whose exp is not 0
LAST = {np.float32: 88.72283, np.float64: 709.782712893384}
FIRST = {np.float32: -103.97208, np.float64: -745.1332191019411}


def apply(name, x):
    out = np.empty_like(x)
    _probe.apply(name, x, out)
    return out


def bits(x):
    return x.view(np.uint32 if x.dtype == np.float32 else np.uint64)


def points(low, high, dtype):
    """At least 10 000 numbers in (low, high): uniform at three scales and where 1 + exp(x) rounds
    to 1, one of every exponent, and both sides of every seam."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    x = [rng.uniform(max(low, -scale), min(high, scale), 2000) for scale in (1, 20, 1000)]
    loss = -np.log(2) * (info.nmant + 1)
    x.append(rng.uniform(loss - 0.02, loss, 1000))
    for bound, sign in ((-low, -1), (high, 1)):
        if bound > 0:
            count = 5000 if low == 0 else 2000
            x.append(sign * 2.0 ** rng.uniform(info.minexp - info.nmant, math.log2(bound), count))
    seams = np.array([low, high, *SEAMS, *-SEAMS], dtype)
    for direction in (-INF, INF):
        step = seams
        for _ in range(16):
            step = np.nextafter(step, dtype(direction))
            x.append(step)
    x = np.concatenate(x).astype(dtype)
    return x[(x > low) & (x < high)]


def ulps(got, high, low=0.0):
    """Distance of `got` from `high` + `low` in units in the last place of its dtype."""
    info = np.finfo(got.dtype)
    ulp = np.ldexp(1.0, np.maximum(np.frexp(high)[1] - 1, info.minexp) - info.nmant)
    return abs((got.astype(np.float64) - high - low) / ulp)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACCURATE)
def test_functions_are_within_two_ulp_of_the_truth(name, dtype):
    reference, _, domain = ACCURATE[name]
    x = points(*domain[dtype], dtype)
    assert len(x) >= 10_000
    with mpmath.workprec(128):
        truth = [reference(mpmath.mpf(float(v))) for v in x]
        high = np.array([float(t) for t in truth])
        low = np.array([float(t - h) for t, h in zip(truth, high.tolist(), strict=True)])
    error = ulps(apply(name, x), high, low)
    assert error.max() <= ULPS, x[error.argmax()]


@pytest.mark.parametrize("name", ACCURATE)
def test_float32_is_within_two_ulp_all_over(name):
    # a prime stride: every exponent, any low bits
    x = np.arange(0, 2**32, 4099, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        truth = ACCURATE[name][1](x.astype(np.float64))
        rounded = truth.astype(np.float32)
    out = apply(name, x)
    finite = np.isfinite(rounded)
    assert np.array_equal(out[~finite], rounded[~finite], equal_nan=True)
    assert np.array_equal(np.signbit(out[finite]), np.signbit(rounded[finite]))
    assert ulps(out[finite], truth[finite]).max() <= ULPS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sqrt", "abs"])
def test_sqrt_and_abs_are_exact(name, dtype):
    x = points(0 if name == "sqrt" else -1e30, 1e30, dtype)
    assert np.array_equal(apply(name, x), getattr(np, name)(x))


def edges(dtype):
    """Rows of name, argument, exact result."""
    info = np.finfo(dtype)
    tiny, least, most = info.smallest_subnormal, info.smallest_normal, info.max
    first = FIRST[dtype]
    below = np.nextafter(dtype(first), dtype(-INF))
    above = np.nextafter(dtype(LAST[dtype]), dtype(INF))
    one = [("exp", v, 1) for v in (0.0, -0.0, tiny, -tiny)]
    odd = [(f, v, v) for f in ("log1p", "tanh") for v in (0.0, -0.0, tiny, -tiny, least, -least)]
    nan = [(f, NAN, NAN) for f in _probe.FUNCTIONS]
    rows = {
        "sqrt": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-tiny, NAN), (-INF, NAN)],
        "abs": [(-0.0, 0.0), (-INF, INF), (-tiny, tiny), (-most, most)],
        "exp": [(INF, INF), (-INF, 0.0), (above, INF), (below, 0.0), (first, tiny), (-most, 0.0)],
        "log": [(0.0, -INF), (-0.0, -INF), (1, 0.0), (INF, INF), (-tiny, NAN), (-INF, NAN)],
        "log1p": [(-1, -INF), (np.nextafter(dtype(-1), dtype(-2)), NAN), (-INF, NAN), (INF, INF)],
        "expit": [(0.0, 0.5), (-0.0, 0.5), (INF, 1), (most, 1), (-INF, 0.0), (below, 0.0)],
        "softplus": [(INF, INF), (most, most), (-INF, 0.0), (below, 0.0), (first, tiny)],
        "tanh": [(INF, 1), (-INF, -1), (most, 1), (-most, -1)],
    }
    return one + odd + nan + [(name, x, want) for name in rows for x, want in rows[name]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges_are_exact(dtype):
    for name, x, want in edges(dtype):
        (got,) = apply(name, np.array([x], dtype))
        assert np.array_equal(got, want, equal_nan=True), (name, x, got, want)
        assert math.isnan(want) or np.signbit(got) == np.signbit(want), (name, x, got, want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_is_finite_up_to_its_last_argument(dtype):
    x = np.array([LAST[dtype], np.nextafter(dtype(LAST[dtype]), dtype(INF))], dtype)
    assert np.array_equal(np.isinf(apply("exp", x)), [False, True])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", _probe.FUNCTIONS)
def test_an_element_depends_on_nothing_but_its_argument(name, dtype):
    rng = np.random.default_rng(1)
    special = np.array([INF, -INF, NAN, 0.0, -0.0, -1, 800, -800], dtype)
    x = np.concatenate([points(-3, 3, dtype)[:64], special])
    rng.shuffle(x)
    whole = bits(apply(name, x))
    out = np.empty(3 + len(x), dtype)
    for start in range(17):
        for n in range(len(x) - start):
            part = out[3 : 3 + n]
            _probe.apply(name, x[start : start + n], part)
            assert np.array_equal(bits(part), whole[start : start + n]), (start, n)


LENGTHS = (0, 1, 15, 16, 17, 1023, 1024, 1025, 2048, 3077, 7201, 8192, 21505)


def lanes(values):
    """Sixteen running sums, then halves added to halves."""
    lane = [0.0] * 16
    for i, value in enumerate(values):
        lane[i % 16] += value
    while len(lane) > 1:
        half = len(lane) // 2
        lane = [a + b for a, b in zip(lane[:half], lane[half:], strict=True)]
    return lane[0]


def pairwise(values):
    if len(values) <= 1:
        return values[0] if values else 0.0
    half = 1 << (len(values) - 1).bit_length() - 1
    return pairwise(values[:half]) + pairwise(values[half:])


def operands(n, dtype):
    rng = np.random.default_rng(n)
    return [(rng.normal(size=n) * 10.0 ** rng.uniform(-8, 8, n)).astype(dtype) for _ in range(2)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_lanes_in_chunks_joined_pairwise(dtype):
    for n in LENGTHS:
        x, y = operands(n, dtype)
        product = (x.astype(np.float64) * y.astype(np.float64)).tolist()
        for got, terms in ((_probe.sum(x), x.tolist()), (_probe.dot(x, y), product)):
            assert got == pairwise([lanes(terms[i : i + 1024]) for i in range(0, n, 1024)]), n


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_as_exact_as_their_depth_allows(dtype):
    for n in LENGTHS:
        x, y = operands(n, dtype)
        product = x.astype(np.float64) * y.astype(np.float64)
        # 1024 / 16 additions in a lane, 4 in the fold, one a level of the cascade, one in fsum
        depth = 64 + 4 + math.ceil(math.log2(n / 1024 + 1)) + 1
        for got, terms in ((_probe.sum(x), x), (_probe.dot(x, y), product)):
            bound = depth * 2.0**-53 / (1 - depth * 2.0**-53) * math.fsum(abs(terms))
            assert abs(got - math.fsum(terms)) <= bound, n


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_do_not_depend_on_alignment(dtype):
    n = 5 * 1024 + 77
    x, y = operands(n, dtype)
    want = _probe.sum(x), _probe.dot(x, y)
    for start in range(17):
        a = np.empty(n + 17, dtype)[start : start + n]
        b = np.empty(n + 17, dtype)[16 - start : 16 - start + n]
        a[:], b[:] = x, y
        assert (_probe.sum(a), _probe.dot(a, b)) == want


@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_sums_show_what_is_not_finite(value):
    for place in (0, 1023, 2000):
        x = np.ones(2001)
        x[place] = value
        for got in (_probe.sum(x), _probe.dot(x, np.ones(2001))):
            assert got == value or (math.isnan(got) and math.isnan(value))


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("nm"), reason="needs nm")
def test_nothing_of_core_is_left_outside_the_clones():
    symbols = subprocess.run(["nm", _probe.__file__], capture_output=True, text=True, check=True)
    symbols = symbols.stdout
    if ".arch_x86_64_v4" not in symbols:
        pytest.skip("built without clones")
    assert not [line for line in symbols.splitlines() if "_core_" in line and " t " in line]
