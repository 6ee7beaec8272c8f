"""One class an adapter of the bus: what the contract needs besides the port itself.

A test never knows which bus it holds. Whatever differs (how a broker goes away, how a member's time runs out, what the
broker refuses) stands here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from overread.bus.embedded import MEMBER_SECONDS, EmbeddedBus
from overread.bus.port import Bus, Record
from overread.store.engine import Store, metadata
from overread.worker import Handler, Worker


class Adapter(Protocol):
    """A broker that a test can ill-treat."""

    def start(self) -> None:
        """Make the broker answer, with everything that it held before."""
        ...

    def connect(self, topics: Mapping[str, int]) -> Bus:
        """Return a new connection; works while the broker is away too."""
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


ADAPTERS = {"embedded": Embedded}


def connect_from(given: str, topics: Mapping[str, int]) -> Bus:
    """Connect from a child process."""
    told = json.loads(given)
    assert told["adapter"] == "embedded"
    return EmbeddedBus(Store(told["url"]), topics)
