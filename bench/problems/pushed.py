"""Unconstrained problems with bounds on every other variable that push it away from the unconstrained solution."""

import numpy as np

from problems import unconstrained

CGT = "Conn, Gould, Toint: Testing a class of methods with simple bounds on the variables (1988)"

# The value of each variable at the unconstrained solution, and the least value known within the bounds: the best of
# L-BFGS-B's and our own from eight starts.
LEAST = {
    "VARIABLY_DIMENSIONED-100": (1, 0.864004868933623),
    "BROWN_ALMOST_LINEAR-100": (1, 1.12050038785014),
    "LINEAR_FULL_RANK-100": (-1, 100.5),
    "CHNRSNBM-50": (1, 391.878841702121),
    "DIXMAANA-300": (0, 2.5625125),
    "DIXMAANB-300": (0, 2.53125625),
    "DIXMAANC-300": (0, 2.5625125),
    "DIXMAAND-300": (0, 2.630026),
    "DIXMAANE-300": (0, 1.76042916666667),
    "DIXMAANF-300": (0, 1.75521458333333),
    "DIXMAANG-300": (0, 1.76042916666667),
    "DIXMAANH-300": (0, 1.77169266666667),
    "DIXMAANI-300": (0, 1.50232152777778),
    "DIXMAANJ-300": (0, 1.50115798611111),
    "DIXMAANK-300": (0, 1.50232152777778),
    "DIXMAANL-300": (0, 1.50483477777778),
    "DIXON3DQ-100": (1, 0.015),
    "DQDRTIC-100": (0, 98.49),
    "EXTENDED_BD1-100": (1, 2.48331769001617),
    "EXTENDED_POWELL_SINGULAR-100": (0, 0.0485347100849084),
    "EXTENDED_ROSENBROCK-100": (1, 0.5),
    "EXTENDED_WHITE_HOLST-100": (1, 0.5),
    "EXTROSNB-100": (1, 101.040122631714),
    "FLETCHCR-100": (1, 333.328527166429),
    "GENROSE-100": (1, 104.889701780773),
    "HILBERTA-10": (0, 0.000527610374642866),
    "HILBERTB-50": (0, 1.40868961946209),
    "LIARWHD-100": (1, 1.20004033609953),
    "NONDIA-100": (1, 6.24510149120241),
    "NONDQUAR-100": (0, 1.09568259184048e-10),
    "PERTURBED_QUADRATIC-100": (0, 25.2444997276018),
    "POWER-100": (0, 625.0),
    "RAYDAN_1-100": (0, 506.292729518912),
    "RAYDAN_2-100": (0, 100.258545903782),
    "SINQUAD-100": (1, 0.016221490352842),
    "SPARSINE-100": (0, 271.110696627083),
    "SPARSQUR-100": (0, 0.78125),
    "TESTQUAD-1000": (0, 2500.0),
    "TQUARTIC-100": (1, 0.01),
    "TRIGONOMETRIC-100": (0, 12.0794405169247),
    "WOODS-100": (1, 36.9128810766273),
    "ZAKHAROV-50": (0, 0.426721408912563),
}


def problems():
    """Return x_i in [s + 0.1, s + 1.1] for i = 1, 3, 5, ..., with s the solution."""
    plain = {problem.name: problem for problem in unconstrained.problems()}
    return [_pushed(plain[name], *row) for name, row in LEAST.items()]


def _pushed(problem, solution, best):
    low, high = np.full(problem.n, -np.inf), np.full(problem.n, np.inf)
    low[::2], high[::2] = solution + 0.1, solution + 1.1
    x0 = np.clip(problem.x0, low, high)
    return problem._replace(name=f"CGT-{problem.name}", x0=x0, best=best, source=CGT, low=low, high=high)
