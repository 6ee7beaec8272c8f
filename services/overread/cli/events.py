"""`overread events`: the contract with other systems, as schemas and as one document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overread.cli.app import Json, app
from overread.core.errors import Misconfigured
from overread_learn.printing import out, show, tabulate

if TYPE_CHECKING:
    from overread.catalog.folder import Report

events = typer.Typer(
    help="The events: list, schemas, AsyncAPI, and whether a change would break anybody.", no_args_is_help=True
)
app.add_typer(events, name="events")

Folder = Annotated[Path, typer.Argument(help="The committed contract.", metavar="DIR")]
CONTRACT = Path("docs/events")


@events.command("list")
def list_events(*, as_json: Json = False) -> None:
    """List the events: topic, type and what each is."""
    from overread.core.events import EVENTS

    rows = [
        {"type": event.type, "topic": event.topic, "says": (event.__doc__ or "").strip().splitlines()[0]}
        for event in EVENTS
    ]
    show(rows, as_json=as_json, table=tabulate("events", ("type", "topic", "says"), rows))


@events.command()
def schema(kind: Annotated[str, typer.Argument(metavar="TYPE", help="Such as overread.finding.corrected.v1.")]) -> None:
    """Print the JSON Schema (2020-12) of an event's value.

    Example:
        overread events schema overread.correction.submitted.v1
    """
    from overread.catalog.schemas import schemas

    known = schemas()
    if kind not in known:
        raise Misconfigured(f"there is no event {kind!r}; see `overread events list`")
    show(known[kind], as_json=True)


@events.command()
def asyncapi() -> None:
    """Print the whole house as an AsyncAPI 3 document: who says and hears what, where."""
    from overread.catalog.asyncapi import document

    show(document(), as_json=True)


@events.command()
def check(folder: Folder = CONTRACT, *, as_json: Json = False) -> None:
    """Hold the event classes against every committed schema. Exit code 1 where something breaks or is not written down.

    Example:
        overread events check docs/events
    """
    from overread.catalog.folder import check as look

    _report(look(folder), as_json=as_json, told="overread events write")


@events.command()
def write(folder: Folder = CONTRACT, *, as_json: Json = False) -> None:
    """Write new revisions of the schemas, and the document; nothing where a change breaks an old one."""
    from overread.catalog.folder import write as put

    found = put(folder)
    _report(found._replace(stale=[]), as_json=as_json, told="")


def _report(found: Report, *, as_json: bool, told: str) -> None:
    rows = [{"what": "breaks", "where": line} for line in found.broken]
    rows += [{"what": f"not written down: {told}", "where": line} for line in found.stale]
    if as_json:
        show({"broken": found.broken, "stale": found.stale}, as_json=True)
    elif found.fine:
        out.print("every event is compatible with all its schemas")
    else:
        show(rows, as_json=False, table=tabulate("events", ("what", "where"), rows))
    if not found.fine:
        raise typer.Exit(1)
