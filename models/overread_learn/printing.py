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


def complain(error: Exception) -> None:
    """Print an error of ours on stderr: its words as they are, never as markup, on one line however long."""
    err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)


def show(facts: Any, *, as_json: bool, table: Table | None = None) -> None:
    """Print facts as JSON, or as a table for people."""
    if as_json or table is None:
        # Not through rich: it would wrap long lines.
        typer.echo(json.dumps(facts, indent=2, default=str))
    else:
        out.print(table)


def tabulate(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of the named columns; what is None stays empty."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        cells = (row.get(column) for column in columns)
        table.add_row(*(Text(_cell(cell)) for cell in cells))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
