"""The command line: what a person, a script or a container runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `overread`; an error of ours is one clear line and exit code 2."""
    from overread.cli.app import app
    from overread.core.errors import OverreadError
    from overread.printing import err

    try:
        app()
    except OverreadError as error:
        err.print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(2)
