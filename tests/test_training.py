"""The loop and its callbacks: what is told to whom and when, what stops it, and that whatever ends it ends all."""

import io
import math
import sys
from contextlib import nullcontext
from itertools import islice

import numpy as np
import pytest

import fastopt as fo

NAN, INF = math.nan, math.inf


class Recorder:
    """A callback that notes all that happens to it in a log that others may share."""

    def __init__(self, name="a", log=None, answer=None, on_close=None):
        self.name, self.log, self.answer, self.on_close = name, [] if log is None else log, answer, on_close

    def open(self, run):
        self.log.append((self.name, "open", run.start, run.epochs))

    def __call__(self, epoch, metrics):
        self.log.append((self.name, epoch, dict(metrics)))
        return self.answer

    def close(self):
        self.log.append((self.name, "close"))
        if self.on_close:
            raise self.on_close


def told(recorder):
    return [entry[1] for entry in recorder.log if isinstance(entry[1], int)]


def closings(recorder):
    return sum(entry[1] == "close" for entry in recorder.log)


def feed(callback, values, name="loss"):
    """The epochs at which the callback asks to stop."""
    return [epoch for epoch, value in enumerate(values) if callback(epoch, {name: value})]


def improvements(values, **options):
    """The epochs whose weights BestWeights kept, one after the other."""
    best, epochs = fo.BestWeights(np.zeros(1), **options), []
    for epoch, value in enumerate(values):
        best(epoch, {"loss": value})
        if best.epoch == epoch:
            epochs.append(epoch)
    return epochs


# The loop.


def test_epochs_are_yielded_and_callbacks_told_in_order():
    log = []
    run = fo.Training(4, [Recorder("a", log), Recorder("b", log)], start=2)
    for epoch in run:
        log.append(("body", epoch))
        run.log(loss=epoch)
    assert log == [
        ("a", "open", 2, 4),
        ("b", "open", 2, 4),
        ("body", 2),
        ("a", 2, {"loss": 2.0}),
        ("b", 2, {"loss": 2.0}),
        ("body", 3),
        ("a", 3, {"loss": 3.0}),
        ("b", 3, {"loss": 3.0}),
        ("b", "close"),
        ("a", "close"),
    ]
    assert run.stopped is None


@pytest.mark.parametrize(("epochs", "start", "expected"), [(0, 0, []), (3, 0, [0, 1, 2]), (3, 3, []), (3, 5, [])])
def test_the_loop_is_a_range(epochs, start, expected):
    callback = Recorder()
    assert list(fo.Training(epochs, [callback], start)) == expected
    assert closings(callback) == 1


def test_without_epochs_the_loop_is_endless():
    assert list(islice(fo.Training(None, start=7), 1000))[-1] == 1006


def test_logging_merges_and_an_empty_body_gives_an_empty_mapping():
    callback = Recorder()
    run = fo.Training(3, [callback])
    for epoch in run:
        if epoch == 0:
            run.log(loss=1, self=2)
            run.log(loss=NAN, lr=np.float32(0.5), **{"test/accuracy": np.array(INF)})
        if epoch == 2:
            run.log(hit=True)
    first, empty, last = (entry[2] for entry in callback.log[1:4])
    assert first.pop("loss") != first
    assert first == {"self": 2, "lr": 0.5, "test/accuracy": INF} and {type(v) for v in first.values()} == {float}
    assert empty == {} and last == {"hit": 1.0}


@pytest.mark.parametrize("value", ["0.5", None, [1.0], np.ones(1), 1j, {}])
def test_a_metric_that_is_no_number_is_refused_and_nothing_logged(value):
    run = fo.Training(1, [callback := Recorder()])
    for _ in run:
        with pytest.raises(TypeError, match="metric 'loss' must be a number, not"):
            run.log(lr=1.0, loss=value)
    assert callback.log[1] == ("a", 0, {})


def test_log_belongs_in_the_body():
    run = fo.Training(1, [lambda epoch, metrics: run.log(late=1)])
    with pytest.raises(RuntimeError, match="body of the loop"):
        run.log(loss=1)
    with pytest.raises(RuntimeError, match="body of the loop"):
        list(run)
    with pytest.raises(RuntimeError, match="body of the loop"):
        run.log(loss=1)


def test_a_second_loop_is_refused():
    run = fo.Training(2, [callback := Recorder()])
    for _ in run:
        with pytest.raises(RuntimeError, match="has had its loop"):
            next(iter(run))
    with pytest.raises(RuntimeError, match="has had its loop"):
        list(run)
    assert told(callback) == [0, 1] and closings(callback) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [(True, "it returned True"), (np.True_, "it returned True"), ("enough", "enough")],
)
def test_a_callback_ends_the_loop_after_all_have_been_told(answer, why):
    first, last = Recorder(answer=answer), Recorder()
    run = fo.Training(9, [first, last], start=4)
    assert list(run) == [4]
    assert told(first) == told(last) == [4] and closings(first) == closings(last) == 1
    assert run.stopped == f"Recorder after epoch 4: {why}"


def test_all_that_ask_are_named():
    def wish(epoch, metrics):
        return epoch == 1

    run = fo.Training(9, [wish, fo.EarlyStopping(patience=1)])
    for _ in run:
        run.log(loss=0.5)
    assert run.stopped == (
        "wish after epoch 1: it returned True; "
        "EarlyStopping after epoch 1: 'loss' has not improved since epoch 0, when it was 0.5"
    )


@pytest.mark.parametrize("answer", [None, False, np.False_, 0, 1, 7.5, "", [1], {"a": 1}])
def test_other_answers_do_not_end_the_loop(answer):
    run = fo.Training(3, [lambda epoch, metrics: answer])
    assert list(run) == [0, 1, 2] and run.stopped is None


def test_break_closes_at_once_and_tells_nobody_of_the_epoch():
    run = fo.Training(9, [callback := Recorder()])
    for epoch in run:
        if epoch == 2:
            break
    assert told(callback) == [0, 1] and closings(callback) == 1 and run.stopped is None


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_body_closes_and_keeps_what_was(kind):
    w, history, callback = np.zeros(2), fo.History(), Recorder()
    best = fo.BestWeights(w)
    run = fo.Training(9, [history, best, callback])

    def fit():
        nonlocal w
        for epoch in run:
            w += 1
            run.log(loss=abs(epoch - 1) + 1)
            if epoch == 3:
                raise kind("now")

    with pytest.raises(kind, match="now"):
        fit()
    assert closings(callback) == 1 and run.stopped is None
    assert history["loss"] == [2, 1, 2] and (best.epoch, best.value) == (1, 1)
    best.restore()
    assert w.tolist() == [2, 2]


def test_a_callback_that_raises_leaves_all_closed():
    def fail(epoch, metrics):
        raise OSError("disk full")

    first, last = Recorder(), Recorder()
    with pytest.raises(OSError, match="disk full"):
        list(fo.Training(3, [first, fail, last]))
    assert closings(first) == closings(last) == 1 and told(first) == [0]


def test_all_are_closed_if_closing_or_opening_one_fails():
    recorders = [Recorder(), Recorder(on_close=OSError("stuck")), Recorder()]
    with pytest.raises(OSError, match="stuck"):
        list(fo.Training(1, recorders))
    assert [closings(recorder) for recorder in recorders] == [1, 1, 1]

    class Unopened(Recorder):
        def open(self, run):
            raise OSError("no terminal")

    recorders = [Recorder(), Unopened(), Recorder()]
    with pytest.raises(OSError, match="no terminal"):
        list(fo.Training(1, recorders))
    assert [closings(recorder) for recorder in recorders] == [1, 1, 1]


@pytest.mark.parametrize("left_by", ["break", "exception"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as from any finalizer
def test_a_loop_that_is_left_closes_all_though_closing_one_fails(left_by):
    recorders = [Recorder(), Recorder(on_close=OSError("stuck")), Recorder()]

    def loop():
        for _ in fo.Training(3, recorders):
            if left_by == "break":
                break
            raise ValueError("now")

    with pytest.raises(ValueError, match="now") if left_by == "exception" else nullcontext():
        loop()
    assert [closings(recorder) for recorder in recorders] == [1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((-1,), ValueError, "epochs >= 0"),
        ((2.0,), TypeError, "Invalid epochs: 2.0"),
        ((True,), TypeError, "Invalid epochs"),
        ((1, [], -1), ValueError, "start >= 0"),
        ((1, [], None), TypeError, "Invalid start"),
        ((1, [print, 3]), TypeError, r"callbacks\[1\] must be callable as callback\(epoch, metrics\), not 3"),
        ((1, fo.History()), TypeError, r"a list of callbacks, not History\(.*\) itself"),
        ((1, 3), TypeError, "not iterable"),
    ],
)
def test_wrong_arguments_of_the_loop_are_refused_in_words(arguments, kind, words):
    with pytest.raises(kind, match=words):
        fo.Training(*arguments)


# What an improvement is.


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([3, 2, 2, 1], {}, [0, 1, 3]),  # a tie is none
        ([3, np.nextafter(3, 0), 3], {}, [0, 1]),
        ([1, 2, 2, 3], {"mode": "max"}, [0, 1, 3]),
        ([-1, -2, -1.5, -3], {}, [0, 1, 3]),
        ([-3, -2, -2.5], {"mode": "max"}, [0, 1]),
        ([NAN, INF, -INF, 5, NAN, -INF, 4], {}, [3, 6]),
        ([NAN, INF, -INF, 5, NAN, INF, 6], {"mode": "max"}, [3, 6]),
        ([0.0, -0.0], {}, [0]),
    ],
)
def test_an_improvement_is_finite_and_strictly_better(values, options, expected):
    assert improvements(values, **options) == expected
    history = fo.History()
    for value in values:
        history.record(loss=value)
    assert history.best("loss", **options) == (expected[-1], values[expected[-1]])


# The threshold is a power of two, so that the bounds are exact.
@pytest.mark.parametrize(("best", "mode", "bound"), [(8, "min", 7), (-8, "min", -9), (8, "max", 9), (-8, "max", -7)])
def test_a_relative_threshold_is_of_the_absolute_best(best, mode, bound):
    def stops(value):
        return feed(fo.EarlyStopping(mode=mode, patience=1, threshold=0.125), [best, value])

    assert stops(bound) == [1] and stops(best) == [1]
    assert stops(np.nextafter(bound, -INF if mode == "min" else INF)) == []


@pytest.mark.parametrize(("mode", "bound"), [("min", 6), ("max", 10)])
def test_an_absolute_threshold_is_of_the_difference(mode, bound):
    def stops(value):
        return feed(fo.EarlyStopping(mode=mode, patience=1, threshold=2, threshold_mode="abs"), [8, value])

    assert stops(bound) == [1]
    assert stops(np.nextafter(bound, -INF if mode == "min" else INF)) == []


def test_slow_progress_adds_up_against_the_best():
    """Each step is below the threshold; the best stays where it was until they add up to more."""
    values = [8, 7.5, 7, 6.5, 6.25]
    assert feed(fo.EarlyStopping(patience=3, threshold=0.125), values) == []
    assert feed(fo.EarlyStopping(patience=2, threshold=0.125), values) == [2]


@pytest.mark.parametrize(
    "callback", [fo.EarlyStopping(), fo.BestWeights(np.zeros(1)), fo.Checkpoint("x.npz", monitor="loss")]
)
def test_an_epoch_without_the_metric_names_those_it_has(callback):
    name = type(callback).__name__
    with pytest.raises(ValueError, match=f"{name} monitors 'loss', but epoch 3 logged 'accuracy', 'lr'"):
        callback(3, {"accuracy": 1.0, "lr": 0.1})
    with pytest.raises(ValueError, match=f"{name} monitors 'loss', but epoch 0 logged nothing"):
        list(fo.Training(1, [callback]))


# EarlyStopping.


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_is_the_number_of_epochs_in_a_row_without_improvement(patience):
    stopper = fo.EarlyStopping(patience=patience)
    assert feed(stopper, [3.0, 2.0] + [2.5] * (patience - 1) + [1.0] + [1.5] * (patience - 1)) == []
    assert stopper(9, {"loss": 1.5})


def test_no_finite_metric_is_no_improvement():
    run = fo.Training(None, [fo.EarlyStopping(patience=3)])
    for _ in run:
        run.log(loss=NAN)
    assert run.stopped == "EarlyStopping after epoch 2: 'loss' has never been finite"
    assert feed(fo.EarlyStopping(patience=2), [1.0, NAN, 0.5, NAN, -INF]) == [4]


@pytest.mark.parametrize(("min_epochs", "last"), [(0, 2), (3, 2), (4, 3), (10, 9)])
def test_before_min_epochs_nothing_stops(min_epochs, last):
    run = fo.Training(None, [fo.EarlyStopping(patience=2, min_epochs=min_epochs)])
    assert [run.log(loss=1.0) or epoch for epoch in run][-1] == last


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"monitor": None}, TypeError, "monitors a metric by its name"),
        ({"mode": "least"}, ValueError, "'min', 'max'"),
        ({"patience": 0}, ValueError, "patience >= 1"),
        ({"patience": 2.5}, TypeError, "Invalid patience"),
        ({"threshold": -1e-9}, ValueError, "threshold >= 0"),
        ({"threshold": NAN}, ValueError, "Invalid threshold"),
        ({"threshold_mode": "relative"}, ValueError, "'rel', 'abs'"),
        ({"min_epochs": -1}, ValueError, "min_epochs >= 0"),
    ],
)
def test_wrong_arguments_of_early_stopping_are_refused_in_words(options, kind, words):
    with pytest.raises(kind, match=words):
        fo.EarlyStopping(**options)


# BestWeights.


def forms():
    flat = fo.FlatParams({"W": (2, 3), "b": 3})
    yield "array", (w := np.zeros(5, np.float32)), [w]
    yield "list", (w := [np.zeros((2, 2)), np.zeros((), np.float32), np.zeros((0, 3))]), w
    yield "named", {"W": (w := np.zeros(3))}, [w]
    yield "FlatParams", flat, [flat.flat]
    yield "Parameter", fo.Parameter(w := np.zeros(3)), [w]
    yield "Parameters", [fo.Parameter(w := np.zeros(3), "W"), fo.Parameter(v := np.zeros(2), "v")], [w, v]
    yield "groups", [{"params": [w := np.zeros(3)], "lr": 1.0}, {"params": (v := np.zeros(2))}], [w, v]
    yield "Optimizer", fo.Adam([w := np.zeros(3), v := np.zeros(2)]), [w, v]


@pytest.mark.parametrize(("params", "arrays"), [pytest.param(*form[1:], id=form[0]) for form in forms()])
def test_the_best_weights_come_back_in_place_bit_for_bit(params, arrays):
    rng = np.random.default_rng(0)
    best = fo.BestWeights(params)
    buffers = [weight.ctypes.data for weight in best._weights]
    kept = []
    for epoch, value in enumerate([3.0, 1.0, 2.0]):
        for array in arrays:
            values = rng.standard_normal(array.shape)
            array[...] = np.where(values > 1, NAN, np.where(values < -1, -0.0, values))
        best(epoch, {"loss": value})
        kept.append([array.tobytes() for array in arrays])
    best.restore()
    assert [array.tobytes() for array in arrays] == kept[1] != kept[2]
    assert (best.epoch, best.value) == (1, 1.0)
    assert [weight.ctypes.data for weight in best._weights] == buffers


def test_without_an_improvement_there_is_nothing_to_restore():
    best = fo.BestWeights(w := np.ones(2))
    best(0, {"loss": NAN})
    with pytest.raises(RuntimeError, match="no weights to restore: no epoch has had a finite 'loss' yet"):
        best.restore()
    assert w.tolist() == [1, 1] and best.epoch is None and best.value is None


def test_an_interrupt_amid_the_copies_leaves_them_of_one_epoch(monkeypatch):
    params = [np.zeros(2), np.zeros(2)]
    best = fo.BestWeights(params)
    best(0, {"loss": 2.0})
    for param in params:
        param += 1
    copy, calls = np.copyto, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        copy(*arguments)

    monkeypatch.setattr(np, "copyto", interrupted)
    with pytest.raises(KeyboardInterrupt):
        best(1, {"loss": 1.0})
    assert [weight.tolist() for weight in best._weights] == [[1, 1], [1, 1]] and best.epoch == 1


@pytest.mark.parametrize("params", [3, [], [np.zeros(2, int)], np.zeros((2, 4))[:, ::2]])
def test_what_no_optimizer_takes_has_no_best_weights(params):
    with pytest.raises((TypeError, ValueError)):
        fo.BestWeights(params)


# History.


def test_a_missing_metric_is_nan_and_columns_have_one_length():
    history = fo.History()
    history(0, {"loss": 1.0})
    history(1, {"loss": 0.5, "accuracy": 0.9})
    history.record(accuracy=INF)
    assert history.epochs == [0, 1, 2] and len(history) == 3
    assert list(history) == history.keys() == ["loss", "accuracy"] and "loss" in history and "lr" not in history
    np.testing.assert_array_equal(history["loss"], [1, 0.5, NAN])
    np.testing.assert_array_equal(history["accuracy"], [NAN, 0.9, INF])
    assert history.best("accuracy", "max") == (1, 0.9)
    assert repr(history) == "History(3 epochs of 'loss', 'accuracy')"
    with pytest.raises(KeyError, match="no 'lr' was recorded, but 'loss', 'accuracy'"):
        history["lr"]


def test_a_history_does_not_follow_what_becomes_of_metrics():
    history, metrics = fo.History(), {"loss": np.float32(0.5)}
    history(7, metrics)
    metrics["loss"] = 2.0
    history["loss"].append(3.0)
    history.epochs.clear()
    history.state_dict()["rows"][0][1].clear()
    history.record(loss=0.25)
    assert history["loss"] == [0.5, 0.25] and history.epochs == [7, 8]


def test_a_history_has_no_best_of_nothing():
    history = fo.History()
    with pytest.raises(KeyError, match="no 'loss' was recorded, but nothing"):
        history.best("loss")
    history.record(loss=NAN)
    with pytest.raises(ValueError, match="no 'loss' is finite"):
        history.best("loss")
    with pytest.raises(ValueError, match="'min', 'max'"):
        history.best("loss", "least")


@pytest.mark.peers
def test_a_history_becomes_a_frame():
    pandas = pytest.importorskip("pandas")
    history = fo.History()
    history(3, {"loss": 1.0})
    history(4, {"lr": 0.5})
    frame = history.to_pandas()
    expected = pandas.DataFrame({"loss": [1.0, NAN], "lr": [NAN, 0.5]}, index=pandas.Index([3, 4], name="epoch"))
    pandas.testing.assert_frame_equal(frame, expected)


@pytest.mark.peers
def test_a_history_draws_each_metric(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    figure = pytest.importorskip("matplotlib.figure").Figure()
    history = fo.History()
    with pytest.raises(ValueError, match="nothing to draw"):
        history.plot()
    for epoch in range(4):
        history(epoch, {"loss": 1 / (epoch + 1)} | ({"accuracy": epoch / 4} if epoch % 2 else {}))
    loss, accuracy = history.plot(figure.subplots(1, 2))
    assert [ax.get_title() for ax in (loss, accuracy)] == ["loss", "accuracy"]
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 0.25], [3, 0.75]]
    (together,) = history.plot(figure.add_subplot())
    assert [line.get_label() for line in together.lines] == ["loss", "accuracy"] and together.get_legend()
    with pytest.raises(ValueError, match="'loss', 'accuracy' on as many axes, or on one, not on 3"):
        history.plot(figure.subplots(1, 3))
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert len(history.plot()) == 2
    pyplot.close("all")


# What shows and writes.


def bar_text(last=2, **options):
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=100, **options)
    run = fo.Training(4, [fo.ProgressBar("fitting [it]", console=console)], start=1)
    for epoch in run:
        run.log(**{"loss [x]": 1 / 3, "lr": 10.0**-epoch})
        if epoch == last:
            break
    return console.file.getvalue()


@pytest.mark.peers
def test_a_progress_bar_shows_epochs_and_metrics():
    assert "fitting [it]" in bar_text() and "2/4 loss [x] 0.3333  lr 0.1\n" in bar_text()
    assert "1/4" in bar_text(last=1)  # where it starts
    terminal = bar_text(force_terminal=True)
    assert terminal.endswith("\x1b[?25h") or "\x1b[?25h" in terminal.rsplit("2/4", 1)[1]  # the cursor is back


@pytest.mark.peers
def test_a_progress_bar_without_rich_is_by_tqdm(monkeypatch, capsys):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            assert options.pop("disable") is None  # silent unless on a terminal
            super().__init__(**options, file=io.StringIO())
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    run = fo.Training(4, [fo.ProgressBar("fitting")], start=1)
    for _ in run:
        run.log(loss=1 / 3)
    text = bars[0].fp.getvalue()
    assert bars[0].initial == 1 and bars[0].n == 4
    assert "fitting" in text and "4/4" in text and "loss 0.3333" in text and text.endswith("\n")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    list(fo.Training(2, [fo.ProgressBar()]))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("modules", "call", "words"),
    [
        (["rich.progress", "tqdm"], fo.ProgressBar, "ProgressBar needs tqdm: pip install rich"),
        (["tensorboardX"], lambda: fo.TensorBoard("runs"), r"TensorBoard .* pip install 'fastopt\[tensorboard\]'"),
        (["matplotlib.pyplot"], lambda: recorded().plot(), r"plot needs matplotlib: pip install 'fastopt\[demo\]'"),
        (["pandas"], lambda: recorded().to_pandas(), "to_pandas needs pandas: pip install pandas"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(monkeypatch, modules, call, words):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=words):
        call()


def recorded():
    history = fo.History()
    history.record(loss=1.0)
    return history


class Writer:
    def __init__(self):
        self.scalars, self.calls = [], []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


def test_a_writer_gets_every_metric_and_is_left_open():
    run = fo.Training(2, [fo.TensorBoard(writer=(writer := Writer()))])
    for epoch in run:
        run.log(loss=1.0 - epoch, lr=0.1)
    assert writer.scalars == [("loss", 1.0, 0), ("lr", 0.1, 0), ("loss", 0.0, 1), ("lr", 0.1, 1)]
    assert writer.calls == ["flush"]


def test_a_writer_of_its_own_is_closed(monkeypatch, tmp_path):
    made = []

    class Package:
        @staticmethod
        def SummaryWriter(*arguments, **options):
            made.append((arguments, options))
            return Writer()

    monkeypatch.setitem(sys.modules, "tensorboardX", Package)
    board = fo.TensorBoard(tmp_path, purge_step=3)
    list(fo.Training(1, [board]))
    assert made == [((str(tmp_path),), {"purge_step": 3})] and board.writer.calls == ["flush", "close"]


def test_tensorboard_takes_a_folder_or_a_writer():
    for arguments in ({}, {"log_dir": "runs", "writer": Writer()}):
        with pytest.raises(TypeError, match="either log_dir or writer"):
            fo.TensorBoard(**arguments)


@pytest.mark.peers
def test_tensorboard_finds_every_metric_in_the_event_file(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    run = fo.Training(3, [fo.TensorBoard(tmp_path)])
    for epoch in run:
        run.log(loss=1 / (epoch + 1), accuracy=epoch / 4, lr=0.5)
    (path,) = tmp_path.iterdir()
    data, found = path.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        data = data[16 + size :]
    assert sorted(found) == sorted(
        (name, epoch, np.float32(value))
        for epoch in range(3)
        for name, value in {"loss": 1 / (epoch + 1), "accuracy": epoch / 4, "lr": 0.5}.items()
    )


# Checkpoint.


def test_a_checkpoint_is_saved_every_so_many_epochs(tmp_path):
    w, history = np.zeros(2), fo.History()
    path = tmp_path / "run-{epoch:02d}.npz"
    run = fo.Training(8, [history, fo.Checkpoint(path, every=3, w=w, history=history)])
    for epoch in run:
        w += 1
        run.log(loss=epoch)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run-02.npz", "run-05.npz"]
    loaded = fo.load(tmp_path / "run-05.npz")
    assert loaded["epoch"] == 5 and loaded["w"].tolist() == [6, 6] and loaded.keys() == {"w", "history", "epoch"}
    again = fo.History()
    again.load_state_dict(loaded["history"])
    assert again["loss"] == [0, 1, 2, 3, 4, 5] and again.epochs == history.epochs[:6]


def test_a_monitored_checkpoint_is_saved_where_it_is_better(tmp_path):
    path, w = tmp_path / "best.npz", np.zeros(1)

    def saved(checkpoint, values):
        epochs = []
        for epoch, value in values.items():
            w[0] = epoch
            checkpoint(epoch, {"accuracy": value})
            epochs.append(fo.load(path)["epoch"] if path.exists() else None)
        return epochs

    first = fo.Checkpoint(path, monitor="accuracy", mode="max", w=w)
    assert saved(first, {0: NAN, 1: 0.5, 2: 0.5, 3: 0.75, 4: 0.25}) == [None, 1, 1, 3, 3]
    loaded = fo.load(path)
    assert loaded["w"].tolist() == [3] and loaded["checkpoint"] == {"epoch": 3, "value": 0.75}
    resumed = fo.Checkpoint(path, monitor="accuracy", mode="max", w=w)
    resumed.load_state_dict(loaded["checkpoint"])
    assert saved(resumed, {4: 0.5, 5: 0.875}) == [3, 5]
    rarely = fo.Checkpoint(path, every=2, monitor="accuracy", mode="max", w=w)
    assert saved(rarely, {6: 0.5, 7: 0.25, 8: 0.75, 9: 0.5}) == [5, 7, 7, 9]


@pytest.mark.parametrize(
    ("path", "options", "kind", "words"),
    [
        ("no/run.npz", {}, FileNotFoundError, "cannot write .* there is no folder"),
        ("{epoch}/run.npz", {}, FileNotFoundError, "there is no folder"),
        ("{epoch}-{loss}.npz", {}, ValueError, "no field but {epoch}"),
        ("{epoch", {}, ValueError, "no field but {epoch}"),
        ("run.npz", {"every": 0}, ValueError, "every >= 1"),
        ("run.npz", {"monitor": 3}, TypeError, "by its name"),
        ("run.npz", {"monitor": "loss", "mode": "best"}, ValueError, "'min', 'max'"),
        ("run.npz", {"epoch": 3}, ValueError, "other names"),
        ("run.npz", {"params": {"W": object()}}, TypeError, r"params\['W'\], a builtins.object"),
    ],
)
def test_a_checkpoint_that_cannot_work_fails_before_the_first_epoch(tmp_path, path, options, kind, words):
    with pytest.raises(kind, match=words):
        fo.Checkpoint(tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_braces_without_epoch_are_part_of_the_name(tmp_path):
    list(fo.Training(1, [fo.Checkpoint(tmp_path / "{x}.npz", path=1)]))
    assert fo.load(tmp_path / "{x}.npz") == {"path": 1, "epoch": 0}


# State.


class Fit:
    """A noisy fit with all that has state; `run` goes to the end, or to where a loop is cut."""

    def __init__(self, path):
        self.rng = np.random.default_rng(0)
        self.params = fo.FlatParams({"W": (4, 2), "b": 2})
        self.opt = fo.Adam(self.params, lr=0.3)
        self.sched = fo.lr_scheduler.CosineAnnealingLR(self.opt, T_max=12)
        self.history, self.stopper = fo.History(), fo.EarlyStopping(patience=4, threshold=0.05)
        self.best = fo.BestWeights(self.opt)
        self.state = {k: v for k, v in vars(self).items() if k != "rng"}
        self.checkpoint = fo.Checkpoint(path, rng=self.rng, **self.state)

    def run(self, start=0, cut=None):
        run = fo.Training(40, [self.history, self.stopper, self.best, self.checkpoint], start=start)
        for epoch in run:
            x = self.rng.standard_normal((16, 4), np.float32)
            slope = x @ self.params["W"] + self.params["b"] - x[:, :2]
            self.params.grad["W"], self.params.grad["b"] = x.T @ slope, slope.sum(axis=0)
            self.opt.step(self.params.grad)
            run.log(loss=(slope**2).mean(), lr=self.sched.get_last_lr()[0])
            self.sched.step()
            if epoch == cut:
                raise KeyboardInterrupt
        return run.stopped

    def bits(self):
        self.best.restore()
        return self.params.flat.tobytes(), self.history.state_dict(), self.stopper.state_dict(), self.best.epoch


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path):
    path = tmp_path / "run.npz"
    whole = Fit(path)
    stopped = whole.run()
    last = whole.history.epochs[-1]
    assert stopped and 5 < last < 39
    for cut in range(1, last + 1):
        with pytest.raises(KeyboardInterrupt):
            Fit(path).run(cut=cut)
        loaded, resumed = fo.load(path), Fit(path)
        assert loaded["epoch"] == cut - 1
        resumed.rng.bit_generator.state = loaded["rng"]
        for name, item in resumed.state.items():
            item.load_state_dict(loaded[name])
        assert resumed.run(start=loaded["epoch"] + 1) == stopped
        if cut == last:
            assert resumed.bits() == whole.bits()
        else:
            assert resumed.history.state_dict() == whole.history.state_dict()


@pytest.mark.parametrize("make", [fo.History, fo.EarlyStopping, lambda: fo.BestWeights(np.zeros((2, 3), np.float32))])
def test_a_foreign_state_is_refused_and_nothing_changed(make):
    callback = make()
    callback(0, {"loss": 1.5})
    before = repr(callback.state_dict())
    for state in ({}, {"epoch": 1, "value": 0.5}, [], None, {**callback.state_dict(), "more": 1}):
        with pytest.raises(ValueError, match=f"the state of {type(callback).__name__} has '.*', not "):
            callback.load_state_dict(state)
    assert repr(callback.state_dict()) == before


@pytest.mark.parametrize("other", [np.zeros((3, 2), np.float32), np.zeros((2, 3)), [np.zeros((2, 3), np.float32)] * 0])
def test_best_weights_of_other_shapes_or_dtypes_are_refused(other):
    best = fo.BestWeights(w := np.ones((2, 3), np.float32))
    best(0, {"loss": 1.0})
    weights = other if isinstance(other, list) else [other]
    with pytest.raises(ValueError, match="the best weights of the state are"):
        best.load_state_dict({"epoch": 5, "value": 0.5, "weights": weights})
    w[:] = 0
    best.restore()
    assert w.all() and best.epoch == 0


def test_a_state_shares_no_memory_and_an_empty_one_comes_back():
    best = fo.BestWeights(w := np.ones(3))
    empty = best.state_dict()
    best(0, {"loss": 1.0})
    best.state_dict()["weights"][0][:] = 7
    best.restore()
    assert w.tolist() == [1, 1, 1]
    best.load_state_dict(empty)
    assert best.epoch is None
    with pytest.raises(RuntimeError, match="no weights"):
        best.restore()
