"""Events as other rooms say them, and a room that hears them one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from overread.bus.embedded import EmbeddedBus
from overread.core.codec import Envelope
from overread.core.corrections import LABEL, Verdict
from overread.core.events import (
    CandidateReceived,
    ChallengerRegistered,
    Event,
    FindingCorrected,
    Kind,
    ModelPromoted,
    Place,
    Source,
    StudyPurged,
)
from overread.core.splits import Split
from overread.store.engine import Store
from overread.topology import TOPICS
from overread.worker import Worker

NAME = "overread-lung-nodule"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
NOWHERE = Place(series="0" * 64, slice=0, x=1.0, y=1.0)


def received(
    number: int,
    place: Place = NOWHERE,
    *,
    split: Split = Split.TRAIN,
    study: str = "",
    patient: str = "",
    detector_score: float | None = None,
) -> CandidateReceived:
    return CandidateReceived(
        candidate=f"c-{number:03}",
        study=study or f"s-{number}",
        patient=patient or f"p-{number}",
        split=split,
        site="CT1",
        application="lung-nodule",
        source=Source.GENERATOR,
        producer="log 1",
        place=place,
        detector_score=detector_score,
    )


def corrected(
    number: int,
    verdict: Verdict = Verdict.CONFIRMED,
    *,
    version: int = 1,
    place: Place = NOWHERE,
    split: Split = Split.TRAIN,
    study: str = "",
    patient: str = "",
    readers: int = 1,
    source: Source = Source.GENERATOR,
) -> FindingCorrected:
    return FindingCorrected(
        correction=f"correction-{number}-{version}",
        candidate=f"c-{number:03}",
        study=study or f"s-{number}",
        patient=patient or f"p-{number}",
        split=split,
        site="CT1",
        application="lung-nodule",
        source=source,
        purpose=None,
        version=version,
        verdict=verdict,
        reader="reader",
        place=place,
        label=LABEL[verdict],
        agreement=1.0,
        readers=readers,
    )


def registered(version: int, sha256: str, kind: Kind = Kind.ROUND, number: int = 1) -> ChallengerRegistered:
    return ChallengerRegistered(name=NAME, version=version, sha256=sha256, kind=kind, round=number)


def promoted(version: int, sha256: str, *, cleared: bool = True, first_clearance: bool = False) -> ModelPromoted:
    return ModelPromoted(name=NAME, version=version, sha256=sha256, cleared=cleared, first_clearance=first_clearance)


def purged(study: str) -> StudyPurged:
    return StudyPurged(study=study)


def hear(store: Store, handlers: Any, *events: Event, minutes: float = 0.0) -> list[Event]:
    """Let handlers act on events, each in a transaction of its own; `minutes` is when it was said, after noon."""
    said: list[Event] = []
    for event in events:
        envelope = Envelope(event, "tests", time=NOON + timedelta(minutes=minutes))
        for handler in handlers if isinstance(handlers, (list, tuple)) else (handlers,):
            if type(event) is handler.consumes:
                prepared = handler.prepare(envelope)
                with store.writing() as tx:
                    said += handler.apply(tx, envelope, prepared)
    return said


def deliver(store: Store, handlers: Any, *events: Event, minutes: float = 0.0) -> None:
    """Let a real worker hear events over a real bus: what is its rule, and not a handler's, holds here too."""
    bus = EmbeddedBus(store, {name: topic.partitions for name, topic in TOPICS.items()})
    bus.publish([Envelope(event, "tests", time=NOON + timedelta(minutes=minutes)).record() for event in events])
    worker = Worker("tests", store=store, bus=bus, outbox=bus.append, handlers=handlers)
    while worker.step(0.0):
        pass


def perform(store: Store, duty: Any) -> list[Event] | None:
    """Let a duty do one piece of its work; None where there was none."""
    prepared = duty.prepare()
    if prepared is None:
        return None
    with store.writing() as tx:
        return list(duty.apply(tx, prepared))
