"""The house of one drill: fresh topics on a real cluster, a fresh database, rooms as processes, and clients."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

import kafka
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from sqlalchemy import text

from overread.bus.dead_letters import topic_of
from overread.bus.embedded import EmbeddedBus
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.port import Partition
from overread.bus.relay import standing
from overread.core.codec import Envelope
from overread.core.errors import OverreadError
from overread.core.events import CANDIDATES, COMMANDS, FACTS, REFUSALS, CandidateReceived, Place, Source
from overread.core.splits import Split
from overread.simulation.broker import Cluster
from overread.simulation.faults.load import Clients, study_of
from overread.simulation.faults.part import PARTITIONS, Orders, limit, run
from overread.store import deliveries
from overread.store.engine import Store

ROOMS = ("review", "trainer.selection", "relay")
HEARS = {"review": (COMMANDS, CANDIDATES), "trainer.selection": (CANDIDATES, FACTS)}
"""The part of the topology that a correction passes."""
LETTERS = tuple(topic_of(topic, room) for room, topics in HEARS.items() for topic in topics)
TOPICS = {**{name: PARTITIONS[name] for name in (COMMANDS, CANDIDATES, FACTS, REFUSALS)}, **dict.fromkeys(LETTERS, 1)}
PATIENCE = 60.0
"""Longest wait for anything to move, once nothing is wrong any more (s)."""
SHORT = {"answer": 5.0, "session": 6.0}
"""Patience of the drills' own clients (s), where a drill says nothing else: `delivery` stays as it is in production."""

_processes = multiprocessing.get_context("forkserver")  # a room's imports take seconds: they are made once
_processes.set_forkserver_preload([run.__module__])


class Stuck(OverreadError):
    """The drill did not come to its end: somebody waits for ever, or a room is gone."""


class Line:
    """A house that corrections pass, as a context manager: when it ends its processes are ended too.

    Args:
        folder: where histories and logs go.
        cluster: which runs.
        store: URL of an empty house (`prepare`).
        patience: of `Access`, for every part and the clients.
        settings: of the clients; see `Clients`.
        pages: a file that limits SQLite's pages; see `part.limit`.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        store: str,
        *,
        patience: Mapping[str, float] | None = None,
        pages: Path | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        self.folder, self.cluster, self.history = folder, cluster, folder / "history.jsonl"
        self._url, self._pages, self._patience = store, pages, {**SHORT, **(patience or {})}
        self._rooms: dict[str, BaseProcess] = {}
        self._end = ExitStack()
        make_topics(cluster)
        self.store = Store(store)
        if pages is not None:
            limit(self.store, pages)
        self._end.callback(self.store.close)
        with self.store.writing() as tx:
            serial = "bigserial" if store.startswith("postgresql") else "integer"
            columns = f"id {serial} primary key, correction text, candidate text, version int"
            tx.execute(text(f"CREATE TABLE drill ({columns})"))
        self.bus = KafkaBus(self.access(), PARTITIONS)
        self._end.callback(self.bus.close)
        outbox = EmbeddedBus(self.store, PARTITIONS).append
        self.clients = Clients(self.store, outbox, self.bus, self.history, **settings)
        said = [Envelope(_candidate(name), "drill").record() for name in (*self.clients.rest, *self.clients.bus)]
        with self.store.writing() as tx:
            outbox(tx, said)

    def access(self) -> Access:
        """Return how this drill's parts reach the cluster."""
        return Access.from_url(self.cluster.url, **self._patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._end:
            for process in self._rooms.values():
                process.kill()
                process.join()

    def start(self, room: str, name: str = "", **orders: Any) -> BaseProcess:
        """Start a room; the same name again comes in the place of the one before it."""
        name = name or room
        given = Orders(
            room, name, self._url, self.cluster.url, self.folder, {**self._patience}, pages=self._pages, **orders
        )
        process = _processes.Process(target=run, args=(given,), name=name)
        process.start()
        self._rooms[name] = process
        return process

    def begin(self, *rooms: str) -> None:
        """Start the rooms and wait until the candidates are known in all of them."""
        for room in rooms or ROOMS:
            self.start(room)
        if not rooms:
            self.settle()

    def kill(self, name: str) -> None:
        """End a room by SIGKILL."""
        self._rooms[name].kill()
        self._rooms[name].join()

    def forget(self, name: str) -> None:
        """Expect no more of a room that was killed."""
        self._rooms.pop(name)

    def leave(self, name: str) -> None:
        """Let a room end by SIGTERM."""
        process = self._rooms.pop(name)
        process.terminate()
        process.join(30)
        if process.exitcode != 0:
            raise Stuck(f"{name} was told to end and ended with {process.exitcode}; see {self.folder}")

    def until_dead(self, name: str, seconds: float = 60.0) -> None:
        """Wait until a room has met the point at which it dies."""
        self._rooms[name].join(seconds)
        if self._rooms[name].exitcode != -signal.SIGKILL:
            raise Stuck(f"{name} did not die at its point: {self._rooms[name].exitcode}; see {self.folder}")

    def check_rooms(self) -> None:
        """Make sure that no room has ended by itself."""
        for name, process in self._rooms.items():
            if process.exitcode is not None:
                raise Stuck(f"{name} ended with {process.exitcode}; see {self.folder}")

    def settle(self, patience: float = PATIENCE) -> None:
        """Wait until all that was said has had its effects, in the order in which it passes.

        Raises:
            Stuck: nothing moves for so long, or a room is gone.
        """
        for what, left in (
            ("the relay does not send everything", self._unsent),
            ("review does not read everything", lambda: self._unread("review")),
            ("the relay does not send what review said", self._unsent),
            ("the trainer does not read everything", lambda: self._unread("trainer.selection")),
        ):
            before, deadline = -1, 0.0
            while now := left():
                self.check_rooms()
                if now != before:
                    before, deadline = now, time.monotonic() + patience
                if time.monotonic() > deadline:
                    raise Stuck(f"{what}: {now} are left; see {self.folder}")
                time.sleep(0.05)

    def _unsent(self) -> int:
        with self.store.reading() as tx:
            return standing(tx).unsent

    def _unread(self, room: str) -> int:
        there = ends(self.cluster, HEARS[room])
        with self.store.reading() as tx:
            return sum(end - deliveries.next_offset(tx, room, *place) for place, end in there.items())

    def handled(self) -> int:
        """Return how many messages the rooms have read to the end, commands and facts."""
        heard = ((room, topic) for room, topics in HEARS.items() for topic in topics if topic != CANDIDATES)
        with self.store.reading() as tx:
            return sum(
                deliveries.next_offset(tx, room, topic, number)
                for room, topic in heard
                for number in range(TOPICS[topic])
            )

    def delivered(self) -> int:
        """Return how many messages were handed to the rooms, each time that one was counted."""
        counts = (file.read_text().split() for file in self.folder.glob("*.delivered"))
        return sum(int(count) for file in counts for count in file)

    def pids(self) -> dict[str, int]:
        """Return the process of each room."""
        return {name: int(process.pid or 0) for name, process in self._rooms.items()}


def ends(cluster: Cluster, topics: tuple[str, ...]) -> dict[Partition, int]:
    """Return the end of every partition of some topics."""
    places = [TopicPartition(topic, number) for topic in topics for number in range(TOPICS[topic])]
    with closing(kafka.KafkaConsumer(bootstrap_servers=cluster.servers, metrics_enabled=False)) as eye:
        return {Partition(*place): int(end) for place, end in eye.end_offsets(places).items()}


def make_topics(cluster: Cluster) -> None:
    """Make all topics of the line anew, and forget who has read what of the old ones.

    Raises:
        KafkaError: the cluster does not do it. One that has just come back needs a moment.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with closing(KafkaAdminClient(bootstrap_servers=cluster.servers)) as operator:
                if old := sorted(set(TOPICS).intersection(operator.list_topics())):
                    operator.delete_topics(old)
                if groups := [group["group_id"] for group in operator.list_groups()]:
                    operator.delete_groups(groups)
                replicas = min(3, len(cluster.nodes))
                made = [NewTopic(name, partitions, replicas) for name, partitions in TOPICS.items()]
                operator.create_topics(made)
                operator.wait_for_topics(list(TOPICS))
        except KafkaError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _candidate(name: str) -> CandidateReceived:
    return CandidateReceived(
        candidate=name,
        study=study_of(name),
        patient=f"p-{name}",
        split=Split.TRAIN,
        site="DRILL",
        application="lung-nodule",
        source=Source.GENERATOR,
        producer="drill",
        place=Place(series="0" * 64, slice=0, x=1.0, y=1.0),
    )


def stop_forkserver() -> None:
    """End the process that the rooms are forked from."""
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001
