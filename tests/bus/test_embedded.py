"""What the embedded bus can do beyond the contract of all buses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Message, Partition, Record, partition_of
from overread.store.engine import Store
from overread.store.tables import outbox

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def bus(store: Store) -> EmbeddedBus:
    return EmbeddedBus(store, {"topic": 1})


def tell(bus: EmbeddedBus, *values: bytes) -> None:
    bus.publish([Record("topic", "key", value) for value in values])


def hear(bus: EmbeddedBus, group: str) -> list[Message]:
    consumer = bus.consumer(group, ["topic"], "one")
    messages = consumer.poll(100, 0.0)
    for message in messages:
        consumer.commit({message.partition: message.offset + 1})
    return messages


def left(store: Store) -> list[bytes]:
    with store.reading() as tx:
        return list(tx.execute(select(outbox.c.value).order_by(outbox.c.id)).scalars())


def test_an_event_of_a_transaction_that_fails_was_never_said(store: Store, bus: EmbeddedBus) -> None:
    def fail() -> None:
        with store.writing() as tx:
            bus.append(tx, [Record("topic", "key", b"lost")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    tell(bus, b"said")
    assert [message.record.value for message in hear(bus, "readers")] == [b"said"]


def test_the_partition_of_a_key_is_the_same_for_ever() -> None:
    """A change would tear the order of every key in the field apart."""
    assert [partition_of(key, 4) for key in ("s-1", "s-2", "s-3", "overread-lung-nodule", "")] == [3, 0, 2, 0, 2]
    assert {partition_of(f"s-{number}", 4) for number in range(100)} == {0, 1, 2, 3}


def test_only_what_every_group_has_read_is_pruned(store: Store, bus: EmbeddedBus) -> None:
    tell(bus, b"one", b"two")
    assert bus.prune("topic", LATER) == 0, "nobody has read it yet"
    hear(bus, "quick")
    hear(bus, "slow")
    tell(bus, b"three")
    hear(bus, "quick")
    assert bus.prune("topic", LATER) == 2
    assert left(store) == [b"three"]
    assert [message.record.value for message in hear(bus, "slow")] == [b"three"]


def test_what_is_young_is_kept_though_all_have_read_it(store: Store, bus: EmbeddedBus) -> None:
    tell(bus, b"one")
    hear(bus, "readers")
    assert bus.prune("topic", datetime.now(UTC) - timedelta(days=30)) == 0
    assert left(store) == [b"one"]


def test_another_topic_is_not_pruned_along(store: Store, bus: EmbeddedBus) -> None:
    tell(bus, b"one")
    bus.publish([Record("another", "key", b"two")])
    hear(bus, "readers")
    assert bus.prune("topic", LATER) == 1
    assert left(store) == [b"two"]


def test_an_offset_is_never_given_twice(bus: EmbeddedBus) -> None:
    tell(bus, b"one", b"two")
    before = hear(bus, "readers")[-1].offset
    assert bus.prune("topic", LATER) == 2
    tell(bus, b"three")
    (after,) = hear(bus, "readers")
    assert after.offset > before


def test_the_end_of_an_empty_topic_is_its_beginning(bus: EmbeddedBus) -> None:
    consumer = bus.consumer("readers", ["topic"], "one")
    consumer.poll(1, 0.0)
    assert consumer.end(Partition("topic", 0)) == consumer.committed(Partition("topic", 0)) == 0


def test_pruning_makes_no_negative_lag(bus: EmbeddedBus) -> None:
    tell(bus, b"one", b"two")
    hear(bus, "readers")
    bus.prune("topic", LATER)
    consumer = bus.consumer("readers", ["topic"], "one")
    partition = Partition("topic", 0)
    assert consumer.end(partition) == consumer.committed(partition) > 0


def test_a_busy_partition_starves_no_other(store: Store) -> None:
    bus = EmbeddedBus(store, {"topic": 4})
    keys = {partition_of(f"k{number}", 4): f"k{number}" for number in range(50)}
    bus.publish([Record("topic", keys[0], b"")] * 100)
    bus.publish([Record("topic", keys[partition], b"") for partition in (1, 2, 3)])
    consumer = bus.consumer("readers", ["topic"], "one")
    first = [message.partition.number for _ in range(4) for message in consumer.poll(5, 0.0)]
    assert set(first) == {0, 1, 2, 3}
