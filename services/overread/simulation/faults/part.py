"""One room as a process of its own: what a drill freezes, slows down, and kills, from outside or at a chosen point.

It is the room's own code on the real bus and the real database. What a drill does to it stands here alone, around the
adapters; the rooms, the worker and the bus know nothing of it.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text

from overread.bus.embedded import EmbeddedBus
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.kafka_consumer import KafkaConsumer
from overread.bus.port import Message, Partition, Record
from overread.bus.relay import Relay
from overread.core import clock
from overread.core.codec import Envelope
from overread.core.errors import OverreadError
from overread.core.events import Event, FindingCorrected
from overread.core.series import SeriesManifest
from overread.handler import Duty, Handler, Together, Work
from overread.review.verdicts import Judge
from overread.review.worklist import List
from overread.store.engine import Store
from overread.topology import TOPICS
from overread.trainer.pool import Admit, Learn
from overread.worker import Worker

log = logging.getLogger(__name__)

BEFORE_SQL, AFTER_SQL, AFTER_KAFKA = "before the SQL commit", "after the SQL commit", "after the Kafka commit"
ACKNOWLEDGED = "between acknowledgement and mark"
"""The points at which a part may be told to die."""

TALLY = text("INSERT INTO drill (correction, candidate, version) VALUES (:correction, :candidate, :version)")
UNLIMITED = 4_294_967_294
"""Pages: SQLite's own bound."""
LEASE = 2.0
"""Of the relay (s): so long a drill waits for the next one."""
PARTITIONS = {name: topic.partitions for name, topic in TOPICS.items()}


@dataclass(frozen=True)
class Orders:
    """What a part is, and what will be done to it."""

    room: str
    member: str
    store: str
    bus: str
    folder: Path
    """Where its log lies, and how much was delivered to it."""
    patience: Mapping[str, float] = field(default_factory=dict)
    """Of `Access` (s)."""
    die_at: str = ""
    passages: int = 1
    """It dies when it comes by for the so manieth time."""
    clock_shift: float = 0.0
    """By which its clock is wrong (s)."""
    slow_every: int = 0
    """Every so manieth fact takes `slow` seconds to prepare."""
    slow: float = 0.0
    pages: Path | None = None
    """A file that says how many pages SQLite's file may have; without it, as many as it likes."""


class Fuse:
    """Kills its process at a point."""

    def __init__(self, orders: Orders) -> None:
        self._point, self._left = orders.die_at, orders.passages

    def passed(self, point: str) -> None:
        """Say that the process has come by."""
        if point != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DrilledStore(Store):
    """Comes by before each commit."""

    def __init__(self, orders: Orders, fuse: Fuse) -> None:
        super().__init__(orders.store)
        self._fuse = fuse
        if orders.pages is not None:
            limit(self, orders.pages)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Store.writing`."""
        with super().writing() as tx:
            yield tx
            self._fuse.passed(BEFORE_SQL)


def limit(store: Store, file: Path) -> None:
    """Let SQLite's file have no more pages than `file` says, for as long as it is there: a full disk."""

    def checkout(connection: Any, *_: object) -> None:
        pages = file.read_text() if file.exists() else UNLIMITED
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(store.engine, "checkout", checkout)


class DrilledBus(KafkaBus):
    """Comes by after each acknowledgement and around each commit, and counts what it delivers."""

    def __init__(self, orders: Orders, fuse: Fuse) -> None:
        super().__init__(Access.from_url(orders.bus, **orders.patience), PARTITIONS)
        self._fuse = fuse
        self._counted = os.open(orders.folder / f"{orders.room}.delivered", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`."""
        super().publish(records)
        self._fuse.passed(ACKNOWLEDGED)

    def consumer(self, group: str, topics: Sequence[str], member: str) -> KafkaConsumer:
        """See `Bus.consumer`."""
        made = DrilledConsumer(self._access, group, topics, member)
        made.fuse, made.counted = self._fuse, self._counted
        self._consumers.append(made)
        return made


class DrilledConsumer(KafkaConsumer):
    """The consumer of a `DrilledBus`."""

    fuse: Fuse
    counted: int

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """See `Consumer.poll`."""
        found = super().poll(limit, timeout)
        if found:
            os.write(self.counted, b"%d\n" % len(found))  # what is written so outlives a kill
        return found

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See `Consumer.commit`."""
        self.fuse.passed(AFTER_SQL)
        super().commit(offsets)
        self.fuse.passed(AFTER_KAFKA)


class Tally(Together):
    """An effect that is not idempotent: a line for each time that a fact has its effect, in the order of effects."""

    consumes = FindingCorrected

    def __init__(self, every: int = 0, seconds: float = 0.0) -> None:
        self._every, self._seconds, self._seen = every, seconds, 0

    def prepare(self, _envelope: Envelope[FindingCorrected]) -> None:
        """Take long now and then."""
        self._seen += 1
        if self._every and self._seen % self._every == 0:
            time.sleep(self._seconds)

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Write the lines."""
        facts = [envelope.event for envelope, _ in batch]
        lines = [
            {"correction": fact.correction, "candidate": fact.candidate, "version": fact.version} for fact in facts
        ]
        tx.execute(TALLY, lines)
        return ()


class NoImages:
    """Corrections of drills name no place."""

    def manifest(self, key: str) -> SeriesManifest:
        """See `Manifests.manifest`."""
        raise FileNotFoundError(key)


def run(orders: Orders) -> None:
    """Be that room until SIGTERM, or until something kills us; ends with our parent."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is our parent's to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    handler = logging.FileHandler(orders.folder / f"{orders.room}.log")
    layout = "%(asctime)s %(process)d %(levelname)s %(message)s %(reason)s"
    handler.setFormatter(logging.Formatter(layout, defaults={"reason": ""}))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if orders.clock_shift:
        shift_clock(orders.clock_shift)
    fuse = Fuse(orders)
    store, bus = DrilledStore(orders, fuse), DrilledBus(orders, fuse)
    try:
        _work(orders, store, bus, stop)
    except OverreadError:
        log.exception("%s ends", orders.room)
        sys.exit(1)
    finally:
        bus.close()
        store.close()


def _work(orders: Orders, store: Store, bus: KafkaBus, stop: threading.Event) -> None:
    handlers: dict[str, tuple[Handler, ...]] = {
        "review": (List(), Judge(NoImages())),
        "trainer.selection": (Admit(), Learn(), Tally(orders.slow_every, orders.slow)),
    }
    relay = Relay(store, bus, orders.member, lease_seconds=LEASE)
    duties: Sequence[Duty] = (relay,) if orders.room == "relay" else ()
    worker = Worker(
        orders.room,
        store=store,
        bus=bus,
        outbox=EmbeddedBus(store, PARTITIONS).append,
        handlers=handlers.get(orders.room, ()),
        duties=duties,
        member=orders.member,
    )
    worker.patience = 1.0  # so that a drill's end is not spent on waiting
    worker.run(stop)
    relay.close()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def shift_clock(seconds: float) -> None:
    """Make every clock of this process wrong by so much; those that only measure go on."""
    now: Callable[[], float] = time.time
    now_ns: Callable[[], int] = time.time_ns

    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Shifted:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    setattr(clock, "datetime", Shifted)  # noqa: B010 - to replace a name is what it is for
