"""Full disks: the database's, by SQLite's own limit of pages; the broker's, by a small file system of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from overread.core.errors import Misconfigured
from overread.simulation.broker import Cluster
from overread.simulation.faults.drills import SOON, Ground, prepare, under_load
from overread.simulation.faults.evidence import Row, judge
from overread.simulation.faults.line import Line
from overread.store.engine import Store

APART = "OVERREAD_FAULTS_APART"
"""Set in a process that has mounts of its own."""
SPARE = 12
"""Pages of 4 KiB that SQLite has left when the clients begin."""
SMALL, LARGE = "16m", "256m"
"""The broker's disk, and what it becomes when somebody makes room."""


def full_database(on: Ground) -> Row:
    """SQLite's file may grow no further; later somebody makes room."""
    seconds = on.much(15, 2)
    with tempfile.TemporaryDirectory(prefix="overread-faults-") as place:
        on.cluster.start()
        url, pages = f"sqlite:///{place}/overread.db", Path(place) / "pages"
        prepare(url)
        with Line(on.folder / "database-full", on.cluster, url, pages=pages) as line:

            def fill() -> None:
                _write(pages, _pages(line.store) + SPARE)
                _until_full(line)
                time.sleep(seconds)
                pages.unlink()
                time.sleep(1.0)

            under_load(line, fill)
            did = f"SQLite, max_page_count {SPARE} pages above what there was; full for {seconds:g} s, then room"
            return judge(line, "database's disk full", did)


def _pages(store: Store) -> int:
    with store.reading() as tx:
        return int(tx.exec_driver_sql("PRAGMA page_count").scalar_one())


def _write(file: Path, pages: int) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(str(pages))
    draft.rename(file)


def _until_full(line: Line) -> None:
    deadline = time.monotonic() + 60
    while not line.clients.retries["rest"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the database's disk did not get full within 60 s")
        time.sleep(0.05)


def full_log(on: Ground) -> Row:
    """The broker's log stands on a small tmpfs that gets full: the broker ends; later somebody makes room."""
    if APART not in os.environ:
        raise Misconfigured("the broker's full disk needs mounts of its own: root, and `unshare` of util-linux")
    with (
        tempfile.TemporaryDirectory(prefix="overread-faults-") as place,
        _small_disk(Path(place) / "kafka" / "node-1" / "log") as disk,
    ):
        cluster = Cluster(Path(place) / "kafka", settings={**SOON, "log.index.size.max.bytes": "65536"})
        with cluster:
            url = on.server.create("drill_full_log", "overread")
            with Line(on.folder / "broker-full", cluster, url, rate=200.0, padding=30_000) as line:

                def fill() -> None:
                    deadline = time.monotonic() + 90
                    while cluster.nodes[0].running:
                        if time.monotonic() > deadline:
                            raise TimeoutError("the broker's disk did not get full within 90 s")
                        time.sleep(0.1)
                    on.say("the broker's disk is full; it ended")
                    time.sleep(on.much(10, 1))
                    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(disk)], check=True)  # noqa: S603, S607
                    cluster.start()

                under_load(line, fill)
                return judge(line, "broker's disk full", f"a tmpfs of {SMALL}; the broker ended; {LARGE}, and started")


@contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(place)], check=True)  # noqa: S603, S607
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)  # noqa: S603, S607


def go_apart() -> None:
    """Become the same process with mounts of its own, which end with it; where that can't be, stay as we are."""
    if APART in os.environ or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    apart = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*apart, "true"], check=False, stderr=subprocess.DEVNULL).returncode:  # noqa: S603
        return
    command = [*apart, sys.executable, "-m", "overread.simulation.faults", *sys.argv[1:]]
    with suppress(OSError):
        os.execvpe(command[0], command, {**os.environ, APART: "yes"})  # noqa: S606
