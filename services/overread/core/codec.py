"""Events to records and back: CloudEvents 1.0 in Kafka's binary mode (headers `ce_*`, JSON value)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from overread.core.clock import utc_now, uuid7
from overread.core.errors import InvalidEvent, NotYetKnown
from overread.core.events import COMMANDS, EVENTS, Event

Headers = Mapping[str, bytes]


@dataclass(frozen=True)
class Record:
    """What is published: bytes with a topic and a key."""

    topic: str
    key: str
    value: bytes | None
    headers: Headers = field(default_factory=dict)


E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True)
class Envelope(Generic[E_co]):
    """An event with its identity. `id` is minted where the act happens, never when it is sent."""

    event: E_co
    source: str
    id: str = field(default_factory=uuid7)
    time: datetime = field(default_factory=utc_now)

    @property
    def entry(self) -> str:
        """What a group's inbox knows it by.

        Corrections have their ids from whoever sends them, and a room's other events from us: an id that somebody
        repeats from another event is no double of it.
        """
        return f"correction:{self.id}" if self.event.topic == COMMANDS else self.id

    def record(self) -> Record:
        """Encode. Times are RFC 3339 in UTC."""
        event = self.event
        headers = {
            "ce_specversion": b"1.0",
            "ce_id": self.id.encode(),
            "ce_source": f"/overread/{self.source}".encode(),
            "ce_type": event.type.encode(),
            "ce_time": self.time.astimezone(UTC).isoformat().encode(),
            "ce_subject": event.key.encode(),
            "ce_dataschema": schema_uri(event.type).encode(),
            "content-type": b"application/json",
        }
        return Record(event.topic, event.key, event.model_dump_json().encode(), headers)


def schema_uri(kind: str) -> str:
    """Return the name of a type's schema. It stays while the schema only grows: a break makes another type."""
    return f"urn:overread:schema:{kind}"


_BY_TYPE = {cls.type: cls for cls in EVENTS}

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[str, tuple[str, Upcaster]] = {}
"""What old types are now: the type that came after, and how its value is made of the old one. An old event never leaves
the log, so no line here ever goes; lines may follow one another."""


_LISTS = frozenset({"enum", "literal_error"})
"""Pydantic's names for a word that is none of a list."""
_OURS = re.compile(r"overread(\.[a-z-]+)+\.v[1-9]\d*")
"""The name of a type of ours, of any version."""


def decode(headers: Headers, value: bytes | None) -> Envelope[Event]:
    """Decode one record.

    Raises:
        NotYetKnown: a newer version wrote it: the type is one of ours and unknown, or all that does not fit are words
            that this version's lists lack.
        InvalidEvent: the record is no CloudEvent, its type is nobody's, or its payload does not fit the type.
    """
    try:
        kind, identity = headers["ce_type"].decode(), headers["ce_id"].decode()
        time = datetime.fromisoformat(headers["ce_time"].decode())
        source = headers["ce_source"].decode().removeprefix("/overread/")
    except KeyError as error:
        raise InvalidEvent(f"not a CloudEvent in binary mode: no header {error}") from error
    except ValueError as error:  # what it says would repeat what somebody wrote
        raise InvalidEvent("not a CloudEvent in binary mode: ce_time is no time, or a header no UTF-8") from error
    if not identity or time.tzinfo is None:  # the first would be everybody's double, the second nobody's time
        raise InvalidEvent("not a CloudEvent in binary mode: ce_id is empty, or ce_time has no offset from UTC")
    if kind in UPCASTERS and value is not None:
        kind, value = _upcast(kind, value)
    if kind not in _BY_TYPE:
        unknown = NotYetKnown if _OURS.fullmatch(kind) else InvalidEvent
        raise unknown(f"unknown event type {kind[:80]!r}; this version knows {sorted(_BY_TYPE)}")
    if value is None:
        raise InvalidEvent(f"{kind} {identity} has no value")
    try:
        event = _BY_TYPE[kind].model_validate_json(value)
    except ValidationError as error:
        # Only where and what: the input itself is not repeated, whatever somebody put into it.
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        newer = all(fault["type"] in _LISTS and isinstance(fault["input"], str) for fault in error.errors())
        raise (NotYetKnown if newer else InvalidEvent)(f"{kind} {identity}: {faults}") from error
    return Envelope(event, source, identity, time)


def _upcast(kind: str, value: bytes) -> tuple[str, bytes]:
    """Bring an old event to the type that stands for it now.

    Raises:
        InvalidEvent: it was never a valid event of its own type.
    """
    old = kind
    try:
        payload = json.loads(value)
        while kind in UPCASTERS:
            kind, upcaster = UPCASTERS[kind]
            payload = upcaster(payload)
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidEvent(f"an old {old} can't be read as what came after it: {type(error).__name__}") from error
    return kind, json.dumps(payload).encode()
