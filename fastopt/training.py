"""The loop around the steps: `Training` counts epochs, its callbacks record, stop, keep, show and save."""

# Design: the loop stays the user's. A callback is called with an epoch and its metrics, so any function is one; what
# begins and ends with the loop has open(run) and close(), what must survive it state_dict() and load_state_dict().

from __future__ import annotations

import importlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np

from fastopt._validation import check_choice, check_count, check_number
from fastopt.optim import SGD, Optimizer
from fastopt.optim.optimizer import Params
from fastopt.serialize import _encode, save

__all__ = ["BestWeights", "Checkpoint", "EarlyStopping", "History", "ProgressBar", "TensorBoard", "Training"]

Metrics = Mapping[str, float]


class Training:
    """Epochs to loop over, once; after each body, all callbacks are told what it logged.

    Parameters
    ----------
    epochs : int or None
        At least 0: the loop yields start, ..., epochs - 1. None never ends by itself.
    callbacks : iterable of callable, default ()
        Called in order as ``callback(epoch, metrics)``. One that returns True, or in a str why, ends the loop when all
        have been told of the epoch. If a callback has them, ``open(run)`` is called before the first epoch, and
        ``close()`` once, last callback first, when the loop ends: by itself, ``break`` or an exception.
    start : int, default 0
        The first epoch; for a resumed run, one more than the last.

    Attributes
    ----------
    stopped : str or None
        Which callback ended the loop, and why.

    Raises
    ------
    TypeError, ValueError
        A wrong argument, or a metric that is not a number.
    RuntimeError
        A second loop, or `log` outside of the body.

    Notes
    -----
    Exceptions, Ctrl-C too, pass through. Of an epoch that one or ``break`` cuts short no callback is told.

    Examples
    --------
    >>> run = fo.Training(100, [lambda epoch, metrics: metrics["loss"] < 0.3])
    >>> for epoch in run:
    ...     run.log(loss=1 / (epoch + 1))
    >>> run.stopped
    '<lambda> after epoch 3: it returned True'
    """

    def __init__(
        self, epochs: int | None, callbacks: Iterable[Callable[[int, Metrics], Any]] = (), start: int = 0
    ) -> None:
        if epochs is not None:
            check_count(epochs, "Training", "epochs", low=0)
        check_count(start, "Training", "start", low=0)
        if callable(callbacks):
            raise TypeError(f"Training takes a list of callbacks, not {callbacks!r} itself")
        self.epochs = None if epochs is None else int(epochs)
        self.callbacks, self.start = list(callbacks), int(start)
        for i, callback in enumerate(self.callbacks):
            if not callable(callback):
                raise TypeError(f"callbacks[{i}] must be callable as callback(epoch, metrics), not {callback!r}")
        self.stopped: str | None = None
        self._looped = False
        self._metrics: dict[str, float] | None = None  # of the epoch whose body is running

    def log(self, /, **metrics: float) -> None:
        """Add numbers, NaN and inf too, to the metrics of this epoch; of a name logged twice the last counts."""
        if self._metrics is None:
            raise RuntimeError("log() belongs in the body of the loop over a Training")
        self._metrics |= _numbers(metrics)

    def __iter__(self) -> Iterator[int]:
        if self._looped:
            raise RuntimeError("this Training has had its loop; make another, whose start is where to go on")
        self._looped = True
        with ExitStack() as stack:  # `break` finalizes this generator, which closes the stack
            for callback in self.callbacks:
                if hasattr(callback, "close"):
                    stack.callback(callback.close)
            for callback in self.callbacks:
                if hasattr(callback, "open"):
                    callback.open(self)
            for epoch in itertools.count(self.start) if self.epochs is None else range(self.start, self.epochs):
                metrics = self._metrics = {}
                try:
                    yield epoch
                finally:
                    self._metrics = None
                answers = [(callback, callback(epoch, metrics)) for callback in self.callbacks]
                reasons = [_reason(epoch, *answer) for answer in answers if _is_yes(answer[1])]
                if reasons:
                    self.stopped = "; ".join(reasons)
                    return


class Monitor:
    """A metric, its best value so far and the epoch of that: the one place that knows what an improvement is."""

    _state: ClassVar[tuple[str, ...]] = ("epoch", "value")

    def __init__(self, monitor: str, mode: str, threshold: float = 0.0, threshold_mode: str = "abs") -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{owner} monitors a metric by its name, a str, not {monitor!r}")
        check_choice(mode, ("min", "max"), owner, "mode")
        check_number(threshold, "Invalid threshold", owner, "threshold")
        check_choice(threshold_mode, ("rel", "abs"), owner, "threshold_mode")
        self.monitor, self.mode, self.threshold, self.threshold_mode = monitor, mode, threshold, threshold_mode
        self.epoch: int | None = None
        self.value: float | None = None

    def _improves(self, epoch: int, metrics: Metrics) -> bool:
        if self.monitor not in metrics:
            names = _listed(metrics)
            raise ValueError(f"{type(self).__name__} monitors {self.monitor!r}, but epoch {epoch} logged {names}")
        value = metrics[self.monitor]
        if not math.isfinite(value) or self.value is None:
            return math.isfinite(value)
        margin = self.threshold * (abs(self.value) if self.threshold_mode == "rel" else 1)
        return value < self.value - margin if self.mode == "min" else value > self.value + margin

    def _update(self, epoch: int, metrics: Metrics) -> bool:
        improved = self._improves(epoch, metrics)
        if improved:
            self.epoch, self.value = epoch, metrics[self.monitor]
        return improved

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on the same."""
        return {name: getattr(self, name) for name in self._state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the state was; ValueError, and no change, if it is of something else."""
        vars(self).update(_checked(state_dict, self._state, self))


class History:
    """The metrics of all epochs: ``history["loss"]`` has one value an epoch, NaN where none was logged.

    ``len(history)`` is the number of epochs, ``history.epochs`` has them, and iteration gives the names. Without a
    `Training`, call ``history(epoch, metrics)`` or ``history.record(loss=...)``.

    Examples
    --------
    >>> history = fo.History()
    >>> for value in (0.9, 0.4, 0.6):
    ...     history.record(loss=value, lr=0.1)
    >>> history["loss"], history.best("loss")
    ([0.9, 0.4, 0.6], (1, 0.4))
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, float]]] = []  # an epoch is one append, which Ctrl-C cannot cut in two

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        self._rows.append((int(epoch), _numbers(metrics)))

    def record(self, /, **metrics: float) -> None:
        """Record the epoch after the last one, or epoch 0."""
        self(self._rows[-1][0] + 1 if self._rows else 0, metrics)

    @property
    def epochs(self) -> list[int]:
        return [epoch for epoch, _ in self._rows]

    def keys(self) -> list[str]:
        """The names, in the order of their first appearance."""
        return list(dict.fromkeys(name for _, metrics in self._rows for name in metrics))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.keys():
            raise KeyError(f"no {name!r} was recorded, but {_listed(self)}")
        return [metrics.get(name, math.nan) for _, metrics in self._rows]

    def __repr__(self) -> str:
        return f"History({len(self)} epochs of {_listed(self)})"

    def best(self, name: str, mode: str = "min") -> tuple[int, float]:
        """(epoch, value) of the smallest value, or the largest for `mode` "max": finite, and the first of equals."""
        best = Monitor(name, mode)
        for epoch, value in zip(self.epochs, self[name], strict=True):
            best._update(epoch, {name: value})
        if best.epoch is None or best.value is None:
            raise ValueError(f"no {name!r} is finite")
        return best.epoch, best.value

    def plot(self, axes: Any = None) -> Any:
        """Draw each metric with matplotlib on axes of its own, or all on one that is passed; returns all axes."""
        names = self.keys()
        if not names:
            raise ValueError("nothing to draw: no metric was recorded")
        if axes is None:
            pyplot = _imported("matplotlib.pyplot", "History.plot", "'fastopt[demo]'")
            axes = pyplot.subplots(1, len(names), figsize=(3.7 * len(names), 3.2), layout="constrained")[1]
        axes = np.ravel(axes)
        if axes.size not in (1, len(names)):
            raise ValueError(f"History.plot draws {_listed(names)} on as many axes, or on one, not on {axes.size}")
        for ax, name in zip(np.broadcast_to(axes, len(names)), names, strict=True):
            values = np.array(self[name])
            known = ~np.isnan(values)  # joined across epochs that did not log it
            ax.plot(np.array(self.epochs)[known], values[known], ".-", markersize=3, label=name)
            ax.set(xlabel="epoch", title=", ".join(names) if len(names) > axes.size else name)
            ax.grid(alpha=0.3)
        if len(names) > axes.size:
            axes[0].legend()
        return axes

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row for each epoch."""
        pandas = _imported("pandas", "History.to_pandas", "pandas")
        return pandas.DataFrame(dict(self), index=pandas.Index(self.epochs, name="epoch"))

    def state_dict(self) -> dict[str, Any]:
        """All that was recorded, as plain data."""
        return {"rows": [(epoch, dict(metrics)) for epoch, metrics in self._rows]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Replace what was recorded; ValueError, and no change, if the state is of something else."""
        rows = _checked(state_dict, ("rows",), self)["rows"]
        self._rows = [(int(epoch), _numbers(metrics)) for epoch, metrics in rows]


class EarlyStopping(Monitor):
    """Stop when `patience` epochs in a row brought no improvement.

    An improvement is finite, and for `mode` "min" below best - threshold * abs(best), or best - threshold.

    Parameters
    ----------
    monitor : str, default "loss"
        A metric that every epoch logs.
    mode : {"min", "max"}, default "min"
    patience : int, default 10
        At least 1.
    threshold : float, default 1e-4
        At least 0.
    threshold_mode : {"rel", "abs"}, default "rel"
    min_epochs : int, default 0
        Do not stop before so many epochs, counted from epoch 0.

    Raises
    ------
    TypeError, ValueError
        A wrong argument; in the loop, an epoch without `monitor`.

    References
    ----------
    Prechelt, "Early stopping - but when?", 1998.

    Examples
    --------
    >>> run = fo.Training(100, [fo.EarlyStopping("loss", patience=5)])
    >>> for epoch in run:
    ...     run.log(loss=max(0.25, 1 / (epoch + 1)))
    >>> run.stopped
    "EarlyStopping after epoch 8: 'loss' has not improved since epoch 3, when it was 0.25"
    """

    _state = ("epoch", "value", "waited")

    def __init__(
        self,
        monitor: str = "loss",
        mode: str = "min",
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        min_epochs: int = 0,
    ) -> None:
        super().__init__(monitor, mode, threshold, threshold_mode)
        check_count(patience, "EarlyStopping", "patience")
        check_count(min_epochs, "EarlyStopping", "min_epochs", low=0)
        self.patience, self.min_epochs, self.waited = patience, min_epochs, 0

    def __call__(self, epoch: int, metrics: Metrics) -> str | None:
        self.waited = 0 if self._update(epoch, metrics) else self.waited + 1
        if self.waited < self.patience or epoch + 1 < self.min_epochs:
            return None
        if self.value is None:
            return f"{self.monitor!r} has never been finite"
        return f"{self.monitor!r} has not improved since epoch {self.epoch}, when it was {self.value:.6g}"


class BestWeights(Monitor):
    """Keep a copy of the parameters as they were when a metric was best.

    Parameters
    ----------
    params : array, FlatParams, iterable of arrays or Parameters, Optimizer
        What an optimizer takes, or one whose parameters are meant. Room for the copy is allocated here, once.
    monitor : str, default "loss"
        A metric that every epoch logs. Only a finite value, and no equal one, is better than the best.
    mode : {"min", "max"}, default "min"

    Attributes
    ----------
    epoch : int or None
    value : float or None
        The best value and when it was, if any.

    Raises
    ------
    TypeError, ValueError
        A wrong argument; in the loop, an epoch without `monitor`.

    Examples
    --------
    >>> w = np.zeros(2)
    >>> best = fo.BestWeights(w, "accuracy", mode="max")
    >>> w += 1; best(0, {"accuracy": 0.9}); w += 1; best(1, {"accuracy": 0.8})
    >>> best.restore(); w, best.epoch
    (array([1., 1.]), 0)
    """

    def __init__(self, params: Params | Optimizer, monitor: str = "loss", mode: str = "min") -> None:
        super().__init__(monitor, mode)
        self._params = (params if isinstance(params, Optimizer) else SGD(params))._arrays()
        self._weights = [np.empty_like(param) for param in self._params]

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        if self._improves(epoch, metrics):
            try:
                self._keep(epoch, metrics)
            except KeyboardInterrupt:  # amid the copies, which must all be of one epoch
                self._keep(epoch, metrics)
                raise

    def _keep(self, epoch: int, metrics: Metrics) -> None:
        for weight, param in zip(self._weights, self._params, strict=True):
            np.copyto(weight, param)
        self._update(epoch, metrics)

    def restore(self) -> None:
        """Copy the best weights into the parameters, bit for bit; RuntimeError if there are none yet."""
        if self.epoch is None:
            raise RuntimeError(f"no weights to restore: no epoch has had a finite {self.monitor!r} yet")
        for weight, param in zip(self._weights, self._params, strict=True):
            np.copyto(param, weight)

    def state_dict(self) -> dict[str, Any]:
        """The best value, its epoch, and copies of the weights."""
        return {**super().state_dict(), "weights": [] if self.epoch is None else [w.copy() for w in self._weights]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the best weights; ValueError, and no change, unless they have the parameters' shapes and dtypes."""
        state = dict(_checked(state_dict, (*self._state, "weights"), self))
        kinds = [[(w.shape, w.dtype.name) for w in weights] for weights in (state.pop("weights"), self._weights)]
        if state["epoch"] is not None and kinds[0] != kinds[1]:
            raise ValueError(f"the best weights of the state are {kinds[0]}, the parameters {kinds[1]}")
        for weight, saved in zip(self._weights, state_dict["weights"], strict=False):
            np.copyto(weight, saved)
        super().load_state_dict(state)


class ProgressBar:
    """Show the epoch and its metrics: with rich, or else with tqdm, whichever is installed.

    Parameters
    ----------
    description : str, default "training"
    console : rich.console.Console, optional
        Where rich writes; None is standard output. tqdm writes to standard error, if that is a terminal.

    Raises
    ------
    ImportError
        Neither is installed.

    Examples
    --------
    >>> from rich.console import Console
    >>> run = fo.Training(3, [fo.ProgressBar(console=Console(quiet=True))])
    >>> for epoch in run:
    ...     run.log(loss=1 / (epoch + 1))
    """

    def __init__(self, description: str = "training", *, console: Any = None) -> None:
        self.description, self.console = description, console
        try:
            self._package = importlib.import_module("rich.progress")
        except ImportError:
            self._package = _imported("tqdm", "ProgressBar", "rich")
        self._show: Callable[[int, str], Any] = lambda *_: None
        self._close: Callable[[], Any] = lambda: None

    def open(self, run: Training) -> None:
        """Begin to show."""
        package: Any = self._package
        if package.__name__ == "tqdm":
            bar = package.tqdm(desc=self.description, total=run.epochs, initial=run.start, disable=None)
            self._show = lambda done, text: (bar.set_postfix_str(text, refresh=False), bar.update(done - bar.n))
            self._close = bar.close
            return
        title, metrics = (package.TextColumn(f"{{task.{x}}}", markup=False) for x in ("description", "fields[metrics]"))
        columns = title, package.BarColumn(), package.MofNCompleteColumn(), metrics
        bar = package.Progress(*columns, console=self.console)
        task = bar.add_task(self.description, total=run.epochs, completed=run.start, metrics="")
        self._show = lambda done, text: bar.update(task, completed=done, metrics=text)
        self._close = bar.stop
        bar.start()

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        self._show(epoch + 1, "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    def close(self) -> None:
        """Leave the terminal as it was, below the bar."""
        self._close()


class TensorBoard:
    """Write every metric as a scalar for TensorBoard, with tensorboardX.

    Parameters
    ----------
    log_dir : str or PathLike, optional
        The folder of the run.
    writer : SummaryWriter, optional
        In place of `log_dir`: one of your own, torch's too. At the end it is flushed, and left for you to close.
    **kwargs
        For ``tensorboardX.SummaryWriter``; ``purge_step=start`` hides what a resumed run does again.

    Raises
    ------
    ImportError
        `log_dir` without tensorboardX: ``pip install 'fastopt[tensorboard]'``.
    TypeError
        Both or none of `log_dir` and `writer`.

    Examples
    --------
    >>> import tempfile
    >>> run = fo.Training(3, [fo.TensorBoard(tempfile.mkdtemp())])
    >>> for epoch in run:
    ...     run.log(loss=1 / (epoch + 1), lr=0.1)
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None, *, writer: Any = None, **kwargs: Any) -> None:
        if (log_dir is None) == (writer is None):
            raise TypeError("TensorBoard takes either log_dir or writer")
        self.writer = writer
        self._close: Callable[[], Any] = lambda: None
        if log_dir is not None:
            package = _imported("tensorboardX", "TensorBoard", "'fastopt[tensorboard]'")
            self.writer = package.SummaryWriter(os.fspath(log_dir), **kwargs)
            self._close = self.writer.close

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush the writer, and close it unless it is yours."""
        self.writer.flush()
        self._close()


class Checkpoint(Monitor):
    """Save objects and the epoch, every so many epochs or whenever a metric is better than before.

    Put it behind the callbacks that it saves, so that they have been told of the epoch.

    Parameters
    ----------
    path : str or PathLike
        Where `save` writes, whole or not at all; ``{epoch}`` in it becomes the epoch, ``{epoch:03d}`` with zeros.
    every : int, default 1
        At least 1: save after so many epochs, counted from epoch 0.
    monitor : str, optional
        Of these epochs, save only those where this metric is better than in all before.
    mode : {"min", "max"}, default "min"
    **objects
        What `save` takes. It also gets ``epoch`` and, for `monitor`, ``checkpoint``, the state of this object.

    Raises
    ------
    FileNotFoundError
        The folder of `path` does not exist.
    TypeError, ValueError
        A wrong argument, or an object that cannot be saved; in the loop, an epoch without `monitor`.

    Examples
    --------
    >>> import tempfile
    >>> path, w = tempfile.mkdtemp() + "/run.npz", np.zeros(2)
    >>> for epoch in fo.Training(4, [fo.Checkpoint(path, every=3, w=w)]):
    ...     w += 1
    >>> fo.load(path)
    {'w': array([3., 3.]), 'epoch': 2}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        /,
        every: int = 1,
        monitor: str | None = None,
        mode: str = "min",
        **objects: Any,
    ) -> None:
        super().__init__("" if monitor is None else monitor, mode)
        check_count(every, "Checkpoint", "every")
        self.path, self.every, self._always, self._objects = os.fspath(path), every, monitor is None, objects
        if objects.keys() & {"epoch", "checkpoint"}:
            raise ValueError("Checkpoint saves 'epoch' and 'checkpoint' itself: give your objects other names")
        for name, value in objects.items():
            _encode(value, name, [])  # fails now rather than after the first epoch
        folder = os.path.dirname(os.path.realpath(self._path(0)))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"Checkpoint cannot write {self.path!r}: there is no folder {folder!r}")

    def _path(self, epoch: int) -> str:
        try:
            return self.path.format(epoch=epoch) if "{epoch" in self.path else self.path
        except (LookupError, ValueError) as error:
            raise ValueError(f"the path of a Checkpoint has no field but {{epoch}}, not {self.path!r}") from error

    def __call__(self, epoch: int, metrics: Metrics) -> None:
        if (epoch + 1) % self.every == 0 and (self._always or self._update(epoch, metrics)):
            own = {} if self._always else {"checkpoint": self}
            save(self._path(epoch), **self._objects, epoch=epoch, **own)


def _is_yes(answer: Any) -> bool:
    """True or a str; nothing else that is truthy, as a function may return what write() does."""
    return isinstance(answer, bool | np.bool | str) and bool(answer)


def _reason(epoch: int, callback: Any, answer: Any) -> str:
    name = getattr(callback, "__name__", type(callback).__name__)
    return f"{name} after epoch {epoch}: {answer if isinstance(answer, str) else 'it returned True'}"


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    arrays = {name: np.asarray(value) for name, value in metrics.items()}
    for name, array in arrays.items():
        if array.ndim or array.dtype.kind not in "biuf":
            raise TypeError(f"metric {name!r} must be a number, not {metrics[name]!r}")
    return {name: float(array) for name, array in arrays.items()}


def _checked(state: Any, names: Iterable[str], owner: Any) -> Mapping[str, Any]:
    if not isinstance(state, Mapping) or state.keys() != set(names):
        what = _listed(state) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"the state of {type(owner).__name__} has {_listed(names)}, not {what}")
    return state


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def _imported(module: str, owner: str, package: str) -> Any:
    """An optional package, imported where it is needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{owner} needs {module.partition('.')[0]}: pip install {package}") from error
