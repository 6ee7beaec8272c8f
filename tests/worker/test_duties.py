"""What a room does by itself every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from overread.core.errors import Misconfigured, StoreUnavailable
from overread.core.events import Event
from overread.store.engine import Store
from overread.worker import Worker
from worker.room import Note, Room, effects, follows, purged


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "patience", 0.1)


class Chore:
    """Writes one line for each piece of work."""

    every = 0.05

    def __init__(self, *work: str | Exception) -> None:
        self.work = list(work)

    def prepare(self) -> str | None:
        if not self.work:
            return None
        if isinstance(self.work[0], Exception):
            raise self.work.pop(0)  # type: ignore[misc]
        return str(self.work[0])

    def apply(self, tx: Connection, prepared: str) -> Sequence[Event]:
        tx.execute(insert(effects).values(study=prepared))
        self.work.pop(0)
        return [follows(prepared)]


def test_a_duty_works_until_there_is_no_more_and_says_what_follows(store: Store) -> None:
    room = Room(store, duties=[Chore("a", "b", "c")])
    while room.worker.perform_duties(threading.Event()):
        pass
    assert room.effects() == ["a", "b", "c"]
    assert sorted(message.record.key for message in room.said()) == ["a", "b", "c"]


def test_a_duty_waits_its_time(store: Store) -> None:
    chore = Chore()
    room = Room(store, duties=[chore])
    assert not room.worker.perform_duties(threading.Event())
    chore.work.append("a")
    assert not room.worker.perform_duties(threading.Event())
    time.sleep(chore.every)
    assert room.worker.perform_duties(threading.Event())


def test_a_duty_that_fails_leaves_events_and_other_duties_alone(store: Store) -> None:
    broken, sound = Chore(ValueError("broken"), "later"), Chore(StoreUnavailable("away"), "a")
    room = Room(store, Note(), duties=[broken, sound])
    room.tell(*purged("s-1"))
    stop = threading.Event()
    thread = threading.Thread(target=room.worker.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 10
    while len(room.effects()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert sorted(room.effects()) == ["a", "later", "s-1"]


def test_a_duty_that_goes_on_failing_is_tried_ever_more_seldom(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Worker, "patience", 0.4)
    tries: list[float] = []

    class Failing(Chore):
        every = 0.01

        def prepare(self) -> Any:
            tries.append(time.monotonic())
            raise Misconfigured("a topic is missing")

    room = Room(store, duties=[Failing()])
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        room.worker.perform_duties(threading.Event())
    pauses = [later - before for before, later in pairwise(tries)]
    assert 1 <= len(pauses) <= 5
    assert min(pauses) >= 0.4
    assert [record.exc_info for record in caplog.records if "failed" in record.message] == [None] * len(tries)


def test_a_room_without_handlers_still_does_its_duties_and_stops(store: Store) -> None:
    room = Room(store, duties=[Chore("a")])
    stop = threading.Event()
    thread = threading.Thread(target=room.worker.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 10
    while not room.effects() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert room.effects() == ["a"]
