from __future__ import annotations

import time

import pytest
from sqlalchemy import Connection

from overread.core.errors import StoreUnavailable
from overread.store.engine import Store
from overread.store.leases import Lease


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self, _tx: Connection) -> float:
        return self.now


@pytest.fixture
def clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(store, "now", clock.time)
    return clock


def test_one_holder_at_a_time(store: Store) -> None:
    mine, yours = Lease(store, "round", "me"), Lease(store, "round", "you")
    assert mine.take()
    assert not yours.take()
    assert Lease(store, "another", "you").take()


def test_a_holder_may_take_it_again_and_so_renews_it(store: Store, clock: Clock) -> None:
    mine, yours = (Lease(store, "round", name, seconds=30) for name in ("me", "you"))
    assert mine.take()
    clock.now += 20
    assert mine.take()
    clock.now += 20
    assert not yours.take()


def test_a_crashed_holder_is_succeeded_when_its_time_is_up(store: Store, clock: Clock) -> None:
    mine, yours = (Lease(store, "round", name, seconds=30) for name in ("me", "you"))
    assert mine.take()
    clock.now += 29.9
    assert not yours.take()
    clock.now += 0.2
    assert yours.take()
    assert not mine.take()


def test_what_is_given_back_is_free_at_once_but_only_by_its_holder(store: Store) -> None:
    mine, yours = Lease(store, "round", "me"), Lease(store, "round", "you")
    assert mine.take()
    yours.give_back()
    assert not yours.take()
    mine.give_back()
    assert yours.take()


def test_it_is_renewed_in_the_background(store: Store) -> None:
    mine, yours = (Lease(store, "round", name, seconds=0.6) for name in ("me", "you"))
    assert mine.take()
    with mine.renewed() as ours:
        time.sleep(1.0)
        assert ours()
        assert not yours.take()
    time.sleep(0.7)
    assert yours.take()


def test_who_lost_it_is_told(store: Store) -> None:
    mine = Lease(store, "round", "me", seconds=0.3)
    assert mine.take()
    with mine.renewed() as ours:
        mine.give_back()
        assert Lease(store, "round", "you", seconds=30).take()
        deadline = time.monotonic() + 5
        while ours() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not ours()


def test_a_busy_moment_is_no_loss_until_the_time_is_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Lease(store, "round", "me", seconds=0.6)
    assert mine.take()

    def busy() -> bool:
        raise StoreUnavailable("busy")

    monkeypatch.setattr(mine, "take", busy)
    with mine.renewed() as ours:
        time.sleep(0.3)
        assert ours()
        time.sleep(0.6)
        assert not ours()
