"""The AsyncAPI document is valid by AsyncAPI's own parser, and says what the topology says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from overread.catalog.asyncapi import document
from overread.topology import LINE, TOPICS

PARSER = "@asyncapi/parser@3.6.3"
LOOK = """
import { Parser } from '@asyncapi/parser';
import { readFileSync } from 'node:fs';
const { document, diagnostics } = await new Parser().parse(readFileSync(0, 'utf8'));
const said = diagnostics.map((one) => `${one.message} (${one.path.join('.')})`);
console.log(JSON.stringify({ said, operations: document ? document.operations().length : 0 }));
"""


@pytest.fixture(scope="module")
def parser() -> Path:
    folder = Path(__file__).parents[2] / "build" / "asyncapi"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "@asyncapi" / "parser").is_dir():
        words = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefix", str(folder)]
        subprocess.run(["npm", "install", *words, PARSER], check=True, capture_output=True)
    (folder / "look.mjs").write_text(LOOK)
    return folder / "look.mjs"


def looked_at(parser: Path, text: str) -> dict[str, Any]:
    done = subprocess.run(["node", str(parser)], input=text, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.part("npm")
def test_asyncapis_own_parser_takes_it(parser: Path) -> None:
    found = looked_at(parser, json.dumps(document()))
    assert found == {"said": [], "operations": len(document()["operations"])}
    broken = json.dumps(document()).replace('"action": "send"', '"action": "shout"', 1)
    assert looked_at(parser, broken)["said"]


def test_it_says_what_the_topology_says() -> None:
    made = document()
    assert set(made["channels"]) == set(TOPICS)
    for row in LINE:
        for event in row.produces:
            assert event.__name__ in said(made, row.room, "send", event.topic)
        if not isinstance(row.consumes, str):
            assert row.consumes.__name__ in said(made, row.room, "receive", row.consumes.topic)


def test_a_foreign_system_may_submit_and_hear_what_became_of_it_and_nothing_else() -> None:
    mine = [name for name in document()["operations"] if name.startswith("another-system.")]
    assert mine == [
        "another-system.send.correction.submitted.v1",
        "another-system.receive.read.requested.v1",
        "another-system.receive.finding.corrected.v1",
        "another-system.receive.correction.refused.v1",
    ]


def said(made: dict[str, Any], room: str, action: str, topic: str) -> list[str]:
    operation = made["operations"][f"{room}.{action}.{topic.removeprefix('overread.')}"]
    return [message["$ref"].rpartition("/")[2] for message in operation["messages"]]
