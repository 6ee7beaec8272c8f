"""One class an adapter of the bus: what the contract needs besides the port itself.

A test never knows which bus it holds. Whatever differs (how a broker goes away, how a member's time runs out, what the
broker refuses) stands here.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from brokers import admin, make_topics
from overread.bus.embedded import MEMBER_SECONDS, EmbeddedBus
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.port import Bus, Record
from overread.bus.relay import Relay
from overread.handler import Handler
from overread.simulation.broker import Cluster
from overread.store.engine import Store, metadata
from overread.worker import Worker


class Adapter(Protocol):
    """A broker that a test can ill-treat."""

    def start(self) -> None:
        """Make the broker answer, with everything that it held before."""
        ...

    def be_absent(self) -> None:
        """Make sure that nobody answers before `start`."""
        ...

    def connect(self, topics: Mapping[str, int]) -> Bus:
        """Return a new connection, for which these topics exist; works while the broker is away too."""
        ...

    def address(self) -> str:
        """Return what a child process gives to `connect_from` to reach the same broker."""
        ...

    def outlive_members(self) -> None:
        """Let so much time pass that members who did not poll are given up."""
        ...

    def refused(self, topic: str) -> Record:
        """Return a record that this bus cannot take."""
        ...

    def worker(self, bus: Bus, room: str, handlers: Sequence[Handler]) -> Worker:
        """Return a worker on this bus; what it publishes reaches the bus before its `step` returns."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class Embedded:
    """The bus in the store's own database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "late"
        self._url = f"sqlite:///{self._folder}/overread.db"
        self._opened: list[Store] = []
        self._later = 0.0

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        metadata.create_all(self._open().engine)

    def be_absent(self) -> None:
        assert not self._folder.exists()

    def _open(self) -> Store:
        store = Store(self._url)
        self._opened.append(store)
        return store

    def connect(self, topics: Mapping[str, int]) -> Bus:
        return EmbeddedBus(self._open(), topics, now=lambda: time.time() + self._later)

    def address(self) -> str:
        return json.dumps({"adapter": "embedded", "url": self._url})

    def outlive_members(self) -> None:
        self._later += MEMBER_SECONDS + 1

    def refused(self, topic: str) -> Record:
        return Record(topic, "half a character: \ud800", b"")

    def worker(self, bus: Bus, room: str, handlers: Sequence[Handler]) -> Worker:
        assert isinstance(bus, EmbeddedBus)
        return Worker(room, store=bus.store, bus=bus, outbox=bus.append, handlers=handlers)

    def close(self) -> None:
        for store in self._opened:
            store.close()


class Kafka:
    """A real broker. It lives as long as the session: what a test leaves behind must not reach the next."""

    patience: ClassVar[Mapping[str, float]] = {"answer": 5.0, "delivery": 20.0, "session": 2.0, "work": 4.0}

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._access = Access(tuple(cluster.servers), **self.patience)
        self._topics: dict[str, int] = {}
        self._started = False
        self._opened: list[Bus | Store] = []

    def start(self) -> None:
        self._cluster.start()
        self._started = True
        if self._topics:
            make_topics(self._cluster, self._topics)

    def be_absent(self) -> None:
        self._cluster.stop()

    def connect(self, topics: Mapping[str, int]) -> Bus:
        if self._started:
            make_topics(self._cluster, topics)
        self._topics.update(topics)
        bus = KafkaBus(self._access, topics)
        self._opened.append(bus)
        return bus

    def address(self) -> str:
        return json.dumps({"adapter": "kafka", "url": self._cluster.url})

    def outlive_members(self) -> None:
        deadline = time.monotonic() + 10 * (self.patience["session"] + self.patience["work"])
        with admin(self._cluster) as operator:
            while time.monotonic() < deadline:
                ours = [group for group in operator.list_groups() if group["group_id"].startswith(tuple(self._topics))]
                if all(group["group_state"] == "Empty" for group in ours):
                    return
                time.sleep(0.1)
        raise TimeoutError("a member that does not poll was not given up")

    def refused(self, topic: str) -> Record:
        return Record(topic, "key", bytes(2_000_000))

    def worker(self, bus: Bus, room: str, handlers: Sequence[Handler]) -> Worker:
        store = Store(f"sqlite:///{self._folder}/overread.db")
        metadata.create_all(store.engine)
        self._opened.append(store)
        return Relayed(room, store=store, bus=bus, outbox=EmbeddedBus(store, {}).append, handlers=handlers)

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        if self._topics:
            with admin(self._cluster) as operator:
                operator.delete_topics(list(self._topics))


class Relayed(Worker):
    """Carries what its outbox holds to the bus before `step` returns."""

    def step(self, timeout: float, stop: threading.Event | None = None) -> int:
        handled = super().step(timeout, stop)
        relay = Relay(self._store, self._bus, "beside the worker")
        while (carried := relay.prepare()) is not None:
            with self._store.writing() as tx:
                relay.apply(tx, carried)
        relay.close()
        return handled


def connect_from(given: str, topics: Mapping[str, int]) -> Bus:
    """Connect from a child process."""
    told = json.loads(given)
    if told["adapter"] == "kafka":
        return KafkaBus(Access.from_url(told["url"], **Kafka.patience), topics)
    return EmbeddedBus(Store(told["url"]), topics)
