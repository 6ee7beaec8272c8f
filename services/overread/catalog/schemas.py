"""JSON Schema 2020-12 of an event, from its class."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from overread.core.codec import schema_uri
from overread.core.events import EVENTS, Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


class _WithoutTitles(GenerateJsonSchema):
    """Pydantic would give each field a title that says its name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def schema(event: type[Event]) -> Schema:
    """Return the schema of an event's JSON value, whole: what it refers to stands in its own `$defs`."""
    made = event.model_json_schema(schema_generator=_WithoutTitles)
    return {"$schema": DIALECT, "$id": schema_uri(event.type), **made}


def schemas() -> dict[str, Schema]:
    """Return every event's schema by its type."""
    return {event.type: schema(event) for event in EVENTS}


def components() -> dict[str, Schema]:
    """Return every event's schema, and what they refer to, by class name, for one document that holds them all."""
    found: dict[str, Schema] = {}
    for event in EVENTS:
        made = event.model_json_schema(schema_generator=_WithoutTitles, ref_template="#/components/schemas/{model}")
        found |= made.pop("$defs", {})
        found[event.__name__] = made
    return dict(sorted(found.items()))
