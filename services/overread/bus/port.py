"""The contract of a bus. `tests/contracts/test_bus.py` is the same contract as tests, run over every adapter.

Delivery is at least once, in order per key. Exactly-once *effects* are the worker's business: inbox, outbox and offsets
stand in the same SQL transaction as the effect (worker.py). What a consumer commits here is advisory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from overread.core.codec import Record

__all__ = ["LARGEST", "Bus", "Consumer", "Message", "Partition", "Record", "Topic", "partition_of", "size_of"]

LARGEST = 1_000_000
"""Bytes of a record with its key and headers, on every bus. A broker takes 1,048,588 of a whole batch, unless told
otherwise."""


class Topic(NamedTuple):
    """A topic's shape. Events of one key keep their order, since a key has one partition."""

    partitions: int
    days: int | None
    """Retention; None keeps for ever."""
    forced: bool = False
    """Where one broker alone has it, each record is forced to the disk before it is acknowledged."""

    @property
    def retention_ms(self) -> int:
        """Kafka's retention.ms; -1 keeps for ever."""
        return -1 if self.days is None else self.days * 24 * 60 * 60 * 1000


class Partition(NamedTuple):
    """A topic's shard; order holds inside it."""

    topic: str
    number: int


@dataclass(frozen=True)
class Message:
    """A record as it stands in the log."""

    partition: Partition
    offset: int
    """Rises inside a partition, not necessarily by one."""
    time: datetime
    record: Record


def size_of(record: Record) -> int:
    """Return the bytes of a record, as `LARGEST` counts them.

    Raises:
        UnicodeEncodeError: its key or a header's name is no text that has UTF-8.
    """
    names = "".join((record.key, *record.headers)).encode()
    return len(names) + len(record.value or b"") + sum(map(len, record.headers.values()))


class Consumer(Protocol):
    """One member of a group. Not thread-safe: poll and commit from one thread."""

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """Return up to `limit` messages of the partitions held, waiting up to `timeout` seconds for the first.

        Polling keeps membership alive; a member that polls too seldom loses its partitions.
        """
        ...

    def keep_alive(self) -> None:
        """Say that this member lives while it works on what it polled; deliver nothing, lose nothing.

        The group may be dealt out anew meanwhile. What is in hand of a partition that went to another is then refused
        at `commit`, or read again.
        """
        ...

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions that this member holds now; `poll` and `keep_alive` alone change it."""
        ...

    def position(self, partition: Partition) -> int:
        """Return the offset that the next poll reads first."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`; 0 is the oldest that is still kept."""
        ...

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Keep membership but deliver nothing of these partitions until `resume`."""
        ...

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Deliver again."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record the next offset to read; never goes backwards.

        Raises:
            Fenced: a partition now belongs to another member.
        """
        ...

    def committed(self, partition: Partition) -> int:
        """Return the group's committed offset, 0 where it has none."""
        ...

    def end(self, partition: Partition) -> int:
        """Return the offset after the last message: end - committed is the lag's upper bound."""
        ...

    def close(self) -> None:
        """Leave the group at once, so that others need not wait for a time-out."""
        ...


class Bus(Protocol):
    """A durable log of topics."""

    def publish(self, records: Sequence[Record]) -> None:
        """Append; durable on return, in the given order per key.

        Raises:
            BusUnavailable: nothing is known to have been written; publish again (consumers drop doubles by ce_id).
            InvalidEvent: one of the records will never be taken, such as one that is too large. None of them can be
                relied on to have been written; publish them by smaller parts to find which it is.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str], member: str) -> Consumer:
        """Join a group. The same `member` name after a crash takes its partitions back without waiting."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key: the same in every adapter and for ever (first 4 bytes of SHA-256, modulo)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % partitions
