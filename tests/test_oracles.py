"""The oracles, held to figures worked by hand, to numerical derivatives and to live torch."""

from itertools import product

import numpy as np
import optim_oracles
import pytest
import schedule_cases
import schedule_oracles
from numpy.testing import assert_allclose

EXACT = 1e-15
PEER = 1e-12

BETAS = ((0.9, 0.999), (0.5, 0.8))
BOTH = (False, True)
TORCH = {  # every combination of these, and the defaults, is held to torch
    "SGD": {
        "lr": (0.1,),
        "momentum": (0, 0.9),
        "dampening": (0, 0.5),
        "weight_decay": (0, 0.1),
        "nesterov": BOTH,
        "maximize": BOTH,
    },
    "ASGD": {
        "lr": (0.1,),
        "lambd": (1e-4, 0.1),
        "alpha": (0.75, 0.5),
        "t0": (1e6, 5.0),
        "weight_decay": (0, 0.1),
        "maximize": BOTH,
    },
    "Rprop": {
        "lr": (0.1,),
        "etas": ((0.5, 1.2), (0.3, 1.5)),
        "step_sizes": ((1e-6, 50), (0.05, 0.2)),
        "maximize": BOTH,
    },
    "Adagrad": {
        "lr": (0.1,),
        "lr_decay": (0, 0.1),
        "weight_decay": (0, 0.1),
        "initial_accumulator_value": (0, 0.5),
        "eps": (1e-10, 0.1),
        "maximize": BOTH,
    },
    "Adadelta": {"rho": (0.9, 0.5), "eps": (1e-6, 0.1), "weight_decay": (0, 0.1), "maximize": BOTH},
    "RMSprop": {
        "alpha": (0.99, 0.5),
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "momentum": (0, 0.9),
        "centered": BOTH,
        "maximize": BOTH,
    },
    "Adam": {
        "lr": (0.01,),
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "amsgrad": BOTH,
        "maximize": BOTH,
        "decoupled_weight_decay": BOTH,
    },
    "AdamW": {
        "lr": (0.01,),
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "amsgrad": BOTH,
        "maximize": BOTH,
    },
    "Adamax": {"betas": BETAS, "eps": (1e-8, 0.1), "weight_decay": (0, 0.1), "maximize": BOTH},
    "NAdam": {
        "betas": BETAS,
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "momentum_decay": (4e-3, 0.1),
        "decoupled_weight_decay": BOTH,
        "maximize": BOTH,
    },
    "RAdam": {
        "betas": (*BETAS, (0.9, 0.6)),  # the last never rectifies
        "eps": (1e-8, 0.1),
        "weight_decay": (0, 0.1),
        "decoupled_weight_decay": BOTH,
        "maximize": BOTH,
    },
    "Adafactor": {
        "lr": (0.01, 2.0),
        "beta2_decay": (-0.8, -0.5),
        "eps": ((None, 1e-3), (1e-2, 0.5)),
        "d": (1.0, 1.2),
        "weight_decay": (0, 0.1),
        "maximize": BOTH,
    },
    "Muon": {
        "lr": (0.01,),
        "weight_decay": (0, 0.1),
        "momentum": (0.95, 0.5),
        "nesterov": BOTH,
        "ns_steps": (5, 2),
        "adjust_lr_fn": (None, "original", "match_rms_adamw"),
    },
}
OPTIMIZERS = [
    (name, options)
    for name, table in TORCH.items()
    for options in ({}, *(dict(zip(table, values, strict=True)) for values in product(*table.values())))
    if not options.get("nesterov") or (options["momentum"] and not options.get("dampening"))
]
NAMES = [name for name, kind in vars(optim_oracles).items() if isinstance(kind, type) and hasattr(kind, "update")]
SHAPES = {"Muon": ((3, 3), (4, 2), (2, 5))}  # torch's takes matrices only
ONE_RATE = ("ASGD",)  # torch's takes a new rate one step late


def complex_step(loss, z, target):
    """Gradient of the sum of loss(z, target), by an imaginary step: no cancellation."""
    grad = np.empty_like(z)
    for i in np.ndindex(z.shape):
        step = z.astype(complex)
        step[i] += 1e-30j
        grad[i] = np.sum(loss(step, target)).imag / 1e-30
    return grad


def test_sgd_with_momentum_matches_the_sequence_worked_by_hand():
    # buffer: 1, 0.5*1 + 0.75*1 = 1.25, 0.5*1.25 + 0.75*2 = 2.125; each step subtracts half of it
    sgd, p = optim_oracles.SGD(lr=0.5, momentum=0.5, dampening=0.25), np.array([1.0])
    seen = []
    for g in (1.0, 1.0, 2.0):
        sgd.step([p], [np.array([g])])
        seen.append((sgd.state[0]["momentum_buffer"].item(), p.item()))
    assert seen == [(1.0, 0.5), (1.25, -0.125), (2.125, -1.1875)]


def test_sgd_with_nesterov_looks_ahead():
    sgd, p = optim_oracles.SGD(lr=0.5, momentum=0.5, nesterov=True), np.array([1.0])
    sgd.step([p], [np.array([1.0])])
    assert p == 1 - 0.5 * (1 + 0.5 * 1)
    sgd.step([p], [np.array([1.0])])
    assert p == 0.25 - 0.5 * (1 + 0.5 * 1.5)


def test_sgd_decays_towards_zero_whichever_way_it_goes():
    for maximize, expected in ((False, 2 - 0.5 * (1 + 0.5)), (True, 2 - 0.5 * (1 - 0.5))):
        p = np.array([2.0])
        optim_oracles.SGD(lr=0.5, weight_decay=0.5, maximize=maximize).step([p], [np.array([0.5])])
        assert p == expected


def test_first_adam_step_is_lr_against_the_sign():
    p, g = np.zeros(3), np.array([1e3, -1.0, 1e-3])
    optim_oracles.Adam(lr=0.1, eps=1e-8).step([p], [g])
    assert_allclose(p, -0.1 * g / (np.abs(g) + 1e-8), rtol=EXACT)


def test_second_adam_step_matches_the_fractions_worked_by_hand():
    # beta1 = 1/2, beta2 = 3/4, g = 1 then -2: m = -3/4, v = 19/16, corrected by 3/4 and 7/16
    adam, p = optim_oracles.Adam(lr=1.0, betas=(0.5, 0.75), eps=0.0), np.zeros(1)
    adam.step([p], [np.array([1.0])])
    adam.step([p], [np.array([-2.0])])
    assert adam.state[0]["exp_avg"] == -0.75
    assert adam.state[0]["exp_avg_sq"] == 19 / 16
    assert_allclose(p, -1 + np.sqrt(7 / 19), rtol=EXACT)


def test_amsgrad_remembers_the_largest_second_moment():
    adam, p = optim_oracles.Adam(lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=True), np.zeros(1)
    adam.step([p], [np.array([2.0])])
    adam.step([p], [np.array([1.0])])  # v = 1.5 < 2, corrected by 3/4
    assert adam.state[0]["max_exp_avg_sq"] == 2
    assert_allclose(p, -1 - 1 / np.sqrt(2 / 0.75), rtol=EXACT)


def test_adamw_decays_the_weight_and_adam_the_gradient():
    w, adam = np.array([2.0]), np.array([2.0])
    optim_oracles.AdamW(lr=0.1, weight_decay=0.5, eps=0.0).step([w], [np.array([1.0])])
    optim_oracles.Adam(lr=0.1, weight_decay=0.5, eps=0.0).step([adam], [np.array([-3.0])])
    assert_allclose(w, 2 * (1 - 0.05) - 0.1, rtol=EXACT)
    assert_allclose(adam, 2 + 0.1, rtol=EXACT)  # g = -3 + 0.5*2 < 0


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_gradient_leaves_parameter_state_and_count_alone(name):
    optimizer = getattr(optim_oracles, name)(ema=0.5)
    p, q = np.ones(2), np.ones(2)
    optimizer.step([p, q], [np.ones(2), None])
    assert (p != 1).all()
    assert (q == 1).all() and optimizer.state[1] == {}
    optimizer.step([p, q], [np.ones(2), np.ones(2)])
    assert optimizer.state[1].get("step", 1) == 1
    optimizer.step([p, q], [None, None])


def run(optimizer, gradients, start=0.0):
    """The weights after each of the gradients: one weight, or one array of them."""
    p, seen = np.array(start, float, ndmin=1), []
    for g in gradients:
        optimizer.step([p], [np.array(g, float, ndmin=1)])
        seen.append(p.copy())
    return np.squeeze(seen)


def test_asgd_takes_a_new_rate_at_once_and_averages_from_t0():
    asgd = optim_oracles.ASGD(lr=0.5, lambd=1.0, alpha=1.0, t0=0)
    assert_allclose(run(asgd, [1.0, 1.0]), [-0.5, -0.5 * 2 / 3 - 1 / 3], rtol=EXACT)  # eta = 1/2, 1/3
    assert_allclose(asgd.state[0]["ax"], -2 / 3, rtol=EXACT)  # mu = 1, 1, 1/2
    asgd.lr = 0.25  # eta = 1/6
    asgd.step([p := np.array([-2 / 3])], [np.array([1.0])])
    assert_allclose(p, -2 / 3 * 5 / 6 - 1 / 6, rtol=EXACT)
    assert_allclose(asgd.state[0]["ax"], -2 / 3 / 2 + p / 2, rtol=EXACT)


def test_rprop_rests_where_the_sign_turns_and_goes_on_with_half():
    assert_allclose(run(optim_oracles.Rprop(lr=1.0), [1, 1, -1, -1, -1]), [-1, -2.2, -2.2, -1.6, -0.88], rtol=EXACT)


def test_adafactor_takes_the_eps_of_the_dtype():
    for dtype in (np.float32, np.float64):
        g = np.finfo(dtype).eps / 2  # below eps, which bounds the root; RMS(p) is below 1e-3
        assert_allclose(run(optim_oracles.Adafactor(dtype=dtype), [g]), -1e-3 * 0.01 / 2, rtol=EXACT)


def test_muon_moves_a_matrix_along_its_polar_factor():
    rng = np.random.default_rng(8)
    u, _, vt = np.linalg.svd(rng.normal(size=(4, 3)), full_matrices=False)
    p = np.zeros((4, 3))
    optim_oracles.Muon(lr=0.5, weight_decay=0).step([p], [u * [3.0, 2.0, 1.0] @ vt])
    size = -u.T @ p @ vt.T / 0.5 / np.sqrt(4 / 3)
    assert_allclose(size, np.diag(np.diag(size)), rtol=0, atol=1e-12)
    assert ((np.diag(size) > 0.65) & (np.diag(size) < 1.25)).all()  # where five rounds take singular values > 0.1


def test_muon_moves_a_vector_like_adamw():
    gradients = np.random.default_rng(9).normal(size=(5, 3))
    options = {"lr": 0.1, "weight_decay": 0.5}
    vectors = [run(getattr(optim_oracles, name)(**options), gradients, np.ones(3)) for name in ("Muon", "AdamW")]
    assert_allclose(*vectors, rtol=EXACT)


def test_lion_follows_the_sign_of_what_it_remembers():
    lion = optim_oracles.Lion(lr=0.5, betas=(0.5, 0.75))
    assert (run(lion, [1.0, -0.2, -0.2]) == [-0.5, -1.0, -0.5]).all()  # m = 1/4, 0.1375 against g / 2 each
    assert run(optim_oracles.Lion(), [0.0]) == 0


def test_signum_follows_the_sign_of_the_mean_and_sign_sgd_of_the_last():
    assert (
        run(optim_oracles.Signum(lr=0.5, momentum=0.5), [1.0, -0.2, -0.2, 0.0]) == [-0.5, -1, -0.5, 0]
    ).all()  # m = 0.5, 0.15, -0.025
    for plain in (optim_oracles.Signum(lr=0.5, momentum=0), optim_oracles.SignSGD(lr=0.5)):
        assert (run(plain, [1.0, -0.2, 0.0]) == [-0.5, 0, 0]).all()
        assert plain.state == [{}]


@pytest.mark.parametrize("name", ["Lion", "Signum", "SignSGD"])
def test_sign_rules_decay_the_weight(name):
    assert run(getattr(optim_oracles, name)(lr=0.5, weight_decay=0.5), [1.0], 2.0) == 2 * 0.75 - 0.5


def test_adabelief_trusts_a_steady_gradient():
    # m = 1/2, 3/4; s = 1/8, 3/32, corrected 1/4, 1/8
    seen = run(optim_oracles.AdaBelief(lr=1.0, betas=(0.5, 0.5), eps=0.0), [1.0, 1.0])
    assert_allclose(seen, [-2, -2 - np.sqrt(8)], rtol=EXACT)
    seen = run(optim_oracles.AdaBelief(lr=1.0, betas=(0.0, 0.5), eps=0.25), [1.0, 2.0])
    # s = 1/4, 3/8, corrected 1/2, 1/2: eps is in s at every step, and at its root
    assert_allclose(seen, np.cumsum([-1, -2]) / (np.sqrt(0.5) + 0.25), rtol=EXACT)


def test_yogi_changes_by_the_size_of_the_gradient_only():
    # m = 1/4, 9/8, corrected by 1/2, 3/4; v = 1 - 1/16 = 15/16, 15/16 + 1 = 31/16, corrected by 1/4, 7/16
    yogi = optim_oracles.Yogi(lr=1.0, betas=(0.5, 0.75), eps=0.5, initial_accumulator=1.0)
    steps = [0.5 / (np.sqrt(15 / 4) + 0.5), 1.5 / (np.sqrt(31 / 7) + 0.5)]
    assert_allclose(run(yogi, [0.5, 2.0]), -np.cumsum(steps), rtol=EXACT)


def test_adan_is_adam_while_the_gradient_stays_and_leaps_when_it_grows():
    gradients = [3.0, 3.0, 3.0]
    assert_allclose(run(optim_oracles.Adan(lr=0.1, eps=1.0), gradients), -0.075 * np.arange(1, 4), rtol=4 * EXACT)
    # m = 5/4, d = 1/2, n = 1/4 + (5/2)^2 / 2 = 27/8, all corrected by 3/4
    seen = run(optim_oracles.Adan(lr=1.0, betas=(0.5, 0.5, 0.5), eps=0.0), [1.0, 2.0])
    assert_allclose(seen, [-1, -1 - 2 / np.sqrt(4.5)], rtol=EXACT)
    assert_allclose(run(optim_oracles.Adan(lr=0.5, weight_decay=0.5, eps=0.0), [1.0], 2.0), 1.5 / 1.25, rtol=EXACT)


def test_nadamw_is_nadam_with_decoupled_decay():
    gradients = np.random.default_rng(10).normal(size=(9, 3))
    nadam = optim_oracles.NAdam(weight_decay=0.01, decoupled_weight_decay=True)
    assert (run(optim_oracles.NAdamW(), gradients, np.ones(3)) == run(nadam, gradients, np.ones(3))).all()


def test_ftrl_without_penalties_is_adagrad_with_beta_for_eps():
    gradients = np.random.default_rng(11).normal(size=(20, 3))
    ftrl, adagrad = optim_oracles.FTRL(lr=0.3, beta=0.7), optim_oracles.Adagrad(lr=0.3, eps=0.7)
    assert_allclose(run(ftrl, gradients, np.ones(3)), run(adagrad, gradients, np.ones(3)), rtol=0, atol=1e-14)


def test_ftrl_with_penalties_by_hand():
    # z = -7/2, +3 - 6 = -13/2, n = 9, so p = 6/9; then z = -13/2 + 4 - 8/3, n = 25, so p = (14/3)/13
    ftrl = optim_oracles.FTRL(lr=0.5, l1=0.5, l2=1.0)
    assert_allclose(run(ftrl, [0.0, 3.0, 4.0], 1.0), [1, 2 / 3, 14 / 39], rtol=4 * EXACT)
    assert_allclose(
        run(optim_oracles.FTRL(lr=0.5, l1=0.5, l2=1.0), [0.0, 0.5, 0.25]), [0, 0, -0.25 / (2 + np.sqrt(1.25) + 1)]
    )


def test_lamb_moves_as_far_as_the_weights_are_large():
    # u = sign(g) + wd p
    first = {"lr": 0.5, "betas": (0.5, 0.75), "eps": 0.0}
    seen = run(optim_oracles.LAMB(weight_decay=0, **first), [[1, -1]], [3, 4])
    assert_allclose(seen, [3 - 0.5 * 5 / np.sqrt(2), 4 + 0.5 * 5 / np.sqrt(2)], rtol=EXACT)
    seen = run(optim_oracles.LAMB(weight_decay=1.0, **first), [[1, -1]], [3, 4])
    assert_allclose(seen, [3 - 0.5 * 4, 4 - 0.5 * 3], rtol=EXACT)
    assert (run(optim_oracles.LAMB(**first), [[1, -1]], [0, 0]) == [-0.5, 0.5]).all()
    assert (run(optim_oracles.LAMB(weight_decay=0, eps=1.0), [[0, 0]], [3, 4]) == [3, 4]).all()


def test_lamb_goes_where_adam_goes():
    gradients = np.random.default_rng(12).normal(size=(5, 3))
    lamb, adam = optim_oracles.LAMB(weight_decay=0), optim_oracles.Adam(eps=1e-6)
    for g in gradients:
        p, q = np.ones(3), np.ones(3)
        lamb.step([p], [g])
        adam.step([q], [g])
        assert_allclose((p - 1) / np.linalg.norm(p - 1), (q - 1) / np.linalg.norm(q - 1), rtol=1e-11)  # p - 1 cancels


def test_lars_keeps_the_rate_of_each_tensor_in_its_momentum():
    # |p| = 5, |g| = 2: local = 5/2 / (2 + 5/2 + 1/2), d = lr/2 (g + p/2) = (3/8, 1)
    options = {"lr": 0.5, "weight_decay": 0.5, "trust_coefficient": 0.5, "eps": 0.5, "momentum": 0.5}
    assert_allclose(run(optim_oracles.LARS(**options), [[0, 2]], [3, 4]), [2.625, 3], rtol=EXACT)
    assert_allclose(run(optim_oracles.LARS(**options, nesterov=True), [[0, 2]], [3, 4]), [2.4375, 2.5], rtol=EXACT)
    lars = optim_oracles.LARS(lr=0.5, momentum=0.5)
    assert_allclose(run(lars, [[0, 2], [0, 0]], [0, 0]), [[0, -1], [0, -1.5]], rtol=EXACT)  # no weights: 1
    assert (run(optim_oracles.LARS(lr=0.5, weight_decay=0.5), [[0, 0]], [4, 8]) == [3, 6]).all()  # no gradient: 1
    options = {"lr": 0.5, "trust_coefficient": 0.5, "eps": 0, "momentum": 0.5}
    lars = optim_oracles.LARS(**options)
    lars.step([p := np.array([4.0])], [np.array([8.0])])
    lars.lr = 0.25
    lars.step([p], [np.array([8.0])])
    assert (p == 4 - 1 - 0.5 - 0.25 * 0.5 * 3).all()


def test_prodigy_by_hand():
    # beta3 = 1/2. m = 1/2, 3/4; v = 3/4, 15/16; s = 1, 3/2; the numerator is 0, then 1/sqrt(3), so d = 1, 2/sqrt(3)
    options = {"betas": (0.5, 0.25), "d0": 1.0, "d_coef": 3.0, "eps": 0.0}
    prodigy = optim_oracles.Prodigy(**options)
    seen = run(prodigy, [1.0, 1.0])
    assert_allclose(seen, np.cumsum([-np.sqrt(1 / 3), -np.sqrt(0.6)]), rtol=EXACT)
    assert_allclose([prodigy.d, prodigy.d_max, prodigy.d_numerator], [2 / 3**0.5, 2 / 3**0.5, 1 / 3**0.5], rtol=EXACT)
    prodigy = optim_oracles.Prodigy(**options, growth_rate=1.125)
    p = run(prodigy, [1.0, 1.0, 1.0])[1]
    # the numerator halves and gains 4/3 of the way so far, s = 3/4 + 4/3
    d_hat = 3 * (0.5 / 3**0.5 - 4 / 3 * p) / (3 / 4 + 4 / 3)
    assert_allclose([prodigy.d, prodigy.d_max], [2 / 3**0.5 * 1.125, d_hat], rtol=EXACT)


def test_prodigy_corrects_the_bias_as_adam_does():
    prodigy = optim_oracles.Prodigy(betas=(0.5, 0.25), d0=1.0, eps=0.0, use_bias_correction=True)
    assert_allclose(run(prodigy, [1.0, 1.0]), [-1, -2], rtol=EXACT)


def test_prodigy_without_momentum_takes_the_new_distance():
    prodigy = optim_oracles.Prodigy(betas=(0.0, 0.25), d0=1.0, d_coef=3.0, eps=0.0)
    # v = 3, then 3/4 + 3 = 15/4; s = 2, then 3; the numerator is 2 * 2 / sqrt(3), so d = 4 / sqrt(3)
    assert_allclose(run(prodigy, [2.0, 2.0]), np.cumsum([-2 / 3**0.5, -(4 / 3**0.5) * 2 / 3.75**0.5]), rtol=EXACT)


def test_prodigy_guarded_against_warmup_leaves_the_rate_out_of_s():
    for guarded, s in ((False, 3), (True, 3 / 2)):  # the numerator is 2 (0 - p) = 4 / sqrt(3)
        prodigy = optim_oracles.Prodigy(
            lr=2.0, betas=(0.5, 0.25), d0=1.0, d_coef=3.0, eps=0.0, safeguard_warmup=guarded
        )
        run(prodigy, [1.0, 1.0])
        assert_allclose(prodigy.d, 3 * 4 / 3**0.5 / s, rtol=EXACT)


def test_prodigy_finds_the_distance_to_the_solution():
    x = np.array([0.5, -2.0, 8.0])
    prodigy, p = optim_oracles.Prodigy(), [np.zeros(2), np.zeros(1)]
    for _ in range(300):
        prodigy.step(p, [p[0] - x[:2], p[1] - x[2:]])
    assert 0.1 < prodigy.d < 8  # from 1e-6, and never above the largest distance
    assert_allclose(np.concatenate(p), x, rtol=1e-5)


def test_prodigy_waits_for_a_gradient_and_a_rate():
    prodigy = optim_oracles.Prodigy(d0=0.5)
    assert run(prodigy, [0.0], 3.0) == 3
    prodigy.lr = 0.0
    assert run(prodigy, [1.0], 3.0) == 3
    assert (prodigy.steps, prodigy.d) == (0, 0.5)


@pytest.mark.parametrize("name", ["SGDScheduleFree", "AdamWScheduleFree"])
def test_schedule_free_weights_lie_between_the_moving_ones_and_their_mean(name):
    rng = np.random.default_rng(13)
    free = getattr(optim_oracles, name)(lr=0.5, warmup_steps=4, r=1.5, weight_decay=0.1)
    p, z, weights = rng.normal(size=3), [], []
    for t in range(1, 11):
        free.step([p], [rng.normal(size=3)])
        z.append(free.state[0]["z"])
        weights.append(t**1.5 * (0.5 * min(1, t / 4)) ** 2)
        x = np.average(z, axis=0, weights=weights)
        assert_allclose(free.state[0]["average"], x, rtol=0, atol=1e-14)
        assert_allclose(p, 0.1 * z[-1] + 0.9 * x, rtol=0, atol=1e-14)


def test_schedule_free_moves_z_like_sgd_and_like_rmsprop():
    sgd = optim_oracles.SGDScheduleFree(lr=0.5, momentum=0.5, weight_decay=0.25)
    # the gradients are 1 + y/4: z = 2 - 3/4 = 5/4 = x, then z = 5/4 - 21/32 = 19/32 and x = 59/64
    assert (run(sgd, [1.0, 1.0], 2.0) == [5 / 4, (19 / 32 + 59 / 64) / 2]).all()
    sgd = optim_oracles.SGDScheduleFree(ema=0.5)
    assert run(sgd, [1.0, 1.0]).mean() == sgd.state[0]["average"]
    adamw = optim_oracles.AdamWScheduleFree(lr=0.5, betas=(0.5, 0.5), eps=0.0, weight_decay=0.25)
    run(adamw, [3.0], 2.0)
    assert adamw.state[0]["z"] == 2 - 0.5 * (1 + 0.25 * 2)
    run(adamw, [3.0], 4.0)
    assert adamw.state[0]["z"] == 1.25 - 0.5 * (1 + 0.25 * 4)


def test_sparse_adam_passes_rows_by_that_no_gradient_names():
    options = {"lr": 0.1, "weight_decay": 0.5, "decay_mode": "decoupled", "l1": 0.1, "bounds": (-0.8, 0.8)}
    rng = np.random.default_rng(14)
    sparse, dense, p, q = (
        optim_oracles.SparseAdam(**options),
        optim_oracles.SparseAdam(**options),
        np.ones((3, 2)),
        np.ones((2, 2)),
    )
    for _ in range(5):
        g = rng.normal(size=(2, 2))
        sparse.step([p], [([2, 0, 2], [g[1] / 2, g[0], g[1] / 2])])
        dense.step([q], [g])
    assert_allclose(p, [q[0], [1, 1], q[1]], rtol=EXACT)
    sparse, dense = (optim_oracles.SparseAdam(eps=1.0, accumulate=k) for k in (2, 1))
    sparse.step([p := np.ones(3)], [([0], [4.0])])
    sparse.step([p], [([1, 0], [2.0, 2.0])])
    dense.step([q := np.ones(2)], [np.array([3.0, 1.0])])
    assert (p == [*q, 1]).all()
    adam, expected = optim_oracles.Adam(**options, eps_mode="hat"), np.ones((2, 2))
    optim_oracles.SparseAdam(**options).step([q := np.ones((2, 2))], [g])
    adam.step([expected], [g])
    assert_allclose(q, expected, rtol=EXACT)


# The options common to all.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("maximize", BOTH)
def test_l2_decay_is_part_of_the_gradient(name, maximize):
    rng, kind, sign = np.random.default_rng(15), getattr(optim_oracles, name), -1 if maximize else 1
    p = rng.normal(size=(2, 3))
    q = p.copy()
    decayed = kind(weight_decay=0.5, decay_mode="l2", maximize=maximize)
    plain = kind(weight_decay=0)
    for _ in range(3):
        g = rng.normal(size=(2, 3))
        decayed.step([p], [g])
        plain.step([q], [sign * g + 0.5 * q])
    assert_allclose(p, q, rtol=1e-13)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"Adafactor", "Prodigy"}))  # which take RMS(p) and d before it
def test_decoupled_decay_comes_before_the_update(name):
    rng, kind = np.random.default_rng(16), getattr(optim_oracles, name)
    p, g = rng.normal(size=(2, 2, 3))
    q = 0.75 * p
    kind(lr=0.5, weight_decay=0.5, decay_mode="decoupled").step([p], [g])
    kind(lr=0.5, weight_decay=0).step([q], [g])
    assert_allclose(p, q, rtol=EXACT)


def test_decoupled_decay_of_prodigy_is_at_its_own_rate():
    seen = run(optim_oracles.Prodigy(weight_decay=0.5, d0=0.25, lr=2.0, eps=0.0), [1.0], 4.0)
    assert_allclose(seen, 4 * 0.75 - 0.5 * 0.1 / np.sqrt(0.001), rtol=1e-14)


@pytest.mark.parametrize(("name", "other"), [("Adam", "AdamW"), ("AdamW", "Adam"), ("NAdam", "NAdamW")])
def test_the_mode_of_decay_prevails(name, other):
    gradients = np.random.default_rng(17).normal(size=(5, 3))
    mode = "decoupled" if other.endswith("W") else "l2"
    one = getattr(optim_oracles, name)(weight_decay=0.5, decay_mode=mode)
    two = getattr(optim_oracles, other)(weight_decay=0.5)
    assert (run(one, gradients, np.ones(3)) == run(two, gradients, np.ones(3))).all()


@pytest.mark.parametrize(
    ("name", "step"),
    [  # g = 1, eps = 1, beta2 = 1 - 1/4: the root is 1/2, corrected 1
        ("Adam", {"torch": 1 / 2, "hat": (1 / 2) / (3 / 2), "root": 1 / np.sqrt(2)}),
        ("RMSprop", {"torch": 2 / 3, "hat": 2 / 3, "root": 1 / np.sqrt(5 / 4)}),
        ("SparseAdam", {"torch": (1 / 2) / (3 / 2), "hat": (1 / 2) / (3 / 2), "root": 1 / np.sqrt(2)}),
    ],
)
def test_eps_is_where_the_mode_puts_it(name, step):
    beta = {"alpha": 0.75} if name == "RMSprop" else {"betas": (0.5, 0.75)}
    for mode, expected in step.items():
        optimizer = getattr(optim_oracles, name)(lr=1.0, eps=1.0, eps_mode=mode, **beta)
        assert_allclose(run(optimizer, [1.0]), -expected, rtol=EXACT)


def test_soft_threshold_then_bounds():
    start = [2.0, -2.0, 0.1, -0.1]
    for low, high, expected in (
        (None, None, [1.75, -1.75, 0, 0]),
        (-1, None, [1.75, -1, 0, 0]),
        (0.5, 1, [1, 0.5, 0.5, 0.5]),
    ):
        sgd = optim_oracles.SGD(lr=0.5, l1=0.5, bounds=(low, high))
        assert (run(sgd, [np.zeros(4)], start) == expected).all()


def test_lookahead_goes_back_part_of_the_way_before_averages_are_taken():
    sgd = optim_oracles.SGD(lr=1.0, lookahead=(2, 0.25), swa_start=1)
    assert (run(sgd, np.ones(5)) == [-1, -0.5, -1.5, -1, -2]).all()
    assert sgd.state[0]["slow"] == -1
    assert_allclose(sgd.state[0]["average"], -6 / 5, rtol=EXACT)


def test_a_step_with_an_infinite_gradient_changes_nothing():
    for bad in (np.inf, np.nan):
        adam = optim_oracles.Adam(skip_nonfinite=True, clip_norm=1.0, clip_value=1.0, lookahead=(2, 0.5), ema=0.5)
        p, q = np.ones(2), np.ones(2)
        adam.step([p, q], [np.array([1.0, bad]), np.ones(2)])
        assert (p == 1).all() and (q == 1).all()
        assert adam.state == [{}, {}] and adam.skipped_steps == 1 and adam.last_grad_norm is None
        adam.step([p, q], [np.ones(2), np.ones(2)])
        assert (p < 1).all() and adam.skipped_steps == 1


def test_accumulated_gradients_make_one_step_with_their_mean():
    sgd, p, q, g = optim_oracles.SGD(lr=1.0, accumulate=3), np.zeros(1), np.zeros(1), np.zeros(1)
    for t in range(6):
        g[:] = t  # the caller may use its array again
        sgd.step([p, q], [g, g if t == 1 else None])
        assert p == (0 if t < 2 else -1 if t < 5 else -5)
        assert q == (0 if t < 2 else -1 / 3)


@pytest.mark.parametrize(
    ("name", "arguments", "rates"),
    [
        ("LambdaLR", {"lr_lambda": lambda t: 2 - t}, [4, 2, 0]),
        ("MultiplicativeLR", {"lr_lambda": lambda t: t + 1}, [2, 4, 12, 48]),
        ("StepLR", {"step_size": 2, "gamma": 0.5}, [2, 2, 1, 1, 0.5, 0.5]),
        ("MultiStepLR", {"milestones": [3, 1, 3], "gamma": 0.5}, [2, 1, 1, 0.25]),
        ("ConstantLR", {"factor": 0.25, "total_iters": 2}, [0.5, 0.5, 2, 2]),
        ("LinearLR", {"start_factor": 0.5, "total_iters": 2}, [1, 1.5, 2, 2]),
        ("ExponentialLR", {"gamma": 0.5}, [2, 1, 0.5]),
        ("PolynomialLR", {"total_iters": 2, "power": 2}, [2, 0.5, 0, 0]),
        ("CosineAnnealingLR", {"T_max": 3, "eta_min": 1}, [2, 1.75, 1.25, 1, 1.25, 1.75, 2]),
        ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 2}, [2, 2, 1, 2, 1 + 0.5**0.5, 1]),
        ("CyclicLR", {"low": 1, "max_lr": 4, "step_size_up": 1, "step_size_down": 2}, [1, 4, 2.5, 1, 4]),
        ("CyclicLR", {"low": 1, "max_lr": 4, "step_size_up": 1, "mode": "triangular2"}, [1, 4, 1, 2.5, 1, 1.75]),
        ("OneCycleLR", {"max_lr": 4, "total_steps": 5, "pct_start": 0.6, "div_factor": 4}, [1, 2.5, 4, 2.00005, 1e-4]),
        ("OneCycleLR", {"max_lr": 4, "total_steps": 2, "pct_start": 0.5, "div_factor": 4}, [4, 1e-4, 1e-4]),
        ("SWALR", {"swa_lr": 1, "anneal_epochs": 3}, [2, 1.75, 1.25, 1, 1]),
        ("SWALR", {"swa_lr": 1, "anneal_epochs": 0}, [1, 1]),
        ("ReduceLROnPlateau", {"metrics": [-1, -1.05, -2, -2, -2], "patience": 0, "threshold": 0.1}, [2, 2, 0.2, 0.2]),
        ("LinearWarmupLR", {"warmup_steps": 4}, [0.5, 1, 1.5, 2, 2]),
        ("ExponentialWarmupLR", {"warmup_steps": 1}, [1.2642411176571153, 1.7293294335267746]),
        ("WarmupStableDecayLR", {"warmup_steps": 2, "stable_steps": 1, "decay_steps": 2}, [1, 2, 2, 2, 1, 0, 0]),
        (
            "WarmupStableDecayLR",
            {"warmup_steps": 0, "stable_steps": 0, "decay_steps": 4, "min_factor": 0.5, "decay": "sqrt"},
            [2, 1.5, 2 - 0.5**0.5, 2 - 0.75**0.5, 1],
        ),
        ("InverseSqrtLR", {"warmup_steps": 2}, [1, 2, 8**0.5 / 3**0.5, 2**0.5]),
        ("REXLR", {"total_steps": 4}, [2, 12 / 7, 4 / 3, 0.8, 0, 0]),
        ("ParamScheduler", {"name": "momentum", "schedule": lambda t: t}, [0, 1]),
    ],
    ids=str,
)
def test_schedules_by_hand(name, arguments, rates):
    ours = [getattr(schedule_oracles, name)(2, t, **arguments) for t in range(len(rates))]
    assert_allclose(ours, rates, rtol=4 * EXACT, atol=4 * EXACT)


def test_schedules_compose_by_hand():
    chain = [lambda base_lr, t: base_lr * 2**t, lambda base_lr, t: base_lr + t]
    assert [schedule_oracles.ChainedScheduler(1, t, chain) for t in range(3)] == [1, 3, 6]
    assert [schedule_oracles.SequentialLR(1, t, [*chain, *chain], [0, 2, 2]) for t in range(5)] == [1, 2, 1, 2, 3]


@pytest.fixture
def torch(monkeypatch):
    """torch, computing in double also where it has float32 scalars (ASGD, NAdam) and bfloat16 matrices (Muon)."""
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    yield torch
    torch.set_default_dtype(torch.float32)


def assert_same_run(ours, theirs, state, peer_state):
    for p, q, mine in zip(ours, theirs, state, strict=True):
        assert_allclose(p, q.detach().numpy(), rtol=0, atol=PEER * np.abs(p).max())
        assert mine.keys() == peer_state[q].keys()
        for key, value in mine.items():
            assert_allclose(value, peer_state[q][key], rtol=0, atol=PEER * np.abs(value).max())


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_optimizer_follows_torch(torch, name, options):
    rng = np.random.default_rng(2)
    ours = [rng.normal(size=shape) for shape in SHAPES.get(name, ((), 3, (4, 5)))]
    theirs = [torch.tensor(p, requires_grad=True) for p in ours]
    optimizer = getattr(optim_oracles, name)(**options)
    peer = getattr(torch.optim, name)(theirs, **options)
    for t in range(50):
        grads = [rng.normal(size=p.shape) if rng.random() < 0.9 else None for p in ours]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = None if g is None else torch.tensor(g)
        if t == 25 and name not in ONE_RATE:
            optimizer.lr = peer.param_groups[0]["lr"] = 0.02
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.8), "eps": 0.1, "maximize": True}], ids=str)
def test_sparse_adam_follows_torch(torch, options):
    rng = np.random.default_rng(6)
    ours = [rng.normal(size=(6, 2)), rng.normal(size=4)]
    theirs = [torch.tensor(p, requires_grad=True) for p in ours]
    optimizer, peer = optim_oracles.SparseAdam(**options), torch.optim.SparseAdam(theirs, **options)
    for t in range(50):
        rows = [rng.integers(len(p), size=t % 5) for p in ours]  # some twice, and every fifth time none
        grads = [(i, rng.normal(size=(len(i), *p.shape[1:]))) for i, p in zip(rows, ours, strict=True)]
        for p, (i, values) in zip(theirs, grads, strict=True):
            p.grad = torch.sparse_coo_tensor(i[None], values, p.shape, check_invariants=True)
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
def test_adafactor_follows_torch_in_more_dimensions(torch):
    rng = np.random.default_rng(7)
    ours = [rng.normal(size=(2, 3, 4))]
    theirs = [torch.tensor(ours[0], requires_grad=True)]
    optimizer, peer = optim_oracles.Adafactor(), torch.optim.Adafactor(theirs)
    for _ in range(10):
        grads = [rng.normal(size=(2, 3, 4))]
        theirs[0].grad = torch.tensor(grads[0])
        optimizer.step(ours, grads)
        peer.step()
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
def test_clipping_follows_torch(torch):
    rng = np.random.default_rng(18)
    ours = [rng.normal(size=shape) for shape in ((4, 3), 5)]
    theirs = [torch.tensor(p, requires_grad=True) for p in ours]
    optimizer, peer = optim_oracles.Adam(clip_value=1.0, clip_norm=3.0), torch.optim.Adam(theirs)
    norms = []
    for _ in range(10):
        grads = [2 * rng.random() * rng.normal(size=p.shape) for p in ours]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_value_(theirs, 1.0)
        norms.append(torch.nn.utils.clip_grad_norm_(theirs, 3.0))
        optimizer.step(ours, grads)
        peer.step()
        assert_allclose(optimizer.last_grad_norm, norms[-1], rtol=PEER)
    assert min(norms) < 3 < max(norms)
    assert_same_run(ours, theirs, optimizer.state, peer.state)


@pytest.mark.peers
@pytest.mark.parametrize("options", [{"ema": 0.9}, {"swa_start": 4, "swa_every": 3}, {"swa_start": 1}], ids=str)
def test_averages_follow_torch(torch, options):
    rng = np.random.default_rng(19)
    ours = [rng.normal(size=shape) for shape in ((4, 3), 5)]
    model = torch.nn.ParameterList([torch.tensor(p) for p in ours])
    utils = torch.optim.swa_utils
    average = utils.AveragedModel(
        model, avg_fn=utils.get_ema_avg_fn(0.9) if "ema" in options else utils.get_swa_avg_fn()
    )
    optimizer, peer = optim_oracles.SGD(lr=0.1, momentum=0.9, **options), torch.optim.SGD(model, lr=0.1, momentum=0.9)
    start, every = options.get("swa_start", 1), options.get("swa_every", 1)
    for t in range(1, 13):
        grads = [rng.normal(size=p.shape) for p in ours]
        for p, g in zip(model, grads, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step(ours, grads)
        peer.step()
        if t >= start and (t - start) % every == 0:
            average.update_parameters(model)
        assert ("average" in optimizer.state[0]) == (t >= start)
    for p, q, state in zip(average.module, model, optimizer.state, strict=True):
        assert_allclose(state["average"], p.detach().numpy(), rtol=0, atol=PEER * np.abs(q.detach().numpy()).max())


def torch_rates(case):
    """The rates that torch gives both groups in each of 100 epochs, or None where it raises."""
    optimizer = schedule_cases.torch_optimizer()
    try:
        scheduler = schedule_cases.build(schedule_cases.torch_room, optimizer, case)
        rates = [[group["lr"] for group in optimizer.param_groups]]
        for epoch in range(1, schedule_cases.EPOCHS):
            optimizer.step()
            scheduler.step(*schedule_cases.metrics(case, epoch))
            rates.append([group["lr"] for group in optimizer.param_groups])
    except (ArithmeticError, NotImplementedError):
        return None
    return rates


IN_TORCH = [key for key, case in schedule_cases.CASES.items() if schedule_cases.in_torch(case)]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of")
@pytest.mark.parametrize("key", [key for key in IN_TORCH if key not in schedule_cases.EXCEPTIONS])
def test_schedule_follows_torch(key):
    pytest.importorskip("torch")
    case = schedule_cases.CASES[key]
    ours = [schedule_cases.expected(case, epoch) for epoch in range(schedule_cases.EPOCHS)]
    assert_allclose(ours, torch_rates(case), rtol=PEER, atol=100 * EXACT)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Detected call of", "ignore:The epoch parameter")
@pytest.mark.parametrize("key", schedule_cases.EXCEPTIONS)
def test_torch_differs_where_the_table_says_so(key):
    pytest.importorskip("torch")
    case = schedule_cases.CASES[key]
    assert schedule_cases.in_torch(case)
    ours = [schedule_cases.expected(case, epoch) for epoch in range(schedule_cases.EPOCHS)]
    theirs = torch_rates(case)
    assert theirs is None or not np.allclose(ours, theirs, rtol=1e-3, atol=0)
