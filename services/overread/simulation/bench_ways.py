"""The ways that `make bench-bus` times: ours and the bare client's, on one broker and one database."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import kafka
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from sqlalchemy import Connection, text

from overread.bus.embedded import EmbeddedBus
from overread.bus.kafka import BATCH, LINGER_MS, KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.port import Bus, Record
from overread.bus.relay import Relay
from overread.core.codec import Envelope
from overread.core.events import CandidateReceived, Event, ModelRejected, Place, Source
from overread.core.splits import Split
from overread.handler import Effect, Together, Work
from overread.house import declare_tables
from overread.simulation.broker import Cluster, free_ports
from overread.simulation.postgres import Server
from overread.store.engine import Store, metadata
from overread.worker import Worker

PARTITIONS = 4
SIZE = 1024
"""Bytes of a value, about."""
TOGETHER = 500
"""Records that are published together."""
TOPICS = ("bench-produce", "bench-relay", "bench-through")
CONSUMED, THROUGH = ModelRejected, CandidateReceived
INSERT = text("INSERT INTO bench (event) VALUES (:event)")


def _event(kind: type[Event], number: int) -> Event:
    padding = "x" * (SIZE - 260)
    if kind is CandidateReceived:
        return CandidateReceived(
            candidate=f"c-{number}",
            study=f"s-{number % 997}",
            patient="p-1",
            split=Split.TRAIN,
            site="BENCH",
            application="bench",
            source=Source.GENERATOR,
            producer=padding,
            place=Place(series="0" * 64, slice=0, x=1.0, y=1.0),
        )
    return ModelRejected(name=f"m-{number % 997}", version=number, sha256="0" * 64, gate=padding)


class Row(Effect, Together):
    """The least effect: one row an event, written as the rooms' own handlers write theirs."""

    def __init__(self, consumes: type[Event]) -> None:
        self.consumes = consumes
        self.seen = 0

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Insert them."""
        tx.execute(INSERT, [{"event": envelope.id} for envelope, _ in batch])
        self.seen += len(batch)
        return ()


class House:
    """A database, a bus on it or beside it, and a worker of each topic."""

    def __init__(self, url: str, bus: Callable[[Store], Bus]) -> None:
        declare_tables()
        self.store = Store(url)
        metadata.create_all(self.store.engine)
        with self.store.writing() as tx:
            tx.execute(text("CREATE TABLE bench (event text)"))
        self.bus, self.outbox = bus(self.store), EmbeddedBus(self.store, {}).append
        self.consumed, self.through = Row(CONSUMED), Row(THROUGH)
        self.workers = {
            name: Worker(name, store=self.store, bus=self.bus, outbox=self.outbox, handlers=[row])
            for name, row in (("consume", self.consumed), ("through", self.through))
        }
        self.relay = Relay(self.store, self.bus, "bench")

    def read(self, worker: str, row: Row, count: int) -> None:
        """Handle so many events."""
        end = row.seen + count
        while row.seen < end:
            self.workers[worker].step(0.05)

    def carry(self) -> None:
        """Let the relay work until the outbox is empty."""
        while (carried := self.relay.prepare()) is not None:
            with self.store.writing() as tx:
                self.relay.apply(tx, carried)

    def close(self) -> None:
        """Let go of everything."""
        self.relay.close()
        self.bus.close()
        self.store.close()


class Bare:
    """kafka-python alone, with the same settings where they decide on speed."""

    def __init__(self, cluster: Cluster) -> None:
        self.producer = kafka.KafkaProducer(
            bootstrap_servers=cluster.servers,
            acks="all",
            enable_idempotence=True,
            batch_size=BATCH,
            linger_ms=LINGER_MS,
            metrics_enabled=False,
        )
        self.consumers = {topic: self._consumer(cluster, topic) for topic in (CONSUMED.topic, "bench-through")}

    @staticmethod
    def _consumer(cluster: Cluster, topic: str) -> Any:
        return kafka.KafkaConsumer(
            topic,
            bootstrap_servers=cluster.servers,
            group_id=f"bare-{topic}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metrics_enabled=False,
        )

    def produce(self, records: Sequence[Record], topic: str) -> None:
        """Send all, then wait for all."""
        futures = [
            self.producer.send(topic, record.value, record.key.encode(), list(record.headers.items()))
            for record in records
        ]
        self.producer.flush(60)
        for future in futures:
            future.get(60)

    def consume(self, topic: str, count: int) -> None:
        """Poll and commit until so many came."""
        consumer, seen = self.consumers[topic], 0
        while seen < count:
            got = sum(len(records) for records in consumer.poll(50, max_records=500).values())
            if got:
                consumer.commit()
            seen += got

    def close(self) -> None:
        """Let go."""
        self.producer.close(timeout=5)
        for consumer in self.consumers.values():
            consumer.close(autocommit=False)


class Bench:
    """All ways, and what they need for a round."""

    def __init__(self, parts: ExitStack, count: int) -> None:
        self.count = count
        place = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="overread-bench-")))
        place.chmod(0o755)
        server = parts.enter_context(Server(place / "postgresql", free_ports(1)[0]))
        cluster = parts.enter_context(Cluster(place / "kafka"))
        shape = dict.fromkeys((*TOPICS, CONSUMED.topic, THROUGH.topic), PARTITIONS)
        with closing(KafkaAdminClient(bootstrap_servers=cluster.servers)) as operator:
            operator.create_topics([NewTopic(name, partitions, 1) for name, partitions in shape.items()])
            operator.wait_for_topics(list(shape))
        access = Access.from_url(cluster.url)
        self.ours = parts.enter_context(closing(House(server.url(), lambda _: KafkaBus(access, shape))))
        embedded = House(f"sqlite:///{place}/embedded.db", lambda store: EmbeddedBus(store, shape))
        self.embedded = parts.enter_context(closing(embedded))
        self.bare = parts.enter_context(closing(Bare(cluster)))
        self.ways: dict[str, Callable[[list[Record]], object]] = {
            "produce": self._produce,
            "bare_produce": partial(self.bare.produce, topic="bench-produce"),
            "relay": lambda _: self.ours.carry(),
            "consume": lambda records: self.ours.read("consume", self.ours.consumed, len(records)),
            "bare_consume": lambda records: self.bare.consume(CONSUMED.topic, len(records)),
            "bare_rows": self._rows,
            "end_to_end": self._through,
            "bare_end_to_end": self._bare_through,
            "embedded_produce": lambda records: self._publish(self.embedded.bus, records, "bench-produce"),
            "embedded_consume": lambda records: self.embedded.read("consume", self.embedded.consumed, len(records)),
        }

    def draw(self, _: int) -> list[Record]:
        """Return a round's records; what is to be relayed and consumed stands where it has to."""
        records = [Envelope(_event(CONSUMED, number), "bench").record() for number in range(self.count)]
        for house in (self.ours, self.embedded):
            self._publish(house.bus, records, CONSUMED.topic)
        with self.ours.store.writing() as tx:
            self.ours.outbox(tx, [_moved(record, "bench-relay") for record in records])
        return records

    def draw_through(self, _: int) -> list[Record]:
        """Return what goes end to end; it stands in the outbox."""
        records = [Envelope(_event(THROUGH, number), "bench").record() for number in range(self.count)]
        with self.ours.store.writing() as tx:
            self.ours.outbox(tx, records)
        return records

    @staticmethod
    def _publish(bus: Bus, records: Sequence[Record], topic: str) -> None:
        moved = [_moved(record, topic) for record in records]
        for first in range(0, len(moved), TOGETHER):
            bus.publish(moved[first : first + TOGETHER])

    def _produce(self, records: Sequence[Record]) -> None:
        self._publish(self.ours.bus, records, "bench-produce")

    def _rows(self, records: Sequence[Record]) -> None:
        """PostgreSQL alone: the rows of inbox and effect, in transactions of as many as the worker's."""
        names = [record.headers["ce_id"].decode() for record in records]
        inbox = text("INSERT INTO inbox VALUES ('bare', :event) ON CONFLICT DO NOTHING")
        for first in range(0, len(names), Worker.batch):
            some = [{"event": name} for name in names[first : first + Worker.batch]]
            with self.ours.store.writing() as tx:
                tx.execute(inbox, some)
                tx.execute(INSERT, some)

    def _through(self, _: Sequence[Record]) -> None:
        """Outbox, relay, broker, worker, effect."""
        _together(self.ours.carry, lambda: self.ours.read("through", self.ours.through, self.count))

    def _bare_through(self, records: Sequence[Record]) -> None:
        _together(
            lambda: self.bare.produce(records, "bench-through"),
            lambda: self.bare.consume("bench-through", len(records)),
        )


def _moved(record: Record, topic: str) -> Record:
    return Record(topic, record.key, record.value, record.headers)


def _together(one: Callable[[], None], other: Callable[[], None]) -> None:
    thread = threading.Thread(target=one)
    thread.start()
    other()
    thread.join()
