"""What this machine has, what it lacks, and what mends it."""

from __future__ import annotations

import shutil
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from overread.config import Settings
from overread.core.errors import OverreadError
from overread.topology import DEAD_LETTERS, TOPICS


class Check(NamedTuple):
    """One thing that was looked at. `state`: ok | missing (needed) | absent (of use)."""

    what: str
    state: str
    detail: str
    mend: str = ""


def examine(settings: Settings) -> list[Check]:
    """Look at Python, packages, disk, ports, and the programs that tests use; changes nothing."""
    return [
        Check(
            "python", "ok" if sys.version_info >= (3, 11) else "missing", sys.version.split()[0], "Python 3.11 or newer"
        ),
        _package("onnxruntime-gpu", needed=True, why="scoring"),
        _package("torch", needed=False, why="rounds of training: pip install 'overread[train]'"),
        _providers(),
        _application(settings),
        _store(settings),
        *_bus(settings),
        _disk(settings),
        _port("gateway", settings.gateway.host, settings.gateway.port, "OVERREAD_GATEWAY__PORT"),
        _port("review", settings.review.host, settings.review.port, "OVERREAD_REVIEW__PORT"),
        _weights(settings),
        _program("storescu", "dcmtk", "make parts, or apt-get install dcmtk"),
        _program("chromium", "the page's test", "make parts, or apt-get install chromium"),
    ]


def _package(name: str, *, needed: bool, why: str) -> Check:
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        return Check(name, "missing" if needed else "absent", "not installed", why)


def _providers() -> Check:
    import onnxruntime

    names = onnxruntime.get_available_providers()
    return Check("execution providers", "ok", f"{', '.join(names)} (offered; /metrics says which one runs)")


def _application(settings: Settings) -> Check:
    from overread.house import application

    try:
        found = application(settings.application)
    except OverreadError as error:
        return Check("application", "missing", str(error), "set application")
    return Check("application", "ok", found.name)


def _store(settings: Settings) -> Check:
    from overread.store.engine import Store

    try:
        store = Store(settings.store_url)
        if store.place.startswith("sqlite:"):  # to look would make the file
            return Check("store", "ok", store.place)
        with store.reading() as tx:
            version = tx.exec_driver_sql("SHOW server_version").scalar_one()
        store.close()
    except OverreadError as error:
        return Check("store", "missing", str(error), "start the server, or set store_url, PGPASSWORD or PGPASSFILE")
    return Check("store", "ok", f"{store.place}, version {version}")


def _bus(settings: Settings) -> list[Check]:
    if not settings.bus_url:
        return [Check("bus", "ok", "embedded in the store")]
    from overread.house import operator

    mend = f"overread topics apply --bus {settings.bus_url}"
    try:
        with operator(settings) as cluster:
            found = cluster.differences(cluster.shapes(TOPICS | DEAD_LETTERS))
            bus = Check("bus", "ok", f"{settings.bus_url}, brokers: {cluster.brokers()}")
    except OverreadError as error:
        return [Check("bus", "missing", str(error), "start the cluster (make kafka, to try), or set bus_url")]
    absent = [one for one in found if one.what == "topic"]
    if absent:
        return [bus, Check("topics", "missing", f"{len(absent)} are absent, such as {absent[0].topic}", mend)]
    if found:
        return [bus, Check("topics", "absent", f"{len(found)} differences", "overread topics check names them")]
    return [bus, Check("topics", "ok", f"{len(TOPICS)}, and {len(DEAD_LETTERS)} for dead letters")]


def _disk(settings: Settings) -> Check:
    folder = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    free = shutil.disk_usage(folder).free >> 20
    enough = free > settings.blobs_reserve_mb
    mend = "" if enough else "make room, or lower blobs_reserve_mb: instances are refused (0xA700) meanwhile"
    return Check("disk", "ok" if enough else "missing", f"{free} MiB free on {folder}", mend)


def _port(room: str, host: str, port: int, setting: str) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check(
                f"port {port}", "absent", f"{error.strerror} (a running {room}?)", f"if it is not ours: {setting}"
            )
    return Check(f"port {port}", "ok", f"free for {room}")


def _weights(settings: Settings) -> Check:
    path = settings.trainer.weights
    if path is None:
        return Check(
            "weights", "absent", "by download, else a random start", "trainer.weights=FILE where there is no internet"
        )
    return Check(
        "weights", "ok" if Path(path).exists() else "missing", str(path), "" if path.exists() else "set trainer.weights"
    )


def _program(name: str, what: str, mend: str) -> Check:
    found = shutil.which(name)
    return Check(what, "ok" if found else "absent", found or f"{name} not found", "" if found else mend)
