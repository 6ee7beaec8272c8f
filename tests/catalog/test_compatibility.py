"""What would break somebody is named; what would not passes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from overread.catalog.compatibility import breaks
from overread.catalog.schemas import schema, schemas
from overread.core.events import CorrectionSubmitted, FindingCorrected, ModelRejected

BREAKS = [
    ("a field goes", lambda new: new["properties"].pop("reader"), "reader: no longer there"),
    ("a type changes", lambda new: new["properties"]["reader"].update(type="integer"), "reader: type was 'string'"),
    ("a new field is required", lambda new: _add(new, "shift", required=True), "shift: is new and not optional"),
    ("an optional field is required", lambda new: new["required"].append("reason"), "reason: was optional"),
    ("a promise is withdrawn", lambda new: new["required"].remove("reader"), "reader: was promised"),
    ("a name goes", lambda new: new["$defs"]["Verdict"]["enum"].remove("unsure"), "verdict: 'unsure' is no longer"),
    ("a list of names ends", lambda new: new["$defs"]["Verdict"].pop("enum"), "verdict: a list of names on one side"),
    ("a nested field goes", lambda new: new["$defs"]["Place"]["properties"].pop("slice"), "place.slice: no longer"),
    ("a limit appears", lambda new: new["properties"]["expected_version"].update(maximum=9), "maximum was absent"),
    ("null is refused", lambda new: new["properties"]["reason"]["anyOf"].pop(), "reason: 2 alternatives before, 1 now"),
    ("the unknown is refused", lambda new: new.update(additionalProperties=False), "additionalProperties was True"),
    ("a default changes", lambda new: new["properties"]["reason"].update(default="none"), "default was None"),
]  # fmt: skip


def _add(new: dict[str, Any], name: str, *, required: bool) -> None:
    new["properties"][name] = {"type": "string"}
    if required:
        new["required"].append(name)


@pytest.mark.parametrize(("change", "told"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_a_breaking_change_is_named(change: Any, told: str) -> None:
    old = schema(CorrectionSubmitted)
    new = deepcopy(old)
    change(new)
    found = breaks(old, new)
    assert len([line for line in found if told in line]) >= 1, found


def test_what_grows_breaks_nobody() -> None:
    old = schema(CorrectionSubmitted)
    new = deepcopy(old)
    _add(new, "shift", required=False)
    new["$defs"]["Verdict"]["enum"].append("deferred")
    new["$defs"]["Place"]["properties"]["z_mm"] = {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}
    new["description"] = "other words"
    assert breaks(old, new) == []
    assert breaks(new, old) != []


def test_lists_are_looked_into() -> None:
    old = schemas()["overread.candidate.scored.v1"]
    new = deepcopy(old)
    new["properties"]["logits"]["items"]["items"] = {"type": "string"}
    assert breaks(old, new) == ["logits[][]: type was 'number' and is 'string'"]


@pytest.mark.parametrize("kind", [CorrectionSubmitted, FindingCorrected, ModelRejected])
def test_a_schema_breaks_not_itself(kind: Any) -> None:
    assert breaks(schema(kind), schema(kind)) == []
