"""The command line: what a person, a script or a container runs."""

from __future__ import annotations

import importlib
import logging
import sys

import typer


def program() -> typer.Typer:
    """Return the application with all its commands: each module hangs its own onto it, in the order of `--help`."""
    for name in ("rooms", "hospital", "care", "labels", "models", "rollout", "events", "topics", "acls", "dlq"):
        importlib.import_module(f"overread.cli.{name}")
    return importlib.import_module("overread.cli.app").app  # type: ignore[no-any-return]


def main() -> None:
    """Run `overread`; an error of ours is one clear line and exit code 2."""
    from overread.core.errors import OverreadError
    from overread_learn.printing import complain

    # Kafka's client repeats itself; our own errors carry its reasons. A room's log has a handler of its own.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        program()()
    except OverreadError as error:
        complain(error)
        sys.exit(2)
