"""A dead letter: a message that can never be handled, with all that is needed to look into it and send it again."""

from __future__ import annotations

from overread.bus.port import Message, Record
from overread.core.errors import OverreadError


def topic_of(topic: str, room: str) -> str:
    """Return where a room puts what it could not handle of a topic."""
    return f"{topic}.{room}.dlq"


def dead_letter(message: Message, room: str, error: Exception, attempts: int) -> Record:
    """Return the message as it was, with the reason in its headers.

    The reason repeats the message only of our own errors: a third party's may quote what it choked on.
    """
    reason = f"{type(error).__name__}: {error}" if isinstance(error, OverreadError) else type(error).__name__
    headers = {
        **message.record.headers,
        "dlq_topic": message.partition.topic.encode(),
        "dlq_partition": str(message.partition.number).encode(),
        "dlq_offset": str(message.offset).encode(),
        "dlq_error": reason.encode(),
        "dlq_attempts": str(attempts).encode(),
        "dlq_first_failure": message.time.isoformat().encode(),
    }
    return Record(topic_of(message.partition.topic, room), message.record.key, message.record.value, headers)


def summary(letter: Record) -> dict[str, str]:
    """Return what a log line says of a dead letter."""
    return {"topic": letter.topic, "reason": letter.headers["dlq_error"].decode()}
