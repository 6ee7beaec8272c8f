"""A dead letter: a message that a room could not handle, with all that is needed to look into it and send it again."""

from __future__ import annotations

from overread.bus.port import LARGEST, Message, Record, size_of
from overread.core.errors import InvalidEvent, NotYetKnown, OverreadError

ADDED = frozenset(
    f"dlq_{name}"
    for name in ("topic", "partition", "offset", "error", "attempts", "first_failure", "parked", "omitted")
)
"""The headers that a message has only as a letter."""

KEY_AT_MOST = 1000
"""Characters of a key that a letter keeps of a message that is too large for one."""


def topic_of(topic: str, room: str) -> str:
    """Return where a room puts what it could not handle of a topic."""
    return f"{topic}.{room}.dlq"


def dead_letter(message: Message, room: str, error: Exception, attempts: int) -> Record:
    """Return the message as it was, with the reason in its headers.

    The reason repeats the message only of our own errors: a third party's may quote what it choked on. What a newer
    version wrote is marked as parked: nothing is wrong with it, and a later version of this room will take it. Of a
    message that would not fit on the bus beside the reason only its place is kept: there it stands for as long as its
    topic keeps it.
    """
    reason = f"{type(error).__name__}: {error}" if isinstance(error, OverreadError) else type(error).__name__
    ours = {
        "dlq_topic": message.partition.topic.encode(),
        "dlq_partition": str(message.partition.number).encode(),
        "dlq_offset": str(message.offset).encode(),
        "dlq_error": reason.encode(),
        "dlq_attempts": str(attempts).encode(),
        "dlq_first_failure": message.time.isoformat().encode(),
    }
    if isinstance(error, NotYetKnown):
        ours["dlq_parked"] = b"1"
    topic, record = topic_of(message.partition.topic, room), message.record
    letter = Record(topic, record.key, record.value, {**_without_ours(record), **ours})
    if size_of(letter) <= LARGEST:
        return letter
    ours["dlq_omitted"] = str(size_of(record)).encode()
    return Record(topic, record.key[:KEY_AT_MOST], None, ours)


def original(letter: Record, topic: str) -> Record:
    """Return the message as it was, to be said again on its topic.

    Raises:
        InvalidEvent: the message was too large for a letter.
    """
    if omitted := letter.headers.get("dlq_omitted"):
        where = f"{topic} {letter.headers['dlq_partition'].decode()} at {letter.headers['dlq_offset'].decode()}"
        raise InvalidEvent(
            f"the letter does not hold the message, which has {omitted.decode()} bytes: it stands in {where}"
        )
    return Record(topic, letter.key, letter.value, _without_ours(letter))


def is_parked(letter: Record) -> bool:
    """Return whether the letter waits for a version that knows its words."""
    return letter.headers.get("dlq_parked") == b"1"


def summary(letter: Record) -> dict[str, str]:
    """Return what a log line says of a dead letter."""
    return {"topic": letter.topic, "reason": letter.headers["dlq_error"].decode()}


def _without_ours(record: Record) -> dict[str, bytes]:
    return {name: value for name, value in record.headers.items() if name not in ADDED}
