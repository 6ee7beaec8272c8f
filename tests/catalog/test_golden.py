"""Events as they were once written: for ever readable, valid, and kept whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from overread.catalog.schemas import schemas
from overread.core import codec
from overread.core.codec import Envelope, decode
from overread.core.errors import InvalidEvent
from overread.core.events import EVENTS

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
WRITTEN = """\
overread.candidate.received.v1.least.json 128dc215a9c7
overread.candidate.received.v1.newer.json 83ec60148bbb
overread.candidate.received.v1.whole.json 27895ab48514
overread.candidate.scored.v1.least.json e4dd7a66a967
overread.candidate.scored.v1.newer.json 743c5cd63e9a
overread.candidate.scored.v1.whole.json 3950dc3757c9
overread.correction.refused.v1.least.json 8c53e1fb7965
overread.correction.refused.v1.newer.json d85f7c33393a
overread.correction.refused.v1.whole.json 78a544c46a0d
overread.correction.submitted.v1.least.json 39c0f1db259b
overread.correction.submitted.v1.newer.json 96ffc98c6d2f
overread.correction.submitted.v1.whole.json a4b2d73c85f8
overread.finding.corrected.v1.least.json e558924d7880
overread.finding.corrected.v1.newer.json 6b3a924e0634
overread.finding.corrected.v1.whole.json 3e70103fc95e
overread.instance.received.v1.newer.json f7c7a3eaab16
overread.instance.received.v1.whole.json 577fc095d3a2
overread.model.promoted.v1.least.json 10e218ab2b2a
overread.model.promoted.v1.newer.json 2f972bc448af
overread.model.promoted.v1.whole.json d2341ffb8c91
overread.model.registered.v1.least.json eeb50f23b89e
overread.model.registered.v1.newer.json ffafef7465c1
overread.model.registered.v1.whole.json 7d2864e70c7c
overread.model.rejected.v1.least.json b4495a3cd14c
overread.model.rejected.v1.newer.json 517a9a35029c
overread.model.rejected.v1.whole.json b9013f7d8ddd
overread.model.rolledback.v1.newer.json f4afe3e4cbaf
overread.model.rolledback.v1.whole.json 3c93d0f90f67
overread.read.requested.v1.drawn.json 66a864ef2b86
overread.read.requested.v1.least.json 98ce5017a533
overread.read.requested.v1.newer.json 232672e78f0f
overread.read.requested.v1.whole.json 3aa17f8f0526
overread.study.purged-at-source.v1.newer.json 313730ed1036
overread.study.purged-at-source.v1.whole.json b4cc52753be3
overread.study.purged.v1.newer.json e8440ddfa6c8
overread.study.purged.v1.whole.json 60963ef34baf
"""
"""Golden events are added, never changed and never removed: each with the first digits of its SHA-256."""


def read(file: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    event = json.loads(file.read_text(encoding="utf-8"))
    return {name: value.encode() for name, value in event["headers"].items()}, event["value"]


def test_none_was_changed_and_none_was_removed() -> None:
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in GOLDEN}
    assert digests == dict(line.split() for line in WRITTEN.splitlines())


def test_every_event_has_one() -> None:
    assert {file.name.rpartition(".json")[0].rpartition(".")[0] for file in GOLDEN} == {event.type for event in EVENTS}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_it_is_read_and_said_again_without_loss(file: Path) -> None:
    headers, value = read(file)
    envelope = decode(headers, json.dumps(value).encode())
    record = envelope.record()
    said = json.loads(record.value or b"")
    assert {name: said[name] for name in value} == value  # what a newer sender added stays, nested too
    assert record.key == json.loads(file.read_text(encoding="utf-8"))["key"]
    assert decode(record.headers, record.value) == envelope
    assert {name: record.headers[name] for name in headers if name != "content-type"} == {
        name: value for name, value in headers.items() if name != "content-type"
    }


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_it_is_valid_by_the_schema(file: Path) -> None:
    headers, value = read(file)
    schema = schemas()[headers["ce_type"].decode()]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    for name in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate({key: value[key] for key in value if key != name})


def test_old_types_are_read_as_what_came_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two breaks in a row: the name of a field, then its unit."""
    monkeypatch.setitem(codec.UPCASTERS, "purged.v0", ("purged.v1", lambda old: {"key": old["id"]}))
    monkeypatch.setitem(
        codec.UPCASTERS, "purged.v1", ("overread.study.purged.v1", lambda old: {"study": f"s-{old['key']}"})
    )
    headers = {"ce_type": b"purged.v0", "ce_id": b"1", "ce_time": b"2026-11-21T08:30:00+00:00", "ce_source": b"x"}
    found = decode(headers, b'{"id": "7"}')
    assert (found.event.type, found.event.key, found.id) == ("overread.study.purged.v1", "s-7", "1")
    with pytest.raises(InvalidEvent, match=r"an old purged.v0 can't be read as what came after it: KeyError"):
        decode(headers, b'{"no": "id"}')


def test_an_envelope_names_its_schema() -> None:
    headers, value = read(GOLDEN[0])
    envelope: Envelope[Any] = decode(headers, json.dumps(value).encode())
    assert schemas()[envelope.event.type]["$id"].encode() == envelope.record().headers["ce_dataschema"]
