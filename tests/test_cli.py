"""The command line: what it prints, and how it fails."""

import sys

import pytest

from fastopt import load
from fastopt.cli import main


def test_info_prints_versions_level_and_threads(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("Python", "fastopt", "numpy", "scipy", "instruction set", "threads"):
        assert f"\n{word} " in f"\n{text}"


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["demo", "--epochs", "0"], ["demo", "--epochs", "x"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: fastopt" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "fastopt.examples.digits", raising=False)
    assert main(["demo"]) == 1
    assert "pip install" in capsys.readouterr().err


@pytest.mark.peers
def test_the_demo_fits_compares_and_draws(tmp_path, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("rich")
    path = tmp_path / "picture"
    assert main(["demo", "--epochs", "2", "--output", str(path)]) == 0
    text = capsys.readouterr().out
    assert "SciPy L-BFGS-B" in text and "2/2 loss" in text
    assert path.read_bytes().startswith(b"\x89PNG")
    assert main(["demo", "--output", str(tmp_path / "no" / "x.png")]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.peers
def test_the_demo_logs_and_saves_where_it_is_told(tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("rich")
    pytest.importorskip("tensorboardX")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--epochs", "2", "--tensorboard", "runs", "--checkpoint", "digits.npz"]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 1
    saved = load("digits.npz")
    assert saved["epoch"] == 1 and saved["best"]["epoch"] == 1 and saved["params"].keys() == {"W1", "b1", "W2", "b2"}
    assert main(["demo", "--checkpoint", "no/digits.npz"]) == 1
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["demo", "--tensorboard", "runs"]) == 1
    assert "pip install 'fastopt[tensorboard]'" in capsys.readouterr().err
