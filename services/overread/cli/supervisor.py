"""Keeps every room's process alive on one machine."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from overread.config import Settings
from overread.core.errors import BusUnavailable, Misconfigured
from overread.topology import DEAD_LETTERS, TOPICS, rooms

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""After SIGTERM a room may finish what is in hand for this long."""
PRUNE_SECONDS = 3600.0
LISTENERS = ("gateway", "review")
REFUSED = 2
"""Exit code of a room that can't start under its settings."""


@dataclass
class _Process:
    room: str
    child: subprocess.Popen[bytes] | None = None
    born: float = 0.0
    pause: float = 0.5
    next_try: float = field(default=0.0)


class Supervisor:
    """Starts the rooms, starts a fallen one again (ever more slowly if it keeps falling), stops them together.

    Raises:
        Misconfigured: another `up` holds the data directory, or the first start shows that a setting can't work.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = [room for room in rooms(settings.bus_url) if room != "trainer.round" or _can_train()]
        self._processes = [_Process(room) for room in names]
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        data = self._settings.data
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._lock = (data / "up.lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(
                f"another `overread up` runs on {data}; stop it first, or choose another directory with --data"
            ) from error
        except OSError as error:
            raise Misconfigured(f"data: {data} can't be used ({error.strerror}); set --data") from error
        with ExitStack() as undo:
            undo.push(self.__exit__)  # nobody else calls it where this fails
            _wait_for_orphans(data / "run")
            self._prepare()
            for process in self._processes:
                self._start(process)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        alive = [p.child for p in self._processes if p.child is not None and p.child.poll() is None]
        for child in alive:
            child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for child in alive:
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                log.warning("room did not stop in time; killed", extra={"pid": child.pid})
                child.kill()
                child.wait()
        if self._lock is not None:
            self._lock.close()

    def _prepare(self) -> None:
        """Migrate, make registry and topics once, before all processes would do it at the same time."""
        from overread.house import House

        if self._settings.bus_url:
            _make_topics(self._settings)
        house = House(self._settings)
        house.registry.prepare()
        house.close()

    def _start(self, process: _Process) -> None:
        # The file holds flags and environment already; left in place, the environment would lie above the flags.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        environment |= {"OVERREAD_CONFIG": str(_write(self._settings)), "OVERREAD_SUPERVISOR": str(os.getpid())}
        if password := self._settings.kafka.password.get_secret_value():
            environment["OVERREAD_KAFKA__PASSWORD"] = password
        process.child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "overread", "run", process.room], env=environment, start_new_session=True
        )
        process.born = time.monotonic()

    def wait_until_listening(self, stop: threading.Event) -> dict[str, Any]:
        """Wait until gateway and page listen; return where.

        Raises:
            Misconfigured: one of them gave up at once; its own error stands above.
        """
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(LISTENERS) and not stop.wait(0.1):
            for process in self._processes:
                if process.room in LISTENERS and process.child is not None and process.child.poll() == REFUSED:
                    raise Misconfigured(f"{process.room} can't start; the error stands above")
            self._revive()
            for room in LISTENERS:
                file = self._settings.data / "run" / f"{room}.json"
                if file.exists():
                    found[room] = json.loads(file.read_text())
        if stop.is_set():
            return {}
        settings = self._settings
        return {
            "ae_title": settings.gateway.ae_title,
            "host": settings.gateway.host,
            "port": found["gateway"]["port"],
            "page": f"http://{settings.review.host}:{found['review']['port']}/",
            "data": str(settings.data),
        }

    def watch(self, stop: threading.Event) -> None:
        """Keep the rooms running and the log within its retention until told to stop."""
        prune_at = time.monotonic() + PRUNE_SECONDS
        while not stop.wait(0.25):
            self._revive()
            if time.monotonic() > prune_at:
                prune_at = time.monotonic() + PRUNE_SECONDS
                _prune(self._settings)

    def _revive(self) -> None:
        now = time.monotonic()
        for process in self._processes:
            child = process.child
            if child is None or child.poll() is None:
                continue
            if process.next_try <= process.born:
                if now - process.born > 60:
                    process.pause = 0.5
                log.error("room fell", extra={"room_name": process.room, "exit": child.returncode})
                process.next_try = now + process.pause
                process.pause = min(process.pause * 2, 30.0)
            elif now >= process.next_try:
                self._start(process)


def _make_topics(settings: Settings) -> None:
    """Make the topics that are absent; where no broker answers the rooms wait for one, and pixels are taken meanwhile.

    Raises:
        Misconfigured: some are absent, and this user may make none.
    """
    from overread.house import operator

    every = TOPICS | DEAD_LETTERS
    try:
        with operator(settings) as cluster:
            if absent := cluster.absent(every):
                cluster.make(cluster.shapes({name: every[name] for name in absent}))
                log.info("topics made", extra={"topics": absent})
    except BusUnavailable as error:
        log.warning("the rooms wait for the bus", extra={"reason": str(error)})


def _can_train() -> bool:
    if find_spec("torch") is not None:
        return True
    log.warning("torch is not installed: no rounds run here; pip install 'overread[train]'")
    return False


def _write(settings: Settings) -> Path:
    """Write the settings in force to a file, so that every room runs under exactly these."""
    file = settings.data / "run" / "settings.yaml"
    file.parent.mkdir(exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)  # somebody may have put a password into a URL
    told = settings.model_dump_json(exclude={"kafka": {"password"}})  # this one goes by the environment
    draft.write_text(yaml.safe_dump(json.loads(told)))
    draft.replace(file)
    return file


def _wait_for_orphans(folder: Path) -> None:
    """Rooms of a supervisor that was killed stop by themselves; wait until their ports are free."""
    deadline = time.monotonic() + GRACE_SECONDS
    for file in folder.glob("*.json"):
        pid = json.loads(file.read_text())["pid"]
        while _is_ours(pid):
            if time.monotonic() > deadline:
                raise Misconfigured(f"process {pid} of an earlier `up` still runs as {file.stem}; end it first")
            time.sleep(0.1)
        file.unlink(missing_ok=True)


def _is_ours(pid: int) -> bool:
    try:
        return b"overread" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _prune(settings: Settings) -> None:
    from overread.bus.embedded import EmbeddedBus
    from overread.house import House

    house = House(settings)
    if not isinstance(house.bus, EmbeddedBus):
        house.close()
        return  # a cluster keeps its own topics, and the relay its outbox
    for name, topic in TOPICS.items():
        if topic.days is not None:
            house.bus.prune(name, datetime.now(UTC) - timedelta(days=topic.days))
    house.close()
