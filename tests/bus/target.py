"""Where a relay's rows go in its tests: a real log, the embedded bus of a second database; and the worker's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Message, Record
from overread.bus.relay import READER, Relay
from overread.core.errors import InvalidEvent
from overread.store import deliveries
from overread.store.engine import Store

TOPIC, PARTITIONS = "events", 4


class Log:
    """The bus that rows go to. A test may let it refuse records, fail, or fail after it has written."""

    def __init__(self, store: Store) -> None:
        self.bus = EmbeddedBus(store, {TOPIC: PARTITIONS})
        self.refuses: Callable[[Record], bool] = lambda _: False
        self.before: Callable[[Sequence[Record]], None] = lambda _: None
        self.after: Callable[[Sequence[Record]], None] = lambda _: None

    def publish(self, records: Sequence[Record]) -> None:
        self.before(records)
        for record in records:
            if self.refuses(record):
                raise InvalidEvent(f"{record.key} is too large")
        self.bus.publish(records)
        self.after(records)

    def consumer(self, *_: object) -> None:
        pytest.fail("a relay reads nothing from the bus")

    def close(self) -> None:
        """Nothing is held."""

    def messages(self) -> list[Message]:
        """All that stands there, in the order of writing."""
        consumer = self.bus.consumer(f"ear-{datetime.now(UTC)}", [TOPIC], "ear")
        heard: list[Message] = []
        while some := consumer.poll(100, 0.0):
            heard += some
        return sorted(heard, key=lambda message: message.offset)

    def values(self) -> list[str]:
        return [(message.record.value or b"").decode() for message in self.messages()]

    def first_times(self) -> list[str]:
        """What a consumer makes of it that drops doubles."""
        return list(dict.fromkeys(self.values()))


def say(store: Store, *values: str, key: str = "", headers: dict[str, bytes] | None = None) -> None:
    """One transaction whose effects are these events."""
    records = [Record(TOPIC, key or value, value.encode(), headers or {"ce_id": value.encode()}) for value in values]
    with store.writing() as tx:
        EmbeddedBus(store, {TOPIC: PARTITIONS}).append(tx, records)


def work(store: Store, relay: Relay) -> None:
    """What the worker does with a duty, until there is no more."""
    while (carried := relay.prepare()) is not None:
        with store.writing() as tx:
            assert relay.apply(tx, carried) == ()


def place(store: Store) -> int:
    with store.reading() as tx:
        return deliveries.next_offset(tx, *READER)


def numbers(first: int, last: int) -> list[str]:
    return [f"{number}" for number in range(first, last)]
