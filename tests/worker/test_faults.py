"""What a room does when a handler, an event or the world is wrong."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent, StoreUnavailable
from overread.core.events import Event, StudyPurged
from overread.store.engine import Store
from overread.worker import BrakeError, Worker
from worker.room import Note, Room, candidate, effects, purged


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "patience", 0.1)


def only(study: str, error: Exception) -> Any:
    def fail(envelope: Envelope) -> None:
        if envelope.event.key == study:
            raise error

    return fail


@pytest.mark.parametrize("part", ["on_prepare", "on_apply"])
@pytest.mark.parametrize("error", [InvalidEvent("slice 9 of 4"), ValueError("Doe^Jane"), ZeroDivisionError()])
def test_poison_becomes_a_dead_letter_and_blocks_nobody(store: Store, part: str, error: Exception) -> None:
    room = Room(store, Note(**{part: only("s-2", error)}))
    room.tell(*purged("s-1", "s-2", "s-3"))
    room.work()
    assert sorted(room.effects()) == ["s-1", "s-3"]
    assert sorted(message.record.key for message in room.said()) == ["s-1", "s-3"]
    (letter,) = room.dead()
    assert letter.record.key == "s-2"


def test_a_broken_constraint_is_the_events_fault_not_the_databases(store: Store) -> None:
    room = Room(store, Note())
    with store.writing() as tx:
        tx.execute(insert(effects).values(study="s-2"))
    room.tell(*purged("s-1", "s-2", "s-3"))
    room.work()
    assert sorted(room.effects()) == ["s-1", "s-2", "s-3"]
    assert [letter.record.key for letter in room.dead()] == ["s-2"]


def test_a_savepoint_takes_back_all_that_a_failed_event_wrote(store: Store) -> None:
    class Second(Note):
        def apply(self, _tx: Connection, envelope: Envelope, _prepared: Any) -> Sequence[Event]:
            if envelope.event.key == "s-2":
                raise InvalidEvent("the second handler of this event fails")
            return []

    room = Room(store, Note(), Second())
    room.tell(*purged("s-1", "s-2", "s-3"))
    assert room.worker.step(0.0) == 3
    assert sorted(room.effects()) == ["s-1", "s-3"]
    assert sorted(message.record.key for message in room.said()) == ["s-1", "s-3"]


def test_a_dead_letter_says_where_it_comes_from_and_why(store: Store) -> None:
    room = Room(store, Note(on_prepare=only("s-1", InvalidEvent("slice 9 of 4"))))
    (event,) = purged("s-1")
    room.tell(event)
    (sent,) = room.said(StudyPurged.topic)
    room.work()
    (letter,) = room.dead()
    assert letter.record.value == sent.record.value
    assert letter.record.headers.items() >= sent.record.headers.items()
    told = {name: value.decode() for name, value in letter.record.headers.items() if name.startswith("dlq_")}
    assert told == {
        "dlq_topic": StudyPurged.topic,
        "dlq_partition": str(sent.partition.number),
        "dlq_offset": str(sent.offset),
        "dlq_error": "InvalidEvent: slice 9 of 4",
        "dlq_attempts": "1",
        "dlq_first_failure": sent.time.isoformat(),
    }


def test_a_dead_letter_does_not_repeat_what_a_third_party_said(store: Store) -> None:
    room = Room(store, Note(on_prepare=only("s-1", ValueError("Doe^Jane"))))
    room.tell(*purged("s-1"))
    room.work()
    (letter,) = room.dead()
    assert letter.record.headers["dlq_error"] == b"ValueError"
    assert letter.record.headers["dlq_attempts"] == b"3"


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ({"ce_type": b"overread.study.burnt.v1"}, b"{}"),
        ({"ce_type": StudyPurged.type.encode()}, b"{"),
        ({"ce_type": StudyPurged.type.encode()}, b'{"studio": 1}'),
        ({"ce_type": StudyPurged.type.encode()}, None),
        ({}, b"{}"),
    ],
    ids=["unknown type", "no JSON", "no study", "no value", "no CloudEvent"],
)
def test_what_no_room_can_read_becomes_a_dead_letter(
    store: Store, headers: dict[str, bytes], value: bytes | None
) -> None:
    room = Room(store, Note())
    good, bad = purged("s-1")[0].record(), purged("s-2")[0].record()
    kept = {name: text for name, text in bad.headers.items() if name != "ce_type"}
    room.bus.publish([type(bad)(bad.topic, bad.key, value, {**kept, **headers}), good])
    room.work()
    assert room.effects() == ["s-1"]
    (letter,) = room.dead()
    assert letter.record.value == value


@pytest.mark.parametrize("bad", ["a\0b", "".join(f"{number:x}" for number in range(5000))], ids=["NUL", "16 kB"])
@pytest.mark.parametrize("part", ["ce_id", "study"])
def test_what_a_database_cannot_hold_stops_no_room(store: Store, part: str, bad: str) -> None:
    """PostgreSQL's text has no NUL, and its indexes no values of 3 kB; SQLite takes both."""
    room = Room(store, Note())
    record = purged(bad if part == "study" else "s-2")[0].record()
    headers = {**record.headers, "ce_id": bad.encode()} if part == "ce_id" else record.headers
    room.bus.publish([type(record)(StudyPurged.topic, record.key, record.value, headers)])
    room.tell(*purged("s-1"))
    room.work()
    assert "s-1" in room.effects()
    assert len(room.effects()) + len(room.dead()) == 2


def test_an_event_that_this_room_does_not_handle_is_passed_over(store: Store) -> None:
    room = Room(store, Note())
    room.tell(*purged("s-1"))
    room.tell(Envelope(candidate("s-9"), "candidates"))
    room.work()
    assert room.effects() == ["s-1"]
    assert room.dead() == []


def test_what_is_away_is_tried_again_in_place(store: Store) -> None:
    tries: list[str] = []

    def away_twice(envelope: Envelope) -> None:
        tries.append(envelope.event.key)
        if len(tries) < 3:
            raise StoreUnavailable("away")

    room = Room(store, Note(on_prepare=away_twice))
    room.tell(*purged("s-1"))
    room.work()
    assert tries == ["s-1"] * 3
    assert room.effects() == ["s-1"]
    assert room.dead() == []


def test_a_room_that_stops_while_something_is_away_applies_nothing(store: Store) -> None:
    stop = threading.Event()

    def away(_: Envelope) -> None:
        stop.set()
        raise StoreUnavailable("away")

    stopped = Room(store, Note(on_prepare=away))
    stopped.tell(*purged("s-1", "s-2"))
    assert stopped.worker.step(0.0, stop) == 0
    assert stopped.effects() == []
    assert stopped.dead() == []
    restarted = Room(store, Note())
    restarted.work()
    assert sorted(restarted.effects()) == ["s-1", "s-2"]


def test_an_unforeseen_error_is_tried_three_times(store: Store) -> None:
    tries: list[int] = []

    def twice(_: Envelope) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("a flaky share")

    room = Room(store, Note(on_prepare=twice))
    room.tell(*purged("s-1"))
    room.work()
    assert room.effects() == ["s-1"]


def test_too_many_dead_letters_in_a_row_stop_the_room(store: Store) -> None:
    room = Room(store, Note(on_prepare=lambda _: _raise(InvalidEvent("a bad release"))))
    room.worker.batch, room.worker.brake = 2, 6
    room.tell(*purged(*(f"s-{number}" for number in range(20))))
    with pytest.raises(BrakeError, match=r"6 dead letters in a row.*\.tested\.dlq"):
        room.work()
    assert len(room.dead()) == 6
    mended = Room(store, Note())
    mended.work()
    assert len(mended.effects()) == 14


def test_a_good_event_between_releases_the_brake(store: Store) -> None:
    bad = {f"s-{number}" for number in range(12) if number % 3}
    room = Room(store, Note(on_prepare=lambda e: _raise(InvalidEvent("bad")) if e.event.key in bad else None))
    room.worker.batch, room.worker.brake = 1, 12
    room.tell(*purged(*(f"s-{number}" for number in range(12))))
    room.work()
    assert len(room.dead()) == len(bad)


def _raise(error: Exception) -> None:
    raise error
