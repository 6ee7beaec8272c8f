"""Where a group stands is said by the database, and nothing that was polled is passed over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from overread.bus import place
from overread.bus.embedded import EmbeddedBus
from overread.bus.place import Place
from overread.bus.port import Partition, Record
from overread.core.errors import BusUnavailable
from overread.store import deliveries
from overread.store.engine import Store


@pytest.fixture
def bus(store: Store) -> EmbeddedBus:
    made = EmbeddedBus(store, {"topic": 1})
    made.publish([Record("topic", "key", str(number).encode()) for number in range(3)])
    return made


def once(error: Exception, call: Callable[..., int]) -> Callable[..., int]:
    """Fail the first time."""
    errors = [error]

    def failing(*arguments: Partition) -> int:
        if errors:
            raise errors.pop()
        return call(*arguments)

    return failing


def test_what_was_polled_before_the_place_could_be_found_comes_again(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = bus.consumer("readers", ["topic"], "one")
    reader = Place(consumer, store, "readers")
    monkeypatch.setattr(consumer, "position", once(BusUnavailable("away"), consumer.position))
    with pytest.raises(BusUnavailable):
        reader.poll(10, 0.0)
    assert [message.record.value for message in reader.poll(10, 0.0)] == [b"0", b"1", b"2"]


def test_the_database_says_where_to_read_on_whatever_the_bus_remembers(store: Store, bus: EmbeddedBus) -> None:
    consumer = bus.consumer("readers", ["topic"], "one")
    first, second, _ = consumer.poll(10, 0.0)
    consumer.seek(first.partition, first.offset)
    with store.writing() as tx:
        deliveries.advance(tx, "readers", *second.partition, second.offset)
    assert [message.record.value for message in Place(consumer, store, "readers").poll(10, 0.0)] == [b"1", b"2"]


def test_a_sign_of_life_is_given_now_and_then_and_may_fail(
    store: Store, bus: EmbeddedBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = bus.consumer("readers", ["topic"], "one")
    signs: list[float] = []
    now = [100.0]

    def alive() -> None:
        signs.append(now[0])
        raise BusUnavailable("away")

    monkeypatch.setattr(consumer, "keep_alive", alive)
    monkeypatch.setattr(place.time, "monotonic", lambda: now[0])
    reader = Place(consumer, store, "readers")
    reader.poll(10, 0.0)
    for _ in range(8):
        now[0] += 1
        reader.keep_alive()
    assert signs == [103.0, 106.0]
