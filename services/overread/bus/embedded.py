"""The bus of one machine: the outbox table, read in order. No broker, no relay: a committed effect is published.

Groups have members with a time to live and a generation that rises whenever the set of members changes; the partitions
are dealt out over the sorted members of a generation, and a commit under an older generation is fenced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, insert, select

from overread.bus.port import Message, Partition, Record, partition_of
from overread.core.errors import BusUnavailable, Fenced, InvalidEvent, StoreUnavailable
from overread.store import deliveries
from overread.store.engine import Store, upsert
from overread.store.tables import bus_groups, bus_members, offsets, outbox

POLL_SECONDS = 0.05
MEMBER_SECONDS = 30.0


class EmbeddedBus:
    """A bus on the store's own database.

    Args:
        store: the same store that the rooms write their effects to.
        topics: partitions of each topic; topics that are not named (dead letters) have one.
        now: seconds since the epoch, for membership only.
    """

    def __init__(self, store: Store, topics: Mapping[str, int], *, now: Callable[[], float] = time.time) -> None:
        self.store, self._topics, self.now = store, dict(topics), now

    def partitions(self, topic: str) -> list[Partition]:
        """Return the topic's partitions."""
        return [Partition(topic, number) for number in range(self._topics.get(topic, 1))]

    def append(self, tx: Connection, records: Sequence[Record]) -> None:
        """Publish inside somebody's transaction: the outbox of the worker.

        Raises:
            InvalidEvent: a key is no text that has UTF-8.
        """
        if not records:
            return
        time_ = datetime.now(UTC)
        try:
            places = [partition_of(record.key, self._topics.get(record.topic, 1)) for record in records]
        except UnicodeEncodeError as error:
            raise InvalidEvent(f"a key is no text that has UTF-8: {error.reason}") from error
        rows = [
            {
                "topic": record.topic,
                "partition": place,
                "key": record.key,
                "value": record.value,
                "headers": {name: value.decode("latin-1") for name, value in record.headers.items()},
                "time": time_,
            }
            for record, place in zip(records, places, strict=True)
        ]
        tx.execute(insert(outbox), rows)

    def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`."""
        try:
            with self.store.writing() as tx:
                self.append(tx, records)
        except StoreUnavailable as error:
            raise BusUnavailable(str(error)) from error

    def consumer(self, group: str, topics: Sequence[str], member: str) -> EmbeddedConsumer:
        """See `Bus.consumer`."""
        return EmbeddedConsumer(self, group, topics, member)

    def prune(self, topic: str, before: datetime) -> int:
        """Delete what is older than the retention and read by every group that ever read; return how many."""
        pruned = 0
        with self.store.writing() as tx:
            for partition in self.partitions(topic):
                here = (offsets.c.topic == topic) & (offsets.c.partition == partition.number)
                read = tx.execute(select(func.min(offsets.c.next)).where(here)).scalar()
                old = (outbox.c.topic == topic) & (outbox.c.partition == partition.number) & (outbox.c.time < before)
                if read is not None:
                    pruned += tx.execute(delete(outbox).where(old, outbox.c.id < read)).rowcount
        return pruned

    def close(self) -> None:
        """The store is closed by whoever opened it."""


class EmbeddedConsumer:
    """See `Consumer`."""

    def __init__(self, bus: EmbeddedBus, group: str, topics: Sequence[str], member: str) -> None:
        self._bus, self._group, self._topics, self._member = bus, group, sorted(topics), member
        self._generation = -1
        self._renew_at = 0.0
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._turn = 0

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """See `Consumer.poll`."""
        deadline = time.monotonic() + timeout
        while True:
            self._keep_membership()
            messages = self._fetch(limit)
            left = deadline - time.monotonic()
            if messages or left <= 0:
                return messages
            time.sleep(min(POLL_SECONDS, left))

    def keep_alive(self) -> None:
        """See `Consumer.keep_alive`."""
        self._keep_membership()

    def _fetch(self, limit: int) -> list[Message]:
        readable = sorted(partition for partition in self._positions if partition not in self._paused)
        if not readable:
            return []
        self._turn = (self._turn + 1) % len(readable)  # a busy partition starves no other
        messages: list[Message] = []
        with self._bus.store.reading() as tx:
            for partition in readable[self._turn :] + readable[: self._turn]:
                rows = tx.execute(
                    select(outbox)
                    .where(
                        outbox.c.topic == partition.topic,
                        outbox.c.partition == partition.number,
                        outbox.c.id >= self._positions[partition],
                    )
                    .order_by(outbox.c.id)
                    .limit(limit - len(messages))
                ).all()
                for row in rows:
                    headers = {name: value.encode("latin-1") for name, value in row.headers.items()}
                    record = Record(row.topic, row.key, row.value, headers)
                    messages.append(Message(partition, row.id, row.time.replace(tzinfo=UTC), record))
                if rows:
                    self._positions[partition] = rows[-1].id + 1
                if len(messages) >= limit:
                    break
        return messages

    def _keep_membership(self) -> None:
        if self._bus.now() < self._renew_at:
            with self._bus.store.reading() as tx:
                if self._current_generation(tx) == self._generation:
                    return
        self._join()

    def _current_generation(self, tx: Connection) -> int:
        row = tx.execute(select(bus_groups.c.generation).where(bus_groups.c.group == self._group)).first()
        return int(row.generation) if row else -1

    def _join(self) -> None:
        now = self._bus.now()
        mine = {"topics": self._topics, "expires": now + MEMBER_SECONDS}
        with self._bus.store.writing() as tx:
            here = bus_members.c.group == self._group
            before = set(tx.execute(select(bus_members.c.member).where(here)).scalars())
            tx.execute(delete(bus_members).where(here, bus_members.c.expires <= now))
            entry = upsert(bus_members).values(group=self._group, member=self._member, **mine)
            tx.execute(entry.on_conflict_do_update(index_elements=["group", "member"], set_=mine))
            members = sorted(tx.execute(select(bus_members.c.member).where(here)).scalars())
            generation = self._current_generation(tx)
            if set(members) != before or generation < 0:
                generation += 1
                new = upsert(bus_groups).values(group=self._group, generation=generation)
                tx.execute(new.on_conflict_do_update(index_elements=["group"], set_={"generation": generation}))
            dealt = [partition for topic in self._topics for partition in self._bus.partitions(topic)]
            held = set(dealt[members.index(self._member) :: len(members)])
            if generation != self._generation:  # another may have read on here meanwhile
                self._positions = {partition: deliveries.next_offset(tx, self._group, *partition) for partition in held}
        self._generation = generation
        self._renew_at = now + MEMBER_SECONDS / 3

    def assignment(self) -> frozenset[Partition]:
        """See `Consumer.assignment`."""
        return frozenset(self._positions)

    def position(self, partition: Partition) -> int:
        """See `Consumer.position`."""
        return self._positions[partition]

    def seek(self, partition: Partition, offset: int) -> None:
        """See `Consumer.seek`."""
        if partition in self._positions:
            self._positions[partition] = offset

    def pause(self, partitions: Sequence[Partition]) -> None:
        """See `Consumer.pause`."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        """See `Consumer.resume`."""
        self._paused.difference_update(partitions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See `Consumer.commit`. Free of charge where the worker's transaction has advanced them already."""
        with self._bus.store.reading() as tx:
            behind = {p: n for p, n in offsets.items() if deliveries.next_offset(tx, self._group, *p) < n}
            fenced = self._current_generation(tx) != self._generation or not set(offsets) <= set(self._positions)
        if fenced:
            raise Fenced(f"{self._member} of {self._group} no longer holds {sorted(offsets)}; poll again")
        if behind:
            with self._bus.store.writing() as tx:
                if self._current_generation(tx) != self._generation:
                    raise Fenced(f"{self._member} of {self._group} was succeeded while it committed; poll again")
                for partition, following in behind.items():
                    deliveries.advance(tx, self._group, *partition, following)

    def committed(self, partition: Partition) -> int:
        """See `Consumer.committed`."""
        with self._bus.store.reading() as tx:
            return deliveries.next_offset(tx, self._group, *partition)

    def end(self, partition: Partition) -> int:
        """See `Consumer.end`."""
        with self._bus.store.reading() as tx:
            last = tx.execute(
                select(func.max(outbox.c.id)).where(
                    outbox.c.topic == partition.topic, outbox.c.partition == partition.number
                )
            ).scalar()
            read = deliveries.next_offset(tx, self._group, *partition)  # what was pruned has all been read
        return read if last is None else max(read, int(last) + 1)

    def close(self) -> None:
        """See `Consumer.close`."""
        with self._bus.store.writing() as tx:
            mine = (bus_members.c.group == self._group) & (bus_members.c.member == self._member)
            if tx.execute(delete(bus_members).where(mine)).rowcount:
                tx.execute(
                    bus_groups.update()
                    .where(bus_groups.c.group == self._group)
                    .values(generation=bus_groups.c.generation + 1)
                )
        self._positions, self._generation, self._renew_at = {}, -1, 0.0
