"""What sets the optimizers beyond torch apart: signs, memories of the first step, closed forms, averaged weights."""

import numpy as np
import pytest

import fastopt as fo

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["SignSGD", "Signum", "Lion"])
def test_the_sign_of_zero_is_zero_and_nan_shows(name, dtype):
    w = np.arange(1, 34, dtype=dtype)
    g = np.where(np.arange(33) % 3 == 0, -0.0, np.where(np.arange(33) % 3 == 1, 1e-30, -np.inf)).astype(dtype)
    g[-1] = np.nan
    expected = w - np.array(0.25, dtype) * np.sign(g)
    getattr(fo, name)(w, lr=0.25).step(g)
    np.testing.assert_array_equal(w, expected)


def test_signum_without_momentum_keeps_no_buffer():
    opt = fo.Signum(np.ones(3), momentum=0)
    opt.step(np.ones(3))
    assert set(opt.state[0]) == {"step"}


@pytest.mark.parametrize("name", ["SignSGD", "Signum", "Lion", "AdamWScheduleFree"])
def test_decay_is_decoupled_by_default(name):
    ends = []
    for options in ({}, {"decay_mode": "decoupled"}, {"decay_mode": "l2"}):
        w = np.array([4.0, -3.0])
        opt = getattr(fo, name)(w, lr=0.1, weight_decay=0.5, **options)
        for _ in range(3):
            opt.step(np.array([-1.0, 2.0]))
        ends.append(w)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0] != ends[2]).all()


def test_yogi_starts_where_told():
    w = np.ones(5)
    opt = fo.Yogi(w, initial_accumulator=0.5, betas=(0.9, 0.75))
    opt.step(np.array([0.0, 0.1, 1.0, -1.0, 2.0]))
    np.testing.assert_allclose(opt.state[0]["exp_avg_sq"], [0.5, 0.5 - 0.0025, 0.75, 0.75, 1.5], rtol=1e-15)
    np.testing.assert_allclose(opt.state[0]["exp_avg"], [0, 0.01, 0.1, -0.1, 0.2], rtol=1e-15)


@pytest.mark.parametrize("options", [{}, {"maximize": True}, {"weight_decay": 0.1, "decay_mode": "l2"}])
def test_adan_has_no_difference_at_the_first_step(options):
    opt = fo.Adan([np.ones(3), np.ones(3)], **options)
    opt.step([np.full(3, 5.0), None])
    assert (opt.state[0]["exp_avg_diff"] == 0).all()
    opt.step([np.full(3, 4.0), np.full(3, 5.0)])
    assert (opt.state[0]["exp_avg_diff"] != 0).all()
    assert (opt.state[1]["exp_avg_diff"] == 0).all()


def test_adans_own_decay_is_proximal():
    p, q = np.array([4.0]), np.array([4.0])
    fo.Adan(p, lr=0.1, weight_decay=2.0).step(np.zeros(1))
    fo.Adan(q, lr=0.1, weight_decay=2.0, decay_mode="decoupled").step(np.zeros(1))
    assert p == pytest.approx(4 / 1.2, rel=1e-15)
    assert q == pytest.approx(4 * 0.8, rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("l1", "l2"), [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)])
def test_ftrl_without_gradient_keeps_the_weights(l1, l2, dtype):
    rng = np.random.default_rng(0)
    start = np.append(rng.standard_normal(99), 0).astype(dtype)
    w = start.copy()
    opt = fo.FTRL(w, lr=0.5, l1=l1, l2=l2)
    for _ in range(3):
        opt.step(np.zeros_like(w))
    # z rounds a sum no larger than |p| (beta/lr + l2) + l1, and its terms; p then is off by that over beta/lr + l2.
    bound = 3 * np.finfo(dtype).eps * (np.abs(start) + l1 / (2 + l2))
    assert (np.abs(w - start) <= bound).all()
    assert w[-1] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_ftrl_is_exactly_zero_up_to_l1(dtype):
    w = np.zeros(4, dtype)
    above = np.nextafter(dtype(0.75), dtype(1))
    fo.FTRL(w, l1=0.75).step(np.array([0.75, above, -0.75, -above], dtype))
    assert w[0] == w[2] == 0
    assert w[1] == -w[3] < 0


def trained(opt, w, steps):
    """The z of every step of `opt` down a bowl."""
    path = []
    for _ in range(steps):
        opt.step(2 * (w - 1))
        path.append(opt.state[0]["z"].copy())
    return path


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        (lambda w: fo.SGDScheduleFree(w, lr=0.1), np.ones(30)),
        (lambda w: fo.SGDScheduleFree(w, lr=0.1, r=1.0), np.arange(1, 31)),
        (lambda w: fo.SGDScheduleFree(w, lr=0.1, warmup_steps=10), np.minimum(np.arange(1, 31), 10) ** 2),
        (lambda w: fo.SGDScheduleFree(w, lr=0.1, warmup_steps=10, weight_lr_power=0), np.ones(30)),
        (lambda w: fo.SGDScheduleFree(w, lr=0.1, momentum=lambda t: 0.5), np.ones(30)),
        (lambda w: fo.AdamWScheduleFree(w, lr=0.1, betas=(0.9, 0.5)), np.ones(30)),
    ],
)
def test_averaged_weights_are_the_weighted_mean_of_z(make, weights):
    w = np.linspace(-2, 2, 9)
    opt = make(w)
    np.testing.assert_array_equal(opt.eval_params()[0], w)
    path = trained(opt, w, 30)
    mean = np.average(path, axis=0, weights=weights)
    # Each of 30 steps rounds y and z, of at most 4, some four times; the average is theirs over the momentum.
    np.testing.assert_allclose(opt.eval_params()[0], mean, rtol=0, atol=30 * 2.0**-53 * 4 * 4 / 0.5)
    held = w.copy()
    opt.eval()
    np.testing.assert_array_equal(w, opt.eval_params()[0])
    opt.train()
    np.testing.assert_array_equal(w, held)


def test_the_first_schedule_free_step_starts_from_the_weights():
    for name, moved in (("SGDScheduleFree", [0.5, -1.0]), ("AdamWScheduleFree", [0.1, -0.1])):
        w = np.array([3.0, -2.0])
        getattr(fo, name)(w, lr=0.1).step(np.array([5.0, -10.0]))
        np.testing.assert_allclose(w, np.array([3.0, -2.0]) - moved, rtol=1e-7)  # eps is 2e-9 of the root


def test_schedule_free_decay_is_one_thing_in_either_mode_of_sgd():
    ends = []
    for mode in ("l2", "decoupled"):
        w = np.array([4.0, -3.0])
        trained(fo.SGDScheduleFree(w, lr=0.1, weight_decay=0.5, decay_mode=mode), w, 5)
        ends.append(w)
    np.testing.assert_array_equal(*ends)


def test_a_rate_of_zero_leaves_schedule_free_weights_alone():
    w = np.ones(3)
    for opt in (fo.SGDScheduleFree(w, lr=0), fo.AdamWScheduleFree(w, lr=0)):
        opt.step(np.ones(3))
    assert (w == 1).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda w: fo.Signum(w, momentum=1.0), "Invalid momentum value: 1.0"),
        (lambda w: fo.Lion(w, betas=(0.9, 1.0)), "Invalid beta parameter at index 1: 1.0"),
        (lambda w: fo.AdaBelief(w, eps=-1), "Invalid epsilon value: -1"),
        (lambda w: fo.Yogi(w, initial_accumulator=-1), "Invalid initial_accumulator value: -1"),
        (lambda w: fo.Adan(w, betas=(0.9, 0.9)), "three numbers"),
        (lambda w: fo.FTRL(w, lr=0), "Invalid learning rate: 0 .FTRL needs lr > 0"),
        (lambda w: fo.FTRL(w, beta=0), "Invalid beta value: 0"),
        (lambda w: fo.FTRL(w, l2=-1), "Invalid l2 value: -1"),
        (lambda w: fo.SGDScheduleFree(w, momentum=0), "Invalid momentum value: 0"),
        (lambda w: fo.SGDScheduleFree(w, warmup_steps=-1), "Invalid warmup_steps: -1"),
        (lambda w: fo.SGDScheduleFree(w, r=-1), "Invalid r value: -1"),
        (lambda w: fo.AdamWScheduleFree(w, weight_lr_power=-1), "Invalid weight_lr_power value: -1"),
        (lambda w: fo.AdamWScheduleFree(w, betas=(0.0, 0.9)), "Invalid beta parameter at index 0: 0.0"),
    ],
)
def test_values_out_of_range_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make(np.ones(2))


def test_prodigy_resumes_with_a_parameter_that_waits_for_its_first_gradient():
    def run(stop):
        params = [np.ones(3), np.ones(3)]
        opt = fo.Prodigy(params)
        rng = np.random.default_rng(0)
        for step in range(40):
            grad = rng.standard_normal(3)
            if step == stop:
                saved, opt = opt.state_dict(), fo.Prodigy(params)
                opt.load_state_dict(saved)
            opt.step([grad, grad if step > 20 else None])
        return params

    np.testing.assert_array_equal(run(15), run(None))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_muon_is_silent_and_sees_the_direction_of_the_largest_gradients(dtype):
    w, v = np.eye(2, dtype=dtype), np.eye(2, dtype=dtype)
    grad = np.array([[1, 2], [-1, 0.5]], dtype)
    fo.Muon(w, lr=0.1).step(grad)
    fo.Muon(v, lr=0.1).step(grad * dtype(2.0 ** (np.finfo(dtype).maxexp - 3)))
    np.testing.assert_allclose(v, w, rtol=0, atol=16 * np.finfo(dtype).eps)
    grad[0, 0] = np.inf
    fo.Muon(v, lr=0.1).step(grad)
    assert np.isnan(v).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda w: fo.SGDScheduleFree(w, lr=1, r=10**30),
        lambda w: fo.ASGD(w, lr=1, lambd=1, alpha=10**30),
    ],
)
def test_huge_whole_powers_are_refused_not_worked_out(make):
    w = np.ones(2)
    opt = make(w)
    opt.step(np.zeros(2))
    before = w.copy()
    with pytest.raises(ValueError, match="no step can be made"):
        opt.step(np.zeros(2))
    np.testing.assert_array_equal(w, before)
