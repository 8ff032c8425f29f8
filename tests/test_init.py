"""Initializers: the distributions by statistics, what is deterministic by hand and by torch, and what is refused."""

import copy
import inspect
import math

import mpmath
import numpy as np
import pytest
from scipy import stats

import fastopt as fo
from fastopt import init

DTYPES = (np.float32, np.float64)
SHAPES = {  # fan_in, fan_out by hand
    (5, 3): (3, 5),
    (5, 3, 7): (21, 35),
    (5, 3, 2, 4): (24, 40),
    (5, 3, 2, 4, 3): (72, 120),
}
MATRIX = (40, 30)
FILLS = {  # every initializer with arguments and a shape it takes
    "constant_": ((0.1,), MATRIX),
    "dirac_": ((), (4, 3, 3)),
    "eye_": ((), MATRIX),
    "ones_": ((), MATRIX),
    "zeros_": ((), MATRIX),
}
DRAWS = {
    "kaiming_normal_": ((), MATRIX),
    "kaiming_uniform_": ((), MATRIX),
    "lecun_normal_": ((), MATRIX),
    "lecun_uniform_": ((), MATRIX),
    "normal_": ((1.0, 2.0), MATRIX),
    "orthogonal_": ((), MATRIX),
    "sparse_": ((0.3,), MATRIX),
    "trunc_normal_": ((0.5,), MATRIX),
    "uniform_": ((-1.0, 2.0), MATRIX),
    "variance_scaling_": ((), MATRIX),
    "xavier_normal_": ((), MATRIX),
    "xavier_uniform_": ((), MATRIX),
}
CALLS = FILLS | DRAWS


def call(name, array, **options):
    if name in DRAWS:
        options.setdefault("rng", 0)
    return getattr(init, name)(array, *CALLS[name][0], **options)


def test_every_initializer_is_tested_here():
    assert {*CALLS, "calculate_gain"} == set(init.__all__)


def test_what_draws_takes_rng_by_keyword_only():
    for name in CALLS:
        rng = inspect.signature(getattr(init, name)).parameters.get("rng")
        assert (rng is not None) == (name in DRAWS)
        assert rng is None or (rng.kind == rng.KEYWORD_ONLY and rng.default is None)


TALL = (500, 400)  # fan_in 400, fan_out 500
DISTRIBUTIONS = [
    ("uniform_", (-0.3, 0.1), stats.uniform(-0.3, 0.4)),
    ("normal_", (0.5, 0.2), stats.norm(0.5, 0.2)),
    ("trunc_normal_", (), stats.truncnorm(-2, 2)),
    ("trunc_normal_", (0.0, 0.02), stats.norm(0, 0.02)),  # bounds in units of std would cut it off at 0.04
    ("trunc_normal_", (0.1, 0.5, -0.2, 0.9), stats.truncnorm(-0.6, 1.6, 0.1, 0.5)),
    ("trunc_normal_", (0, 1, 0, math.inf), stats.halfnorm()),
    ("trunc_normal_", (0, 1, -math.inf, 0.5), stats.truncnorm(-math.inf, 0.5)),
    ("trunc_normal_", (3, 2, -math.inf, math.inf), stats.norm(3, 2)),
    ("trunc_normal_", (-2, 1, 2, 4), stats.truncnorm(4, 6, -2)),
    ("trunc_normal_", (12, 1, -2, 2), stats.truncnorm(-14, -10, 12)),
    ("trunc_normal_", (-1, 0.01, 0, 1), stats.truncnorm(100, 200, -1, 0.01)),
    ("trunc_normal_", (-1, 1e-6, 0, 1), stats.expon(0, 1e-12)),  # what is left of it has the mean std**2 / distance
    ("trunc_normal_", (0, 1e9, -1, 3), stats.uniform(-1, 4)),
    ("trunc_normal_", (0, 1e30, -1, 3), stats.uniform(-1, 4)),
    ("xavier_uniform_", (2.0,), stats.uniform(-2 / math.sqrt(150), 4 / math.sqrt(150))),
    ("xavier_normal_", (2.0,), stats.norm(0, 2 / math.sqrt(450))),
    ("kaiming_uniform_", (), stats.uniform(-math.sqrt(6 / 400), 2 * math.sqrt(6 / 400))),
    ("kaiming_uniform_", (math.sqrt(5),), stats.uniform(-1 / 20, 2 / 20)),
    (
        "kaiming_uniform_",
        (0, "fan_out", "tanh"),
        stats.uniform(-5 / 3 * math.sqrt(3 / 500), 10 / 3 * math.sqrt(3 / 500)),
    ),
    ("kaiming_normal_", (), stats.norm(0, math.sqrt(2 / 400))),
    ("kaiming_normal_", (1.0, "FAN_OUT"), stats.norm(0, math.sqrt(1 / 500))),
    ("lecun_uniform_", (), stats.uniform(-math.sqrt(3 / 400), 2 * math.sqrt(3 / 400))),
    ("lecun_normal_", (), stats.truncnorm(-2, 2, 0, 1 / 20 / stats.truncnorm(-2, 2).std())),
    ("variance_scaling_", (), stats.truncnorm(-2, 2, 0, 1 / 20 / stats.truncnorm(-2, 2).std())),
    ("variance_scaling_", (9.0, "fan_out", "normal"), stats.norm(0, 3 / math.sqrt(500))),
    ("variance_scaling_", (2.0, "fan_avg", "uniform"), stats.uniform(-math.sqrt(6 / 450), 2 * math.sqrt(6 / 450))),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "args", "distribution"), DISTRIBUTIONS)
def test_draws_follow_their_distribution(name, args, distribution, dtype):
    array = np.full(TALL, np.nan, dtype)
    assert getattr(init, name)(array, *args, rng=1) is array
    assert stats.kstest(array.ravel().astype(float), distribution.cdf).pvalue > 1e-3


VARIANCES = [  # those of fan_in 400, fan_out 500, and the kurtosis of the distribution
    ("xavier_uniform_", (), 1 / 450, 1.8),
    ("xavier_normal_", (), 1 / 450, 3),
    ("kaiming_uniform_", (), 2 / 400, 1.8),
    ("kaiming_normal_", (0, "fan_out", "tanh"), 25 / 9 / 500, 3),
    ("lecun_uniform_", (), 1 / 400, 1.8),
    ("lecun_normal_", (), 1 / 400, 3),
    ("variance_scaling_", (3.0, "fan_avg", "truncated_normal"), 3 / 450, 3),
    ("variance_scaling_", (3.0, "fan_out", "normal"), 3 / 500, 3),
    ("variance_scaling_", (3.0, "fan_in", "uniform"), 3 / 400, 1.8),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "args", "variance", "kurtosis"), VARIANCES)
def test_variances_are_those_of_the_formulas(name, args, variance, kurtosis, dtype):
    array = getattr(init, name)(np.empty(TALL, dtype), *args, rng=2).astype(float)
    deviation = math.sqrt(
        (kurtosis - 1) / array.size
    )  # of a sample variance, relative; that of 3 bounds a cut normal's
    assert abs((array**2).mean() / variance - 1) < 4 * deviation
    assert abs(array.mean()) < 4 * math.sqrt(variance / array.size)


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_are_those_counted_by_hand(shape):
    fan_in, fan_out = SHAPES[shape]
    normal, uniform = init.normal_(np.empty(shape), rng=3), init.uniform_(np.empty(shape), -1, 1, rng=3)
    drawn = {
        math.sqrt(1 / fan_in): init.kaiming_normal_(np.empty(shape), nonlinearity="linear", rng=3) / normal,
        math.sqrt(2 / fan_out): init.kaiming_normal_(np.empty(shape), mode="fan_out", rng=3) / normal,
        math.sqrt(2 / (fan_in + fan_out)): init.xavier_normal_(np.empty(shape), rng=3) / normal,
        math.sqrt(6 / (fan_in + fan_out)): init.xavier_uniform_(np.empty(shape), rng=3) / uniform,
        math.sqrt(3 / fan_in): init.lecun_uniform_(np.empty(shape), rng=3) / uniform,
    }
    for factor, ratio in drawn.items():
        np.testing.assert_allclose(ratio, factor, rtol=1e-13)  # of 360 draws one is so near 0 that 2u - 1 lacks 9 bits


def test_a_matrix_of_inputs_by_outputs_is_passed_transposed():
    w = np.empty((500, 20))
    assert init.kaiming_uniform_(w.T, a=math.sqrt(5), rng=0).base is w
    assert 0.99 / math.sqrt(500) < abs(w).max() <= 1 / math.sqrt(500)


NARROW = [  # intervals that rounding would leave
    (np.float32, 1000.0, 1001.0),
    (np.float32, 1.0, 1.0 + 3 * 2.0**-23),
    (np.float32, 1.0, 1.0 + 2.0**-23),
    (np.float32, 0.1, 0.3),
    (np.float32, 0.7, 0.7 + 1e-6),
    (np.float32, -0.7 - 1e-6, -0.7),
    (np.float64, 1.0, 1.0 + 3 * 2.0**-52),
    (np.float64, 2.0**52, 2.0**52 + 5),
]


@pytest.mark.parametrize(("dtype", "a", "b"), NARROW)
def test_uniform_draws_are_in_the_half_open_interval_after_rounding(dtype, a, b):
    w = init.uniform_(np.empty(300_000, dtype), a, b, rng=0)
    exact = w.astype(float)
    assert (exact >= a).all() and (exact < b).all()
    assert (w >= dtype(a)).all() and (w < dtype(b)).all()


@pytest.mark.parametrize(("dtype", "a", "b"), NARROW)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1000.5, 1e3), (0.0, 1e30), (-1e30, 1e-30)])
def test_truncated_draws_are_in_the_closed_interval_after_rounding(dtype, a, b, mean, std):
    exact = init.trunc_normal_(np.empty(100_000, dtype), mean, std, a, b, rng=0).astype(float)
    assert (exact >= a).all() and (exact <= b).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_interval_without_a_number_gives_the_one_nearest_to_a(dtype):
    for a in (0.0, 0.1, 0.7, -0.7):
        for b in (a, a + 2 * math.ulp(a) if dtype == np.float32 else a):
            assert (init.uniform_(np.empty(9, dtype), a, b, rng=0) == dtype(a)).all()
            if a:  # 0 is in [0, 2 * ulp] with others of float32's subnormals
                assert (init.trunc_normal_(np.empty(9, dtype), 0, 1, a, b, rng=0) == dtype(a)).all()


EXTREMES = [10.0**k for k in (-300, -100, -37, -12, -8, -6, -5, -4, -2, -1, 0, 1, 2, 4, 8, 12, 36)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("std", EXTREMES)
def test_truncated_draws_are_numbers_for_any_mean_and_std(std, dtype):
    means = [0.0, *EXTREMES, *(-x for x in EXTREMES)]
    for mean in means:
        for a, b in ((-2, 2), (0, 1), (1, 1.5), (-1e-9, 1e-7), (0.25, 0.25), (-math.inf, -3), (5, math.inf)):
            w = init.trunc_normal_(np.empty(50, dtype), mean, std, a, b, rng=0).astype(float)
            assert np.isfinite(w).all() and (w >= a).all() and (w <= b).all()


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -1, 2), (12, 1, -2, 2), (1, 1e-8, -1, 0), (0.3, 1e9, -1, 3), (1, 2, 0, math.inf)]
)
def test_truncated_draws_mirror_with_their_bounds(mean, std, a, b):
    w = init.trunc_normal_(np.empty(100), mean, std, a, b, rng=0)
    np.testing.assert_array_equal(w, -init.trunc_normal_(np.empty(100), -mean, std, -b, -a, rng=0))
    assert len(np.unique(w)) == 100


class Draws(np.random.Generator):
    """A generator whose uniform draws are given."""

    def __new__(cls, draws):
        return super().__new__(cls, np.random.PCG64(0))

    def __init__(self, draws):
        super().__init__(np.random.PCG64(0))
        self.draws = draws

    def random(self, size, dtype=np.float64):
        return np.resize(self.draws, size).astype(dtype)


DISTANCES = (0.0, 1e-3, 1.0, 3.0, 30.0, 150.0, 1e3, 0.99e4, 1.01e4, 1e7)
WIDTHS = (1e-12, 0.99e-5, 1.01e-5, 1e-2, 1.0, 50.0)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("width", WIDTHS)
def test_truncated_draws_invert_the_distribution_function(distance, width):
    """Of the interval [distance, distance + width] deviations above the mean, the share p is below the draw for p."""
    p = np.array([1e-3, 0.1, 0.5, 0.9, 0.999])
    above = np.full(5, np.nan)
    init.trunc_normal_(above, -distance, 1, 0, width, rng=Draws(p))
    with mpmath.workdps(60):
        low, high, *draws = (mpmath.ncdf(-mpmath.mpf(distance) - mpmath.mpf(x)) for x in (0, width, *above))
        share = [float((low - draw) / (low - high)) for draw in draws]
    # An exponential lacks exp(-t**2 / 2): 0.59 / distance**2 of the share at most, or width**2 / 2. Else a draw of
    # about distance and the logarithm of about distance**2 / 2 are rounded, and SciPy's ndtri_exp, whose rational
    # function is meant for 64 deviations at most, is off by up to 4e-6 of the logarithm beyond: over all that it spans.
    inexact = 2 * np.finfo(float).eps * (1 + distance**2) + (4e-6 if distance > 64 else 0)
    span = min(1, width * max(distance, width))
    exponential = distance > 1e4 or width < 1e-5
    np.testing.assert_allclose(share, p, rtol=0, atol=5.9e-9 if exponential else 1e-12 + inexact / span)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_and_the_last_draw_of_a_generator_do_no_harm(dtype):
    ends = Draws([0.0, 1 - 2.0 ** (-24 if dtype == np.float32 else -53)])
    w = init.uniform_(np.empty(2, dtype), 8, 9, rng=ends)
    assert w[0] == 8 and w[1] == np.nextafter(dtype(9), dtype(8))
    ends = Draws([0.0, 1 - 2.0**-53])
    for bound in (30.0, 1e30, math.inf):
        for mean in (-1, 0, 1):
            w = init.trunc_normal_(np.empty(2, dtype), mean, 1, -bound, bound, rng=ends)
            assert (abs(w) > 5).all() and (abs(w) < 10).all()  # and not -bound, or 30 deviations out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(50, 20), (20, 50), (30, 30), (1, 7), (7, 1), (40, 3, 2, 4), (6, 3, 2, 4), (3, 2, 2, 2, 2)]
)
def test_orthogonal_matrices_are_orthogonal(shape, dtype):
    w = init.orthogonal_(np.empty(shape, dtype), rng=0).reshape(shape[0], -1)
    small = w.astype(float) if w.shape[0] <= w.shape[1] else w.T.astype(float)
    # In float32 each of the elements is off by half an ulp, relative; the products of rows of length 1 by twice that.
    atol = 1e-12 if dtype == np.float64 else np.finfo(dtype).eps
    np.testing.assert_allclose(small @ small.T, np.eye(len(small)), rtol=0, atol=atol)
    scaled = init.orthogonal_(np.empty(shape, dtype), -2.0, rng=0).reshape(shape[0], -1)
    np.testing.assert_array_equal(scaled, -2 * w)


def test_orthogonal_matrices_are_uniform_among_all():
    rng = np.random.default_rng(5)
    draws = np.array([init.orthogonal_(np.empty((2, 2)), rng=rng) for _ in range(20_000)])
    angles = np.arctan2(draws[:, 1, 0], draws[:, 0, 0])
    assert stats.kstest(angles, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3
    rotations = (np.linalg.det(draws) > 0).mean()
    assert abs(rotations - 0.5) < 4 * 0.5 / math.sqrt(len(draws))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(1, 5), (7, 1), (30, 11), (100, 40)])
def test_every_column_has_its_share_of_zeros(shape, sparsity, dtype):
    w = init.sparse_(np.empty(shape, dtype), sparsity, rng=0)
    assert ((w == 0).sum(axis=0) == math.ceil(sparsity * shape[0])).all()


def test_zeros_are_anywhere_in_a_column_and_the_rest_is_normal():
    w = init.sparse_(np.empty((4, 50_000)), 0.5, 0.3, rng=0)
    pairs, counts = np.unique((1 << np.arange(4)) @ (w == 0), return_counts=True)
    assert len(pairs) == 6 and stats.chisquare(counts).pvalue > 1e-3
    assert stats.kstest(w[w != 0], stats.norm(0, 0.3).cdf).pvalue > 1e-3
    assert stats.kstest(init.sparse_(np.empty(TALL), 0, rng=0).ravel(), stats.norm(0, 0.01).cdf).pvalue > 1e-3


def layouts(shape, dtype):
    """Arrays to fill, by name, and the whole buffer that each is a part of."""
    size = math.prod(shape)
    c = np.full(shape, np.nan, dtype)
    yield "C", c, c
    fortran = np.full(shape, np.nan, dtype, order="F")
    yield "Fortran", fortran, fortran
    buffer = np.full([2 * n + 1 for n in shape], np.nan, dtype)
    yield "strided", buffer[tuple(slice(1, None, 2) for _ in shape)], buffer
    buffer = np.full(shape, np.nan, dtype)
    yield "reversed", buffer[::-1, ..., ::-1], buffer
    bytes_ = np.zeros(size * c.itemsize + 1, np.uint8)
    yield "unaligned", bytes_[1:].view(dtype).reshape(shape), bytes_
    flat = fo.FlatParams({"before": 3, "W": shape, "after": 2}, dtype)
    yield "FlatParams", flat["W"], flat.flat


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_values_are_the_same_in_any_memory_layout(name, dtype):
    expected = call(name, np.empty(CALLS[name][1], dtype))
    assert np.isfinite(expected).all()
    for layout, array, buffer in layouts(CALLS[name][1], dtype):
        mask = np.zeros_like(buffer, bool)
        assert call(name, array) is array
        np.testing.assert_array_equal(array, expected, err_msg=layout)
        if layout == "strided":
            mask[tuple(slice(1, None, 2) for _ in array.shape)] = True
            assert np.isnan(buffer[~mask]).all()
        if layout == "FlatParams":
            assert (buffer[:3] == 0).all() and (buffer[-2:] == 0).all()
    parameter = fo.Parameter(np.empty(CALLS[name][1], dtype))
    assert call(name, parameter) is parameter
    np.testing.assert_array_equal(parameter.data, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_and_a_generator_advances(name, dtype):
    shape = DRAWS[name][1]
    generator = np.random.default_rng(7)
    first, second = (call(name, np.empty(shape, dtype), rng=generator) for _ in range(2))
    assert not np.array_equal(first, second)
    for seed in (7, np.int64(7), np.random.SeedSequence(7), np.random.PCG64(7), np.random.default_rng(7)):
        np.testing.assert_array_equal(call(name, np.empty(shape, dtype), rng=seed), first)
    unseeded = [call(name, np.empty(shape, dtype), rng=None) for _ in range(2)]
    assert not np.array_equal(*unseeded)


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_draws_are_those_of_the_generator(dtype):
    w = init.normal_(np.empty((3, 4), dtype), rng=0)
    np.testing.assert_array_equal(w, np.random.default_rng(0).standard_normal((3, 4), dtype))
    w = init.uniform_(np.empty((3, 4), dtype), rng=0)
    np.testing.assert_array_equal(w, np.random.default_rng(0).random((3, 4), dtype))


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "constant_", "zeros_", "ones_"])
def test_scalars_and_vectors_are_filled(name):
    for shape in ((), (1,), (5,)):
        assert np.isfinite(call(name, np.full(shape, np.nan))).all()


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_no_elements_stay_and_the_generator_too(name):
    ndim = len(CALLS[name][1])
    for axis in range(ndim):
        shape = [4] * ndim
        shape[axis] = 0
        array, generator = np.empty(shape), np.random.default_rng(0)
        assert call(name, array, **({"rng": generator} if name in DRAWS else {})) is array
        assert generator.random() == np.random.default_rng(0).random()
    assert call(name, np.empty([0] * ndim)).size == 0


def test_constants_fill():
    assert (init.constant_(np.empty((2, 3), np.float32), 0.1) == np.float32(0.1)).all()
    assert (init.ones_(np.empty((2, 3))) == 1).all() and (init.zeros_(np.empty((2, 3))) == 0).all()


def test_convolutions_with_dirac_kernels_pass_their_channels_on():
    w = init.dirac_(np.full((4, 3, 2, 5), np.nan), groups=2)
    expected = np.zeros((4, 3, 2, 5))
    for output, channel in ((0, 0), (1, 1), (2, 0), (3, 1)):
        expected[output, channel, 1, 2] = 1
    np.testing.assert_array_equal(w, expected)


FAN_WORDS = "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
BAD_IN_TORCH = [  # name, shape, arguments, torch's words; ValueError for us
    ("uniform_", (3,), {"a": 1.0, "b": 0.0}, "uniform_ expects to return a [from, to) range, but found from="),
    ("normal_", (3,), {"std": -1.0}, "normal expects std >= 0.0, but found std"),
    ("normal_", (3,), {"std": math.nan}, "normal expects std >= 0.0, but found std"),
    ("eye_", (3,), {}, "Only tensors with 2 dimensions are supported"),
    ("eye_", (3, 3, 3), {}, "Only tensors with 2 dimensions are supported"),
    ("dirac_", (3, 3), {}, "Only tensors with 3, 4, or 5 dimensions are supported"),
    ("dirac_", (3, 3, 3, 3, 3, 3), {}, "Only tensors with 3, 4, or 5 dimensions are supported"),
    ("dirac_", (5, 3, 3), {"groups": 2}, "dim 0 must be divisible by groups"),
    *((name, (3,), {}, FAN_WORDS) for name in CALLS if name.startswith(("xavier", "kaiming"))),
    *((name, (), {}, FAN_WORDS) for name in CALLS if name.startswith(("xavier", "kaiming"))),
    ("kaiming_uniform_", (3, 3), {"mode": "fan_avg"}, "Mode fan_avg not supported, please use one of ['fan"),
    ("kaiming_normal_", (3, 3), {"mode": "in"}, "Mode in not supported, please use one of ['fan_in', 'fan_out']"),
    ("kaiming_normal_", (3, 3), {"nonlinearity": "gelu"}, "Unsupported nonlinearity gelu"),
    ("kaiming_uniform_", (3, 3), {"nonlinearity": "silu"}, "Unsupported nonlinearity silu"),
    ("kaiming_uniform_", (3, 3), {"a": True}, "negative_slope True not a valid number"),
    ("orthogonal_", (3,), {}, "Only tensors with 2 or more dimensions are supported"),
    ("sparse_", (3,), {"sparsity": 0.5}, "Only tensors with 2 dimensions are supported"),
    ("sparse_", (3, 3), {"sparsity": 0.5, "std": -1.0}, "normal expects std >= 0.0, but found std"),
]
BAD = [  # name, shape, arguments, error, opening words
    *((name, shape, options, ValueError, words) for name, shape, options, words in BAD_IN_TORCH),
    ("uniform_", (3,), {"a": math.nan}, ValueError, "Invalid a: nan"),
    ("uniform_", (3,), {"b": math.inf}, ValueError, "Invalid b: inf"),
    ("uniform_", (3,), {"b": "1"}, TypeError, "Invalid b: '1'"),
    ("normal_", (3,), {"mean": math.nan}, ValueError, "Invalid mean: nan"),
    ("normal_", (3,), {"mean": 10**400}, ValueError, "Invalid mean: 1"),
    ("trunc_normal_", (3,), {"std": 0.0}, ValueError, "Invalid std: 0.0"),
    ("trunc_normal_", (3,), {"std": -1.0}, ValueError, "Invalid std: -1.0"),
    ("trunc_normal_", (3,), {"mean": math.inf}, ValueError, "Invalid mean: inf"),
    ("trunc_normal_", (3,), {"a": 1.0, "b": 0.5}, ValueError, "Invalid bounds: a=1.0, b=0.5"),
    ("trunc_normal_", (3,), {"a": math.nan}, ValueError, "Invalid a: nan"),
    ("trunc_normal_", (3,), {"b": math.nan}, ValueError, "Invalid b: nan"),
    ("trunc_normal_", (3,), {"a": math.inf, "b": math.inf}, ValueError, "Invalid a: inf"),
    ("trunc_normal_", (3,), {"a": -math.inf, "b": -math.inf}, ValueError, "Invalid b: -inf"),
    ("constant_", (3,), {"val": math.nan}, ValueError, "Invalid val: nan"),
    ("constant_", (3,), {"val": None}, TypeError, "Invalid val: None"),
    ("dirac_", (4, 3, 3), {"groups": 0}, ValueError, "Invalid groups: 0"),
    ("dirac_", (4, 3, 3), {"groups": 2.0}, TypeError, "Invalid groups: 2.0"),
    *((name, (3,), {}, ValueError, FAN_WORDS) for name in CALLS if name.startswith(("lecun", "variance"))),
    ("xavier_uniform_", (3, 3), {"gain": -1.0}, ValueError, "Invalid gain: -1.0"),
    ("xavier_normal_", (3, 3), {"gain": math.nan}, ValueError, "Invalid gain: nan"),
    ("kaiming_normal_", (3, 3), {"mode": 1}, ValueError, "Mode 1 not supported"),
    ("kaiming_normal_", (3, 3), {"nonlinearity": None}, ValueError, "Unsupported nonlinearity None"),
    ("kaiming_uniform_", (3, 3), {"a": math.nan}, ValueError, "negative_slope nan not a valid number"),
    ("variance_scaling_", (3, 3), {"scale": 0.0}, ValueError, "Invalid scale: 0.0"),
    ("variance_scaling_", (3, 3), {"mode": "fan"}, ValueError, "Invalid mode: 'fan'"),
    ("variance_scaling_", (3, 3), {"distribution": "cauchy"}, ValueError, "Invalid distribution: 'cauchy'"),
    ("orthogonal_", (3, 3), {"gain": math.inf}, ValueError, "Invalid gain: inf"),
    ("sparse_", (3, 3), {"sparsity": -0.1}, ValueError, "Invalid sparsity: -0.1"),
    ("sparse_", (3, 3), {"sparsity": 1.1}, ValueError, "Invalid sparsity: 1.1"),
    ("sparse_", (3, 3), {"sparsity": math.nan}, ValueError, "Invalid sparsity: nan"),
]


@pytest.mark.parametrize(("name", "shape", "options", "error", "words"), BAD)
def test_bad_arguments_are_refused_and_nothing_changes(name, shape, options, error, words):
    array, generator = np.full(shape, 7.0), np.random.default_rng(0)
    before = copy.deepcopy(generator.bit_generator.state)
    rng = {"rng": generator} if name in DRAWS else {}
    with pytest.raises(error) as caught:
        getattr(init, name)(array, **options, **rng)
    assert str(caught.value).startswith(words)
    assert (array == 7).all() and generator.bit_generator.state == before


@pytest.mark.parametrize("name", CALLS)
def test_what_cannot_be_filled_is_refused(name):
    shape = CALLS[name][1]
    for array in (
        [[1.0]],
        1.0,
        np.ones(shape, int),
        np.ones(shape, np.float16),
        np.ones(shape, ">f4"),
        fo.FlatParams({}),
    ):
        with pytest.raises(TypeError, match=f"{name} fills an"):
            call(name, array)
    frozen = np.full(shape, 7.0)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="but it is read-only"):
        call(name, frozen)
    assert (frozen == 7).all()


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_no_seed_is_refused(name):
    array = np.full(DRAWS[name][1], 7.0)
    for rng in ("abc", 1.5, object()):
        with pytest.raises(TypeError, match="SeedSequence expects"):
            call(name, array, rng=rng)
    with pytest.raises(ValueError, match="non-negative"):
        call(name, array, rng=-1)
    assert (array == 7).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_reach_to_the_limits_of_the_dtype_and_no_further(dtype):
    largest = float(np.finfo(dtype).max)
    beyond = largest * 2 if dtype == np.float32 else math.inf
    for value in (-largest, -math.inf):
        assert (init.constant_(np.empty(3, dtype), value) == value).all()
    array = np.full((3, 3), 7, dtype)
    limit, above = largest / 32, math.nextafter(largest / 32, math.inf)
    calls = {
        "constant_": [{"val": largest * 2 if dtype == np.float32 else math.nan}],
        "uniform_": [{"a": -above}, {"b": above}],
        "normal_": [{"mean": -above}, {"std": above}],
        "trunc_normal_": [{"mean": above}, {"std": above}, {"a": beyond, "b": beyond}, {"a": -beyond, "b": -beyond}],
        "xavier_uniform_": [{"gain": above}],
        "orthogonal_": [{"gain": above}],
        "sparse_": [{"sparsity": 0.5, "std": above}],
    }
    for name, rows in calls.items():
        for options in rows:
            with pytest.raises(ValueError, match=r"Invalid|normal expects"):
                getattr(init, name)(array, **options)
    assert (array == 7).all()
    big = np.empty((100, 100), dtype)
    assert np.isfinite(init.uniform_(big, -limit, limit, rng=0)).all()
    assert np.isfinite(init.normal_(big, limit, limit, rng=0)).all()
    assert np.isfinite(init.trunc_normal_(big, -limit, limit, -math.inf, math.inf, rng=0)).all()
    assert np.isfinite(init.xavier_normal_(big, limit, rng=0)).all()
    unbounded = init.trunc_normal_(np.empty(9, dtype), 0, 1, -math.inf, math.inf, rng=0)
    np.testing.assert_array_equal(init.trunc_normal_(np.empty(9, dtype), 0, 1, -1e300, 1e300, rng=0), unbounded)


def test_gains_are_their_formulas():
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2) == init.calculate_gain("leaky_relu", 0)
    assert init.calculate_gain("leaky_relu") == init.calculate_gain("leaky_relu", 0.01) == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("leaky_relu", np.float32(1)) == 1 and init.calculate_gain("leaky_relu", 1e200) == 0


GAIN_CALLS = [(name,) for name in (*init.GAINS, "leaky_relu")] + [
    *(("leaky_relu", slope) for slope in (0, 0.2, -0.5, 3, math.sqrt(5), True, "0.1", [1])),
    *(("relu", param) for param in (0.5, "ignored")),
    ("gelu",),
    ("silu",),
    ("",),
]


def outcome(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return error


@pytest.mark.peers
@pytest.mark.parametrize("args", GAIN_CALLS)
def test_gains_are_those_of_torch(args, torch):
    ours, theirs = outcome(init.calculate_gain, *args), outcome(torch.nn.init.calculate_gain, *args)
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs) and str(ours).startswith(str(theirs))
    else:
        assert ours == theirs


@pytest.mark.peers
def test_arguments_are_those_of_torch(torch):
    for name in init.__all__:
        theirs = getattr(torch.nn.init, name, None)
        if theirs is not None:
            ours = list(inspect.signature(getattr(init, name)).parameters.values())
            theirs = list(inspect.signature(theirs).parameters.values())
            rename = {"array": "tensor", "rng": "generator"}
            assert [(rename.get(p.name, p.name), p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    public = {name for name in torch.nn.init.__all__ if name.endswith("_") or name == "calculate_gain"}
    assert public <= set(init.__all__)


FIXED = [
    ("constant_", (3, 4), (-0.3,)),
    ("ones_", (2, 3), ()),
    ("zeros_", (2, 3), ()),
    *(("eye_", shape, ()) for shape in ((3, 3), (2, 5), (5, 2))),
    *(("dirac_", shape, ()) for shape in ((3, 4, 5), (4, 2, 4), (3, 3, 2, 5), (5, 3, 1, 2, 3))),
    *(("dirac_", (6, channels, 3, 4), (groups,)) for channels in (1, 2, 6) for groups in (1, 2, 3, 6)),
]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "shape", "args"), FIXED)
def test_what_is_not_random_is_that_of_torch(name, shape, args, torch):
    theirs = getattr(torch.nn.init, name)(torch.full(shape, 7.0), *args)
    np.testing.assert_array_equal(getattr(init, name)(np.full(shape, 7.0), *args), theirs.numpy())


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("uniform_", (-0.2, 0.5)),
        ("xavier_uniform_", (1.5,)),
        ("kaiming_uniform_", (math.sqrt(5),)),
        ("kaiming_uniform_", (0, "fan_out", "selu")),
    ],
)
@pytest.mark.parametrize("shape", [(500, 400), (50, 40, 10, 9)])
def test_bounds_are_those_of_torch(name, args, shape, torch):
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), *args).numpy()
    ours = getattr(init, name)(np.empty(shape), *args, rng=0)
    for end in (np.min, np.max):  # a draw is within 1e-3 of an end with a chance of 2.8e-4; that none is, exp(-50)
        np.testing.assert_allclose(end(ours), end(theirs), rtol=1e-3)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "shape", "options", "words"), BAD_IN_TORCH)
def test_words_for_a_fault_are_those_of_torch(name, shape, options, words, torch):
    with pytest.raises((ValueError, RuntimeError)) as caught:
        getattr(torch.nn.init, name)(torch.ones(shape), **options)
    assert str(caught.value).startswith(words)
