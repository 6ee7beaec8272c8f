from __future__ import annotations

import json
import time
import types
import typing
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from overread.core.clock import uuid7
from overread.core.codec import Envelope, decode
from overread.core.errors import InvalidEvent, NotYetKnown
from overread.core.events import EVENTS, Event, ReadRequested, StudyPurged


def example(kind: typing.Any) -> typing.Any:
    """A value of a field's type that is none of the defaults."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType, typing.Annotated}:
        return example(arguments[0])
    if origin is typing.Literal:
        return arguments[-1]
    if origin is tuple:
        return (example(arguments[0]),)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[-1]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind(**{name: example(field.annotation) for name, field in kind.model_fields.items()})
    return {str: "ä-1", int: 7, float: 0.1, bool: True}[kind]


def full(cls: type[Event]) -> Event:
    return cls(**{name: example(field.annotation) for name, field in cls.model_fields.items()})


def least(cls: type[Event]) -> Event:
    fields = cls.model_fields.items()
    return cls(**{name: example(field.annotation) for name, field in fields if field.is_required()})


@pytest.mark.parametrize("make", [full, least])
@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_every_event_comes_back_as_it_went(cls: type[Event], make: typing.Callable[[type[Event]], Event]) -> None:
    sent = Envelope(make(cls), "gateway")
    record = sent.record()
    assert record.topic == cls.topic
    assert record.key == sent.event.key
    assert decode(record.headers, record.value) == sent


def test_every_event_has_a_type_of_its_own() -> None:
    assert len({cls.type for cls in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_what_a_newer_sender_adds_is_kept(cls: type[Event]) -> None:
    record = Envelope(least(cls), "gateway").record()
    richer = {**json.loads(record.value or b""), "from_the_future": {"depth": [1, 2]}}
    event = decode(record.headers, json.dumps(richer).encode()).event
    again = Envelope(event, "review").record()
    assert json.loads(again.value or b"") == richer


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.__name__)
def test_an_event_without_a_required_field_is_refused(cls: type[Event]) -> None:
    record = Envelope(full(cls), "gateway").record()
    for name, field in cls.model_fields.items():
        if field.is_required():
            poorer = {key: value for key, value in json.loads(record.value or b"").items() if key != name}
            with pytest.raises(InvalidEvent, match=name):
                decode(record.headers, json.dumps(poorer).encode())


def test_headers_are_cloudevents_in_binary_mode() -> None:
    moment = datetime(2026, 3, 1, 13, 30, tzinfo=timezone(timedelta(hours=1)))
    headers = Envelope(StudyPurged(study="s-1"), "gateway", "an-id", moment).record().headers
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"an-id",
        "ce_source": b"/overread/gateway",
        "ce_type": b"overread.study.purged.v1",
        "ce_time": b"2026-03-01T12:30:00+00:00",
        "ce_subject": b"s-1",
        "ce_dataschema": b"urn:overread:schema:overread.study.purged.v1",
        "content-type": b"application/json",
    }


def test_an_error_says_where_and_never_repeats_what_stood_there() -> None:
    record = Envelope(full(ReadRequested), "trainer.selection").record()
    wrong = {**json.loads(record.value or b""), "rank": "Doe^Jane"}
    with pytest.raises(InvalidEvent, match="rank") as caught:
        decode(record.headers, json.dumps(wrong).encode())
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ce_time", b"Doe^Jane"),
        ("ce_source", b"Doe^Jane \xff"),
        ("ce_type", b"Doe^Jane \xff"),
        ("ce_id", b"Doe^Jane \xff"),
    ],
)
def test_a_header_that_cannot_be_read_is_not_repeated_either(name: str, content: bytes) -> None:
    record = Envelope(full(ReadRequested), "trainer.selection").record()
    with pytest.raises(InvalidEvent) as caught:
        decode({**record.headers, name: content}, record.value)
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(("name", "content"), [("ce_id", b""), ("ce_time", b"2026-03-01T12:30:00")])
def test_an_id_that_is_empty_and_a_time_without_an_offset_are_refused(name: str, content: bytes) -> None:
    record = Envelope(full(ReadRequested), "trainer.selection").record()
    with pytest.raises(InvalidEvent, match=name):
        decode({**record.headers, name: content}, record.value)


def test_a_word_that_no_list_has_is_a_newer_versions() -> None:
    record = Envelope(full(ReadRequested), "trainer.selection").record()
    value = json.loads(record.value or b"")
    with pytest.raises(NotYetKnown, match="purpose"):
        decode(record.headers, json.dumps({**value, "purpose": "quality"}).encode())
    for wrong in ({**value, "purpose": 7}, {**value, "purpose": "quality", "rank": "first"}):
        with pytest.raises(InvalidEvent) as caught:
            decode(record.headers, json.dumps(wrong).encode())
        assert type(caught.value) is InvalidEvent


@pytest.mark.parametrize(
    ("kind", "newer"),
    [
        ("overread.study.burnt.v1", True),
        ("overread.read.requested.v2", True),
        ("overread.study.v0", False),
        ("overread", False),
        ("com.example.read.v1", False),
        ("overread.read.requested.v2 Doe^Jane", False),
    ],
)
def test_a_type_of_ours_that_is_unknown_is_a_newer_versions(kind: str, newer: bool) -> None:
    record = Envelope(full(ReadRequested), "trainer.selection").record()
    with pytest.raises(InvalidEvent) as caught:
        decode({**record.headers, "ce_type": kind.encode()}, record.value)
    assert isinstance(caught.value, NotYetKnown) is newer


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        StudyPurged(study="s-1").study = "s-2"  # type: ignore[misc]


@given(st.dictionaries(st.text(), st.binary()), st.none() | st.binary())
def test_anything_at_all_is_decoded_or_refused(headers: dict[str, bytes], value: bytes | None) -> None:
    good = Envelope(StudyPurged(study="s-1"), "gateway").record().headers
    with pytest.raises(InvalidEvent):
        decode(headers, value)
    with suppress(InvalidEvent):
        decode({**good, **headers}, value)


def test_uuid7_sorts_by_time_of_birth_and_says_when() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    born = []
    for _ in range(20):
        born.append(uuid7())
        time.sleep(0.002)
    assert born == sorted(born)
    for text in born:
        identity = UUID(text)
        assert (identity.version, identity.variant) == (7, "specified in RFC 4122")
        assert before <= datetime.fromtimestamp((identity.int >> 80) / 1000, UTC) <= datetime.now(UTC)


def test_uuid7_never_repeats() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000
