"""How many events share a transaction: many where they are quick, few where they take long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from overread import worker
from overread.store.engine import Store
from worker.room import Note, Room, purged


def sizes(room: Room) -> list[int]:
    """Work until nothing is left; return how many events each batch had."""
    found = []
    while size := room.worker.step(0.0):
        found.append(size)
    return found


def test_batches_grow_while_they_are_quick(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HOLD", 60.0)
    monkeypatch.setattr(worker, "TURN", 60.0)
    room = Room(store, Note())
    room.tell(*purged(*(f"s-{number}" for number in range(400))))
    assert sizes(room) == [32, 64, 128, 176]


@pytest.mark.parametrize(("part", "bound"), [("on_prepare", "TURN"), ("on_apply", "HOLD")])
def test_batches_that_take_long_get_smaller(
    store: Store, monkeypatch: pytest.MonkeyPatch, part: str, bound: str
) -> None:
    monkeypatch.setattr(worker, "HOLD", 60.0)
    monkeypatch.setattr(worker, "TURN", 60.0)
    monkeypatch.setattr(worker, bound, 0.1)
    slow: list[bool] = []

    def wait(_: Any) -> None:
        if slow:
            time.sleep(0.002)

    given: dict[str, Callable[[Any], None]] = {part: wait}
    room = Room(store, Note(**given))
    room.worker._size = 128
    slow.append(True)
    room.tell(*purged(*(f"s-{number}" for number in range(256))))
    assert sizes(room) == [128, 64, 32, 32]
