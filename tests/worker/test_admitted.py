"""What an event has to be so that it counts, and what it is where it can't be one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from overread.bus.dead_letters import original
from overread.bus.port import LARGEST, Record, size_of
from overread.core.clock import utc_now
from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent, Misconfigured
from overread.core.events import CandidateReceived, CorrectionSubmitted, Event, StudyPurged
from overread.store import deliveries
from overread.store.engine import Store
from worker.room import Note, Room, candidate, follows, purged


def test_an_event_on_another_types_topic_is_a_dead_letter(store: Store) -> None:
    room = Room(store, Note(consumes=CorrectionSubmitted))
    (purge,) = purged("s-1")
    record = purge.record()
    room.bus.publish([Record(CorrectionSubmitted.topic, record.key, record.value, record.headers)])
    room.work()
    assert room.effects() == []
    (letter,) = room.said(f"{CorrectionSubmitted.topic}.tested.dlq")
    assert b"has no place on" in letter.record.headers["dlq_error"]


def test_an_event_under_another_key_is_a_dead_letter(store: Store) -> None:
    room = Room(store, Note())
    (purge,) = purged("s-1")
    record = purge.record()
    room.bus.publish([Record(record.topic, "another", record.value, record.headers)])
    room.work()
    assert room.effects() == []
    (letter,) = room.dead()
    assert b"key" in letter.record.headers["dlq_error"]


def test_what_follows_and_would_not_fit_on_the_bus_is_not_committed(store: Store) -> None:
    class Verbose(Note):
        def apply(self, tx: Connection, envelope: Envelope, prepared: Any) -> Sequence[Event]:
            super().apply(tx, envelope, prepared)
            return [follows(prepared).model_copy(update={"reason": "x" * LARGEST})]

    room = Room(store, Verbose())
    room.tell(*purged("s-1"))
    room.work()
    assert room.effects() == room.said() == []
    assert len(room.dead()) == 1


def test_of_a_message_that_is_too_large_for_a_letter_its_place_is_kept(store: Store) -> None:
    room = Room(store, Note())
    room.bus.publish([Record(StudyPurged.topic, "s-1", b"{" * LARGEST, {"ce_id": b"1"})])
    room.work()
    (letter,) = room.dead()
    assert size_of(letter.record) < 10_000
    assert letter.record.value is None
    assert int(letter.record.headers["dlq_omitted"]) > LARGEST
    with pytest.raises(InvalidEvent, match="it stands in"):
        original(letter.record, StudyPurged.topic)


def test_an_older_purge_that_comes_again_does_not_bring_back_what_the_newer_one_forgot(store: Store) -> None:
    now = utc_now()
    older, newer = now - timedelta(hours=2), now - timedelta(hours=1)
    with store.writing() as tx:
        deliveries.note_purge(tx, "tested", "s-1", newer)
        deliveries.note_purge(tx, "tested", "s-1", older)
        assert deliveries.purged(tx, "tested", ["s-1"]) == {"s-1": newer}


def test_a_command_from_before_the_purge_is_answered_a_fact_is_not(store: Store) -> None:
    command = follows("s-1")
    early = utc_now() - timedelta(hours=1)
    room = Room(store, Note(consumes=CorrectionSubmitted), Note(consumes=CandidateReceived))
    with store.writing() as tx:
        deliveries.note_purge(tx, "tested", "s-1", utc_now())
    room.tell(Envelope(command, "pacs", time=early))
    room.work()
    assert room.effects() == ["s-1"]
    room.tell(Envelope(candidate("s-1"), "candidates", time=early))
    room.work()
    assert room.effects() == ["s-1"]


def test_a_command_that_goes_by_another_events_id_is_no_double_of_it(store: Store) -> None:
    (purge,) = purged("s-1")
    room = Room(store, Note(), Note(consumes=CorrectionSubmitted))
    room.tell(purge)
    room.work()
    room.tell(Envelope(follows("s-2"), "pacs", purge.id))
    room.work()
    room.tell(Envelope(follows("s-2"), "pacs", purge.id))
    room.work()
    assert room.effects() == ["s-1", "s-2"]


def fails(error: Exception) -> Any:
    def fail(_: Envelope) -> None:
        raise error

    return fail


@pytest.mark.parametrize("part", ["on_prepare", "on_apply"])
def test_what_the_operator_has_to_mend_is_no_fault_of_the_event(store: Store, part: str) -> None:
    room = Room(store, Note(**{part: fails(Misconfigured("a right was taken away"))}))
    room.tell(*purged("s-1"))
    with pytest.raises(Misconfigured, match="a right"):
        room.work()
    assert room.dead() == []
