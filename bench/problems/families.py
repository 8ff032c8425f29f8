"""How a family of problems is written: sums over index sets of x, their gradients, and the list of all sizes."""

import numpy as np

from problems.problem import Problem


def collection():
    """A decorator for functions that build (fun, x0), and a function that lists what they build as problems.

    The decorator takes the least values known, one by n where the function takes n, and the source.
    """
    rows = []

    def family(best, source):
        def register(build):
            rows.append((build, best, source))
            return build

        return register

    def problems():
        found = []
        for build, best, source in rows:
            name = build.__name__.upper()
            cases = best.items() if isinstance(best, dict) else [(None, best)]
            for n, least in cases:
                fun, x0 = build() if n is None else build(n)
                quiet = np.errstate(all="ignore")(fun)  # solvers try points where values overflow
                label = name if n is None else f"{name}-{n}"
                found.append(Problem(label, quiet, np.array(x0, dtype=float), least, source))
        return found

    return family, problems


def blocks(size):
    """The indices of x dealt out: `blocks(2)` are those of x1, x3, x5... and of x2, x4, x6..."""
    return [slice(i, None, size) for i in range(size)]


def chain(size):
    """Neighbors: `chain(2)` are the indices of x1..x(n-1) and of x2..xn."""
    return [slice(i, i - size + 1 or None) for i in range(size)]


ALL = slice(None)


def one_to(n):
    """1, 2, ..., n."""
    return np.arange(1, n + 1)


def sum_of(*elements, constant=0, squared=False):
    """f(x) = `constant` + sum of all entries of all elements, and its gradient.

    An element is written (index, ..., function): the function takes the parts x[index], ... and returns
    its entries, an array or a number, followed by their derivatives by each part. An index is a slice or
    an array as long as the entries, or an integer for a variable that all entries share.
    """

    def fun(x):
        f, g = constant, np.zeros_like(x)
        for *indices, element in elements:
            value, *slopes = element(*(x[index] for index in indices))
            weight = 2 * value if squared else np.ones_like(value)
            f = f + np.sum(value * value if squared else value)
            for index, slope in zip(indices, slopes, strict=True):
                if isinstance(index, slice):
                    g[index] += weight * slope
                elif isinstance(index, int):
                    g[index] += np.sum(weight * slope)
                else:
                    np.add.at(g, index, weight * slope)
        return f.item(), g

    return fun


def sum_of_squares(*elements, constant=0):
    """Likewise `constant` + the sum of their squares."""
    return sum_of(*elements, constant=constant, squared=True)


def least_squares(model):
    """f(x) = |r|^2 and its gradient 2 J^T r, where `model(x)` returns r and the function u -> J^T u."""

    def fun(x):
        r, transposed = model(x)
        return np.sum(r * r).item(), transposed(2 * r)

    return fun
