"""A consumer that reads on from the SQL offset, whatever the bus remembers."""

from __future__ import annotations

import time
from contextlib import suppress

from overread.bus.port import Consumer, Message, Partition
from overread.core.errors import Retryable
from overread.store import deliveries
from overread.store.engine import Store

SILENCE = 3.0
"""Seconds between two signs of life to the bus, while a worker is at work on what it polled."""


class Place:
    """Where a group stands, by the offsets that are committed together with its effects."""

    def __init__(self, consumer: Consumer, store: Store, group: str) -> None:
        self._consumer, self._store, self._group = consumer, store, group
        self._known: frozenset[Partition] = frozenset()
        self._heard = 0.0

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """Poll; what is newly held is read from the SQL offset on."""
        try:
            messages = self._consumer.poll(limit, timeout)
            while again := self._find():
                messages = [message for message in messages if message.partition not in again]
                messages += self._consumer.poll(limit - len(messages), 0.0)
        except Retryable:
            self.forget()  # what was polled and is not handed on has to come again
            raise
        self._heard = time.monotonic()
        return messages

    def _find(self) -> set[Partition]:
        """Seek newly held partitions to the SQL offset; return those whose messages must be read again."""
        held = self._consumer.assignment()
        again = set()
        if new := held - self._known:
            with self._store.reading() as tx:
                following = {partition: deliveries.next_offset(tx, self._group, *partition) for partition in new}
            for partition, offset in following.items():
                if self._consumer.position(partition) != offset:
                    self._consumer.seek(partition, offset)
                    again.add(partition)
        self._known = held
        return again

    def forget(self) -> None:
        """Look for every place anew at the next poll."""
        self._known = frozenset()

    def keep_alive(self) -> None:
        """Tell the bus now and then that work goes on, or the partitions in hand would go to another.

        A handler that takes longer than the bus's own patience over one event loses them all the same. Its effect
        stands, and whoever has the event next finds it in the inbox.
        """
        if time.monotonic() < self._heard + SILENCE:
            return
        with suppress(Retryable):
            self._consumer.keep_alive()
        self._heard = time.monotonic()
