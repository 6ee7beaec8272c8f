"""Would a change of an event break anybody? Both ways, against every schema that there ever was.

Old events stay in the log for ever and are read by new rooms; new events are read by rooms and foreign systems that
nobody has updated. So nothing disappears, nothing changes its type, what was promised stays promised, and what is new
is optional. A list of names (an enum) may grow: a reader that does not know the new name parks the event until it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

WORDS = frozenset({"$schema", "$id", "$defs", "$ref", "title", "description", "examples", "deprecated"})
"""Keywords that say nothing of what is valid, or are followed elsewhere."""
FOLLOWED = frozenset({"properties", "required", "enum", "items", "anyOf"})


def breaks(old: Schema, new: Schema) -> list[str]:
    """Return in what way a new schema breaks an old one, a line each: `place.x: no longer there`; empty if in none."""
    return list(_breaks(old, new, old, new, ""))


def _breaks(old: Schema, new: Schema, all_old: Schema, all_new: Schema, at: str) -> Iterator[str]:
    """Compare two schemas; `all_old` and `all_new` are the documents in which they stand."""
    old, new = _resolved(old, all_old), _resolved(new, all_new)
    for word in sorted((set(old) | set(new)) - WORDS - FOLLOWED):
        if old.get(word) != new.get(word):
            yield f"{at or 'event'}: {word} was {_said(old, word)} and is {_said(new, word)}"
    yield from _properties(old, new, all_old, all_new, at)
    if ("enum" in old) != ("enum" in new):
        yield f"{at}: a list of names on one side only"
    for name in old.get("enum", ()):
        if "enum" in new and name not in new["enum"]:
            yield f"{at}: {name!r} is no longer one of its names"
    if ("items" in old) != ("items" in new):
        yield f"{at}: a list on one side only"
    elif "items" in old:
        yield from _breaks(old["items"], new["items"], all_old, all_new, f"{at}[]")
    yield from _alternatives(old.get("anyOf", ()), new.get("anyOf", ()), all_old, all_new, at)


def _properties(old: Schema, new: Schema, all_old: Schema, all_new: Schema, at: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        where = f"{at}.{name}" if at else name
        if name not in after:
            yield f"{where}: no longer there"
            continue
        if name in required_before - required_after:
            yield f"{where}: was promised and is optional now"
        if name in required_after - required_before:
            yield f"{where}: was optional, and old events may lack it"
        yield from _breaks(before[name], after[name], all_old, all_new, where)
    for name in sorted(required_after - set(before)):
        yield f"{f'{at}.{name}' if at else name}: is new and not optional, and old events lack it"


def _alternatives(
    old: Sequence[Schema], new: Sequence[Schema], all_old: Schema, all_new: Schema, at: str
) -> Iterator[str]:
    """Compare what stands in `anyOf`, in its order: `optional` is written so."""
    if len(old) != len(new):
        yield f"{at}: {len(old)} alternatives before, {len(new)} now"
        return
    for before, after in zip(old, new, strict=True):
        yield from _breaks(before, after, all_old, all_new, at)


def _resolved(schema: Schema, document: Schema) -> Schema:
    """Follow a reference into the document's own definitions."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definition: Schema = document["$defs"][reference.removeprefix("#/$defs/")]
    return {**definition, **{word: value for word, value in schema.items() if word != "$ref"}}


def _said(schema: Schema, word: str) -> str:
    return repr(schema[word]) if word in schema else "absent"
