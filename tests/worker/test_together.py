"""Handlers that write many events at a time: the same effects in the same order as one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest
from sqlalchemy import Connection, insert

from overread import tracing
from overread.core.errors import InvalidEvent, StoreUnavailable
from overread.core.events import Event, StudyPurged
from overread.handler import Effect, Together, Work
from overread.store.engine import Store, after_commit
from worker.room import Note, Room, effects, follows, purged


class Notes(Effect, Together):
    """Writes a batch's studies in one statement, and keeps what its batches were."""

    consumes: ClassVar[type[Event]] = StudyPurged

    def __init__(self, refused: str = "") -> None:
        self.batches: list[list[str]] = []
        self.committed: list[str] = []
        self._refused = refused

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        studies = [envelope.event.key for envelope, _ in batch]
        self.batches.append(studies)
        after_commit(tx, lambda: self.committed.extend(studies))
        tx.execute(insert(effects), [{"study": study} for study in studies])
        if self._refused in studies:
            raise InvalidEvent("not this one")
        return [follows(study) for study in studies]


def test_neighbours_are_written_together_and_each_has_what_follows(store: Store) -> None:
    notes = Notes()
    room = Room(store, notes)
    told = purged("s-1", "s-2", "s-3")
    room.tell(*told)
    room.work()
    (batch,) = notes.batches
    assert sorted(batch) == sorted(room.effects()) == ["s-1", "s-2", "s-3"]
    assert sorted(message.record.key for message in room.said()) == ["s-1", "s-2", "s-3"]


def test_what_came_before_and_what_comes_twice_is_not_among_them(store: Store) -> None:
    notes = Notes()
    room = Room(store, notes)
    first, second = purged("s-1", "s-2")
    room.tell(first)
    room.work()
    room.tell(first, second, second)
    room.work()
    assert notes.batches == [["s-1"], ["s-2"]]
    assert sorted(room.effects()) == ["s-1", "s-2"]


def test_where_one_of_them_fails_the_others_are_written_one_by_one(store: Store) -> None:
    notes = Notes(refused="s-2")
    room = Room(store, notes)
    room.tell(*purged("s-1", "s-2", "s-3"))
    room.work()
    assert sorted(room.effects()) == ["s-1", "s-3"]
    assert [letter.record.key for letter in room.dead()] == ["s-2"]
    assert sorted(map(len, notes.batches)) == [1, 1, 1, 3]


def test_beside_a_handler_that_takes_one_at_a_time_each_event_keeps_its_order(store: Store) -> None:
    seen: list[str] = []

    class Beside(Note):
        def apply(self, _tx: Connection, envelope: object, _prepared: object) -> Sequence[Event]:
            del envelope
            seen.append("beside")
            return ()

    class Told(Notes):
        def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
            seen.append("together")
            return super().apply_all(tx, batch)

    room = Room(store, Told(), Beside())
    room.tell(*purged("s-1", "s-2"))
    room.work()
    assert seen == ["together", "beside"] * 2


def test_with_traces_each_event_has_its_span(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_on", lambda: True)
    notes = Notes()
    room = Room(store, notes)
    room.tell(*purged("s-1", "s-2"))
    room.work()
    assert sorted(notes.batches) == [["s-1"], ["s-2"]]


def test_what_is_counted_is_what_was_committed(store: Store) -> None:
    notes = Notes(refused="s-2")
    room = Room(store, notes)
    room.tell(*purged("s-1", "s-2", "s-3"))
    room.work()
    assert sorted(notes.committed) == ["s-1", "s-3"]


def test_a_transaction_that_comes_again_counts_once(store: Store) -> None:
    notes = Notes()
    tries: list[int] = []

    def append(_tx: Connection, records: Sequence[object]) -> None:
        tries.append(len(records))
        if len(tries) == 1:
            raise StoreUnavailable("the database is away for a moment")

    room = Room(store, notes, outbox=append)
    room.tell(*purged("s-1"))
    room.work()
    assert len(tries) == 2
    assert notes.committed == room.effects() == ["s-1"]
