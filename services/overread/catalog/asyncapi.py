"""AsyncAPI 3 of the whole house, from the topology: which room says and hears what on which topic.

The schemas stand inside in AsyncAPI's own dialect, which knows no `$defs` (AsyncAPI 3.1, section Schema Object).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from overread.catalog.schemas import components
from overread.core.codec import schema_uri
from overread.core.events import (
    COMMANDS,
    EVENTS,
    FACTS,
    READS,
    REFUSALS,
    CorrectionRefused,
    CorrectionSubmitted,
    Event,
    FindingCorrected,
    ReadRequested,
)
from overread.topology import LINE, TOPICS

Node = dict[str, Any]


def document() -> Node:
    """Return the document, ready to be written as JSON."""
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Overread",
            "version": importlib.metadata.version("overread"),
            "description": "A CAD feedback loop: candidates, scores, reads, corrections, models. Events are "
            "CloudEvents 1.0 in Kafka's binary mode. No pixels and no identifiers: keys and UIDs are pseudonyms.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "schemas": components(),
        },
    }


def _channel(topic: str) -> Node:
    shape = TOPICS[topic]
    return {
        "address": topic,
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in _on(topic)},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": shape.partitions,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": shape.retention_ms},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(event: type[Event]) -> Node:
    words = (event.__doc__ or "").strip()
    return {
        "name": event.type,
        "summary": words.splitlines()[0],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": _key(event)}, "bindingVersion": "0.5.0"}},
    }


def _key(event: type[Event]) -> str:
    return "The study's pseudonym." if "study" in event.model_fields else "The model's name."


def _headers() -> Node:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"],
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {
                **text,
                "description": "Minted where the act happens (UUIDv7): an event that comes twice counts once.",
            },
            "ce_source": {**text, "description": "/overread/ROOM, or what another system calls itself."},
            "ce_type": {**text, "description": "The event's type, with its version."},
            "ce_time": {**text, "format": "date-time"},
            "ce_subject": {**text, "description": "The record's key."},
            "ce_dataschema": {**text, "format": "uri", "description": f"Such as {schema_uri(COMMANDS)}."},
            "content-type": {"type": "string", "const": "application/json"},
            "traceparent": {**text, "description": "W3C Trace Context, where tracing is on."},
        },
    }


def _operations() -> Node:
    """Return who sends and who receives; of a room's handlers of one topic, one operation."""
    sent: dict[tuple[str, str], list[type[Event]]] = {}
    heard: dict[tuple[str, str], list[type[Event]]] = {}
    for row in LINE:
        for event in row.produces:
            sent.setdefault((row.room, event.topic), []).append(event)
        if not isinstance(row.consumes, str):
            heard.setdefault((row.room, row.consumes.topic), []).append(row.consumes)
    # Seen from Overread, what any other system may do is the other way round (docs/events.md).
    sent["another-system", COMMANDS] = [CorrectionSubmitted]
    heard["another-system", READS] = [ReadRequested]
    heard["another-system", FACTS] = [FindingCorrected]
    heard["another-system", REFUSALS] = [CorrectionRefused]
    made = [("send", *each) for each in sent.items()] + [("receive", *each) for each in heard.items()]
    return {
        f"{room}.{action}.{topic.removeprefix('overread.')}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic}"},
            "title": f"{room} {'says' if action == 'send' else 'hears'} {', '.join(_names(events))}",
            "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in _names(events)],
        }
        for action, (room, topic), events in made
    }


def _names(events: list[type[Event]]) -> list[str]:
    return list(dict.fromkeys(event.__name__ for event in events))


def _on(topic: str) -> list[type[Event]]:
    return [event for event in EVENTS if event.topic == topic]
