"""Exactly-once effects: whenever the process dies, and however often an event comes."""

from __future__ import annotations

from typing import Any

import pytest

from overread.core.errors import BusUnavailable, StoreUnavailable
from overread.core.events import CorrectionSubmitted
from overread.store.engine import Store
from overread.worker import Worker
from worker.room import Note, Room, purged


class Killed(BaseException):
    """The end of a process: nothing catches it."""


def dies(*_: Any, **__: Any) -> None:
    raise Killed


def test_the_effect_the_event_that_follows_and_the_offset_stand_together(store: Store) -> None:
    room = Room(store, Note())
    room.tell(*purged("s-1", "s-2", "s-3"))
    assert room.worker.step(0.0) == 3
    assert sorted(room.effects()) == ["s-1", "s-2", "s-3"]
    assert sorted(message.record.key for message in room.said()) == ["s-1", "s-2", "s-3"]
    assert room.worker.step(0.0) == 0


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_effects_come_in_the_order_of_their_events(store: Store, batch: int) -> None:
    order: list[str] = []

    class Order(Note):
        def apply(self, _tx: Any, envelope: Any, _prepared: Any) -> list[Any]:
            order.append(envelope.id)
            return []

    room = Room(store, Order())
    room.worker.batch = batch
    told = purged(*["s-1"] * 9)
    room.tell(*told)
    room.work()
    assert order == [envelope.id for envelope in told]


def test_a_crash_before_the_commit_leaves_nothing_and_the_event_comes_again(store: Store) -> None:
    crashing = Room(store, Note(on_apply=dies))
    crashing.tell(*purged("s-1"))
    with pytest.raises(Killed):
        crashing.work()
    assert crashing.effects() == []
    assert crashing.said() == []
    restarted = Room(store, Note())
    restarted.work()
    assert restarted.effects() == ["s-1"]
    assert len(restarted.said()) == 1


def test_a_crash_after_the_commit_does_nothing_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = Room(store, Note())
    crashing.tell(*purged("s-1"))
    assert crashing.worker._consumer is not None
    monkeypatch.setattr(crashing.worker._consumer, "commit", dies)
    with pytest.raises(Killed):
        crashing.work()
    restarted = Room(store, Note())
    restarted.work()
    assert restarted.effects() == ["s-1"]
    assert len(restarted.said()) == 1


def test_the_same_event_delivered_again_has_its_effect_once_and_is_not_prepared_again(store: Store) -> None:
    note = Note()
    room = Room(store, note)
    (event,) = purged("s-1")
    room.tell(event)
    room.work()
    room.tell(event, event)
    room.work()
    assert room.effects() == ["s-1"]
    assert len(room.said()) == 1
    assert note.prepared == ["s-1"]


def test_the_same_event_twice_in_one_batch_has_its_effect_once(store: Store) -> None:
    room = Room(store, Note())
    (event,) = purged("s-1")
    room.tell(event, event)
    assert room.worker.step(0.0) == 2
    assert room.effects() == ["s-1"]
    assert room.dead() == []


def test_two_rooms_each_have_their_own_effect(store: Store) -> None:
    class Hear(Note):
        def apply(self, _tx: Any, _envelope: Any, _prepared: Any) -> list[Any]:
            return []

    one, two = Hear(), Hear()
    room = Room(store, one)
    room.tell(*purged("s-1"))
    room.work()
    another = Worker("another", store=store, bus=room.bus, outbox=room.bus.append, handlers=[two])
    assert another.step(0.0) == 1
    assert one.prepared == two.prepared == ["s-1"]


def test_a_batch_whose_commit_meets_a_busy_database_comes_again_as_a_whole(store: Store) -> None:
    tries: list[str] = []

    def busy_once(envelope: Any) -> None:
        tries.append(envelope.event.key)
        if len(tries) == 2:
            raise StoreUnavailable("busy")

    room = Room(store, Note(on_apply=busy_once))
    room.tell(*purged("s-1", "s-2"))
    room.work()
    assert len(tries) == 4
    assert sorted(room.effects()) == ["s-1", "s-2"]
    assert len(room.said()) == 2


def test_a_bus_that_is_away_at_its_own_commit_costs_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQL offset is the truth; what the consumer commits is advisory."""
    room = Room(store, Note(on_apply=_wrong))
    room.tell(*purged("s-1"))
    consumer = room.worker._consumer
    assert consumer is not None
    commit, tries = consumer.commit, []

    def away_once(offsets: Any) -> None:
        tries.append(offsets)
        if len(tries) == 1:
            raise BusUnavailable("away")
        commit(offsets)

    monkeypatch.setattr(consumer, "commit", away_once)
    room.work()
    assert len(room.dead()) == 1, "the dead letter was written twice"
    restarted = Room(store, Note())
    restarted.work()
    assert restarted.effects() == []


def _wrong(_: Any) -> None:
    raise ValueError("a fault in the handler")


def test_what_follows_is_an_event_of_its_own(store: Store) -> None:
    room = Room(store, Note())
    (event,) = purged("s-1")
    room.tell(event)
    room.work()
    (message,) = room.said(CorrectionSubmitted.topic)
    assert message.record.headers["ce_id"].decode() != event.id
    assert message.record.headers["ce_source"] == b"/overread/tested"
