"""The bus of many machines: Apache Kafka.

What kafka-python's idempotent producer does after a failure decides the shape of this file. It answers every later
send with the old error, or hangs for ever; and on `close` it still sends what stood behind the record that failed. So
a producer serves until its first failure. It is then ended at once, with everything that it had not sent yet, and the
next publish makes another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from overread.bus.kafka_client import Access, milliseconds, opened, translated, warn_without_crc32c
from overread.bus.kafka_consumer import KafkaConsumer
from overread.bus.port import LARGEST, Record, partition_of, size_of
from overread.core.errors import InvalidEvent, Misconfigured

log = logging.getLogger(__name__)

BATCH = 256 << 10
"""Bytes that wait for each other: 21,900 records/s of 1 KiB, where kafka-python's 16 KiB give 8,900."""
LINGER_MS = 10
END = 5.0
"""Longest wait for a producer's thread to end (s)."""

REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError, InvalidTopicError)


class KafkaBus:
    """A bus on a Kafka cluster. Topics are made by the operator, never by publishing.

    Args:
        access: where the cluster is. Nothing is opened yet: a cluster that is away is met at the first use.
        topics: partitions of each topic; topics that are not named (dead letters) have one.
    """

    def __init__(self, access: Access, topics: Mapping[str, int]) -> None:
        warn_without_crc32c()
        self._access, self._topics = access, dict(topics)
        self._producer: Any = None
        self._turn = threading.Lock()
        self._consumers: list[KafkaConsumer] = []

    def publish(self, records: Sequence[Record]) -> None:
        """See `Bus.publish`. On an error some records may have been written, and none behind the first that was not.

        That holds for each key: so publishing the same records again keeps their order, with doubles before it.

        Raises:
            InvalidEvent: one of the records will never be taken; the message says which and why.
            Misconfigured: the cluster's topics are not those of the topology, or the right to write is missing.
        """
        if not records:
            return
        ready = [_encoded(record) for record in records]
        with self._turn, ExitStack() as failed:
            failed.callback(self._abandon)
            self._send(records, ready)
            failed.pop_all()

    def _send(self, records: Sequence[Record], ready: Sequence[dict[str, Any]]) -> None:
        record = records[0]  # whichever is at hand when something goes wrong
        try:
            producer = self._serving()
            deadline = time.monotonic() + self._access.delivery
            for record in {record.topic: record for record in records}.values():
                self._find(producer, record)
            futures = []
            for record, encoded in zip(records, ready, strict=True):
                place = partition_of(record.key, self._topics.get(record.topic, 1))
                futures.append(producer.send(record.topic, partition=place, **encoded))
            with suppress(KafkaTimeoutError):  # the futures tell; this is so that nothing lingers
                producer.flush(timeout=max(0.0, deadline - time.monotonic()))
            for place, future in enumerate(futures):
                record = records[place]
                future.get(timeout=max(0.0, deadline - time.monotonic()))
        except REFUSED as error:
            raise InvalidEvent(f"{record.topic}: a record with the key {record.key!r} is refused: {error}") from error
        except KafkaError as error:
            raise translated(error, f"kafka: publishing to {record.topic}") from error

    def _serving(self) -> Any:
        if self._producer is None:
            self._producer = opened(
                KafkaProducer,
                self._access,
                acks="all",
                enable_idempotence=True,
                # Longer than our own patience: no batch expires while we look on, since that is what makes it hang,
                # and since a later batch of the same key might then still go out.
                delivery_timeout_ms=milliseconds(2 * self._access.delivery + 60),
                max_block_ms=milliseconds(min(1.0, self._access.answer)),  # see `_find`
                max_request_size=1 << 20,  # `_encoded` refuses before anything is sent
                batch_size=BATCH,
                linger_ms=LINGER_MS,
                metrics_enabled=False,
                allow_auto_create_topics=False,
            )
        return self._producer

    def _find(self, producer: Any, record: Record) -> None:
        """Make sure that the topic has the partition before anything is sent."""
        partitions = self._topics.get(record.topic, 1)
        deadline = time.monotonic() + self._access.answer
        while True:
            try:
                found = producer.partitions_for(record.topic)
                break
            except KafkaTimeoutError:  # ask again: what was asked while another answer came may get lost
                if time.monotonic() > deadline:
                    raise
        if max(found) + 1 < partitions:
            raise Misconfigured(
                f"kafka: {record.topic} has {max(found) + 1} partitions, and the topology {partitions}: keys would "
                "change their places; `overread topics check` says more"
            )

    def _abandon(self) -> None:
        """End the producer at once, without sending what is still to be sent.

        By private names, since `close` flushes first. Without this a hung producer's thread would stay for ever.
        """
        producer, self._producer = self._producer, None
        if producer is None:
            return
        sender = producer._sender  # noqa: SLF001
        sender.force_close()
        sender.join(END)
        if sender.is_alive():
            log.error("kafka: a producer's thread did not end; the process should be started again")
        with suppress(KafkaError):
            producer.close(timeout=1)
        producer._closed = True  # noqa: SLF001 - else its finalizer would try again

    def consumer(self, group: str, topics: Sequence[str], member: str) -> KafkaConsumer:
        """See `Bus.consumer`. Member names are unique in a group: two processes of one name fence each other."""
        made = KafkaConsumer(self._access, group, topics, member)
        self._consumers.append(made)
        return made

    def close(self) -> None:
        """Close the producer and every consumer."""
        with self._turn:
            self._abandon()  # each publish has waited for its own records: nothing is left to send
        for consumer in self._consumers:
            consumer.close()


def _encoded(record: Record) -> dict[str, Any]:
    """Return the arguments of `send`.

    Raises:
        InvalidEvent: the record is too large, or its key is no text.
    """
    try:
        key, size = record.key.encode(), size_of(record)
    except UnicodeEncodeError as error:
        raise InvalidEvent(f"{record.topic}: a key or a header's name is no text that has UTF-8: {error}") from error
    if size > LARGEST:
        raise InvalidEvent(f"{record.topic}: a record of {size} bytes is too large; the bus takes {LARGEST}")
    return {"key": key, "value": record.value, "headers": list(record.headers.items())}
