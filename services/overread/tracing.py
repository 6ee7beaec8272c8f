"""One trace a study, from C-STORE to the promoted model; off by default (W3C Trace Context, OpenTelemetry).

Between a C-STORE and an answer lie hours, a database, and people. So nothing is carried along but a `traceparent` in
each event's headers, and the trace's id is made of the event's key: whatever is ever said of a study lies in one trace,
whoever says it and whenever. What one key causes for another (a round that learnt from many studies, a model that is
promoted) is a link between traces. The id is a hash of a pseudonym, and spans name rooms, types and handlers only.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from overread.config import Tracing
from overread.core.codec import Record
from overread.core.errors import Misconfigured

HEADER = "traceparent"

_propagator = TraceContextTextMapPropagator()
_tracer: list[trace.Tracer] = []
"""One, where tracing is on."""
_share: list[float] = [1.0]


def configure(settings: Tracing, room: str) -> Callable[[], None]:
    """Begin to trace, where the settings say so; return what has to be called at the end, so that nothing is lost.

    Raises:
        Misconfigured: the exporter is not installed.
    """
    _tracer.clear()
    if not settings.exporter:
        return lambda: None
    provider = TracerProvider(resource=Resource.create({"service.name": f"overread-{room}"}))
    if settings.exporter == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stdout, formatter=_line)))
    else:
        provider.add_span_processor(BatchSpanProcessor(_otlp(settings.endpoint)))
    _tracer.append(provider.get_tracer("overread"))
    _share[0] = settings.share
    return provider.shutdown


def _line(made: ReadableSpan) -> str:
    return f"{made.to_json(indent=None)}\n"


def _otlp(endpoint: str) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise Misconfigured(
            "tracing.exporter: otlp needs an exporter that the base installation leaves out: "
            "pip install 'overread[tracing]'"
        ) from error
    return OTLPSpanExporter(endpoint=endpoint or None)


def is_on() -> bool:
    """Return whether spans are made."""
    return bool(_tracer)


def trace_of(key: str) -> int:
    """Return the id of the trace in which everything about a key lies (16 bytes of its SHA-256)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")


def _root(key: str) -> SpanContext:
    """Return a key's beginning: a span that nobody ever made and that all others descend from.

    Whether a trace is recorded is a matter of its id, so every room decides alike.
    """
    identity = trace_of(key)
    flags = TraceFlags.SAMPLED if identity % (1 << 32) < _share[0] * (1 << 32) else TraceFlags.DEFAULT
    parent = int.from_bytes(hashlib.sha256(key.encode()).digest()[16:24], "big") or 1
    return SpanContext(identity, parent, is_remote=True, trace_flags=TraceFlags(flags))


@contextmanager
def span(
    name: str, key: str = "", headers: Mapping[str, bytes] | None = None, began: int | None = None
) -> Iterator[None]:
    """Run something in a span: a child of the event's that caused it, else in the key's own trace, else in a new one.

    `began` is when it began, where that was earlier (ns since 1970).
    An error is recorded by its type: its words may repeat what somebody wrote.
    """
    if not _tracer:
        yield
        return
    kind = SpanKind.CONSUMER if headers is not None else SpanKind.INTERNAL
    begun = _tracer[0].start_span(name, _parent(key, headers or {}), kind, start_time=began)
    with trace.use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False), _noting(begun):
        yield


def _noting(begun: Span) -> ExitStack:
    """Note an error's type as it passes through."""

    def note(kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            begun.set_attribute("error.type", kind.__name__)

    stack = ExitStack()
    stack.push(note)
    return stack


def _parent(key: str, headers: Mapping[str, bytes]) -> context.Context | None:
    said = headers.get(HEADER, b"").decode("ascii", errors="replace")
    found = _propagator.extract({HEADER: said}) if said else context.Context()
    if trace.get_current_span(found).get_span_context().is_valid:
        return found
    return trace.set_span_in_context(NonRecordingSpan(_root(key))) if key else None


def links(keys: Iterable[str]) -> None:
    """Say that what is being done follows from everything that is known of these keys."""
    current = trace.get_current_span()
    if _tracer and current.is_recording():
        for key in keys:
            current.add_link(_root(key))


Outbox = Callable[[Any, Sequence[Record]], None]


def traced(outbox: Outbox) -> Outbox:
    """Return the outbox that gives each record its `traceparent`; one that a record brings along stays."""
    return lambda tx, records: outbox(tx, marked(records))


def marked(records: Sequence[Record]) -> list[Record]:
    """Give each record its `traceparent`, as part of what is being done; one that it brings along stays."""
    return (
        [_marked(record) if HEADER not in record.headers else record for record in records] if _tracer else [*records]
    )


def _marked(record: Record) -> Record:
    current = trace.get_current_span()
    made = _published(record, current)
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(made))
    made.end()
    return Record(
        record.topic, record.key, record.value, {**record.headers, **{k: v.encode() for k, v in carrier.items()}}
    )


def _published(record: Record, current: Span) -> Span:
    """Begin the span of a record: below what is being done, where that is about the same key, else linked to it."""
    doing = current.get_span_context()
    name, kind = f"publish {record.topic}", SpanKind.PRODUCER
    attributes = {"messaging.system": "overread", "messaging.destination.name": record.topic}
    if doing.is_valid and doing.trace_id == trace_of(record.key):
        return _tracer[0].start_span(name, kind=kind, attributes=attributes)
    above = trace.set_span_in_context(NonRecordingSpan(_root(record.key)))
    return _tracer[0].start_span(name, above, kind, attributes, [Link(doing)] if doing.is_valid else [])
