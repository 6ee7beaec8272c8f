"""`overread acls`: who may do what on a Kafka cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from overread.cli.app import Json, app, settings
from overread_learn.printing import err, show, tabulate


@app.command()
def acls(
    bus: Annotated[
        str | None, typer.Option(help=r"Such as kafka://host:9092.  \[default: the setting bus_url]", metavar="URL")
    ] = None,
    command_config: Annotated[
        str | None, typer.Option(help="The file by which kafka-acls logs in, for --commands.", metavar="FILE")
    ] = None,
    *,
    as_commands: Annotated[bool, typer.Option("--commands", help="Print the lines for kafka-acls.")] = False,
    as_json: Json = False,
) -> None:
    """Print the least rights that each room needs on Kafka, and those of its neighbours. Changes nothing.

    A room logs in as `kafka.user` says, with `{room}` for its name; `overread` commands do as overread-operator.
    Rooms write into the outbox; the relay alone writes to topics. Another system may write commands and nothing else.

    Examples:
        overread acls
        overread acls --commands --bus kafka://kafka-1:9093 --command-config admin.properties | sh
    """
    from overread.catalog.rights import commands, rights

    chosen = settings(bus_url=bus)
    user = chosen.kafka.user
    servers = _servers(chosen.bus_url)
    if "{room}" not in user:
        err.print(
            "kafka.user: it holds no {room}, so one user gets every right, another system's and the operator's among "
            "them; set one such as overread-{room}",
            soft_wrap=True,
        )
    if as_commands:
        for line in commands(servers, command_config, user):
            typer.echo(line)
        return
    rows = [
        {
            "user": user.replace("{room}", right.role),
            "may": ", ".join(right.operations),
            "what": f"{right.kind} {right.name}{'*' if right.prefixed else ''}",
            "why": right.why,
        }
        for right in rights()
    ]
    show(rows, as_json=as_json, table=tabulate("rights", ("user", "may", "what", "why"), rows))


def _servers(url: str) -> str:
    """Return the brokers as kafka-acls takes them; of no cluster a word to put them in for."""
    if not url:
        return "HOST:PORT"
    from overread.bus.kafka_client import Access

    return ",".join(Access.from_url(url).servers)
