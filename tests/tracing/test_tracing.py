"""A study is a trace: from C-STORE on, across rooms, and by links to what was learnt from it."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from overread import tracing
from overread.config import Tracing
from overread.core.codec import Record
from overread.tracing import HEADER, configure, links, span, trace_of, traced

Spans = Callable[[], list[dict[str, Any]]]
KEY = "1.2.826.0.1.3680043.10.1"


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    configure(Tracing(), "")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    configure(Tracing(exporter="console"), "review")
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


def said(*records: Record) -> list[Record]:
    kept: list[Record] = []
    traced(lambda _, some: kept.extend(some))(None, records)
    return kept


def test_off_it_changes_nothing() -> None:
    record = Record("topic", KEY, b"{}", {"ce_id": b"1"})
    with span("anything", KEY):
        links(["others"])
        assert said(record) == [record]


def test_whatever_is_said_of_a_key_lies_in_its_trace(console: Spans) -> None:
    (first,) = said(Record("received", KEY, b"{}", {"ce_id": b"1"}))
    (later,) = said(Record("corrected", KEY, b"{}", {}))
    version, trace, parent, flags = first.headers[HEADER].decode().split("-")
    assert (version, flags) == ("00", "01")
    assert int(trace, 16) == trace_of(KEY)
    assert later.headers[HEADER].split(b"-")[1] == trace.encode()
    assert first.headers["ce_id"] == b"1"
    one, _ = console()
    assert one["name"] == "publish received"
    assert one["context"]["span_id"] == f"0x{parent}"
    assert one["resource"]["attributes"]["service.name"] == "overread-review"


def test_a_handlers_span_is_below_the_event_and_above_what_follows(console: Spans) -> None:
    (cause,) = said(Record("submitted", KEY, b"{}", {}))
    with span("review.verdicts.Judge", KEY, cause.headers):
        (effect,) = said(Record("corrected", KEY, b"{}", {}))
    submitted, corrected, judged = console()
    assert judged["parent_id"] == submitted["context"]["span_id"]
    assert corrected["parent_id"] == judged["context"]["span_id"]
    assert effect.headers[HEADER].decode().split("-")[2] == corrected["context"]["span_id"].removeprefix("0x")


def test_what_one_key_causes_for_another_is_a_link(console: Spans) -> None:
    with span("trainer.round.Round"):
        links([KEY, "another study"])
        said(Record("lifecycle", "the model", b"{}", {}))
    registered, learnt = console()
    assert int(registered["context"]["trace_id"], 16) == trace_of("the model")
    assert [link["context"]["span_id"] for link in registered["links"]] == [learnt["context"]["span_id"]]
    assert {int(link["context"]["trace_id"], 16) for link in learnt["links"]} == {
        trace_of(KEY),
        trace_of("another study"),
    }


def test_another_systems_trace_is_gone_on_with_and_linked(console: Spans) -> None:
    theirs = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with span("review.verdicts.Judge", KEY, {HEADER: theirs}):
        said(Record("corrected", KEY, b"{}", {}))
    corrected, judged = console()
    assert judged["context"]["trace_id"] == "0x0af7651916cd43dd8448eb211c80319c"
    assert judged["parent_id"] == "0xb7ad6b7169203331"
    assert int(corrected["context"]["trace_id"], 16) == trace_of(KEY)
    assert corrected["links"][0]["context"]["trace_id"] == judged["context"]["trace_id"]


@pytest.mark.parametrize("odd", [b"", b"\xff\xfe", b"00-0-0-01", b"nonsense"])
def test_a_traceparent_that_is_none_leads_to_the_keys_own_trace(console: Spans, odd: bytes) -> None:
    with span("handler", KEY, {HEADER: odd}):
        pass
    assert int(console()[0]["context"]["trace_id"], 16) == trace_of(KEY)


def test_an_error_is_recorded_by_its_type_alone(console: Spans) -> None:
    with pytest.raises(ValueError, match="DOE"), span("handler", KEY):
        raise ValueError("DOE^JANE is no number")
    (one,) = console()
    assert one["attributes"]["error.type"] == "ValueError"
    assert "DOE" not in json.dumps(one)


def test_a_share_of_the_studies_is_recorded_and_the_same_in_every_room() -> None:
    configure(Tracing(exporter="console", share=0.25), "review")
    kept = [said(Record("topic", f"study {n}", b"", {}))[0].headers[HEADER].endswith(b"01") for n in range(400)]
    assert 60 < sum(kept) < 140
    configure(Tracing(exporter="console", share=0.25), "gateway")
    again = [said(Record("topic", f"study {n}", b"", {}))[0].headers[HEADER].endswith(b"01") for n in range(400)]
    assert again == kept


@pytest.mark.network
def test_a_collector_gets_the_spans_when_the_room_ends() -> None:
    heard: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        end = configure(Tracing(exporter="otlp", endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces"), "relay")
        said(Record("topic", KEY, b"{}", {}))
        end()
        server.shutdown()
    (spans,) = (scope.spans for request in heard for one in request.resource_spans for scope in one.scope_spans)
    assert [(one.name, int.from_bytes(one.trace_id, "big")) for one in spans] == [("publish topic", trace_of(KEY))]


def test_the_module_is_off_where_nothing_is_set() -> None:
    assert Tracing().exporter == ""
    configure(Tracing(), "review")
    assert tracing._tracer == []
