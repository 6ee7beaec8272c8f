"""The application and its global options."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from overread import config
from overread.config import Settings
from overread.core.errors import Misconfigured
from overread_learn.printing import out

app = typer.Typer(
    help="Overread: a CAD feedback loop. Start with `overread up`, look with `overread status`.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

_given: dict[str, Any] = {}


@app.callback()
def _options(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help=r"The data directory.  \[default: ./overread-data, or OVERREAD_DATA]")
    ] = None,
    config_file: Annotated[Path | None, typer.Option("--config", help="Settings in YAML.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="One setting, such as gateway.port=104. Repeatable.")
    ] = None,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Read the options that stand before the command."""
    if version:
        out.print(importlib.metadata.version("overread"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    _given.clear()
    _given.update(data=data, config=config_file)
    for assignment in assignments or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise Misconfigured(f"--set {assignment}: write name=value, such as --set gateway.port=104")
        _given[name.strip().replace(".", "__")] = value


def settings(**flags: Any) -> Settings:
    """Return the settings in force; `flags` of a command lie above the global ones."""
    given = {**_given, **{name: value for name, value in flags.items() if value is not None}}
    return config.load(given.pop("config", None), **given)


@contextmanager
def house(room: str | None = None, **flags: Any) -> Iterator[Any]:
    """Open the house for a command or a room (typed loosely: its import is slow, `--help` must not wait for it)."""
    from overread.house import House

    chosen = settings(**flags)
    opened = House(chosen, role=room) if room else House(chosen)
    try:
        yield opened
    finally:
        opened.close()
