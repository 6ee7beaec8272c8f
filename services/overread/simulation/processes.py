"""The processes beside the demo: servers, `overread` commands, and ports for them. What is started here is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from overread.core.errors import Misconfigured
from overread.simulation.broker import Cluster, free_ports
from overread.simulation.postgres import Server

PORTS = 10
"""For the rooms' health, side by side."""


def start_servers(bus: str, store: str, out: Path, servers: contextlib.ExitStack) -> dict[str, str]:
    """Start the servers that were asked for, each in its folder, and return the settings that name them.

    Raises:
        Misconfigured: PostgreSQL without Kafka, or what a server needs is not installed.
    """
    if store == "postgresql" and bus == "embedded":
        raise Misconfigured("make demo: the embedded bus is for SQLite; PostgreSQL needs a cluster: BUS=kafka")
    places = {}
    if bus == "kafka":
        cluster = servers.enter_context(Cluster(out / "kafka" / "of-1"))
        places["bus_url"] = cluster.url
    if store == "postgresql":
        server = servers.enter_context(Server(out / "postgres", free_ports(1)[0]))
        places["store_url"] = server.url()
    return places


def overread(file: Path) -> list[str]:
    """Return how `overread` is called with these settings."""
    return [sys.executable, "-m", "overread", "--config", str(file)]


@contextlib.contextmanager
def child(file: Path, *arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run an `overread` command beside us; it is told to stop when the block ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
    with log.open("wb") as sink:
        process = subprocess.Popen([*overread(file), *arguments], stdout=sink, stderr=sink, env=environment)  # noqa: S603
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def house_ports() -> tuple[int, int, int]:
    """Return free ports for DICOM and the page, and the first of a run of free ones for the rooms' health."""
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        dicom, page = one.getsockname()[1], two.getsockname()[1]
    for base in range(19110, 29110, PORTS):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + PORTS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return dicom, page, base
    raise Misconfigured("no ten neighbouring ports are free between 19110 and 29110")


def wait_for_port(port: int) -> None:
    """Wait until somebody listens on 127.0.0.1; two minutes at most."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise Misconfigured(f"`overread up` did not listen on port {port} within two minutes; see up.log")
