"""Handwritten digits, twice: softmax regression by L-BFGS, and a small network by mini-batches of AdamW.

Read `Network` and `train_network` to see how a NumPy model is trained with fastopt, and `softmax_objective` to see
how a function is minimized. Run it with `fastopt demo` or `python examples/digits.py`.
"""

import time
from pathlib import Path

import numpy as np
import scipy.optimize
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastopt as fo

CLASSES = 10


class Network:
    """One hidden layer of rectifiers, written by hand: forward, backward, and parameters by name."""

    def __init__(self, inputs, hidden, outputs, rng):
        self.params = p = fo.FlatParams(
            {"W1": (inputs, hidden), "b1": hidden, "W2": (hidden, outputs), "b2": outputs}, dtype=np.float32
        )
        p["W1"] = rng.normal(0, np.sqrt(2 / inputs), p["W1"].shape)
        p["W2"] = rng.normal(0, np.sqrt(2 / hidden), p["W2"].shape)

    def forward(self, x):
        p = self.params
        self.x = x
        self.hidden = np.maximum(x @ p["W1"] + p["b1"], 0)
        return self.hidden @ p["W2"] + p["b2"]

    def backward(self, slope):
        """Fill params.grad from the gradient of the loss with respect to what `forward` returned."""
        p, grad = self.params, self.params.grad
        grad["W2"] = self.hidden.T @ slope
        grad["b2"] = slope.sum(axis=0)
        slope = (slope @ p["W2"].T) * (self.hidden > 0)
        grad["W1"] = self.x.T @ slope
        grad["b1"] = slope.sum(axis=0)


def train_network(train, test, *, hidden=64, epochs=40, batch=32, seed=0, callbacks=(), checkpoint=None):
    """Train a Network on mini-batches; returns it with its best weights, and loss, accuracy and learning rate by epoch.

    The best are those of the lowest loss: to choose by the accuracy on `test` would make that too good to be true.
    """
    rng = np.random.default_rng(seed)
    x, y = train
    net = Network(x.shape[1], hidden, CLASSES, rng)

    loss = fo.CrossEntropyLoss(label_smoothing=0.05)
    opt = fo.AdamW(net.params, lr=5e-3)
    sched = fo.lr_scheduler.CosineAnnealingLR(opt, T_max=epochs)

    history = fo.History()
    best = fo.BestWeights(net.params, "loss")
    callbacks = [history, best, fo.EarlyStopping("loss", patience=10), *callbacks]
    if checkpoint is not None:
        state = {"params": net.params, "opt": opt, "sched": sched, "rng": rng, "history": history, "best": best}
        callbacks.append(fo.Checkpoint(checkpoint, **state))

    run = fo.Training(epochs, callbacks)
    for _ in run:
        total = 0.0
        for rows in np.array_split(rng.permutation(len(x)), len(x) // batch):
            value, slope = loss.value_and_grad(net.forward(x[rows]), y[rows])
            net.backward(slope)
            opt.step(net.params.grad)
            total += value * len(rows)
        hits = accuracy(net.forward(test[0]), test[1])
        run.log(loss=total / len(x), accuracy=hits, lr=sched.get_last_lr()[0])
        sched.step()
    best.restore()
    return net, history


def softmax_objective(x, y, l2=1e-3):
    """Mean cross entropy of the scores x W, plus l2/2 |W|**2, as a function of W in one vector, with its gradient."""
    loss = fo.CrossEntropyLoss()

    def objective(w):
        weights = w.reshape(x.shape[1], CLASSES)
        value, slope = loss.value_and_grad(x @ weights, y)
        return value + l2 / 2 * (w @ w), (x.T @ slope + l2 * weights).ravel()

    return objective


def accuracy(scores, labels):
    return float(np.mean(scores.argmax(axis=1) == labels))


def load(dtype):
    """Pixels in [0, 1] and a constant column; a quarter of the digits is held out."""
    x, y = load_digits(return_X_y=True)
    x = np.hstack([x / 16, np.ones((len(x), 1))]).astype(dtype)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    return (x_train, y_train), (x_test, y_test)


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def main(output="fastopt-demo.png", epochs=40, tensorboard=None, checkpoint=None):
    """Fit both models, print how they compare, draw the training of the network."""
    console = Console()
    callbacks = [fo.ProgressBar("training the network", console=console)]
    if tensorboard is not None:
        callbacks.append(fo.TensorBoard(tensorboard))

    train, test = load(np.float64)
    objective = softmax_objective(*train)
    start = np.zeros(train[0].shape[1] * CLASSES)
    options = {"gtol": 1e-5, "ftol": 0, "maxiter": 1000}

    fits = {
        "softmax, fastopt L-BFGS": lambda: fo.minimize(objective, start, jac=True, options=options),
        "softmax, SciPy L-BFGS-B": lambda: scipy.optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", options=options
        ),
    }
    table = Table(title=f"Handwritten digits: {len(train[1])} to learn from, {len(test[1])} held out")
    for column in ("model", "accuracy", "seconds", "final loss", "evaluations"):
        table.add_column(column, justify="left" if column == "model" else "right")
    # In turn, and the best of three: the first run of anything is slow, and so is one beside busy BLAS threads.
    rounds = [{name: timed(fit) for name, fit in fits.items()} for _ in range(3)]
    for name in fits:
        result, _ = rounds[0][name]
        seconds = min(times[name][1] for times in rounds)
        hits = accuracy(test[0] @ result.x.reshape(-1, CLASSES), test[1])
        table.add_row(name, f"{hits:.1%}", f"{seconds:.3f}", f"{result.fun:.6f}", str(result.nfev))

    train, test = load(np.float32)
    (net, history), seconds = timed(
        lambda: train_network(train, test, epochs=epochs, callbacks=callbacks, checkpoint=checkpoint)
    )
    table.add_row(
        "network, fastopt AdamW",
        f"{accuracy(net.forward(test[0]), test[1]):.1%}",
        f"{seconds:.3f}",
        f"{history.best('loss')[1]:.6f}",
        str(len(history) * (len(train[1]) // 32)),
    )
    console.print(table)
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    history.plot(figure.subplots(1, 3))
    figure.savefig(output, dpi=120, format="png")
    console.print(f"Training of the network drawn in {Path(output).resolve()}", soft_wrap=True)


if __name__ == "__main__":
    main()
