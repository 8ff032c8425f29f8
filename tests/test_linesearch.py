"""The line searches against their papers, their conditions and their emergencies."""

from math import cos, exp, inf, log, nan, pi, sin, sqrt

import linesearch_oracles
import numpy as np
import pytest

from fastopt._linesearch import Armijo, HagerZhang, MoreThuente

each_search = pytest.mark.parametrize("kind", [MoreThuente, HagerZhang, Armijo])


def search(phi, step=1.0, kind=MoreThuente, **options):
    """Run a search on phi(t) -> (f, slope); return it with its trials."""
    ls = kind(*phi(0.0), step, **options)
    trials = []
    while not ls.done:
        trials.append(ls.step)
        ls.advance(*phi(ls.step))
    return ls, trials


def rational(t, beta=2.0):
    return -t / (t * t + beta), (t * t - beta) / (t * t + beta) ** 2


def quintic(t, beta=0.004):
    return (t + beta) ** 5 - 2 * (t + beta) ** 4, 5 * (t + beta) ** 4 - 8 * (t + beta) ** 3


def wiggle(t, beta=0.01, waves=39):
    if t <= 1 - beta:
        f, slope = 1 - t, -1.0
    elif t >= 1 + beta:
        f, slope = t - 1, 1.0
    else:
        f, slope = (t - 1) ** 2 / (2 * beta) + beta / 2, (t - 1) / beta
    phase = waves * pi / 2 * t
    return f + 2 * (1 - beta) / (waves * pi) * sin(phase), slope + (1 - beta) * cos(phase)


def yanai(beta1, beta2):
    weight1, weight2 = (sqrt(1 + b * b) - b for b in (beta1, beta2))

    def phi(t):
        r1, r2 = sqrt((1 - t) ** 2 + beta2**2), sqrt(t * t + beta1**2)
        return weight1 * r1 + weight2 * r2, weight2 * t / r2 - weight1 * (1 - t) / r1

    return phi


def polynomial(seed):
    """A polynomial of degree 2, 3 or 4 that falls at 0 and, unless the degree is 3, grows without bound."""
    rng = np.random.default_rng(seed)
    degree = rng.integers(2, 5)
    coefficients = [rng.uniform(-3, 3), -rng.uniform(0.01, 3), *rng.standard_normal(degree - 1)]
    coefficients[-1] = abs(coefficients[-1])

    def phi(t):
        f = slope = 0.0
        for c in map(float, reversed(coefficients)):
            slope = slope * t + f
            f = f * t + c
        return f, slope

    return phi, float(10.0 ** rng.uniform(-3, 3))


def waves(seed):
    """A function with many local minima, which it soon leaves behind."""
    a, b, c = map(float, np.random.default_rng(seed).uniform(0.1, 3, 3))
    return lambda t: (0.05 * b * t * t - t - a * sin(9 * c * t) / 9, 0.1 * b * t - 1 - a * c * cos(9 * c * t))


# Moré and Thuente (1994), tables I to VI: function, c1, c2, and for the first steps 1e-3, 1e-1, 1e1
# and 1e3 the number of evaluations and the step found, as printed.
TABLES = [
    (rational, 1e-3, 1e-1, (6, 3, 1, 4), "1.4 1.4 10 37"),
    (quintic, 1e-1, 1e-1, (12, 8, 8, 11), "1.6 1.6 1.6 1.6"),
    (wiggle, 1e-1, 1e-1, (12, 12, 10, 13), "1.0 1.0 1.0 1.0"),
    (yanai(1e-3, 1e-3), 1e-3, 1e-3, (4, 1, 3, 4), "0.08 0.10 0.35 0.83"),
    (yanai(1e-2, 1e-3), 1e-3, 1e-3, (6, 3, 7, 8), "0.075 0.078 0.073 0.076"),
    (yanai(1e-3, 1e-2), 1e-3, 1e-3, (13, 11, 8, 11), "0.93 0.93 0.92 0.92"),
]


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("table", range(6))
def test_search_does_as_printed_in_its_paper(table, first):
    phi, c1, c2, evaluations, steps = TABLES[table]
    start = (1e-3, 1e-1, 1e1, 1e3)[first]
    stpmax = 4 * max(1, start)  # as the authors' driver
    ls, trials = search(phi, start, c1=c1, c2=c2, xtol=1e-10, stpmax=stpmax, maxls=100)
    assert ls.accepted
    assert len(trials) == evaluations[first]
    printed = steps.split()[first]
    digits = len(printed.partition(".")[2])
    assert abs(ls.step - float(printed)) <= 0.5001 * 10.0**-digits


def compare_hager_zhang(phi, step, c1, c2):
    ls, trials = search(phi, step, HagerZhang, c1=c1, c2=c2)
    assert (ls.accepted, trials) == linesearch_oracles.hager_zhang(phi, step, c1, c2)
    return len(trials)


def compare_armijo(phi, step, c1):
    ls, trials = search(phi, step, Armijo, c1=c1)
    accepted, theirs = linesearch_oracles.armijo(phi, step, c1)
    assert ls.accepted == accepted
    # Each fraction is known to some ulp, times the ratio of the terms that cancel in it, at most 1 / .1; twenty
    # trials add up.
    assert trials == pytest.approx(theirs, rel=1024 * 2.0**-52, abs=0)
    return len(trials)


@pytest.mark.parametrize(("c1", "c2"), [(0.1, 0.9), (0.1, 0.1), (1e-3, 1e-3)])
@pytest.mark.parametrize("step", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("table", range(6))
def test_trials_are_those_of_the_oracles_on_the_functions_of_the_paper(table, step, c1, c2):
    compare_hager_zhang(TABLES[table][0], step, c1, c2)
    compare_armijo(TABLES[table][0], step, c1)


@pytest.mark.parametrize(("c1", "c2"), [(0.1, 0.9), (0.1, 0.1), (1e-3, 1e-3)])
def test_trials_are_those_of_the_oracles_on_polynomials_and_waves(c1, c2):
    polynomials = [polynomial(seed) for seed in range(300)]
    assert max(compare_hager_zhang(phi, step, c1, c2) for phi, step in polynomials) >= 8
    assert max(compare_armijo(phi, step, c1) for phi, step in polynomials) >= 8
    # Waves magnify roundings: only where these are the same can trials be.
    assert max(compare_hager_zhang(waves(seed), 10.0 ** (seed % 4), c1, c2) for seed in range(100)) >= 5


def test_hager_zhang_widens_then_lands_on_the_minimum_of_a_parabola():
    ls, trials = search(lambda t: ((t - 3) ** 2, 2 * (t - 3)), 1.0, HagerZhang, c1=0.4, c2=0.1, slack=-inf)
    assert ls.accepted
    assert trials == [1, 5, 3]


def test_hager_zhang_halves_below_a_value_that_is_too_high():
    ls = HagerZhang(0.0, -1.0, 1.0)
    trials = []
    for f, slope in ((9.0, -5.0), (5.0, -2.0), (-0.001, -2.0), (4.0, -1.0), (1.0, 1.0)):
        trials.append(ls.step)
        ls.advance(f, slope)
    assert trials == [1, 0.5, 0.25, 0.375, 0.3125]
    assert 0.25 < ls.step < 0.3125


def test_hager_zhang_takes_no_second_step_from_a_trial_that_was_too_high():
    ls = HagerZhang(0.0, -1.0, 1.0)
    ls.advance(1e3, 1e3)
    high = ls.step
    ls.advance(5.0, -2.0)
    assert ls.step == 0.5 * high
    ls.advance(6.0, 3.0)
    ends = linesearch_oracles.Point(0.0, 0.0, -1.0), linesearch_oracles.Point(0.5 * high, 6.0, 3.0)
    assert ls.step == linesearch_oracles.bottom(*ends)


def test_hager_zhang_takes_a_value_that_rounding_may_have_lifted_for_a_low_one():
    low, high = HagerZhang(1.0, -1.0, 1.0, slack=0.125), HagerZhang(1.0, -1.0, 1.0, slack=0.125)
    low.advance(1.125, -1.0)
    high.advance(np.nextafter(1.125, 2), -1.0)
    assert (low.step, high.step) == (5, 0.5)


def test_hager_zhang_bisects_what_its_steps_do_not_shorten_enough():
    """The first step ends close to 0, and its slope promises nothing between it and 1 to the second."""
    ls = HagerZhang(0.0, -1.0, 1.0)
    ls.advance(1e3, 1e3)
    first = ls.step
    assert first < 1 / 3
    ls.advance(-first, -1.2)
    assert ls.step == first + 0.5 * (1 - first)


@pytest.mark.parametrize(
    ("f", "slope", "fraction"),
    [
        (1e6, 1e6, 0.1),
        (-0.49, 0.0, 0.5),
        (1.0, 4.0, 1 / 3),  # u^3 + u^2 - u
        (-0.49, -1.5, 0.5),  # falls all the way, steepest before half of it
    ],
)
def test_armijo_goes_back_to_the_minimum_of_a_cubic_or_nearly_so(f, slope, fraction):
    """Where the cubic's minimum is not between a tenth and a half of the trial, to the nearer of these."""
    ls = Armijo(0.0, -1.0, 7.0, c1=0.5)
    ls.advance(7 * f, slope)
    assert ls.step == pytest.approx(7 * fraction, rel=8 * 2.0**-52)


def test_armijo_never_lengthens_a_step():
    ls, trials = search(lambda t: (-t, -1.0), 1.0, Armijo)
    assert ls.accepted
    assert trials == [1]


@pytest.mark.parametrize("kind", [HagerZhang, Armijo])
@pytest.mark.parametrize("seed", range(40))
def test_accepted_step_meets_the_conditions_of_its_search(seed, kind):
    phi = waves(seed)
    ls, trials = search(phi, 10.0 ** (seed % 5 - 1), kind, c1=0.1)
    (f0, slope0), (f, slope) = phi(0.0), phi(ls.step)
    assert ls.accepted
    assert ls.step == trials[-1]
    low = f <= f0 + 0.1 * ls.step * slope0
    assert low or (kind is HagerZhang and f <= f0 and slope <= -0.8 * slope0)
    assert kind is Armijo or slope >= 0.9 * slope0


@pytest.mark.parametrize("seed", range(40))
def test_accepted_step_meets_the_strong_wolfe_conditions(seed):
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.1, 3, 3)
    scale = 10.0 ** rng.integers(-3, 4)

    def phi(t):
        t = t * scale
        f = exp(-a * t) + b * t * t + 0.3 * sin(c * t) - (2 + c) * t
        slope = -a * exp(-a * t) + 2 * b * t + 0.3 * c * cos(c * t) - (2 + c)
        return f, slope * scale

    c1, c2 = 1e-3, rng.choice([0.1, 0.5, 0.9])
    ls, trials = search(phi, 10.0 ** rng.uniform(-4, 4), c1=c1, c2=c2, xtol=1e-12, maxls=60)
    (f0, slope0), (f, slope) = phi(0.0), phi(ls.step)
    assert ls.accepted
    assert ls.step == trials[-1]
    assert f <= f0 + c1 * ls.step * slope0
    assert abs(slope) <= -c2 * slope0


@pytest.mark.parametrize("seed", range(200))
def test_trials_are_those_of_dcsrch(seed):
    """MINPACK-2's routine, in SciPy's translation, on functions with many local minima."""
    DCSRCH = pytest.importorskip("scipy.optimize._dcsrch").DCSRCH
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.1, 3, 3)
    stpmax = 10.0 ** rng.uniform(0, 2)

    def phi(t):
        return 0.05 * b * t * t - t + a * sin(9 * c * t) / 9, 0.1 * b * t - 1 + a * c * cos(9 * c * t)

    if phi(0.0)[1] >= 0:
        a = 0.5 / c
    step = 10.0 ** rng.uniform(-2, 0)
    c1, c2 = rng.choice([(1e-3, 1e-3), (1e-3, 0.9), (0.1, 0.1), (0.6, 0.7)])
    theirs = []
    oracle = DCSRCH(lambda t: (theirs.append(t), phi(t)[0])[1], lambda t: phi(t)[1], c1, c2, 1e-9, 0, stpmax)
    _, _, _, task = oracle(step, *phi(0.0), maxiter=60)
    ls, ours = search(phi, step, c1=c1, c2=c2, xtol=1e-9, stpmax=stpmax, maxls=60)
    assert ls.accepted == (task.startswith(b"CONV") or task == b"WARNING: STP = STPMAX")
    # The formulas are the same up to the order of roundings; interpolation between values that
    # differ in their third digit magnifies those a thousandfold.
    assert ours[:12] == pytest.approx(theirs[:12], rel=1024 * 2.0**-52, abs=0)


@pytest.mark.parametrize("kind", [MoreThuente, HagerZhang])
def test_no_trial_is_longer_than_allowed(kind):
    ls, trials = search(lambda t: (-t, -1.0), 1.0, kind, stpmax=7.5)
    assert ls.accepted
    assert trials == [1.0, 5.0, 7.5]


def test_longest_step_that_is_not_low_enough_is_an_end_of_the_interval():
    ls = HagerZhang(0.0, -1.0, 1.0, stpmax=1.0)
    ls.advance(0.0, -1.0)
    assert ls.step == 0.5


@each_search
@pytest.mark.parametrize("outside", [nan, inf, -inf])
@pytest.mark.parametrize("bad", ["f", "slope", "both"])
def test_step_out_of_the_domain_is_taken_back(outside, bad, kind):
    def phi(t):
        f, slope = (50 * t - log(1 - t), 50 + 1 / (1 - t)) if t < 1 else (0.0, 0.0)
        f, slope = f - 60 * t, slope - 60
        if t < 1:
            return f, slope
        return outside if bad != "slope" else f, outside if bad != "f" else slope

    ls, trials = search(phi, 30.0, kind)
    assert ls.accepted
    assert ls.step < 1
    assert trials[:3] == pytest.approx([30, 6, 1.2])


@pytest.mark.parametrize("kind", [MoreThuente, HagerZhang])
def test_lower_end_of_the_interval_is_where_the_way_back_leads(kind):
    """A fifth of the way from the best end, not from zero."""
    ls = kind(0.0, -1.0, 1.0)
    ls.advance(-1.0, -1.0)
    far = ls.step
    ls.advance(nan, nan)
    assert ls.step == pytest.approx(1 + 0.2 * (far - 1))


@pytest.mark.parametrize("kind", [MoreThuente, HagerZhang])
def test_step_out_of_the_domain_is_the_limit_of_later_ones(kind):
    ls = kind(0.0, -1.0, 1.0)
    ls.advance(nan, nan)
    ls.advance(-0.2, -1.0)
    assert ls.step == 0.999


def test_hager_zhang_widens_again_after_a_hole_in_the_domain():
    ls = HagerZhang(0.0, -1.0, 1.0)
    ls.advance(9.0, -5.0)
    ls.advance(nan, nan)
    assert ls.step == pytest.approx(0.1)
    ls.advance(-0.1, -1.0)
    assert ls.step == 0.999 * 0.5


def test_step_at_the_edge_of_the_domain_needs_no_curvature():
    ls = MoreThuente(0.0, -1.0, 1.0, stpmax=1.0)
    ls.advance(-1.0, -1.0)
    assert ls.accepted
    assert ls.step == 1.0


@each_search
def test_hole_in_the_domain_starts_the_search_anew(kind):
    """Found while the minimum is bracketed already; beyond it no trial goes again."""

    def phi(t):
        return ((t - 0.1) ** 2 + 10 * t**4, 2 * (t - 0.1) + 40 * t**3) if not 0.1 < t < 0.9 else (nan, nan)

    ls, trials = search(phi, 1.0, kind, c1=0.4)
    assert ls.accepted
    out = [t for t in trials if 0.1 < t < 0.9]
    assert out
    assert max(trials[trials.index(out[0]) + 1 :]) < out[0]


@each_search
def test_nothing_but_nan_uses_up_the_evaluations(kind):
    ls, trials = search(lambda t: (nan if t else 0.0, -1.0), kind=kind, maxls=7)
    assert not ls.accepted
    assert len(trials) == 7


HOPELESS = {
    "nothing but nan": lambda t: (nan if t else 0.0, -1.0),
    "wrong gradient": lambda t: (t, -1.0),
    "wrong gradient, rising": lambda t: (t, 1.0 if t else -1.0),
    "cliff": lambda t: (1.0 if t else 0.0, -1.0),
    "huge": lambda t: (1e308 if t else -1e308, 1e308 if t else -1e308),
}


@each_search
@pytest.mark.parametrize("maxls", [1, 2, 3, 10, 10**6])
@pytest.mark.parametrize("name", HOPELESS)
def test_search_that_cannot_succeed_ends(name, maxls, kind):
    ls, trials = search(HOPELESS[name], kind=kind, maxls=maxls)
    assert not ls.accepted
    assert len(trials) <= min(maxls, 1100)  # from 1 it takes 1074 halvings to arrive at 0
    if maxls <= 3:
        assert len(trials) == maxls
    assert min(trials) > 0


def test_interval_without_a_number_inside_is_the_end():
    ls, trials = search(lambda t: (0.0, -1.0 if t <= 0.3 else 1.0), 1.0, HagerZhang, maxls=10**6)
    assert not ls.accepted
    assert len(trials) < 200
    # Three trials shorten an interval at least to its half, five times that to 1 / 32 < .1 .3.
    _, short = search(lambda t: (0.0, -1.0 if t <= 0.3 else 1.0), 1.0, HagerZhang, xtol=0.1)
    assert len(short) <= 16


@each_search
@pytest.mark.parametrize(("slope", "accepted"), [(-0.9, True), (-0.91, False), (0.8, True), (0.81, False)])
def test_hidden_decrease_is_accepted_by_its_slope(slope, accepted, kind):
    """Hager and Zhang's approximate conditions, both limits from both sides."""
    f0 = 1e6
    ls = kind(f0, -1.0, 1e-5, slack=1e-9)
    ls.advance(f0 + 1e-9 * f0, slope)
    assert ls.accepted == accepted


@each_search
def test_hidden_decrease_has_a_limit(kind):
    f0 = 1e6
    ls = kind(f0, -1.0, 1e-5, slack=1e-9)
    ls.advance(np.nextafter(f0 + 1e-9 * f0, inf), 0.0)
    assert not ls.done


@each_search
def test_hidden_decrease_is_refused_where_it_is_off(kind):
    ls = kind(1e6, -1.0, 1e-5, slack=-inf)
    ls.advance(1e6, 0.0)
    assert not ls.done


@pytest.mark.parametrize(
    ("kind", "slope", "cosine", "accepted"),
    [
        (MoreThuente, -0.9, nan, True),
        (MoreThuente, -0.91, nan, False),
        (MoreThuente, 0.9, nan, True),
        (MoreThuente, 0.91, nan, False),
        (HagerZhang, -0.9, nan, True),
        (HagerZhang, -0.91, nan, False),
        (HagerZhang, 9.0, nan, True),
        (MoreThuente, -0.91, 0.1, True),
        (MoreThuente, -0.91, -0.1, False),
        (HagerZhang, -0.91, 0.1, True),
        (HagerZhang, -0.91, 0.0, False),
        (Armijo, -9.0, nan, True),
    ],
)
def test_step_low_enough_is_judged_by_its_slope_or_its_cosine(kind, slope, cosine, accepted):
    ls = kind(0.0, -1.0, 1.0)
    ls.advance(-1.0, slope, cosine)
    assert ls.accepted == accepted


@each_search
def test_cosine_is_no_excuse_for_too_little_decrease(kind):
    ls = kind(0.0, -1.0, 1.0, c1=0.5)
    ls.advance(-0.49, 1.0, 1.0)
    assert not ls.done
    ls = kind(0.0, -1.0, 1.0, c1=0.5)
    ls.advance(-0.5, 1.0, 1.0)
    assert ls.accepted


@each_search
def test_search_tells_whether_values_and_slopes_agree(kind):
    good, _ = search(lambda t: (t * t - t, 2 * t - 1), 0.7, kind)
    assert good.agrees
    wrong, trials = search(lambda t: (t * t + t, 2 * t - 1), 0.7, kind, maxls=15)
    assert not wrong.accepted
    assert not wrong.agrees
    assert len(trials) <= 15


@pytest.mark.parametrize(("kind", "step"), [(MoreThuente, 1e-3), (HagerZhang, 1e-3), (Armijo, 1e3)])
def test_no_unit_of_measurement_changes_the_search(kind, step):
    phi = waves(0)
    _, trials = search(phi, step, kind)
    assert len(trials) >= 3
    for power in (-40, 40):
        unit = 2.0**power
        _, scaled = search(lambda t, u=unit: tuple(u * v for v in phi(t)), step, kind)
        assert scaled == trials


@each_search
def test_bad_input_is_refused_in_words(kind):
    with pytest.raises(ValueError, match=r"Invalid slope: 0\.0 .*slope < 0"):
        kind(1.0, 0.0)
    with pytest.raises(ValueError, match=r"Invalid slope: nan"):
        kind(1.0, nan)
    with pytest.raises(ValueError, match=r"Invalid step: 0\.0"):
        kind(1.0, -1.0, 0.0)
    with pytest.raises(ValueError, match=r"Invalid step: 3\.0 .*stpmax=2\.0"):
        kind(1.0, -1.0, 3.0, stpmax=2.0)
    ls, _ = search(rational, kind=kind)
    with pytest.raises(RuntimeError, match="ended"):
        ls.advance(0.0, 0.0)


def test_value_beyond_all_measure_does_not_end_the_search_at_its_start():
    """Interpolation through it would go to where the next step is none at all."""

    def phi(t):
        return (t - 0.01) ** 2 + (1e250 if t > 0.5 else 0), 2 * (t - 0.01) + (1e253 if t > 0.5 else 0)

    ls, trials = search(phi, 1.0)
    assert ls.accepted
    assert min(trials) >= 1e-5
