"""Losses of the softmax of products with a matrix; these logits are made by blocks of rows, never stored as a whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastopt._losses import weigh_targets
from fastopt._validation import check_count, check_flag, check_number
from fastopt.losses.classification import NO_INDEX, CrossEntropyLoss, class_index, class_weight, indices_of, weight_for
from fastopt.losses.loss import Call, Loss, float_array
from fastopt.params import Array

# A block has so many bytes of logits, which stay in the caches between their products, but at least so many rows: each
# block adds to the whole gradient of the matrix, which must be little work next to the products.
BLOCK = 2**20
ROWS = 256
TILE = 2**22  # bytes of that gradient that a block makes at once


def cross_entropies(
    entropy: CrossEntropyLoss,
    x: Array,
    target: Array,
    matrix: Array,
    bias: Array | None,
    factor: Any,
    weights: Array | None,
    gradients: Sequence[Array],
    *,
    columns: tuple[int, ...] = (-1,),
    others: bool = False,
) -> list[Any]:
    """The value of `entropy` for each block of rows of ``x @ matrix.T + bias``.

    Parameters
    ----------
    entropy : CrossEntropyLoss
        Its reduction is "sum" or "none".
    factor : float, array or None
        The factor on gradients, for "none" one for each value.
    weights : array or None
        One for each row.
    gradients : sequence of ndarray
        Take the gradients by `x`, by `matrix` and by `bias`, if that is one; empty if none is wanted.
    columns : tuple of int
        The shape of a row of logits, classes first.
    others : bool
        Is column i left out of row i?
    """
    values = []
    width = len(matrix)
    size = max(BLOCK // (width * x.itemsize or 1), ROWS)
    logits = np.empty((min(size, len(x)), width), x.dtype)
    for gradient in gradients[1:]:
        gradient.fill(0)
    for low in range(0, len(x), size):
        part = slice(low, low + size)
        rows = np.ascontiguousarray(x[part])  # so that the bits do not depend on how it lies in memory
        z = np.matmul(rows, matrix.T, out=logits[: len(rows)])
        if bias is not None:
            z += bias
        if others:
            z.reshape(-1)[low :: width + 1] = -np.inf
        factors = factor[part] if isinstance(factor, np.ndarray) else factor
        call = (bool(gradients), None, factors, None if weights is None else weights[part])
        value, slope = entropy._evaluate((z.reshape(len(z), *columns), target[part]), call)
        values.append(value)
        if gradients:
            slope = slope.reshape(z.shape)
            np.matmul(slope, matrix, out=gradients[0][part])
            add_product(slope.T, rows, gradients[1])
            if bias is not None:
                gradients[2][...] += slope.sum(axis=0)
            del slope  # before the next is made
    return values


def add_product(a: Array, b: Array, out: Array) -> None:
    """out += a @ b, by tiles of rows, so that the product needs little memory."""
    size = max(TILE // (b.shape[1] * b.itemsize or 1), 1)
    for low in range(0, len(a), size):
        out[low : low + size] += a[low : low + size] @ b


def prepare(
    loss: Loss, call: Call, shape: tuple[int, ...], dtype: np.dtype[Any], mass: Callable[[Array | None], float]
) -> tuple[Array | None, float, Any]:
    """The weights of the samples or None, what the sum of the values is divided by, and the factor on gradients."""
    _, _, grad_output, sample_weight = call
    loss._check_reduction()
    weights = None if sample_weight is None else loss._weights(sample_weight, shape)
    divisor = mass(weights)
    if loss.reduction == "none":
        return weights, 1.0, None if grad_output is None else np.atleast_1d(loss._cotangent(grad_output, shape, dtype))
    if loss.reduction == "sum":
        divisor = 1.0
    number = 1.0 if grad_output is None else loss._number(grad_output)
    return weights, divisor, number / divisor if divisor else 0.0


def reduced(loss: Loss, values: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any], divisor: float) -> Any:
    """The values of all blocks, of that shape for "none", or their sum over `divisor`; NaN if that is 0."""
    if loss.reduction == "none":
        return np.concatenate([np.empty((0, *shape[1:]), dtype), *values]).reshape(shape)
    return sum(values) / divisor if divisor else math.nan


class Linear(Loss):
    """Base class of the losses with linear layers of their own."""

    in_features: int
    dtype: np.dtype[Any]
    _parameters: dict[str, Array]

    def _draw(self, layers: dict[str, tuple[int, int]], rng: Any) -> None:
        """Make the layers, each of so many outputs and inputs, as torch does: uniform within 1/sqrt(inputs)."""
        rng = np.random.default_rng(rng)
        self._parameters = {}
        for name, (outputs, inputs) in layers.items():
            bound = 1 / math.sqrt(inputs or 1)
            shape = (outputs, inputs) if name.endswith("weight") else (outputs,)
            self._parameters[name] = rng.uniform(-bound, bound, shape).astype(self.dtype)
        self._names = ("input", *self._parameters, "target")
        self._gradients = 1 + len(self._parameters)

    def parameters(self) -> dict[str, Array]:
        """The arrays that the loss works with, under torch's names; write into them to load others."""
        return dict(self._parameters)

    def value_and_grad(  # type: ignore[override]
        self,
        input: ArrayLike,
        target: ArrayLike,
        *,
        out: tuple[Array, ...] | None = None,
        grad_output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> tuple[Any, tuple[Array, ...]]:
        """As `Loss.value_and_grad`, with the gradients by `input` and by each of `parameters`."""
        return self._evaluate((input, target), (True, out, grad_output, sample_weight))

    def _rows(self, input: ArrayLike) -> tuple[Array, tuple[int, ...]]:
        """`input` as rows, and the shape that counts them: () if it is a single one."""
        x = float_array(input, "input")
        if x.dtype != self.dtype:
            raise TypeError(f"input has dtype {x.dtype}, the parameters {self.dtype}")
        if x.ndim not in (1, 2) or x.shape[-1] != self.in_features:
            raise ValueError(f"input has shape {x.shape}; it must be (N, {self.in_features}) or ({self.in_features},)")
        return np.atleast_2d(x), x.shape[:-1]

    def _slopes(self, inputs: tuple[Any, ...], call: Call) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """The arrays that take the gradients, and these by name, that of `input` as rows; none if none is wanted."""
        if not call[0]:
            return (), {}
        gradients = self._outs((inputs[0], *self._parameters.values(), inputs[1]), self.dtype, call)
        return gradients, dict(zip(self._names, (np.atleast_2d(gradients[0]), *gradients[1:]), strict=False))


def present(x: Array, weights: Array | None) -> Array:
    """`x`, with zeros in the rows that do not count: their gradient is 0, but 0 times what they hold may not be."""
    return x if weights is None or weights.all() else np.where(weights[:, None] != 0, x, 0)


class LinearCrossEntropyLoss(Linear):
    """Cross entropy of a linear layer's outputs, whose full matrix of logits is never stored.

    With W = `linear_weight` and b = `linear_bias`::

        value = CrossEntropyLoss(input @ W.T + b, target)

    Logits and their gradient exist for a block of rows at a time: 1 MB of them, or 256 rows if these are more. So the
    memory beside the gradients does not grow with the number of rows.

    Parameters
    ----------
    in_features : int
        The length of an input.
    num_classes : int
        C, the number of classes.
    out_features : tuple of int, default ()
        d1, d2, ..., if there is a target for each index of such an array instead of one for each input.
    bias : bool, default False
        Add a bias to the logits?
    dtype : float32 or float64, default float32
        Of the parameters, and so of the input.
    reduction : {"mean", "sum", "none"}, default "mean"
    weight : array of shape (C,), optional
        A factor for each class.
    ignore_index : int, optional
        Targets with this index give no value and no gradient. None is -100. Class indices only.
    label_smoothing : float in [0, 1], default 0
        How much of the target is spread evenly over the classes.
    options : None
        torch's choice of blocks; here there always are.
    rng : Generator, int or None
        Draws the parameters as torch's ``Linear`` does, uniformly within 1/sqrt(in_features).

    Attributes
    ----------
    linear_weight : ndarray of shape (C * d1 * d2 * ..., in_features)
    linear_bias : ndarray of shape (C * d1 * d2 * ...,), or None
        `parameters` has them as "linear.weight" and "linear.bias". Load others by writing into them.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A class index that is neither in [0, C) nor `ignore_index`.

    Notes
    -----
    Called with `input` of shape (N, in_features), or (in_features,) without `out_features`, and `target`, either
    integers of shape (N, d1, d2, ...) or probabilities of shape (N, C, d1, d2, ...); torch tells these by their shape,
    and wants int64. The gradient is a tuple: by `input`, by `linear_weight`, and by `linear_bias` if there is one. If
    all targets are ignored the mean is NaN, as in torch; the gradients are zero, where torch's are NaN.

    References
    ----------
    Wijmans et al., "Cut your losses in large-vocabulary language models", ICLR 2025.

    Examples
    --------
    >>> loss = fo.LinearCrossEntropyLoss(2, 3, dtype=np.float64)
    >>> loss.linear_weight[...] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> value, (gradient, _) = loss.value_and_grad(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([2, 1]))
    >>> round(value, 4), gradient.round(3).tolist()
    (0.6348, [[-0.122, -0.045], [0.289, -0.078]])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: Sequence[int] = (),
        bias: bool = False,
        dtype: DTypeLike = np.float32,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: None = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__(reduction)
        owner = "LinearCrossEntropyLoss"
        check_count(in_features, owner, "in_features")
        check_count(num_classes, owner, "num_classes")
        if not isinstance(out_features, tuple | list):
            raise TypeError(f"out_features must be a tuple of ints, not {out_features!r}")
        for size in out_features:
            check_count(size, owner, "out_features")
        check_flag(bias, owner, "bias")
        words = "label_smoothing must be between 0.0 and 1.0. Got"
        check_number(label_smoothing, words, owner, "label_smoothing", high=1.0, high_open=False)
        if options is not None:
            raise ValueError(f"{owner} always works by blocks of rows and has no options but None, not {options!r}")
        self.in_features = int(in_features)
        self.num_classes = int(num_classes)
        self.out_features = tuple(int(size) for size in out_features)
        self.bias = bool(bias)
        self.dtype = float_type(dtype)
        self.weight = weight_for(class_weight(weight), self.num_classes)
        self.ignore_index = None if ignore_index is None else class_index(ignore_index)
        self.label_smoothing = float(label_smoothing)
        layer = (math.prod(self.out_features, start=self.num_classes), self.in_features)
        self._draw({"linear.weight": layer} | ({"linear.bias": layer} if bias else {}), rng)

    @property
    def linear_weight(self) -> Array:
        return self._parameters["linear.weight"]

    @property
    def linear_bias(self) -> Array | None:
        return self._parameters.get("linear.bias")

    @np.errstate(all="ignore")
    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        x, batch = self._rows(inputs[0])
        if self.out_features and not batch:
            raise ValueError(
                f"input has shape {x.shape[1:]}; out_features {self.out_features} need (N, {self.in_features})"
            )
        shape = (*batch, *self.out_features)
        y = np.asarray(inputs[1])
        soft = y.dtype.kind == "f"
        if soft:
            self._check_probabilities(y, np.shape(inputs[0]), (*batch, self.num_classes, *self.out_features))
        else:
            y = indices_of(inputs[1], np.shape(inputs[0]), shape)
        ignore = -100 if self.ignore_index is None else self.ignore_index
        reduction = "none" if self.reduction == "none" else "sum"
        entropy = CrossEntropyLoss(self.weight, ignore, reduction, self.label_smoothing)
        units = math.prod(self.out_features)

        def mass(weights: Array | None) -> float:
            if soft:
                return units * (len(x) if weights is None else float(weights.sum()))
            return weigh_targets(y, self.num_classes, ignore, entropy.weight, weights, units)

        weights, divisor, factor = prepare(self, call, shape, x.dtype, mass)
        gradients, slopes = self._slopes(inputs, call)
        values = cross_entropies(
            entropy,
            present(x, weights),
            y if batch else y[None],
            self.linear_weight,
            self.linear_bias,
            factor,
            weights,
            tuple(slopes.values()),
            columns=(self.num_classes, *self.out_features),
        )
        return reduced(self, values, shape, x.dtype, divisor), gradients

    def _check_probabilities(self, target: Array, input_shape: tuple[int, ...], shape: tuple[int, ...]) -> None:
        if target.shape != shape:
            raise ValueError(
                f"target has shape {target.shape}; for an input of shape {input_shape}, probabilities have {shape}"
            )
        if self.ignore_index is not None:
            raise ValueError("ignore_index cannot be specified when target contains probabilities")


class AdaptiveLogSoftmaxWithLoss(Linear):
    """Negative log likelihood of a softmax over many classes, of which the rare ones are split off in clusters.

    The head has a logit for each of the first cutoffs[0] classes and one for each cluster; the tail of cluster i has
    the classes from cutoffs[i] to cutoffs[i + 1], whose logits come from ``in_features // div_value**(i + 1)`` numbers
    made of the input. For a class y of the head and for one of cluster i::

        log p(y) = log_softmax(head)[y]
        log p(y) = log_softmax(head)[cutoffs[0] + i] + log_softmax(tail_i)[y - cutoffs[i]]
        value = the mean of -log p(target)

    A tail works on the samples of its cluster only. Classes should be sorted by frequency, the most frequent first.

    Parameters
    ----------
    in_features : int
        The length of an input.
    n_classes : int
    cutoffs : sequence of int
        Where clusters begin: rising, each in [1, n_classes - 1].
    div_value : float, default 4
        How much smaller each tail's inputs are than those of the one before; > 0.
    head_bias : bool, default False
        Add a bias to the head's logits?
    dtype : float32 or float64, default float32
        Of the parameters, and so of the input.
    rng : Generator, int or None
        Draws the parameters as torch's ``Linear`` does, uniformly within 1/sqrt(inputs) of each layer.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong type or out of range; arguments whose shapes or dtypes do not fit.
    IndexError
        A target that is not in [0, n_classes).

    Notes
    -----
    Called with `input` of shape (N, in_features) and integers `target` of shape (N,), or with one sample, without N.
    The value is the mean alone, where torch returns the log-probabilities of the targets too. The gradient is a tuple:
    by `input`, and by each of `parameters` in their order; that of a tail with no samples is zero.

    References
    ----------
    Grave et al., "Efficient softmax approximation for GPUs", ICML 2017.

    Examples
    --------
    >>> loss = fo.AdaptiveLogSoftmaxWithLoss(4, 6, [2, 4], dtype=np.float64, rng=0)
    >>> x = np.array([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 1.0, 0.0]])
    >>> value, (gradient, *_) = loss.value_and_grad(x, np.array([0, 5]))
    >>> round(value, 4), gradient.shape, np.exp(loss.log_prob(x)).sum(axis=1).round(3).tolist()
    (2.2707, (2, 4), [1.0, 1.0])
    """

    _reductions = ("mean",)

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        super().__init__()
        owner = "AdaptiveLogSoftmaxWithLoss"
        check_count(in_features, owner, "in_features")
        check_count(n_classes, owner, "n_classes")
        self.cutoffs = [*cutoffs, n_classes]
        for cutoff in self.cutoffs:
            check_count(cutoff, owner, "cutoffs", low=-(2**62))
        if len(self.cutoffs) < 2 or any(low >= high for low, high in itertools.pairwise([0, *self.cutoffs])):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                f"value is between 1 and n_classes-1 = {n_classes - 1}, not {cutoffs!r}"
            )
        check_number(div_value, "Invalid div_value", owner, "div_value", low_open=True)
        check_flag(head_bias, owner, "head_bias")
        self.in_features = int(in_features)
        self.n_classes = int(n_classes)
        self.div_value = float(div_value)
        self.head_bias = bool(head_bias)
        self.dtype = float_type(dtype)
        head = (self.cutoffs[0] + len(self.cutoffs) - 1, self.in_features)
        layers = {"head.weight": head} | ({"head.bias": head} if head_bias else {})
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            hidden = int(self.in_features // self.div_value ** (i + 1))
            layers |= {f"tail.{i}.0.weight": (hidden, self.in_features), f"tail.{i}.1.weight": (high - low, hidden)}
        self._draw(layers, rng)

    def log_prob(self, input: ArrayLike) -> Array:
        """The log-probabilities of all classes: of shape (N, n_classes), or (n_classes,) for one sample."""
        x, batch = self._rows(input)
        return self._log_prob(x, self._head(x)).reshape(*batch, self.n_classes)

    def predict(self, input: ArrayLike) -> Array:
        """The most probable class of each sample; only those that may be of a cluster go through the tails."""
        x, batch = self._rows(input)
        head = self._head(x)
        best = head.argmax(axis=1)
        rare = best >= self.cutoffs[0]
        best[rare] = self._log_prob(x[rare], head[rare]).argmax(axis=1)
        return best.reshape(batch)  # type: ignore[no-any-return]

    def _head(self, x: Array) -> Array:
        return log_softmax(x @ self._parameters["head.weight"].T + self._parameters.get("head.bias", 0))

    def _tail(self, i: int) -> tuple[str, str]:
        return f"tail.{i}.0.weight", f"tail.{i}.1.weight"

    @np.errstate(all="ignore")
    def _log_prob(self, x: Array, head: Array) -> Array:
        shortlist = self.cutoffs[0]
        out = np.empty((len(x), self.n_classes), x.dtype)
        out[:, :shortlist] = head[:, :shortlist]
        for i, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            down, up = (self._parameters[name] for name in self._tail(i))
            np.add(log_softmax(x @ down.T @ up.T), head[:, shortlist + i, None], out=out[:, low:high])
        return out

    @np.errstate(all="ignore")
    def _evaluate(self, inputs: tuple[Any, ...], call: Call) -> tuple[Any, Any]:
        x, batch = self._rows(inputs[0])
        y = indices_of(inputs[1], np.shape(inputs[0]), batch)
        weights, divisor, factor = prepare(
            self, call, batch, x.dtype, lambda weights: weigh_targets(y, self.n_classes, NO_INDEX, None, weights, 1)
        )
        gradients, slopes = self._slopes(inputs, call)
        x, y = present(x, weights), np.atleast_1d(y)
        entropy = CrossEntropyLoss(reduction="sum")
        cluster = np.searchsorted(self.cutoffs, y, side="right")
        values = cross_entropies(
            entropy,
            x,
            np.where(cluster == 0, y, self.cutoffs[0] - 1 + cluster),
            self._parameters["head.weight"],
            self._parameters.get("head.bias"),
            factor,
            weights,
            [slopes[name] for name in ("input", "head.weight", "head.bias") if name in slopes],
        )
        for i, low in enumerate(self.cutoffs[:-1]):
            rows = np.flatnonzero(cluster == i + 1)
            down, up = self._tail(i)
            some = x.take(rows, axis=0)
            hidden = some @ self._parameters[down].T
            slope = np.empty_like(hidden)
            values += cross_entropies(
                entropy,
                hidden,
                y[rows] - low,
                self._parameters[up],
                None,
                factor,
                None if weights is None else weights[rows],
                (slope, slopes[up]) if slopes else (),
            )
            if slopes:
                np.matmul(slope.T, some, out=slopes[down])
                slopes["input"][rows] += slope @ self._parameters[down]
        return reduced(self, values, batch, x.dtype, divisor), gradients


def log_softmax(z: Array) -> Array:
    z = z - z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return z


def float_type(dtype: DTypeLike) -> np.dtype[Any]:
    """A dtype that parameters can have."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, not {dtype}")
    return dtype
