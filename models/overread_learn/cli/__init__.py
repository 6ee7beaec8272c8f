"""`overread-learn`: the science without the services."""

import importlib
import sys

import typer

from overread_learn.printing import complain

MODULES = ("labels", "choose", "learn", "depth", "judge", "demo")


def program() -> typer.Typer:
    """Return the application with all its commands: each module hangs its own onto it, in the order of `--help`."""
    for name in MODULES:
        importlib.import_module(f"overread_learn.cli.{name}")
    return importlib.import_module("overread_learn.cli.app").app  # type: ignore[no-any-return]


def main() -> None:
    """Run `overread-learn`; bad input is one clear line and exit code 2."""
    try:
        program()()
    except (ValueError, OSError, ArithmeticError) as error:
        complain(error)
        sys.exit(2)
