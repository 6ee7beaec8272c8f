"""`overread up` and `overread run`: everything on one machine, or one room."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from overread import logs, tracing
from overread.cli.app import app, house, settings
from overread.cli.supervisor import Supervisor
from overread.config import Settings
from overread.core.errors import BusUnavailable, Misconfigured, OverreadError
from overread.topology import ROOMS, needs, rooms
from overread_learn.printing import err, out

log = logging.getLogger(__name__)


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help=r"DICOM port.  \[default: 11112]")] = None,
    page_port: Annotated[int | None, typer.Option(help=r"The page's port.  \[default: 8042]")] = None,
    application: Annotated[str | None, typer.Option(help="CAD application, by name or TOML file.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="ImageNet weights by file."),
    ] = None,
    bus: Annotated[
        str | None,
        typer.Option(help=r"Such as kafka://host:9092.  \[default: embedded in the database]", metavar="URL"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help=r"Such as postgresql://user@host/database, with PGPASSWORD.  \[default: SQLite]", metavar="URL"
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when all rooms are ready.")] = False,
) -> None:
    """Run every room on this machine, in supervised processes on one data directory.

    Ctrl-C stops cleanly; the next `up` goes on where this one stopped. On Kafka it makes the topics that are absent.

    Examples:
        overread up
        overread up --bus kafka://127.0.0.1:9092 --store postgresql://overread@127.0.0.1/overread
        overread --data /srv/overread up --port 104 --weights squeezenet1_1.pth
    """
    flags = {
        "gateway__port": port,
        "review__port": page_port,
        "application": application,
        "trainer__weights": weights.resolve() if weights else None,
        "bus_url": bus,
        "store_url": store,
    }
    chosen = settings(**flags)
    logs.configure("up", chosen.log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Supervisor(chosen) as supervisor:
        if not as_json:
            err.print(f"starting {len(rooms(chosen.bus_url))} rooms on {chosen.data} …")
        facts = supervisor.wait_until_listening(stop)
        if stop.is_set():
            return
        if as_json:
            typer.echo(json.dumps(facts))
        else:
            out.print(f"[bold]DICOM[/]  AE title {facts['ae_title']}, {facts['host']}:{facts['port']}")
            out.print(f"[bold]page[/]   {facts['page']}")
            out.print("[bold]status[/] overread status    [bold]stop[/] Ctrl-C")
        supervisor.watch(stop)


@app.command()
def run(
    room: Annotated[str, typer.Argument(help=f"One of: {', '.join(ROOMS)}.")],
    model: Annotated[Path | None, typer.Option(help="inference only: serve this ONNX file, ask no registry.")] = None,
) -> None:
    """Run one room until it is told to stop (SIGTERM, Ctrl-C).

    Examples:
        overread run gateway
        overread run inference --model champion.onnx
    """
    flags = {"inference__model": model.resolve() if model else None}
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    chosen = settings(**flags)
    logs.configure(room, chosen.log_level)
    if "OVERREAD_SUPERVISOR" in os.environ:
        threading.Thread(target=_follow, args=(int(os.environ["OVERREAD_SUPERVISOR"]), stop), daemon=True).start()
    end_traces = tracing.configure(chosen.tracing, room)
    try:
        with house(room, **flags) as opened:
            _serve(opened, room, stop)
    finally:
        end_traces()


def _follow(supervisor: int, stop: threading.Event) -> None:
    """Stop when `up` is gone, however it went: an orphan would hold the ports."""
    while os.getppid() == supervisor:
        time.sleep(0.5)
    stop.set()


def _find_topics(settings: Settings, room: str) -> None:
    """Make sure that the room's topics are there; where no broker says so, the room waits for it at its work.

    Raises:
        Misconfigured: some are absent; a room that began would wait for them for ever.
    """
    from overread.house import operator

    try:
        with operator(settings, room) as cluster:
            absent = cluster.absent(needs(room))
    except BusUnavailable as error:
        log.warning("the topics were not looked for", extra={"reason": str(error)})
        return
    if absent:
        more = f" and {len(absent) - 1} more" if absent[1:] else ""
        raise Misconfigured(
            f"bus_url: the cluster has no topic {absent[0]}{more}; the cluster's operator makes them: "
            f"overread topics apply --bus {settings.bus_url}"
        )


def _serve(opened: object, name: str, stop: threading.Event) -> None:
    from overread.bootstrap import build
    from overread.health import HealthServer
    from overread.house import House, room_file

    assert isinstance(opened, House)  # noqa: S101 - `house` is typed loosely
    room = build(opened, name)
    worker = opened.worker(room)
    started = []
    health = None
    announced = ""
    file = room_file(opened.settings.data, name)
    try:
        for service in room.services:
            service.start()
            started.append(service)
        base = opened.settings.health_port
        number = base + ROOMS.index(name) if base else 0
        health = HealthServer(opened.settings.health_host, number, room.ready)
        facts = {"pid": os.getpid(), "health": health.port, "port": started[0].port if started else None}
        file.parent.mkdir(exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(facts))
        draft.replace(file)
        announced = json.dumps(facts)
        if opened.settings.bus_url:  # after the services: pixels and answers are taken while a broker is away
            _find_topics(opened.settings, name)
        worker.run(stop)
    finally:
        with suppress(OverreadError):  # it runs out by itself
            room.give_back()
        for service in reversed(started):
            service.close()
        if health is not None:
            health.close()
        _withdraw(file, announced)


def _withdraw(file: Path, announced: str) -> None:
    """Remove what we wrote; where another process of this room stands in the file, it lives and is to be found."""
    with suppress(FileNotFoundError):
        if file.read_text() == announced:
            file.unlink()
