"""How facts are printed: as a table for people, as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)

WIDE = 10_000
"""Columns where nobody looks: a file or another program takes lines as long as they are."""


def complain(error: Exception) -> None:
    """Print an error of ours on stderr: its words as they are, never as markup, on one line however long."""
    err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)


def warn(text: str) -> None:
    """Print on stderr what a result would not say: its words as they are, on one line however long."""
    err.print(text, style="yellow", markup=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a sentence on stdout: its words as they are, on one line however long."""
    out.print(text, markup=False, soft_wrap=True)


def show(facts: Any, *, as_json: bool, table: Table | None = None) -> None:
    """Print facts as JSON, or as a table for people."""
    if as_json or table is None:
        # Not through rich: it would wrap long lines.
        typer.echo(json.dumps(facts, indent=2, default=str))
    else:
        lay(table)


def lay(table: Table) -> None:
    """Print a table: in a terminal cells are folded to its width, elsewhere every row is one whole line."""
    (out if out.is_terminal else Console(width=WIDE)).print(table)


def tabulate(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of the named columns; what is None stays empty, and what is under ``id`` is never shortened."""
    table = Table(title=Text(title), title_justify="left")  # its words as they are, never as markup
    for column in columns:
        # An id that ends in an ellipsis names nobody.
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        cells = (_cell(row.get(column), whole=column == "id") for column in columns)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _cell(value: Any, *, whole: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 and not whole else text
