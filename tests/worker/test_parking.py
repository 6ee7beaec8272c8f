"""What a newer version wrote is no fault: it is set aside until this version knows it, and stops nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from overread import metrics
from overread.bus.port import Message, Record
from overread.core.codec import Envelope
from overread.core.events import COMMANDS, CorrectionSubmitted, Event, StudyPurged
from overread.store.engine import Store
from overread.worker import BrakeError
from worker.room import Note, Room, follows, purged


def newer(study: str) -> Record:
    """A correction with a verdict that a later version may know."""
    record = Envelope(follows(study), "review").record()
    value = {**json.loads(record.value or b""), "verdict": "deferred"}
    return Record(record.topic, record.key, json.dumps(value).encode(), record.headers)


def unheard(study: str) -> Record:
    """A type that a later version may have."""
    record = Envelope(follows(study), "review").record()
    return Record(record.topic, record.key, record.value, {**record.headers, "ce_type": b"overread.study.burnt.v2"})


class Read(Note):
    """Hears corrections and says nothing."""

    def __init__(self) -> None:
        super().__init__(consumes=CorrectionSubmitted)

    def apply(self, *_: object) -> list[Event]:
        return []


class Desk(Room):
    """A room that hears corrections."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, Read())

    def dead(self) -> list[Message]:
        return self.said(f"{COMMANDS}.tested.dlq")


@pytest.mark.parametrize("make", [newer, unheard], ids=["a word", "a type"])
def test_a_newer_versions_event_is_parked_with_a_warning(
    store: Store, caplog: pytest.LogCaptureFixture, make: Callable[[str], Record]
) -> None:
    parked, dead = (counter.labels("tested") for counter in (metrics.parked, metrics.dead_letters))
    before = parked._value.get(), dead._value.get()
    room = Desk(store)
    sent = make("s-1")
    room.bus.publish([sent, Envelope(follows("s-1"), "review").record()])
    room.work()
    (letter,) = room.dead()
    assert letter.record.headers["dlq_parked"] == b"1"
    assert letter.record.headers["dlq_error"].startswith(b"NotYetKnown: ")
    assert letter.record.value == sent.value
    assert (parked._value.get() - before[0], dead._value.get() - before[1]) == (1, 0)
    assert {record.levelno for record in caplog.records if record.name == "overread.effects"} == {logging.WARNING}


def test_what_is_parked_neither_brings_the_brake_nor_releases_it(store: Store) -> None:
    room = Desk(store)
    room.worker.batch, room.worker.brake = 1, 4
    room.bus.publish([newer("s-1") for _ in range(10)])
    room.work()
    assert len(room.dead()) == 10
    broken = Record(COMMANDS, "s-1", b"{", newer("s-1").headers)
    room.bus.publish([broken, newer("s-1"), broken, unheard("s-1"), broken, broken])
    with pytest.raises(BrakeError, match="4 dead letters in a row"):
        room.work()


def test_a_word_that_is_wrong_beside_another_fault_is_no_newer_versions(store: Store) -> None:
    room = Desk(store)
    good = newer("s-1")
    value = json.loads(good.value or b"")
    for wrong in ({**value, "expected_version": "x"}, {**value, "verdict": 7}, {"verdict": "deferred"}):
        room.bus.publish([Record(good.topic, good.key, json.dumps(wrong).encode(), good.headers)])
    room.bus.publish([Record(good.topic, good.key, good.value, {**good.headers, "ce_type": b"com.example.v1"})])
    room.work()
    assert [letter.record.headers.get("dlq_parked") for letter in room.dead()] == [None] * 4


def test_nobody_else_can_park(store: Store) -> None:
    room = Room(store, Note(on_apply=lambda _: 1 / 0))
    (event,) = purged("s-1")
    record = event.record()
    room.bus.publish([Record(record.topic, record.key, record.value, {**record.headers, "dlq_parked": b"1"})])
    room.work()
    (letter,) = room.said(f"{StudyPurged.topic}.tested.dlq")
    assert "dlq_parked" not in letter.record.headers
