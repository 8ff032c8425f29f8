"""The inverse Hessian of an L-BFGS run; a file of its own because it imports scipy.optimize."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LbfgsInvHessProduct  # type: ignore[import-untyped]


class InverseHessian(LbfgsInvHessProduct):  # type: ignore[misc]
    """The L-BFGS approximation of the inverse Hessian, as a linear operator.

    H = V'...V' (gamma I) V...V + rho s s' + ..., by the two-loop recursion.

    SciPy's L-BFGS-B starts from I instead of gamma I, and hands over the pairs in the order of
    their slots. Here they are in the order of time, so that ``H @ yk[-1]`` is ``sk[-1]``.

    Parameters
    ----------
    sk, yk : ndarray, shape (n_corrs, n)
        Steps and changes of the gradient, oldest first.
    gamma : float
        Scale of the initial matrix.
    """

    def __init__(self, sk: NDArray[Any], yk: NDArray[Any], gamma: float) -> None:
        super().__init__(sk.astype(np.float64), yk.astype(np.float64))
        self.gamma = gamma

    def _matmat(self, X: NDArray[Any]) -> NDArray[np.float64]:
        q = np.array(X, dtype=np.float64)
        alpha = np.empty((self.n_corrs, q.shape[1]))
        for i in reversed(range(self.n_corrs)):
            alpha[i] = self.rho[i] * (self.sk[i] @ q)
            q -= np.outer(self.yk[i], alpha[i])
        q *= self.gamma
        for i in range(self.n_corrs):
            q += np.outer(self.sk[i], alpha[i] - self.rho[i] * (self.yk[i] @ q))
        return q

    def _matvec(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return self._matmat(np.reshape(x, (-1, 1)))[:, 0]

    def _adjoint(self) -> InverseHessian:
        return self

    def todense(self) -> NDArray[np.float64]:
        """The matrix itself, of shape (n, n)."""
        return self._matmat(np.eye(self.shape[0]))
