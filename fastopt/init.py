"""Initializers: weights to start from, written in place; fills first, then plain draws, then those that know fans.

Every function returns what it was given: a float32 or float64 ndarray of any strides, or a `Parameter`.
"""

# Design: values are drawn in C order of the shape and then assigned, so a seed gives the same weights whatever the
# memory layout; each function checks all it was told before it draws, so a failed call changes nothing.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastopt._validation import check_choice, check_count, check_number
from fastopt.params import Array, Parameter

if TYPE_CHECKING:  # importing numpy.random takes time
    Seed = np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | int | Sequence[int] | None

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "variance_scaling_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Target = TypeVar("Target", Array, Parameter)

GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations from layer to layer through a nonlinearity.

    1 for "linear", "conv1d" to "conv3d", "conv_transpose1d" to "conv_transpose3d" and "sigmoid", 5/3 for "tanh",
    sqrt(2) for "relu", sqrt(2 / (1 + param**2)) for "leaky_relu", 3/4 for "selu".

    Parameters
    ----------
    nonlinearity : str
    param : float, default 0.01
        The slope of "leaky_relu" below 0; the others ignore it.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Another nonlinearity (torch has none for "gelu" or "silu" either: take that of "relu"), a slope that is no
        finite number.

    Notes
    -----
    As in torch; self-normalizing networks of "selu" need the gain of "linear".

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> fo.init.calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        try:
            words = f"negative_slope {param} not a valid number"
            check_number(slope, words, "calculate_gain", "param", -np.inf, low_open=True)
        except TypeError as error:  # torch has a ValueError
            raise ValueError(*error.args) from None
        return math.sqrt(2 / (1 + float(slope) * float(slope)))  # ** would refuse to overflow
    if not isinstance(nonlinearity, str) or nonlinearity not in GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity} (there are leaky_relu, {', '.join(GAINS)})")
    return GAINS[nonlinearity]


def constant_(array: Target, val: float) -> Target:
    """Fill with one number.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.
    val : float
        Infinite, or finite in the array's dtype too.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, no such number.

    Examples
    --------
    >>> fo.init.constant_(np.empty(3), 0.5)
    array([0.5, 0.5, 0.5])
    """
    data = _data(array, "constant_")
    largest = np.inf if val in (-np.inf, np.inf) else float(np.finfo(data.dtype).max)
    check_number(val, "Invalid val", "constant_", "val", -largest, largest, high_open=False)
    data[...] = float(val)
    return array


def ones_(array: Target) -> Target:
    """Fill with 1, as for the scales of normalization layers.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled.

    Examples
    --------
    >>> fo.init.ones_(np.empty(3))
    array([1., 1., 1.])
    """
    _data(array, "ones_")[...] = 1
    return array


def zeros_(array: Target) -> Target:
    """Fill with 0, as for biases.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled.

    Examples
    --------
    >>> fo.init.zeros_(np.empty(3))
    array([0., 0., 0.])
    """
    _data(array, "zeros_")[...] = 0
    return array


def eye_(array: Target) -> Target:
    """Fill a matrix with the identity: a linear layer that passes on as many inputs as it can.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, with 2 dimensions.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has not 2 dimensions.

    Examples
    --------
    >>> fo.init.eye_(np.empty((2, 3)))
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    data = _matrix(array, "eye_")
    data[...] = np.eye(*data.shape, dtype=data.dtype)
    return array


def dirac_(array: Target, groups: int = 1) -> Target:
    """Fill the kernel of a convolution with 1 in the middle: it passes on as many channels as it can.

    For output channel d of each group, ``array[d, d, middle] = 1``; all else is 0.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in / groups, *kernel), with 1 to 3 dimensions of the kernel.
    groups : int, default 1
        Groups of channels, each passed on by itself; it divides the output channels.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has not 3 to 5 dimensions; `groups` that do not divide ``array.shape[0]``.

    Examples
    --------
    >>> fo.init.dirac_(np.empty((2, 2, 3)))[:, :, 1]
    array([[1., 0.],
           [0., 1.]])
    """
    data = _data(array, "dirac_")
    if not 3 <= data.ndim <= 5:
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported: shape {data.shape} (dirac_)")
    check_count(groups, "dirac_", "groups")
    if data.shape[0] % groups:
        raise ValueError(f"dim 0 must be divisible by groups: {data.shape[0]} by {groups} (dirac_)")
    data[...] = 0
    if data.size:
        outputs, (_, inputs, *kernel) = data.shape[0] // groups, data.shape
        channel = np.arange(min(outputs, inputs))
        first = outputs * np.arange(groups)[:, None]
        data[(first + channel, channel, *(size // 2 for size in kernel))] = 1
    return array


def uniform_(array: Target, a: float = 0.0, b: float = 1.0, *, rng: Seed = None) -> Target:
    """Fill with draws from the uniform distribution on [a, b).

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.
    a, b : float, default 0.0 and 1.0
        The ends, a <= b.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, numbers that are not finite or out of order.

    Notes
    -----
    Rounding never leaves [a, b): the values lie in it both as `a` and `b` were given and as the array's dtype rounds
    them. Only if the dtype has no number in between are they all the one nearest to `a`, as with ``a == b``.

    Examples
    --------
    >>> w = fo.init.uniform_(np.empty((2, 3)), -0.5, 0.5, rng=0)
    >>> bool((w >= -0.5).all() and (w < 0.5).all())
    True
    """
    data = _data(array, "uniform_")
    low, high = _number(data, a, "uniform_", "a"), _number(data, b, "uniform_", "b")
    if low > high:
        raise ValueError(f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}")
    _draw_uniform(data, low, high, rng)
    return array


def normal_(array: Target, mean: float = 0.0, std: float = 1.0, *, rng: Seed = None) -> Target:
    """Fill with draws from the normal distribution.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.
    mean : float, default 0.0
    std : float, default 1.0
        At least 0.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, numbers that are not finite, std < 0.

    Examples
    --------
    >>> w = fo.init.normal_(np.empty(10000), std=0.02, rng=0)
    >>> round(float(w.std()), 3)
    0.02
    """
    data = _data(array, "normal_")
    _draw_normal(data, _number(data, mean, "normal_", "mean"), _std(data, std, "normal_"), rng)
    return array


def trunc_normal_(
    array: Target, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, *, rng: Seed = None
) -> Target:
    """Fill with draws from the normal distribution, given that they are in [a, b]: no weight starts as an outlier.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, of any shape and strides.
    mean : float, default 0.0
        Of the whole distribution; it need not be in [a, b].
    std : float, default 1.0
        Of the whole distribution, above 0; what is left of it has a smaller one.
    a, b : float, default -2.0 and 2.0
        The bounds, a <= b, themselves and not in units of `std`: with std=0.02 the defaults cut nothing off. They
        may be infinite.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, numbers that are not finite, std <= 0, a > b.

    Notes
    -----
    By inverting the distribution function in the tail where it is small, so any mean and std will do, however far from
    [a, b]; torch draws until all values fit, and warns there. No value is outside [a, b]; only if the dtype has no
    number in it are they all the one nearest to `a`.

    References
    ----------
    Robert, "Simulation of truncated normal variables", Statistics and Computing 1995.

    Examples
    --------
    >>> w = fo.init.trunc_normal_(np.empty(1000), std=0.02, a=-0.04, b=0.04, rng=0)
    >>> bool(abs(w).max() <= 0.04)
    True
    """
    owner = "trunc_normal_"
    data = _data(array, owner)
    mean, std = _number(data, mean, owner, "mean"), _number(data, std, owner, "std", 0, low_open=True)
    largest = float(np.finfo(data.dtype).max)
    check_number(a, "Invalid a", owner, "a", -np.inf, largest, high_open=False)
    check_number(b, "Invalid b", owner, "b", -largest, high_open=False)
    if a > b:
        raise ValueError(f"Invalid bounds: a={a}, b={b} ({owner} needs a <= b)")
    _draw_trunc_normal(data, mean, std, max(float(a), -largest), min(float(b), largest), rng)
    return array


def xavier_uniform_(array: Target, gain: float = 1.0, *, rng: Seed = None) -> Target:
    """Fill with a uniform distribution whose variance suits both passes through tanh or sigmoid layers (Glorot).

    Uniform on [-bound, bound) with::

        bound = gain * sqrt(6 / (fan_in + fan_out))

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    gain : float, default 1.0
        At least 0, such as `calculate_gain` gives.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; a gain that is negative or not finite.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> W = np.empty((64, 32))  # x @ W
    >>> w = fo.init.xavier_uniform_(W.T, rng=0)
    >>> bool(abs(W).max() <= 0.25)
    True
    """
    _draw_scaled(array, "xavier_uniform_", gain, "fan_avg", "uniform", rng)
    return array


def xavier_normal_(array: Target, gain: float = 1.0, *, rng: Seed = None) -> Target:
    """Fill with a normal distribution whose variance suits both passes through tanh or sigmoid layers (Glorot).

    Normal with mean 0 and::

        std = gain * sqrt(2 / (fan_in + fan_out))

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    gain : float, default 1.0
        At least 0, such as `calculate_gain` gives.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; a gain that is negative or not finite.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> W = np.empty((80, 120))  # x @ W
    >>> w = fo.init.xavier_normal_(W.T, rng=0)
    >>> round(float(W.std()), 2)
    0.1
    """
    _draw_scaled(array, "xavier_normal_", gain, "fan_avg", "normal", rng)
    return array


def kaiming_uniform_(
    array: Target, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Seed = None
) -> Target:
    """Fill with a uniform distribution whose variance suits layers of rectifiers (He).

    Uniform on [-bound, bound) with::

        bound = calculate_gain(nonlinearity, a) * sqrt(3 / fan)

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    a : float, default 0
        The slope below 0 of "leaky_relu", which is "relu" for 0. With sqrt(5) the bound is 1 / sqrt(fan), which is
        how torch starts its Linear and Conv layers.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        The fan that counts: with that of the inputs the forward pass keeps its variance, else the backward pass.
    nonlinearity : str, default "leaky_relu"
        As for `calculate_gain`.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; another mode or nonlinearity.

    Notes
    -----
    An array of no elements stays as it is, without the warning that torch gives.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> W = np.empty((96, 32))  # x @ W
    >>> w = fo.init.kaiming_uniform_(W.T, nonlinearity="relu", rng=0)
    >>> bool(abs(W).max() <= 0.25)
    True
    """
    _draw_kaiming(array, "kaiming_uniform_", a, mode, nonlinearity, "uniform", rng)
    return array


def kaiming_normal_(
    array: Target, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", *, rng: Seed = None
) -> Target:
    """Fill with a normal distribution whose variance suits layers of rectifiers (He).

    Normal with mean 0 and::

        std = calculate_gain(nonlinearity, a) / sqrt(fan)

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    a : float, default 0
        The slope below 0 of "leaky_relu", which is "relu" for 0.
    mode : {"fan_in", "fan_out"}, default "fan_in"
        The fan that counts: with that of the inputs the forward pass keeps its variance, else the backward pass.
    nonlinearity : str, default "leaky_relu"
        As for `calculate_gain`.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; another mode or nonlinearity.

    Notes
    -----
    An array of no elements stays as it is, without the warning that torch gives.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> W = np.empty((200, 50))  # x @ W
    >>> w = fo.init.kaiming_normal_(W.T, nonlinearity="relu", rng=0)
    >>> round(float(W.std()), 2)
    0.1
    """
    _draw_kaiming(array, "kaiming_normal_", a, mode, nonlinearity, "normal", rng)
    return array


def lecun_uniform_(array: Target, *, rng: Seed = None) -> Target:
    """Fill with a uniform distribution of variance 1 / fan_in (LeCun).

    Uniform on [-bound, bound) with::

        bound = sqrt(3 / fan_in)

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.

    Examples
    --------
    >>> W = np.empty((48, 32))  # x @ W
    >>> w = fo.init.lecun_uniform_(W.T, rng=0)
    >>> bool(abs(W).max() <= 0.25)
    True
    """
    _draw_scaled(array, "lecun_uniform_", 1.0, "fan_in", "uniform", rng)
    return array


def lecun_normal_(array: Target, *, rng: Seed = None) -> Target:
    """Fill with a truncated normal distribution of variance 1 / fan_in (LeCun): the start of networks of "selu".

    `variance_scaling_` with its defaults, as in Keras.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> W = np.empty((100, 50))  # x @ W
    >>> w = fo.init.lecun_normal_(W.T, rng=0)
    >>> round(float(W.std()), 2)
    0.1
    """
    _draw_scaled(array, "lecun_normal_", 1.0, "fan_in", "truncated_normal", rng)
    return array


def variance_scaling_(
    array: Target,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    *,
    rng: Seed = None,
) -> Target:
    """Fill with a distribution of mean 0 and a given variance: what Xavier, Kaiming and LeCun have in common.

    In any of the distributions::

        variance = scale / fan

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable: (out, in, *kernel). Pass ``W.T`` for a W of shape (in, out).
    scale : float, default 1.0
        Above 0; the square of a gain.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        The fan that counts; "fan_avg" is (fan_in + fan_out) / 2.
    distribution : {"truncated_normal", "normal", "uniform"}, default "truncated_normal"
        The first is cut at 2 standard deviations of a normal distribution whose own is the larger by 1 / 0.87962566, so
        that the variance is right after the cut.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; scale <= 0, another mode or distribution.

    Notes
    -----
    As in Keras, but for the fans, which are those of torch: Keras has the channels last.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> W = np.empty((50, 150))  # x @ W
    >>> w = fo.init.variance_scaling_(W.T, mode="fan_avg", distribution="normal", rng=0)
    >>> round(float(W.std()), 2)
    0.1
    """
    owner = "variance_scaling_"
    scale = _number(_data(array, owner), scale, owner, "scale", 0, low_open=True)
    check_choice(mode, ("fan_in", "fan_out", "fan_avg"), owner, "mode")
    check_choice(distribution, ("truncated_normal", "normal", "uniform"), owner, "distribution")
    _draw_scaled(array, owner, math.sqrt(scale), mode, distribution, rng)
    return array


def orthogonal_(array: Target, gain: float = 1, *, rng: Seed = None) -> Target:
    """Fill with a matrix, of all with orthonormal rows or columns, each as likely: it keeps lengths in deep networks.

    With rows = ``array.shape[0]`` and all else in columns, columns are orthonormal if there are at least as many
    rows, else rows are; then all is multiplied by `gain`.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, with at least 2 dimensions.
    gain : float, default 1
        Such as `calculate_gain` gives.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has fewer than 2 dimensions; a gain that is not finite.

    Notes
    -----
    By a QR decomposition in float64 for both dtypes; its last bits are those of NumPy's LAPACK.

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014. Mezzadri, "How to generate random matrices from the classical compact groups", 2007.

    Examples
    --------
    >>> w = fo.init.orthogonal_(np.empty((3, 5)), rng=0)
    >>> np.allclose(w @ w.T, np.eye(3))
    True
    """
    data = _data(array, "orthogonal_")
    if data.ndim < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported: shape {data.shape} (orthogonal_)")
    gain = _number(data, gain, "orthogonal_", "gain")
    rows, columns = data.shape[0], math.prod(data.shape[1:])
    tall = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(np.random.default_rng(rng).standard_normal(tall))
    q *= gain * np.copysign(1, r.diagonal())  # or Q would not be uniform: LAPACK's signs are its own
    data[...] = (q if rows >= columns else q.T).reshape(data.shape)
    return array


def sparse_(array: Target, sparsity: float, std: float = 0.01, *, rng: Seed = None) -> Target:
    """Fill a matrix with normal draws, and as many zeros in every column: few strong connections, none too many.

    Of each column, ``ceil(sparsity * rows)`` elements at random are 0, the others normal with mean 0.

    Parameters
    ----------
    array : ndarray or Parameter
        float32 or float64, writeable, with 2 dimensions: (out, in). Pass ``W.T`` for a W of shape (in, out).
    sparsity : float
        The share of zeros in each column, in [0, 1].
    std : float, default 0.01
        At least 0.
    rng : Generator, or seed of one, optional
        What ``numpy.random.default_rng`` takes; a Generator advances, None is different each time.

    Returns
    -------
    ndarray or Parameter
        `array`.

    Raises
    ------
    TypeError, ValueError
        An array that cannot be filled, or has not 2 dimensions; a number out of range.

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization", ICML 2010.

    Examples
    --------
    >>> w = fo.init.sparse_(np.empty((5, 4)), 0.5, rng=0)
    >>> (w == 0).sum(axis=0)
    array([3, 3, 3, 3])
    """
    data = _matrix(array, "sparse_")
    check_number(sparsity, "Invalid sparsity", "sparse_", "sparsity", 0, 1, high_open=False)
    std = _std(data, std, "sparse_")
    generator = np.random.default_rng(rng)
    first = np.arange(data.shape[0])[:, None] < math.ceil(float(sparsity) * data.shape[0])
    zero = generator.permuted(np.broadcast_to(first, data.shape), axis=0)
    _draw_normal(data, 0.0, std, generator)
    data[zero] = 0
    return array


def _data(array: Any, owner: str) -> Array:
    data: Any = array.data if isinstance(array, Parameter) else array
    if not isinstance(data, np.ndarray):
        raise TypeError(f"{owner} fills an ndarray or a Parameter, not {type(data).__name__}")
    if data.dtype not in (np.float32, np.float64):
        raise TypeError(f"{owner} fills an array of native float32 or float64 numbers, not {data.dtype}")
    if not data.flags.writeable:
        raise ValueError(f"{owner} fills the array in place, but it is read-only: pass a writeable one")
    return data


def _matrix(array: Any, owner: str) -> Array:
    data = _data(array, owner)
    if data.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported: shape {data.shape} ({owner})")
    return data


def _number(
    data: Array, value: Any, owner: str, name: str, low: float | None = None, *, words: str = "", low_open: bool = False
) -> float:
    """The number, refused unless finite and so small that no draw overflows: none is beyond 14 standard deviations."""
    limit = float(np.finfo(data.dtype).max) / 32
    words = words or f"Invalid {name}"
    check_number(value, words, owner, name, -limit if low is None else low, limit, low_open=low_open, high_open=False)
    return float(value)


def _std(data: Array, std: Any, owner: str) -> float:
    return _number(data, std, owner, "std", 0, words="normal expects std >= 0.0, but found std")


def _draw_kaiming(
    array: Any, owner: str, slope: float, mode: str, nonlinearity: str, distribution: str, rng: Seed
) -> None:
    modes = ["fan_in", "fan_out"]
    if not isinstance(mode, str) or mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {modes} ({owner})")
    _draw_scaled(array, owner, calculate_gain(nonlinearity, slope), mode.lower(), distribution, rng)


def _draw_scaled(array: Any, owner: str, gain: float, mode: str, distribution: str, rng: Seed) -> None:
    """Draws with mean 0 and standard deviation gain / sqrt(fan)."""
    data = _data(array, owner)
    if data.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions: "
            f"shape {data.shape} ({owner})"
        )
    outputs, inputs, *kernel = data.shape
    fan = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[mode] * math.prod(kernel)
    std = _number(data, gain, owner, "gain", 0) / math.sqrt(max(fan, 1))  # 0 only where there are no elements
    if distribution == "uniform":
        _draw_uniform(data, -math.sqrt(3) * std, math.sqrt(3) * std, rng)
    elif distribution == "normal":
        _draw_normal(data, 0.0, std, rng)
    else:
        std /= 0.87962566103423978  # the standard deviation of a standard normal distribution cut at -2 and 2
        _draw_trunc_normal(data, 0.0, std, -2 * std, 2 * std, rng)


def _draw_normal(data: Array, mean: float, std: float, rng: Seed) -> None:
    values = np.random.default_rng(rng).standard_normal(data.shape, data.dtype)
    values *= std
    values += mean
    data[...] = values


def _draw_uniform(data: Array, a: float, b: float, rng: Seed) -> None:
    values = np.random.default_rng(rng).random(data.shape, data.dtype)
    values *= b - a
    values += a
    _fill_within(data, values, a, b, open_above=True)


def _draw_trunc_normal(data: Array, mean: float, std: float, a: float, b: float, rng: Seed) -> None:
    from scipy.special import log_ndtr, ndtri_exp  # type: ignore[import-untyped]  # slow to import

    # Turned over if need be, so that the interval is mostly below the mean; there logarithms of the distribution
    # function keep their accuracy. In units of std it goes from bottom to top; p is the share of it that is above.
    sign, far, near = (-1, b, a) if a - mean > mean - b else (1, a, b)
    bottom, top, width = sign * (far - mean) / std, sign * (near - mean) / std, (b - a) / std
    p: Any = np.random.default_rng(rng).random(data.shape)  # in float64: 24 bits of float32 are too few for tails
    np.maximum(p, 2**-54, out=p)  # 0 would be the very end, however far
    if top < -1e4 or width < 1e-5:  # the density is exponential to 1e-8, and differences from mean are too coarse
        depth: Any = np.log1p(p * math.expm1(top * width)) / top if abs(top * width) > 1e-9 else p * width
        values = near - sign * std * depth
    else:
        above = log_ndtr(top)
        values = mean + sign * std * ndtri_exp(above + np.log1p(p * math.expm1(log_ndtr(bottom) - above)))
    _fill_within(data, values, a, b)


def _fill_within(data: Array, values: Any, a: float, b: float, *, open_above: bool = False) -> None:
    """Fill with the values, rounded into [a, b] or [a, b); where the dtype has none in it, with the nearest to a."""
    real = data.dtype.type
    nearest, high = real(a), real(b)
    low = nearest if nearest.item() >= a else np.nextafter(nearest, real(np.inf))
    if open_above or high.item() > b:
        high = np.nextafter(high, real(-np.inf))
    if low > high:
        low = high = nearest
    values = np.asarray(values, data.dtype)
    data[...] = np.clip(values, low, high, out=values)
