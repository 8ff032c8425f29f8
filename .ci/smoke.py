"""Use an installed fastopt as a stranger would: run this from outside the checkout."""

from pathlib import Path

import numpy as np

import fastopt as fo

assert Path(__file__).parents[1] not in Path(fo.__file__).parents, fo.__file__
assert Path(fo.__file__).with_name("py.typed").exists()

w = np.ones(5)
optimizer = fo.Adam(w, lr=0.1)
for _ in range(200):
    optimizer.step(2 * w)
assert np.abs(w).max() < 1e-3, w
print(f"smoke test passed: {fo.__file__}")
