"""A message, and what was made of it before the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from overread.bus.port import Message
from overread.core.codec import Envelope, decode
from overread.core.errors import InvalidEvent
from overread.core.events import Event
from overread.handler import Handler


@dataclass
class Ready:
    """A message, and what was made of it before the transaction."""

    message: Message
    envelope: Envelope[Event] | None
    """None where it could not be decoded."""
    prepared: list[tuple[Handler, Any]]
    """What each handler has prepared; empty where the event is nobody's, or was handled before."""
    dead: Exception | None = None
    """Why it becomes a dead letter."""
    parked: bool = False
    attempts: int = 1

    @property
    def lives(self) -> bool:
        """Whether handlers have something to apply."""
        return self.dead is None and self.envelope is not None and bool(self.prepared)

    @property
    def told(self) -> Envelope[Event]:
        """The envelope of one that lives."""
        if self.envelope is None:
            raise ValueError("what could not be decoded tells nothing")
        return self.envelope


def decoded(message: Message) -> Ready:
    """Decode a message; one that is no event, or stands where its type does not, is dead."""
    record = message.record
    try:
        envelope = decode(record.headers, record.value)
        if record.headers["ce_type"] == envelope.event.type.encode():  # else an old type's, upcast
            _check_place(message, envelope.event)
        return Ready(message, envelope, [])
    except InvalidEvent as error:
        return Ready(message, None, [], error)


def _check_place(message: Message, event: Event) -> None:
    """Make sure that an event stands where its type does: rights are given by topic, and order is by key.

    Raises:
        InvalidEvent: it stands on another topic, or under another key than its own.
    """
    if message.partition.topic != event.topic:
        raise InvalidEvent(f"{event.type} has no place on {message.partition.topic}")
    if message.record.key != event.key:
        raise InvalidEvent(f"{event.type}: the record's key is not the event's own, so it would lose its order")
