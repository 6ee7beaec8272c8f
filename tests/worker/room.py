"""A room of its own for the worker's tests: one table, one handler, and a look at what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Message
from overread.core.codec import Envelope
from overread.core.corrections import Verdict
from overread.core.events import CandidateReceived, CorrectionSubmitted, Event, Place, Source, StudyPurged
from overread.core.splits import Split
from overread.store.engine import Store
from overread.topology import TOPICS
from overread.worker import Worker

own = MetaData()
effects = Table("effects", own, Column("id", Integer, primary_key=True), Column("study", String, unique=True))


def embedded(store: Store) -> EmbeddedBus:
    own.create_all(store.engine)
    return EmbeddedBus(store, {name: topic.partitions for name, topic in TOPICS.items()})


def follows(study: str) -> Event:
    return CorrectionSubmitted(
        candidate="c-1", study=study, verdict=Verdict.CONFIRMED, reader="reader", expected_version=0
    )


def candidate(study: str) -> Event:
    return CandidateReceived(
        candidate="c-1",
        study=study,
        patient="p-1",
        split=Split.TRAIN,
        site="TEST",
        application="lung-nodule",
        source=Source.GENERATOR,
        producer="test",
        place=Place(series="0" * 64, slice=0, x=1.0, y=1.0),
    )


def purged(*studies: str) -> list[Envelope]:
    return [Envelope(StudyPurged(study=study), "gateway") for study in studies]


@dataclass
class Note:
    """Writes down which study it heard of; a test may make either part fail."""

    on_prepare: Callable[[Envelope], Any] = lambda _: None
    on_apply: Callable[[Envelope], Any] = lambda _: None
    consumes: type[Event] = StudyPurged
    prepared: list[str] = field(default_factory=list)

    def prepare(self, envelope: Envelope) -> str:
        self.prepared.append(envelope.event.key)
        self.on_prepare(envelope)
        return envelope.event.key

    def apply(self, tx: Connection, envelope: Envelope, prepared: Any) -> Sequence[Event]:
        assert prepared == envelope.event.key, "apply without prepare"
        tx.execute(insert(effects).values(study=prepared))
        self.on_apply(envelope)
        return [follows(prepared)]


class Room:
    """A worker, and what came of its work."""

    def __init__(self, store: Store, *handlers: Any, **more: Any) -> None:
        self.store, self.bus = store, embedded(store)
        arguments = {"bus": self.bus, "outbox": self.bus.append, **more}
        self.worker = Worker("tested", store=store, handlers=handlers, **arguments)

    def tell(self, *envelopes: Envelope) -> None:
        self.bus.publish([envelope.record() for envelope in envelopes])

    def work(self) -> None:
        """Handle all that is there."""
        while self.worker.step(0.0):
            pass

    def effects(self) -> list[str]:
        with self.store.reading() as tx:
            return list(tx.execute(select(effects.c.study).order_by(effects.c.id)).scalars())

    def said(self, topic: str = CorrectionSubmitted.topic) -> list[Message]:
        """All that ever stood on a topic."""
        consumer = self.bus.consumer(f"ear-{id(object())}-{topic}", [topic], "ear")
        heard: list[Message] = []
        while messages := consumer.poll(100, 0.0):
            heard += messages
        consumer.close()
        return heard

    def dead(self) -> list[Message]:
        return self.said(f"{StudyPurged.topic}.tested.dlq")
