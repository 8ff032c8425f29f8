"""The command line: `fastopt demo` and `fastopt info`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fastopt.versions import show_versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 if something is missing, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="fastopt", description="An optimizer engine for NumPy.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser("demo", help="fit handwritten digits with L-BFGS and AdamW, and compare")
    demo.add_argument(
        "--output", default="fastopt-demo.png", metavar="FILE", help="where to draw (default: %(default)s)"
    )
    demo.add_argument("--epochs", type=_positive, default=40, help="of the network (default: %(default)s)")
    demo.add_argument("--tensorboard", metavar="DIR", help="where to log the training of the network for TensorBoard")
    demo.add_argument("--checkpoint", metavar="FILE", help="where to save the network after each epoch")
    commands.add_parser("info", help="print versions, instruction set level and threads")
    options = parser.parse_args(arguments)
    if options.command == "info":
        show_versions()
        return 0
    try:
        from fastopt.examples import digits
    except ModuleNotFoundError as error:
        print(f"fastopt demo needs {error.name}: pip install 'fastopt[demo]'", file=sys.stderr)
        return 1
    try:
        _check_writable(Path(options.output))  # to fail before the training rather than after
        digits.main(options.output, options.epochs, options.tensorboard, options.checkpoint)
    except (ImportError, OSError) as error:
        print(f"fastopt demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _check_writable(path: Path) -> None:
    fresh = not path.exists()
    with path.open("ab"):
        pass
    if fresh:
        path.unlink()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, not {text!r}")
    return int(text)
