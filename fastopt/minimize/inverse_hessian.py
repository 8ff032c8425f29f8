"""The inverse Hessian of an L-BFGS run; a file of its own because it imports scipy.optimize."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import LbfgsInvHessProduct  # type: ignore[import-untyped]
from scipy.sparse.linalg import LinearOperator  # type: ignore[import-untyped]

Matrix = NDArray[np.float64]


class InverseHessian(LbfgsInvHessProduct):  # type: ignore[misc]
    """The L-BFGS approximation of the inverse Hessian, as a linear operator.

    H_0 = diag(h0), and with each pair, oldest first::

        H' = (I - rho s y') H (I - rho y s') + rho s s',    rho = 1 / s'y

    SciPy's L-BFGS-B starts from I, and hands over the pairs in the order of their slots. Here H is what the run itself
    used: ``-H @ g`` is its next direction, and ``H @ yk[-1]`` is ``sk[-1]``.

    Parameters
    ----------
    sk, yk : ndarray, shape (m, n)
        Steps and changes of the gradient, oldest first.
    h0 : float or ndarray of shape (n,)
        Diagonal of the initial matrix; positive.

    References
    ----------
    Nocedal, J. (1980). Updating quasi-Newton matrices with limited storage. Math. Comp. 35(151).
    """

    def __init__(self, sk: NDArray[Any], yk: NDArray[Any], h0: ArrayLike) -> None:
        LinearOperator.__init__(self, np.float64, (sk.shape[1], sk.shape[1]))
        self.sk, self.yk, self.h0 = (np.asarray(a, dtype=np.float64) for a in (sk, yk, h0))
        self.n_corrs = len(sk)

    @cached_property
    def rho(self) -> Matrix:
        """1 / s'y of each pair."""
        return np.asarray(1 / np.einsum("ij,ij->i", self.sk, self.yk))

    def _product(self, x: Any, m: int) -> Matrix:
        """H x by the two-loop recursion, H after the first m pairs; x of shape (n,) or (n, k)."""
        q = np.array(x, dtype=np.float64)
        alpha = [0.0] * m
        for i in reversed(range(m)):
            alpha[i] = self.rho[i] * (self.sk[i] @ q)
            q -= np.multiply.outer(self.yk[i], alpha[i])
        q = (self.h0 * q.T).T
        for i in range(m):
            q += np.multiply.outer(self.sk[i], alpha[i] - self.rho[i] * (self.yk[i] @ q))
        return q

    def _matvec(self, x: Any) -> Matrix:
        return self._product(np.ravel(x), self.n_corrs)

    def _matmat(self, X: Any) -> Matrix:
        return self._product(X, self.n_corrs)

    def _adjoint(self) -> InverseHessian:
        return self

    def todense(self) -> Matrix:
        """Return H as an array of shape (n, n)."""
        return self._matmat(np.eye(self.shape[0]))

    def diag(self) -> Matrix:
        """Return the diagonal of H, of shape (n,), in O(m^2 n) and without forming H."""
        diagonal = np.empty(self.shape[0])
        diagonal[:] = self.h0
        for i in range(self.n_corrs):
            s, y, rho = self.sk[i], self.yk[i], self.rho[i]
            q = self._product(y, i)
            diagonal += rho * s * ((1 + rho * (y @ q)) * s - 2 * q)
        return diagonal

    def solve(self, b: ArrayLike) -> Matrix:
        """Return the u with ``H @ u = b``, which is the approximation of the Hessian times b.

        Parameters
        ----------
        b : array_like, shape (n,) or (n, k)
            One right-hand side or k of them. The first call costs O(m^2 n), each further one O(m n k).
        """
        u = np.array(b, dtype=np.float64)
        if u.ndim not in (1, 2) or u.shape[0] != self.shape[0]:
            raise ValueError(f"b has shape {u.shape}, but H has shape {self.shape}")
        return self._hessian_product(u, self._columns)

    def inverse(self) -> LinearOperator:
        """Return the approximation of the Hessian as a linear operator."""
        return LinearOperator(
            self.shape, matvec=self.solve, rmatvec=self.solve, matmat=self.solve, rmatmat=self.solve, dtype=np.float64
        )

    @cached_property
    def _columns(self) -> list[tuple[Matrix, Matrix]]:
        """(a, c) of each pair: with it the Hessian goes from B to B - a a' + c c'."""
        columns: list[tuple[Matrix, Matrix]] = []
        for s, y, rho in zip(self.sk, self.yk, self.rho, strict=True):
            a = self._hessian_product(s, columns)
            columns.append((a / np.sqrt(s @ a), y * np.sqrt(rho)))
        return columns

    def _hessian_product(self, x: Matrix, columns: list[tuple[Matrix, Matrix]]) -> Matrix:
        product = (x.T / self.h0).T
        for a, c in columns:
            product += np.multiply.outer(c, c @ x) - np.multiply.outer(a, a @ x)
        return product
