"""The line search against its paper, its conditions and its emergencies."""

from math import cos, exp, inf, log, nan, pi, sin, sqrt

import numpy as np
import pytest

from fastopt._linesearch import MoreThuente


def search(phi, step=1.0, **options):
    """Run a search on phi(t) -> (f, slope); return it with its trials."""
    ls = MoreThuente(*phi(0.0), step, **options)
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


def test_no_trial_is_longer_than_allowed():
    ls, trials = search(lambda t: (-t, -1.0), 1.0, stpmax=7.5)
    assert ls.accepted
    assert trials == [1.0, 5.0, 7.5]


@pytest.mark.parametrize("outside", [nan, inf, -inf])
@pytest.mark.parametrize("bad", ["f", "slope", "both"])
def test_step_out_of_the_domain_is_taken_back(outside, bad):
    def phi(t):
        f, slope = (50 * t - log(1 - t), 50 + 1 / (1 - t)) if t < 1 else (0.0, 0.0)
        f, slope = f - 60 * t, slope - 60
        if t < 1:
            return f, slope
        return outside if bad != "slope" else f, outside if bad != "f" else slope

    ls, trials = search(phi, 30.0)
    assert ls.accepted
    assert ls.step < 1
    assert trials[:3] == pytest.approx([30, 6, 1.2])


def test_lower_end_of_the_interval_is_where_the_way_back_leads():
    """A fifth of the way from the best end, not from zero."""
    ls = MoreThuente(0.0, -1.0, 1.0)
    ls.advance(-1.0, -1.0)
    far = ls.step
    ls.advance(nan, nan)
    assert ls.step == pytest.approx(1 + 0.2 * (far - 1))


def test_step_at_the_edge_of_the_domain_needs_no_curvature():
    ls = MoreThuente(0.0, -1.0, 1.0, stpmax=1.0)
    ls.advance(-1.0, -1.0)
    assert ls.accepted
    assert ls.step == 1.0


def test_nothing_but_nan_uses_up_the_evaluations():
    ls, trials = search(lambda t: (nan if t else 0.0, -1.0), maxls=7)
    assert not ls.accepted
    assert len(trials) == 7


@pytest.mark.parametrize(("slope", "accepted"), [(-0.9, True), (-0.91, False), (0.8, True), (0.81, False)])
def test_hidden_decrease_is_accepted_by_its_slope(slope, accepted):
    """Hager and Zhang's approximate conditions, both limits from both sides."""
    f0 = 1e6
    ls = MoreThuente(f0, -1.0, 1e-5, slack=1e-9)
    ls.advance(f0 + 1e-9 * f0, slope)
    assert ls.accepted == accepted


def test_hidden_decrease_has_a_limit():
    f0 = 1e6
    ls = MoreThuente(f0, -1.0, 1e-5, slack=1e-9)
    ls.advance(np.nextafter(f0 + 1e-9 * f0, inf), 0.0)
    assert not ls.done


def test_hidden_decrease_is_refused_unless_asked_for():
    ls = MoreThuente(1e6, -1.0, 1e-5)
    ls.advance(1e6, 0.0)
    assert not ls.done


def test_search_tells_whether_values_and_slopes_agree():
    good, _ = search(lambda t: (t * t - t, 2 * t - 1), 0.7)
    assert good.agrees
    wrong, trials = search(lambda t: (t * t + t, 2 * t - 1), 0.7, maxls=15)
    assert not wrong.accepted
    assert not wrong.agrees
    assert len(trials) <= 15


def test_no_unit_of_measurement_changes_the_search():
    _, trials = search(rational, 1e-3, c2=0.1)
    for power in (-40, 40):
        unit = 2.0**power
        _, scaled = search(lambda t, u=unit: tuple(u * v for v in rational(t)), 1e-3, c2=0.1)
        assert scaled == trials


def test_bad_input_is_refused_in_words():
    with pytest.raises(ValueError, match=r"Invalid slope: 0\.0 .*slope < 0"):
        MoreThuente(1.0, 0.0)
    with pytest.raises(ValueError, match=r"Invalid slope: nan"):
        MoreThuente(1.0, nan)
    with pytest.raises(ValueError, match=r"Invalid step: 0\.0"):
        MoreThuente(1.0, -1.0, 0.0)
    with pytest.raises(ValueError, match=r"Invalid step: 3\.0 .*stpmax=2\.0"):
        MoreThuente(1.0, -1.0, 3.0, stpmax=2.0)
    ls, _ = search(rational)
    with pytest.raises(RuntimeError, match="ended"):
        ls.advance(0.0, 0.0)


def test_value_beyond_all_measure_does_not_end_the_search_at_its_start():
    """Interpolation through it would go to where the next step is none at all."""

    def phi(t):
        return (t - 0.01) ** 2 + (1e250 if t > 0.5 else 0), 2 * (t - 0.01) + (1e253 if t > 0.5 else 0)

    ls, trials = search(phi, 1.0)
    assert ls.accepted
    assert min(trials) >= 1e-5
