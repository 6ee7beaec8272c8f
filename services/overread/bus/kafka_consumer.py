"""A member of a group on Kafka.

The consumer of kafka-python is made at the first use, and made anew whenever it may have lost its way: after an error,
after its member was fenced, and when it brings nothing though there is something. It then reads on from what the group
committed, so nothing is lost, and the worker's inbox drops what comes twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import kafka
from kafka import ConsumerRebalanceListener, KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)

from overread.bus.kafka_client import Access, milliseconds, opened, translated
from overread.bus.kafka_join import Rivals, has_joined, is_fenced, remember_joins
from overread.bus.kafka_records import forgive_names, read
from overread.bus.port import Message, Partition
from overread.core.errors import BusUnavailable, Fenced, Misconfigured

log = logging.getLogger(__name__)

FETCH = 1 << 20
"""Bytes of an answer at most: with what is being read, the memory of a slow consumer."""

JOIN = 0.1
"""Least wait of a poll while the member joins (s): at 0 kafka-python never gets that far."""

Answer = TypeVar("Answer")


class _Quiet(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses what is newly held and was paused before; a new assignment would forget it."""

    def __init__(self, paused: set[Partition]) -> None:
        self.paused = paused
        self.client: Any = None

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.client.pause(*(place for place in assigned if Partition(*place) in self.paused))

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Nothing to do: what is in hand is committed or refused at commit."""


class KafkaConsumer:
    """See `Consumer`. A static member: after a crash the same name has its partitions back at once."""

    def __init__(self, access: Access, group: str, topics: Sequence[str], member: str) -> None:
        self._access, self._group, self._topics, self._member = access, group, sorted(topics), member
        self._client: Any = None
        self._held: frozenset[Partition] = frozenset()
        self._committed: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._look_at, self._behind = 0.0, dict[Partition, int]()
        self._rivals = Rivals(member)

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """See `Consumer.poll`.

        Raises:
            BusUnavailable: no broker is there, or the client got into trouble; poll again.
            Misconfigured: where the group stood is no longer in the log, a right is missing, or another process goes by
                the same name.
        """
        if limit < 1:
            return []
        found = self._guarded("reading", lambda: self._fetch(limit, timeout))
        messages = [read(record) for records in found.values() for record in records]
        if not messages:
            self._watch()
        return messages

    def _fetch(self, limit: int, timeout: float) -> dict[TopicPartition, list[Any]]:
        client = self._opened()
        if is_fenced(client):
            raise FencedInstanceIdError(self._member)
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0 if has_joined(client) else JOIN, deadline - time.monotonic())
            try:
                found: dict[TopicPartition, list[Any]] = client.poll(milliseconds(left), max_records=limit)
            except NoOffsetForPartitionError as error:  # the group has never been here
                client.seek_to_beginning(*error.args[0])
                continue
            held = frozenset(Partition(*place) for place in client.assignment())
            if held != self._held:
                self._held, self._committed = held, {}
                log.info("%s of %s holds %d partitions", self._member, self._group, len(held))
            return found

    def _opened(self) -> Any:
        if self._client is None:
            access = self._access
            client = opened(
                kafka.KafkaConsumer,
                access,
                group_id=self._group,
                group_instance_id=self._member,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                enable_auto_commit=False,
                # Where the group never was we say so ourselves. An offset that is out of range is an alarm: neither
                # end of the log is right.
                auto_offset_reset="none",
                session_timeout_ms=milliseconds(access.session),
                heartbeat_interval_ms=milliseconds(access.session / 10),
                max_poll_interval_ms=milliseconds(access.work),
                fetch_max_bytes=FETCH,
                metrics_enabled=False,
                allow_auto_create_topics=False,
            )
            remember_joins(client)
            forgive_names()
            listener = _Quiet(self._paused)
            listener.client = client
            client.subscribe(self._topics, listener=listener)
            self._client, self._behind = client, {}
            self._look_at = time.monotonic() + access.stall
        return self._client

    def _guarded(self, doing: str, call: Callable[[], Answer]) -> Answer:
        """Call; after any error make the client anew, since it may have passed over what it had fetched."""
        what = f"kafka: {self._group}: {doing}"
        try:
            return call()
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            self._drop()
            raise Misconfigured(
                f"{what}: the log does not hold where the group stood ({error}): events are gone that it has not read, "
                "or the topic was made anew. Without its rows in the table `offsets` the room reads what is there from "
                "the beginning, and passes over what it has handled"
            ) from error
        except FencedInstanceIdError as error:
            self._drop()
            self._rivals.met(what)
            raise BusUnavailable(f"{what}: another process has the name {self._member}") from error
        except KafkaError as error:
            self._drop()
            raise translated(error, what) from error

    def _watch(self) -> None:
        """Make the client anew where it brought nothing for a long time from a partition that has something."""
        if time.monotonic() < self._look_at or self._client is None:
            return
        self._look_at = time.monotonic() + self._access.stall
        behind = {}
        with suppress(BusUnavailable):  # where nobody answers nobody can tell
            for partition in self._held - self._paused:
                position = self.position(partition)
                if position < self.end(partition):
                    behind[partition] = position
        if stuck := sorted(place for place, position in behind.items() if self._behind.get(place) == position):
            log.error("%s of %s got nothing from %s for a long time; joining anew", self._member, self._group, stuck)
            self._drop()
            behind = {}
        self._behind = behind

    def keep_alive(self) -> None:
        """See `Consumer.keep_alive`."""
        if self._client is None:
            return
        quiet = sorted(self._held - self._paused)
        self.pause(quiet)
        try:
            for place, records in self._guarded("staying", lambda: self._fetch(1, 0.0)).items():
                self._client.seek(place, records[0].offset)  # newly held: nobody had paused it
        finally:
            self.resume(quiet)

    def assignment(self) -> frozenset[Partition]:
        """See `Consumer.assignment`."""
        return self._held

    def position(self, partition: Partition) -> int:
        """See `Consumer.position`."""
        place, wait = TopicPartition(*partition), milliseconds(self._access.answer)

        def ask() -> int | None:
            client = self._opened()
            try:
                return client.position(place, timeout_ms=wait)  # type: ignore[no-any-return]
            except NoOffsetForPartitionError:  # the group has never been here
                client.seek_to_beginning(place)
                return client.position(place, timeout_ms=wait)  # type: ignore[no-any-return]

        found = self._guarded("looking for its place", ask)
        if found is None:
            raise BusUnavailable(f"kafka: nobody says where {self._group} stands in {partition}")
        return int(found)

    def seek(self, partition: Partition, offset: int) -> None:
        """See `Consumer.seek`."""
        if self._client is None or partition not in self._held:
            return
        if offset == 0:
            self._client.seek_to_beginning(TopicPartition(*partition))
        else:
            self._client.seek(TopicPartition(*partition), offset)

    def pause(self, partitions: Sequence[Partition]) -> None:
        """See `Consumer.pause`."""
        self._paused.update(partitions)
        if self._client is not None:
            self._client.pause(*self._places(partitions))

    def resume(self, partitions: Sequence[Partition]) -> None:
        """See `Consumer.resume`."""
        self._paused.difference_update(partitions)
        if self._client is not None:
            self._client.resume(*self._places(partitions))

    def _places(self, partitions: Sequence[Partition]) -> set[TopicPartition]:
        return {TopicPartition(*partition) for partition in partitions}.intersection(self._client.assignment())

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """See `Consumer.commit`.

        Raises:
            BusUnavailable: not committed; the next commit says it again.
        """
        if self._client is None or not set(offsets) <= self._held:
            raise Fenced(f"{self._member} of {self._group} no longer holds {sorted(offsets)}; poll again")
        ahead = {place: following for place, following in offsets.items() if self._known(place) < following}
        told = {TopicPartition(*place): OffsetAndMetadata(following, "", -1) for place, following in ahead.items()}
        try:
            self._client.commit(told, timeout_ms=milliseconds(self._access.answer))
        except (CommitFailedError, FencedInstanceIdError, RebalanceInProgressError) as error:
            if any(isinstance(cause, RebalanceInProgressError) for cause in (error, *error.args)):
                raise BusUnavailable(f"kafka: {self._group} is being dealt out anew") from error
            self._drop()
            if isinstance(error, FencedInstanceIdError):
                self._rivals.met(f"kafka: {self._group}: committing")
            raise Fenced(f"{self._member} of {self._group} was succeeded; poll again") from error
        except KafkaError as error:
            raise translated(error, f"kafka: {self._group}: committing") from error
        self._committed.update(ahead)

    def _known(self, partition: Partition) -> int:
        if partition not in self._committed:
            self._committed[partition] = self.committed(partition)
        return self._committed[partition]

    def committed(self, partition: Partition) -> int:
        """See `Consumer.committed`."""
        place = TopicPartition(*partition)
        return int(self._asked("what is committed", lambda wait: self._opened().committed(place, timeout_ms=wait)) or 0)

    def end(self, partition: Partition) -> int:
        """See `Consumer.end`."""
        place = TopicPartition(*partition)
        return int(self._asked("the end", lambda wait: self._opened().end_offsets([place], timeout_ms=wait))[place])

    def _asked(self, what: str, call: Callable[[int], Answer]) -> Answer:
        try:
            return call(milliseconds(self._access.answer))
        except KafkaError as error:
            raise translated(error, f"kafka: {self._group}: asking for {what}") from error

    def close(self) -> None:
        """See `Consumer.close`. Where no broker hears it, the others wait for the time-out."""
        if self._client is None:
            return
        identity = self._client.group_metadata().member_id
        self._drop()
        if not identity:
            return
        # kafka-python's static members never say goodbye. With the identity a successor of our name stays untouched.
        with suppress(BusUnavailable, KafkaError):
            admin = opened(KafkaAdminClient, self._access)
            try:
                admin.remove_group_members(self._group, [MemberToRemove(identity, self._member)])
            finally:
                admin.close()

    def _drop(self) -> None:
        """Close the client without leaving the group."""
        client, self._client, self._held = self._client, None, frozenset()
        if client is None:
            return
        with suppress(KafkaError):
            client.close(autocommit=False, timeout_ms=milliseconds(self._access.answer))
        client._client.close()  # noqa: SLF001 - its thread and sockets, where `close` did not get that far
