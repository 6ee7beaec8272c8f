"""What rooms share: settings in; store, bus, blobs, registry and key out. No room is known here."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Bus
from overread.config import Settings
from overread.core.clock import Clock, utc_now
from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms
from overread.handler import Duty, Handler, Outbox
from overread.pacs.slices import Slices
from overread.store.blobs import Blobs
from overread.store.engine import Store
from overread.store.migrations import upgrade
from overread.topology import OPERATOR, TOPICS
from overread.tracing import traced
from overread.worker import Worker
from overread_learn import applications
from overread_learn.applications import Application

if TYPE_CHECKING:
    from overread.bus.kafka_client import Access
    from overread.bus.kafka_topics import Operator
    from overread.registry import Registry

TABLES = ("gateway", "candidates", "inference", "review", "trainer", "rollout")


def declare_tables() -> None:
    """Import every room's tables, so that the metadata is whole."""
    for room in TABLES:
        importlib.import_module(f"overread.{room}.tables")


class Service(Protocol):
    """Something of a room that listens: started before the worker, closed after it."""

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        ...

    def start(self) -> None:
        """Bind and listen."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True)
class Room:
    """A room that can work."""

    name: str
    handlers: Sequence[Handler] = ()
    duties: Sequence[Duty] = ()
    services: Sequence[Service] = ()
    ready: Callable[[], str | None] = field(default=lambda: None)
    give_back: Callable[[], None] = field(default=lambda: None)
    """Called at the end: leases that another process would have to wait for."""


class House:
    """What rooms share: store, bus, blobs, registry, key. Opening it migrates the database.

    Args:
        settings: all of them.
        clock: what tells the time.
        role: the room that lives in this process, as which it logs in to a cluster.

    Raises:
        Misconfigured: a setting can't work.
        StoreUnavailable: the database can't be opened.
    """

    def __init__(self, settings: Settings, *, clock: Clock = utc_now, role: str = OPERATOR) -> None:
        self.settings, self.clock = settings, clock
        try:
            settings.data.mkdir(parents=True, exist_ok=True)
            self.pseudonyms = Pseudonyms.from_file(settings.data / "pseudonyms.key")
        except OSError as error:
            raise Misconfigured(f"data: {settings.data} can't be used ({error.strerror}); set --data") from error
        self.store = Store(settings.store_url)
        if not settings.bus_url and not settings.store_url.startswith("sqlite:"):
            raise Misconfigured(
                "bus_url: the embedded bus is for one machine, on SQLite; a house on PostgreSQL needs a cluster, such "
                "as kafka://host:9092"
            )
        declare_tables()
        upgrade(self.store)
        topics = {name: topic.partitions for name, topic in TOPICS.items()}
        embedded = EmbeddedBus(self.store, topics)
        self.outbox: Outbox = traced(embedded.append)
        """Publishes inside a transaction. On a cluster the relay carries it on."""
        self.bus: Bus = _cluster(settings, topics, role) if settings.bus_url else embedded
        self.blobs = Blobs(settings.blobs_url, reserve=settings.blobs_reserve_mb << 20)
        self.slices = Slices(self.blobs)

    @cached_property
    def application(self) -> Application:
        """The CAD application of this house."""
        return application(self.settings.application)

    @cached_property
    def registry(self) -> Registry:
        """MLflow, with the model of this application. Imported when it is asked for: four rooms never do."""
        from overread.registry import Registry

        return Registry(self.settings.registry_url, self.settings.data / "models", f"overread-{self.application.name}")

    def worker(self, room: Room) -> Worker:
        """The loop that runs a room."""
        return Worker(
            room.name,
            store=self.store,
            bus=self.bus,
            outbox=self.outbox,
            handlers=room.handlers,
            duties=room.duties,
            # The same after a crash, so that it takes its partitions back, and another for each replica.
            member=f"{room.name}-{self.settings.kafka.member or socket.gethostname()}",
        )

    def close(self) -> None:
        """Leave the bus and close the database."""
        try:
            self.bus.close()
        finally:
            self.store.close()


def application(name: str) -> Application:
    """Load an application by its name or file, for a house.

    Raises:
        Misconfigured: there is none, it can't work, or the loop can't serve it.
    """
    try:
        found = applications.load(name)
    except (ValueError, OSError) as error:
        raise Misconfigured(f"application: {error}") from error
    if reason := unserved(found):
        raise Misconfigured(f"application: {reason}")
    return found


def unserved(application: Application) -> str | None:
    """Return why the loop can't serve an application: each of its candidates would become a dead letter.

    A candidate is a point in an image, and what is scored, read and gated is one probability, of a lesion.
    """
    if application.geometry != "plane":
        return (
            f"{application.name} cuts its patches from a volume (geometry {application.geometry}), and a house serves "
            "candidates in single images; choose one of geometry plane"
        )
    if len(application.classes) > 2:
        return (
            f"{application.name} has {len(application.classes)} classes ({', '.join(application.classes)}), and a "
            "house knows two, lesion or none; choose one of two classes (`overread-learn` takes more)"
        )
    return None


def _cluster(settings: Settings, topics: Mapping[str, int], role: str) -> Bus:
    """Return the bus on Kafka. Its client is imported when it is asked for."""
    from overread.bus.kafka import KafkaBus

    return KafkaBus(access(settings, role), topics)


def access(settings: Settings, role: str) -> Access:
    """Return how the cluster is reached, and as whom.

    Raises:
        Misconfigured: the settings name none, or a part of the login is missing.
    """
    from overread.bus.kafka_client import Access
    from overread.bus.kafka_login import options

    return Access.from_url(settings.bus_url, security=options(settings.kafka, role))


def operator(settings: Settings, role: str = OPERATOR) -> Operator:
    """Speak to the cluster about its topics, as a context manager."""
    from overread.bus.kafka_topics import Operator

    return Operator(access(settings, role))


def room_file(data: Path, name: str) -> Path:
    """Where a running room says its process and ports."""
    return data / "run" / f"{name}.json"
