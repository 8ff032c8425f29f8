"""Reference losses in plain float64 NumPy, in the order of fastopt.losses: by elements, by rows, with parameters.

Each is written from its formula with torch's conventions, to be read and not to be fast, and has its public name:
`Name(**options)(*inputs)` is the value, `.grad(*inputs)` the gradient, a tuple where several inputs have one,
`.hessian_diag(*inputs)` the second derivatives. Values take complex inputs, for complex steps, where they branch by
the real part. A subclass says what is its own: `losses`, in torch's shape for "none", and `pullback`, the gradients
of sum(g * losses); what all share, reductions and sample weights, is in Loss.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from math import inf, log, pi

import numpy as np
from scipy.special import xlogy


def widened(array):
    """At least float64; complex stays complex, for complex-step derivatives."""
    array = np.asarray(array)
    return array.astype(np.result_type(array, np.float64))


def magnitude(x):
    """|x|, of a complex number as if it were near the real axis."""
    return np.where(x.real < 0, -x, x)


def positive(x):
    """max(0, x)."""
    return np.where(x.real > 0, x, 0)


def weighted(weight, x):
    """weight * x; without weight a number is absent, even inf or nan."""
    return np.where(weight == 0, 0, weight * x)


def times(a, b):
    """a * b, where 0 * inf = 0."""
    a = np.asarray(a)
    return np.where((a == 0) & np.isinf(b) | (b == 0) & np.isinf(a), 0, a * b)


def expit(z):
    """1 / (1 + exp(-z))."""
    e = np.exp(-magnitude(z))
    return np.where(z.real >= 0, 1, e) / (1 + e)


def softplus(z):
    """log(1 + exp(z))."""
    return np.where(z.real < 0, 0, z) + np.log1p(np.exp(-magnitude(z)))


def log_sum_exp(z):
    """Over the last axis, -inf for nothing but zeros."""
    peak = z.real.max(-1, keepdims=True, initial=-inf)
    peak = np.where(np.isfinite(peak), peak, 0)
    return (peak + np.log(np.exp(z - peak).sum(-1, keepdims=True)))[..., 0]


def log_softmax(z):
    """Over the last axis. One logit of inf has all the probability; two, or nothing but -inf, have no limit: nan."""
    if z.size == 0:
        return z
    largest = z.real.argmax(-1)[..., None]
    shifted = z - np.take_along_axis(z, largest, -1)
    infinite = z.real == inf
    shifted = np.where(infinite & (infinite.sum(-1, keepdims=True) == 1), 0, shifted)
    others = np.where(largest == np.arange(z.shape[-1]), 0, np.exp(shifted))
    return shifted - np.log1p(others.sum(-1, keepdims=True))


def unbroadcast(grad, shape):
    """Gradient of an array of `shape` that was broadcast to the shape of `grad`."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def scaled(losses, weight):
    """Elements times their own weight, if any."""
    return losses if weight is None else losses * widened(weight)


def is_index(target):
    return np.asarray(target).dtype.kind in "iu"


class Loss:
    """Reductions, sample weights and factors of the gradient, written once."""

    def counts(self, *inputs):
        """What each loss counts for in the number the mean divides by."""
        return 1.0

    def shares(self, *inputs):
        """What each loss is multiplied by in the mean only."""
        return 1.0

    def spread(self, s, losses, *inputs):
        """Weights of the samples, shaped to be broadcast to the losses."""
        return s.reshape(s.shape + (1,) * (losses.ndim - s.ndim))

    def _weights(self, losses, inputs, sample_weight):
        """What multiplies each loss, and what the sum of these is divided by."""
        s = np.ones(()) if sample_weight is None else widened(sample_weight)
        s = np.broadcast_to(self.spread(s, losses, *inputs), losses.shape)
        if self.reduction in ("none", "sum"):
            return s, 1.0
        return s * self.shares(*inputs), (s * self.counts(*inputs)).sum()

    @np.errstate(all="ignore")
    def __call__(self, *inputs, sample_weight=None):
        losses = np.asarray(self.losses(*inputs))
        weights, total = self._weights(losses, inputs, sample_weight)
        if self.reduction == "none":
            return weighted(weights, losses)
        return weighted(weights, losses).sum() / total if total else np.nan

    def _factors(self, inputs, sample_weight):
        """Derivative of the value with respect to each loss; zero when nothing was counted."""
        weights, total = self._weights(np.asarray(self.losses(*inputs)), inputs, sample_weight)
        return weights / total if total else np.zeros_like(weights)

    @np.errstate(all="ignore")
    def grad(self, *inputs, grad_output=None, sample_weight=None):
        g = self._factors(inputs, sample_weight)
        grads = self.pullback(g if grad_output is None else g * widened(grad_output), *inputs)
        return grads[0] if len(grads) == 1 else grads

    @np.errstate(all="ignore")
    def hessian_diag(self, *inputs, sample_weight=None):
        return self.curvature(self._factors(inputs, sample_weight), *inputs)


class Elementwise(Loss):
    """`value(*inputs)`, and `slope(*inputs)`, its derivative, or a tuple of these by the first few inputs."""

    def spread(self, s, losses, *inputs):
        return s.reshape(s.shape + (1,) * (np.ndim(inputs[0]) - s.ndim))

    def losses(self, *inputs):
        return self.value(*map(widened, inputs))

    def pullback(self, g, *inputs):
        slopes = self.slope(*map(widened, inputs))
        slopes = slopes if isinstance(slopes, tuple) else (slopes,)
        return tuple(unbroadcast(weighted(g, s), np.shape(x)) for s, x in zip(slopes, inputs, strict=False))

    def curvature(self, g, *inputs):
        return unbroadcast(weighted(g, self.second(*map(widened, inputs))), np.shape(inputs[0]))


@dataclass
class L1Loss(Elementwise):
    """|z - y|."""

    reduction: str = "mean"

    def value(self, z, y):
        return magnitude(z - y)

    def slope(self, z, y):
        return np.sign(z - y)


@dataclass
class MSELoss(Elementwise):
    """(z - y)^2."""

    reduction: str = "mean"

    def value(self, z, y):
        return (z - y) ** 2

    def slope(self, z, y):
        return 2 * (z - y)

    def second(self, z, y):
        return np.full_like(z - y, 2)


@dataclass
class SmoothL1Loss(Elementwise):
    """d^2 / (2 beta) if |d| < beta, else |d| - beta / 2, of d = z - y."""

    reduction: str = "mean"
    beta: float = 1.0

    def value(self, z, y):
        d = z - y
        a = magnitude(d)
        return np.where(a.real < self.beta, d**2 / 2 / np.float64(self.beta), a - self.beta / 2)

    def slope(self, z, y):
        d = z - y
        return np.where(magnitude(d) < self.beta, d / np.float64(self.beta), np.sign(d))


@dataclass
class HuberLoss(Elementwise):
    """d^2 / 2 if |d| <= delta, else delta (|d| - delta / 2), of d = z - y."""

    reduction: str = "mean"
    delta: float = 1.0

    def value(self, z, y):
        d = z - y
        a = magnitude(d)
        return np.where(a.real <= self.delta, d**2 / 2, self.delta * (a - self.delta / 2))

    def slope(self, z, y):
        return np.clip(z - y, -self.delta, self.delta)

    def second(self, z, y):
        return np.where(magnitude(z - y) <= self.delta, 1.0, 0)


@dataclass
class BCELoss(Elementwise):
    """-y log p - (1 - y) log(1 - p), logarithms at least -100 and p (1 - p) under the slope at least 1e-12 (torch)."""

    weight: np.ndarray | None = None
    reduction: str = "mean"

    def value(self, p, y):
        log_p, log_q = np.log(p), np.log1p(-p)
        log_p, log_q = (np.where(x.real < -100, -100, x) for x in (log_p, log_q))
        return scaled(-y * log_p - (1 - y) * log_q, self.weight)

    def slope(self, p, y):
        return scaled((p - y) / np.maximum(p * (1 - p), 1e-12), self.weight)


@dataclass
class BCEWithLogitsLoss(Elementwise):
    """-r y log p - (1 - y) log(1 - p), where p = expit(z) and r is pos_weight."""

    weight: np.ndarray | None = None
    reduction: str = "mean"
    pos_weight: np.ndarray | None = None

    def value(self, z, y):
        return scaled(times(scaled(y, self.pos_weight), softplus(-z)) + times(1 - y, softplus(z)), self.weight)

    def slope(self, z, y):
        return scaled((1 - y) * expit(z) - scaled(y, self.pos_weight) * expit(-z), self.weight)

    def second(self, z, y):
        return scaled((scaled(y, self.pos_weight) + 1 - y) * expit(z) * expit(-z), self.weight)


@dataclass
class PoissonNLLLoss(Elementwise):
    """exp(z) - y z, or z - y log(z + eps); `full` adds Stirling's log y! where y > 1."""

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8
    reduction: str = "mean"

    def value(self, z, y):
        losses = np.exp(z) - times(y, z) if self.log_input else z - times(y, np.log(z + self.eps))
        losses = np.where(z.real == inf, inf, losses)
        if self.full:
            losses = losses + np.where(y > 1, xlogy(y, y) - y + np.log(2 * pi * y) / 2, 0)
        return losses

    def slope(self, z, y):
        return np.exp(z) - y if self.log_input else 1 - times(y, 1 / (z + self.eps))

    def second(self, z, y):
        assert self.log_input
        return np.exp(z)


@dataclass
class GaussianNLLLoss(Elementwise):
    """(log v + (z - y)^2 / v) / 2, v = max(var, eps); the slope is taken at v, as if it were not clamped (torch)."""

    _: KW_ONLY
    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"

    def _terms(self, z, y, var):
        if z.shape != var.shape == z.shape[:-1]:
            var = var[..., None]
        return z - y, np.where(var.real < self.eps, self.eps, var)

    def value(self, z, y, var):
        d, v = self._terms(z, y, var)
        return (np.log(v) + d**2 / v) / 2 + self.full * log(2 * pi) / 2

    def pullback(self, g, input, target, var):
        d, v = self._terms(*map(widened, (input, target, var)))
        by_var = unbroadcast(weighted(g, (1 / v - (d / v) ** 2) / 2), v.shape)
        return unbroadcast(weighted(g, d / v), np.shape(input)), by_var.reshape(np.shape(var))


@dataclass
class KLDivLoss(Elementwise):
    """y (log y - z), or exp(y) (y - z) with log_target. 0 log 0 = 0."""

    reduction: str = "mean"
    log_target: bool = False

    def value(self, z, y):
        return times(np.exp(y), y - z) if self.log_target else xlogy(y, y) - times(y, z)

    def slope(self, z, y):
        return -(np.exp(y) if self.log_target else y)

    def _weights(self, losses, inputs, sample_weight):
        weights, total = super()._weights(losses, inputs, sample_weight)
        if self.reduction == "batchmean":
            total = len(np.atleast_1d(inputs[0])) if sample_weight is None else np.sum(sample_weight)
        return weights, total


@dataclass
class MarginRankingLoss(Elementwise):
    """max(0, margin - y (z1 - z2)); at the kink the slope of the line (torch)."""

    margin: float = 0.0
    reduction: str = "mean"

    def value(self, z1, z2, y):
        return positive(self.margin - y * (z1 - z2))

    def slope(self, z1, z2, y):
        slope = np.where(-y * (z1 - z2) + self.margin >= 0, y, 0)
        return -slope, slope


@dataclass
class SoftMarginLoss(Elementwise):
    """log(1 + exp(-y z))."""

    reduction: str = "mean"

    def value(self, z, y):
        return softplus(-times(y, z))

    def slope(self, z, y):
        return -y * expit(-times(y, z))


@dataclass
class HingeEmbeddingLoss(Elementwise):
    """z if y = 1, max(0, margin - z) if y = -1, else their sum; at the kink the slope of the line (torch)."""

    margin: float = 1.0
    reduction: str = "mean"

    def value(self, z, y):
        return np.where(y != 1, positive(self.margin - z), 0) + np.where(y != -1, z, 0)

    def slope(self, z, y):
        return np.where(y != -1, 1.0, 0) - np.where((y != 1) & (self.margin - z >= 0), 1, 0)


@dataclass
class PinballLoss(Elementwise):
    """q (y - z) if y >= z, else (1 - q) (z - y); Koenker & Bassett (1978)."""

    quantile: float = 0.5
    reduction: str = "mean"

    def value(self, z, y):
        return np.where((y - z).real >= 0, self.quantile * (y - z), (1 - self.quantile) * (z - y))

    def slope(self, z, y):
        return np.where(y >= z, -self.quantile, 1 - self.quantile)


@dataclass
class LogCoshLoss(Elementwise):
    """log cosh d of d = z - y, which for small d is log1p(2 sinh(d/2)^2)."""

    reduction: str = "mean"

    def value(self, z, y):
        d = z - y
        a = magnitude(d)
        return np.where(a.real < 1, np.log1p(2 * np.sinh(d / 2) ** 2), a + np.log1p(np.exp(-2 * a)) - log(2))

    def slope(self, z, y):
        return np.tanh(z - y)

    def second(self, z, y):
        e = np.exp(-2 * magnitude(z - y))
        return 4 * e / (1 + e) ** 2


@dataclass
class CauchyLoss(Elementwise):
    """c^2 / 2 log(1 + u^2) of u = (z - y) / c; for large u log(1 + u^2) = 2 log u + log(1 + 1 / u^2)."""

    scale: float = 1.0
    reduction: str = "mean"

    def value(self, z, y):
        u = magnitude(z - y) / self.scale
        logs = np.where(u.real < 1, np.log1p(u**2), 2 * np.log(u) + np.log1p(1 / u**2))
        return self.scale**2 / 2 * logs

    def slope(self, z, y):
        u = (z - y) / self.scale
        return self.scale * np.where(magnitude(u) < 1, u / (1 + u**2), 1 / (u + 1 / u))


@dataclass
class EpsilonInsensitiveLoss(Elementwise):
    """max(0, |z - y| - epsilon); no slope at the kinks."""

    epsilon: float = 0.1
    reduction: str = "mean"

    def value(self, z, y):
        return positive(magnitude(z - y) - self.epsilon)

    def slope(self, z, y):
        return np.where(magnitude(z - y) > self.epsilon, np.sign(z - y), 0)


@dataclass
class HingeLoss(Elementwise):
    """max(0, margin - y z); at the kink the slope of the line (scikit-learn)."""

    margin: float = 1.0
    reduction: str = "mean"

    def value(self, z, y):
        return positive(self.margin - y * z)

    def slope(self, z, y):
        return np.where(y * z <= self.margin, -y, 0)


@dataclass
class SquaredHingeLoss(Elementwise):
    """max(0, margin - y z)^2."""

    margin: float = 1.0
    reduction: str = "mean"

    def value(self, z, y):
        return positive(self.margin - y * z) ** 2

    def slope(self, z, y):
        return -2 * y * positive(self.margin - y * z)


@dataclass
class ModifiedHuberLoss(Elementwise):
    """max(0, 1 - m)^2 of m = y z, below m = -1 its tangent -4 m; Zhang (2004)."""

    reduction: str = "mean"

    def value(self, z, y):
        m = y * z
        return np.where(m.real >= -1, positive(1 - m) ** 2, -4 * m)

    def slope(self, z, y):
        m = y * z
        return np.where(m >= -1, -2 * y * positive(1 - m), -4 * y)


@dataclass
class SigmoidFocalLoss(Elementwise):
    """a_t (1 - p_t)^gamma ce, p_t = p y + (1 - p) (1 - y), a_t = alpha y + (1 - alpha) (1 - y); Lin et al. (2017)."""

    alpha: float | None = 0.25
    gamma: float = 2.0
    reduction: str = "mean"

    def _terms(self, z, y):
        """a_t, 1 - p_t and the cross entropy."""
        a = 1.0 if self.alpha is None else self.alpha * y + (1 - self.alpha) * (1 - y)
        u = expit(z) * (1 - y) + expit(-z) * y
        return a, u, times(y, softplus(-z)) + times(1 - y, softplus(z))

    def value(self, z, y):
        a, u, ce = self._terms(z, y)
        return a * times(u**self.gamma, ce)

    def slope(self, z, y):
        a, u, ce = self._terms(z, y)
        p, q = expit(z), expit(-z)
        relative = np.select([y == 1, y == 0], [-p, q], (1 - 2 * y) * p * q / u)  # (d u / d z) / u
        return a * u**self.gamma * (self.gamma * times(relative, ce) + q * -y + p * (1 - y))


@dataclass
class HalfPoissonLoss(Elementwise):
    """exp(z) - y z, inf at inf."""

    reduction: str = "mean"

    def value(self, z, y):
        return np.where(z.real == inf, inf, np.exp(z) - times(y, z))

    def slope(self, z, y):
        return np.exp(z) - y

    def second(self, z, y):
        return np.exp(z)


@dataclass
class HalfGammaLoss(Elementwise):
    """z + y exp(-z), inf at -inf."""

    reduction: str = "mean"

    def value(self, z, y):
        return np.where(z.real == -inf, inf, z + y * np.exp(-z))

    def slope(self, z, y):
        return 1 - y * np.exp(-z)

    def second(self, z, y):
        return y * np.exp(-z)


@dataclass
class HalfTweedieLoss(Elementwise):
    """exp((2 - p) z) / (2 - p) - y exp((1 - p) z) / (1 - p); p = 1 is Poisson, p = 2 Gamma, p = 0 (exp(z) - y)^2 / 2.

    Where both terms overflow, the second rules on the left and the first on the right.
    """

    power: float = 1.5
    reduction: str = "mean"

    def _difference(self, z, y, first, second, left):
        """first exp((2 - p) z) - second y exp((1 - p) z)."""
        a = first * np.exp(times(2 - self.power, z))
        b = second * times(y, np.exp(times(1 - self.power, z)))
        both = np.isinf(a) & np.isinf(b) & (a == b)
        return np.where(both, np.where(z.real > 0, inf, left), a - b)

    def value(self, z, y):
        if self.power == 0:
            return (np.exp(z) - y) ** 2 / 2
        if self.power in (1, 2):
            return (HalfPoissonLoss if self.power == 1 else HalfGammaLoss)().value(z, y)
        return self._difference(z, y, 1 / (2 - self.power), 1 / (1 - self.power), inf)

    def slope(self, z, y):
        return self._difference(z, y, 1, 1, -inf)

    def second(self, z, y):
        return self._difference(z, y, 2 - self.power, 1 - self.power, inf)


def classes_last(array):
    """The axis of classes is 1, of an unbatched input 0."""
    return np.moveaxis(array, min(1, array.ndim - 1), -1)


def classes_back(array):
    return np.moveaxis(array, -1, min(1, array.ndim - 1))


def hot(target, n_classes):
    """1.0 at the class of each target, else 0; an index that is no class has none."""
    return (np.asarray(target)[..., None] == np.arange(n_classes)).astype(float)


class Classes(Loss):
    """Class weights and ignored targets: `_hot` is w_y at the class y of each target that is not ignored."""

    def _hot(self, n_classes, target):
        q = hot(target, n_classes) * (np.asarray(target) != self.ignore_index)[..., None]
        return scaled(q, self.weight)

    def counts(self, input, target):
        return self._hot(classes_last(np.asarray(input)).shape[-1], target).sum(-1)


@dataclass
class CrossEntropyLoss(Classes):
    """-sum_c w_c q_c log softmax(z)_c, where q is the smoothed target distribution.

    Classes are on axis 1, or on axis 0 of an unbatched (C,) input. The mean over class indices
    divides by the weights of the targets, the mean over probabilities by their number. 0 log 0 = 0.
    """

    weight: np.ndarray | None = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0

    def counts(self, input, target):
        return super().counts(input, target) if is_index(target) else 1.0

    def _terms(self, input, target):
        """log softmax(z) and w_c q_c, classes last."""
        z = classes_last(widened(input))
        n_classes = z.shape[-1]
        if is_index(target):
            kept = (np.asarray(target) != self.ignore_index)[..., None]
            q = hot(target, n_classes)
        else:
            kept = True
            q = classes_last(widened(target))
        q = (1 - self.label_smoothing) * q + self.label_smoothing / n_classes
        return log_softmax(z), scaled(q, self.weight) * kept

    def losses(self, input, target):
        log_p, wq = self._terms(input, target)
        return -weighted(wq, log_p).sum(-1)

    def pullback(self, g, input, target):
        log_p, wq = self._terms(input, target)
        by_logit = weighted(wq.sum(-1, keepdims=True), np.exp(log_p)) - wq
        return (classes_back(weighted(g[..., None], by_logit)),)

    def curvature(self, g, input, target):
        log_p, wq = self._terms(input, target)
        return classes_back(weighted(g[..., None] * wq.sum(-1, keepdims=True), -np.exp(log_p) * np.expm1(log_p)))


@dataclass
class NLLLoss(Classes):
    """-w_y z_y of log-probabilities z."""

    weight: np.ndarray | None = None
    ignore_index: int = -100
    reduction: str = "mean"

    def losses(self, input, target):
        z = classes_last(widened(input))
        return -weighted(self._hot(z.shape[-1], target), z).sum(-1)

    def pullback(self, g, input, target):
        z = classes_last(widened(input))
        return (classes_back(-g[..., None] * self._hot(z.shape[-1], target)),)


NLLLoss2d = NLLLoss


@dataclass
class FocalLoss(Classes):
    """-w_y (1 - p_y)^gamma log p_y of p = softmax(z); Lin et al. (2017)."""

    weight: np.ndarray | None = None
    gamma: float = 2.0
    ignore_index: int = -100
    reduction: str = "mean"

    def _terms(self, input, target):
        """log softmax(z), the weighted target distribution, and log p_y with a last axis of 1."""
        log_p = log_softmax(classes_last(widened(input)))
        q = self._hot(log_p.shape[-1], target)
        chosen = hot(target, log_p.shape[-1])
        return log_p, q, weighted(chosen, log_p).sum(-1, keepdims=True)

    def losses(self, input, target):
        _, q, log_py = self._terms(input, target)
        return -weighted(q.sum(-1), times((-np.expm1(log_py)) ** self.gamma, log_py)[..., 0])

    def pullback(self, g, input, target):
        log_p, q, log_py = self._terms(input, target)
        u = -np.expm1(log_py)
        ratio = np.where(u == 0, -1, log_py / u)
        by_log_py = u**self.gamma * (self.gamma * times(np.exp(log_py), ratio) - 1)
        w = q.sum(-1, keepdims=True)
        by_logit = weighted(w, by_log_py * (hot(target, log_p.shape[-1]) - np.exp(log_p)))
        return (classes_back(weighted(g[..., None], by_logit)),)


@dataclass
class MultiLabelMarginLoss(Loss):
    """sum of max(0, 1 - (z_t - z_i)) / C over targets t before the first -1 and classes i that are no target."""

    reduction: str = "mean"

    def _pairs(self, input, target):
        """Sample, t and i of every pair."""
        z, target = np.atleast_2d(widened(input)), np.atleast_2d(target)
        for n, row in enumerate(target):
            labels = row[: np.argmax(row == -1)] if (row == -1).any() else row
            for t in labels:
                for i in sorted(set(range(z.shape[1])) - set(labels.tolist())):
                    yield n, t, i

    def losses(self, input, target):
        z = np.atleast_2d(widened(input))
        losses = np.zeros(len(z), z.dtype)
        for n, t, i in self._pairs(input, target):
            losses[n] += positive(1 - (z[n, t] - z[n, i])) / z.shape[1]
        return losses if np.ndim(input) == 2 else losses[0]

    def pullback(self, g, input, target):
        z, g = np.atleast_2d(widened(input)), np.atleast_1d(g)
        grad = np.zeros_like(z)
        for n, t, i in self._pairs(input, target):
            if 1 - (z[n, t] - z[n, i]) > 0:
                grad[n, t] -= g[n] / z.shape[1]
                grad[n, i] += g[n] / z.shape[1]
        return (grad.reshape(np.shape(input)),)


@dataclass
class MultiLabelSoftMarginLoss(Loss):
    """Mean over the classes, the last axis, of w_c (-y log p - (1 - y) log(1 - p)), p = expit(z)."""

    weight: np.ndarray | None = None
    reduction: str = "mean"

    def losses(self, input, target):
        return BCEWithLogitsLoss(self.weight).value(widened(input), widened(target)).mean(-1)

    def pullback(self, g, input, target):
        slope = BCEWithLogitsLoss(self.weight).slope(widened(input), widened(target))
        return (weighted(g[..., None], slope / slope.shape[-1]),)


@dataclass
class MultiMarginLoss(Loss):
    """w_y sum_{i != y} max(0, margin - z_y + z_i)^p / C; no slope at the kink."""

    p: int = 1
    margin: float = 1.0
    weight: np.ndarray | None = None
    reduction: str = "mean"

    def _terms(self, input, target):
        """max(0, margin - z_y + z_i) for every class but y, 1 at y, and w_y / C."""
        z = widened(input)
        q = hot(target, z.shape[-1])
        chosen = weighted(q, z).sum(-1, keepdims=True)
        return np.where(q == 1, 0, positive(self.margin - chosen + z)), q, scaled(q, self.weight).sum(-1) / z.shape[-1]

    def losses(self, input, target):
        excess, _, w = self._terms(input, target)
        return w * (excess**self.p).sum(-1)

    def pullback(self, g, input, target):
        excess, q, w = self._terms(input, target)
        by_class = np.where(excess > 0, self.p * excess ** (self.p - 1), 0)
        by_logit = by_class - q * by_class.sum(-1, keepdims=True)
        return (weighted((g * w)[..., None], by_logit),)


@dataclass
class CosineEmbeddingLoss(Loss):
    """1 - cos if y = 1, max(0, cos - margin) if y = -1, else 0; at the kink the slope of the line (torch).

    cos = a.b / sqrt((|a|^2 + 1e-12) (|b|^2 + 1e-12)).
    """

    margin: float = 0.0
    reduction: str = "mean"

    def _terms(self, input1, input2):
        a, b = widened(input1), widened(input2)
        aa, bb = (a**2).sum(-1) + 1e-12, (b**2).sum(-1) + 1e-12
        return a, b, aa[..., None], bb[..., None], (a * b).sum(-1) / np.sqrt(aa) / np.sqrt(bb)

    def losses(self, input1, input2, target):
        *_, cos = self._terms(input1, input2)
        return np.select([np.asarray(target) == 1, np.asarray(target) == -1], [1 - cos, positive(cos - self.margin)], 0)

    def pullback(self, g, input1, input2, target):
        a, b, aa, bb, cos = self._terms(input1, input2)
        by_cos = np.select([np.asarray(target) == 1, (np.asarray(target) == -1) & (cos >= self.margin)], [-1.0, 1.0], 0)
        g, cos = (g * by_cos)[..., None], cos[..., None]
        by_a = b / np.sqrt(aa) / np.sqrt(bb) - cos * a / aa
        by_b = a / np.sqrt(aa) / np.sqrt(bb) - cos * b / bb
        return unbroadcast(weighted(g, by_a), a.shape), unbroadcast(weighted(g, by_b), b.shape)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6):
    """p-norm of x1 - x2 + eps over the last axis, its gradients by x1 and x2; ties of the largest share (torch)."""
    d = x1 - x2 + eps
    a = magnitude(d)
    if p == inf:
        largest = a.real == a.real.max(-1, keepdims=True)
        norm = np.where(largest, a, 0).sum(-1) / largest.sum(-1)
        slope = np.sign(d) * largest / largest.sum(-1, keepdims=True)
    else:
        peak = a.real.max(-1, keepdims=True)
        peak = np.where(peak > 0, peak, 1)
        a = a / peak
        norm = (a**p).sum(-1, keepdims=True) ** (1 / p)
        slope = weighted(np.sign(d), a ** (p - 1)) * np.where(norm == 0, 0, norm ** (1 - p))
        norm = (peak * norm)[..., 0]
    return norm, slope, -slope


class Triplet(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)); at the kink the slope of the line (torch).

    `swap` takes d(positive, negative) if it is smaller than d(anchor, negative), and the mean of both slopes if equal.
    """

    def _terms(self, anchor, positive, negative):
        """margin + difference, the gradients of each distance, the share of the anchor's in the second distance."""
        anchor, positive, negative = map(widened, (anchor, positive, negative))
        near, far, other = (self.distance(*x) for x in ((anchor, positive), (anchor, negative), (positive, negative)))
        order = np.sign((other[0] - far[0]).real) if self.swap else np.ones(np.shape(far[0]))
        share = (1 + order) / 2
        distance = np.where(share > 0, far[0], other[0])
        return self.margin + near[0] - distance, near[1:], far[1:], other[1:], share[..., None]

    def losses(self, *inputs):
        return positive(self._terms(*inputs)[0])

    def pullback(self, g, *inputs):
        excess, near, far, other, share = self._terms(*inputs)
        g = np.where(excess >= 0, g, 0)[..., None]
        by_anchor = near[0] - share * far[0]
        by_positive = near[1] - (1 - share) * other[0]
        by_negative = -share * far[1] - (1 - share) * other[1]
        grads = (by_anchor, by_positive, by_negative)
        return tuple(unbroadcast(weighted(g, x), np.shape(y)) for x, y in zip(grads, inputs, strict=True))


@dataclass
class TripletMarginLoss(Triplet):
    """Distances are p-norms of the difference + eps."""

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    reduction: str = "mean"

    def distance(self, x1, x2):
        return pairwise_distance(x1, x2, self.p, self.eps)


@dataclass
class TripletMarginWithDistanceLoss(Triplet):
    """distance_function(x1, x2) -> distance, its gradients by x1 and x2; None is pairwise_distance."""

    _: KW_ONLY
    distance_function: Callable | None = None
    margin: float = 1.0
    swap: bool = False
    reduction: str = "mean"

    def distance(self, x1, x2):
        return (self.distance_function or pairwise_distance)(x1, x2)


@dataclass
class DiceLoss(Loss):
    """1 - (2 sum p y + smooth) / (sum p + sum y + smooth) over all but the first axis; 0 / 0 has value and slope 0."""

    smooth: float = 1.0
    from_logits: bool = False
    reduction: str = "mean"

    def _terms(self, input, target):
        """p, y and the three sums, the latter with all axes."""
        z, y = widened(input), widened(target)
        p = expit(z) if self.from_logits else z
        axes = tuple(range(min(1, z.ndim - 1), z.ndim))
        product, both = (x.sum(axes, keepdims=True) for x in (p * y, p + y))
        return p, y, 2 * product + self.smooth, both + self.smooth

    def losses(self, input, target):
        _, _, above, below = self._terms(input, target)
        losses = np.where(below == 0, 0, 1 - above / below)
        return losses.reshape(np.shape(input)[:-1][:1])

    def pullback(self, g, input, target):
        p, y, above, below = self._terms(input, target)
        slope = np.where(below == 0, 0, (above / below - 2 * y) / below)
        if self.from_logits:
            slope = slope * expit(widened(input)) * expit(-widened(input))
        return (weighted(g.reshape(g.shape + (1,) * (p.ndim - g.ndim)), slope),)


@dataclass
class NTXentLoss(Loss):
    """-log softmax over the other 2N - 1 rows of cosine / temperature, at the other view; Chen et al. (2020)."""

    temperature: float = 0.07
    reduction: str = "mean"

    def spread(self, s, losses, *inputs):
        return np.tile(s, 2) if s.ndim else s

    def _terms(self, input1, input2):
        """Norms, unit rows, log-probabilities of the rows and where the other view is."""
        z = np.concatenate([widened(input1), widened(input2)])
        norm = np.sqrt((z**2).sum(-1, keepdims=True))
        norm = np.where(norm.real < 1e-8, 1e-8, norm)
        u = z / norm
        n = len(z)
        similarity = u @ u.T / self.temperature
        similarity[np.diag_indices(n)] = -inf
        return norm, u, log_softmax(similarity), np.eye(n)[(np.arange(n) + n // 2) % max(n, 1)]

    def losses(self, input1, input2):
        _, _, log_p, other = self._terms(input1, input2)
        return -weighted(other, log_p).sum(-1)

    def pullback(self, g, input1, input2):
        norm, u, log_p, other = self._terms(input1, input2)
        by_similarity = weighted(g[:, None], np.exp(log_p) - other) / self.temperature
        by_unit = (by_similarity + by_similarity.T) @ u
        along = np.where(norm == 1e-8, 0, (by_unit * u).sum(-1, keepdims=True))
        return tuple(np.split((by_unit - along * u) / norm, 2))


@dataclass
class CTCLoss(Loss):
    """-log of the probability of all alignments of the target; Graves et al. (2006), sections 3 and 4.

    log_probs (T, N, C) or (T, C) for one sample; targets (N, S), or one behind the other, (sum of lengths,).
    Every log-probability is a variable of its own: the slope is minus the posterior of class c at time t. With
    from_logits the input is normalized first. The mean divides each loss by the length of its target.
    """

    blank: int = 0
    reduction: str = "mean"
    zero_infinity: bool = False
    _: KW_ONLY
    from_logits: bool = False

    def shares(self, log_probs, targets, input_lengths, target_lengths):
        return (1 / np.maximum(target_lengths, 1)).reshape(np.shape(log_probs)[1:-1])

    def _samples(self, log_probs, targets, input_lengths, target_lengths):
        """log_probs (T, C) up to the end, and the target with a blank around every label, of each sample."""
        log_p = widened(log_probs)
        log_p = log_softmax(log_p) if self.from_logits else log_p
        log_p = log_p.reshape(len(log_p), -1, log_p.shape[-1])
        ends, lengths = np.atleast_1d(input_lengths), np.atleast_1d(target_lengths)
        targets, starts = np.asarray(targets), np.cumsum(lengths) - lengths
        for n, (end, length) in enumerate(zip(ends, lengths, strict=True)):
            target = targets[n, :length] if targets.ndim == 2 else targets[starts[n] : starts[n] + length]
            labels = np.full(2 * length + 1, self.blank)
            labels[1::2] = target
            yield log_p[:end, n], labels

    @staticmethod
    def _forward(log_p, labels):
        """alpha[t, s]: log-probability of all ways to be at s at time t, after having read time t.

        From s one stays, goes one on, or skips a blank between two different labels.
        """
        alpha = np.full((len(log_p), len(labels)), -inf, log_p.dtype)
        skip = np.append([False, False], labels[2:] != labels[:-2])[: len(labels)]
        for t in range(len(log_p)):
            if t == 0:
                reached = np.full(len(labels), -inf, log_p.dtype)
                reached[:2] = 0
            else:
                one, two = (np.append(np.full(k, -inf), alpha[t - 1])[: len(labels)] for k in (1, 2))
                reached = log_sum_exp(np.stack([alpha[t - 1], one, np.where(skip, two, -inf)], axis=-1))
            alpha[t] = reached + log_p[t, labels]
        return alpha

    def _loss(self, log_p, labels):
        if len(log_p) == 0:
            return 0.0 if len(labels) == 1 else inf
        return -log_sum_exp(self._forward(log_p, labels)[-1, -2:])

    def losses(self, *inputs):
        losses = np.array([self._loss(*sample) for sample in self._samples(*inputs)])
        losses = np.where(losses.real == inf, 0, losses) if self.zero_infinity else losses
        return losses.reshape(np.shape(inputs[0])[1:-1])

    def pullback(self, g, *inputs):
        grad = np.zeros(np.shape(inputs[0]))
        columns = grad.reshape(len(grad), -1, grad.shape[-1])
        for n, (log_p, labels) in enumerate(self._samples(*inputs)):
            loss = self._loss(log_p, labels)
            if loss == inf or g.flat[n] == 0:
                continue
            alpha = self._forward(log_p, labels)
            beta = self._forward(log_p[::-1], labels[::-1])[::-1, ::-1]
            for t in range(len(log_p)):
                emitted = log_p[t, labels]
                both = alpha[t] + beta[t] - np.where(emitted == -inf, 0, emitted)  # either has read time t
                posterior = np.zeros(log_p.shape[-1])
                np.add.at(posterior, labels, np.exp(both + loss))
                probability = np.exp(log_p[t]) if self.from_logits else 0
                columns[t, n] = g.flat[n] * (probability - posterior)
        return (grad,)


def product(a, b):
    """a @ b.T of matrices, where zeros of a are absent."""
    return weighted(a[:, None, :], b[None, :, :]).sum(-1)


@dataclass
class LinearCrossEntropyLoss(Loss):
    """Cross entropy of the logits input @ linear_weight.T + linear_bias, shaped (N, C, *out_features).

    Called with the parameters behind the target: (input, target, linear_weight[, linear_bias]).
    """

    in_features: int
    num_classes: int
    _: KW_ONLY
    out_features: tuple = ()
    bias: bool = False
    reduction: str = "mean"
    weight: np.ndarray | None = None
    ignore_index: int | None = None
    label_smoothing: float = 0.0

    def _entropy(self):
        ignored = -100 if self.ignore_index is None else self.ignore_index
        return CrossEntropyLoss(self.weight, ignored, "none", self.label_smoothing)

    def _logits(self, input, params):
        x, weight, *bias = map(widened, (input, *params))
        logits = x @ weight.T + (bias[0] if self.bias else 0)
        return logits.reshape(*x.shape[:-1], self.num_classes, *self.out_features)

    def counts(self, input, target, *params):
        return self._entropy().counts(self._logits(input, params), target)

    def losses(self, input, target, *params):
        return self._entropy().losses(self._logits(input, params), target)

    def pullback(self, g, input, target, *params):
        logits = self._logits(input, params)
        (by_logit,) = self._entropy().pullback(g, logits, target)
        by_logit = by_logit.reshape(-1, len(params[0]))
        by_input = product(by_logit, widened(params[0]).T).reshape(np.shape(input))
        by_weight = product(by_logit.T, np.atleast_2d(widened(input)).T)
        return (by_input, by_weight, by_logit.sum(0))[: 2 + self.bias]


@dataclass
class AdaptiveLogSoftmaxWithLoss(Loss):
    """Frequent classes and one entry per cluster of rare ones in a head, each cluster in a tail; Grave et al. (2017).

    Called with the parameters behind the target: (input, target, head.weight[, head.bias], tail.0.0.weight,
    tail.0.1.weight, tail.1.0.weight, ...). The reduction is the mean.
    """

    in_features: int
    n_classes: int
    cutoffs: tuple
    div_value: float = 4.0
    head_bias: bool = False
    reduction = "mean"

    def _split(self, params):
        """Head weight, head bias or None, pairs of weights of the tails."""
        head, *rest = map(widened, params)
        bias, tails = (rest[0], rest[1:]) if self.head_bias else (None, rest)
        return head, bias, list(zip(tails[::2], tails[1::2], strict=True))

    def log_prob(self, input, *params):
        """log of the probability of every class, (N, n_classes): that of the cluster times that in the cluster."""
        head, bias, tails = self._split(params)
        x = np.atleast_2d(widened(input))
        log_head = log_softmax(x @ head.T + (0 if bias is None else bias))
        parts = [log_head[:, : self.cutoffs[0]]]
        for i, (down, up) in enumerate(tails):
            parts.append(log_head[:, [self.cutoffs[0] + i]] + log_softmax(x @ down.T @ up.T))
        return np.concatenate(parts, axis=1)

    def predict(self, input, *params):
        """The class of the highest probability of each row."""
        return self.log_prob(input, *params).argmax(1)

    def losses(self, input, target, *params):
        log_p = self.log_prob(input, *params)
        return -weighted(hot(target, self.n_classes), log_p.reshape(*np.shape(target), self.n_classes)).sum(-1)

    def pullback(self, g, input, target, *params):
        head, bias, tails = self._split(params)
        x, g, y = np.atleast_2d(widened(input)), np.atleast_1d(g)[:, None], np.atleast_1d(target)
        shortlist = self.cutoffs[0]
        cluster = np.searchsorted(self.cutoffs, y, side="right")  # 0 is the head
        logits = x @ head.T + (0 if bias is None else bias)
        in_head = np.where(cluster == 0, y, shortlist + cluster - 1)
        by_head = weighted(g, np.exp(log_softmax(logits)) - hot(in_head, logits.shape[1]))
        by_x = product(by_head, head.T)
        grads = [product(by_head.T, x.T)] + ([] if bias is None else [by_head.sum(0)])
        for i, (down, up) in enumerate(tails):
            h = x @ down.T
            p = np.exp(log_softmax(h @ up.T))
            by_up = weighted(g * (cluster == i + 1)[:, None], p - hot(y - self.cutoffs[i], len(up)))
            by_h = product(by_up, up.T)
            by_x = by_x + product(by_h, down.T)
            grads += [product(by_h.T, x.T), product(by_up.T, h.T)]
        return (by_x.reshape(np.shape(input)), *grads)
