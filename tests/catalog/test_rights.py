"""Nobody may do more on a cluster than the topology says that it does."""

from __future__ import annotations

import itertools
import json
import shlex

from typer.testing import CliRunner

from overread.catalog.rights import INTEGRATOR, RELAY, commands, rights
from overread.cli import program
from overread.core.events import COMMANDS
from overread.topology import DEAD_LETTERS, LINE, ROOMS, TOPICS, hears


def _may(role: str, operation: str, kind: str = "topic") -> set[str]:
    return {
        right.name for right in rights() if right.role == role and operation in right.operations and right.kind == kind
    }


def test_a_room_reads_what_it_hears_and_writes_nothing() -> None:
    for room in ROOMS:
        assert _may(room, "Read") == hears(room)
        assert _may(room, "Write") == (set(TOPICS | DEAD_LETTERS) if room == RELAY else set())
        assert _may(room, "Read", "group") == ({room} if hears(room) else set())
    assert {row.room for row in LINE} >= {right.role for right in rights()} - {INTEGRATOR, "operator"}


def test_another_system_writes_commands_and_nothing_else() -> None:
    assert _may(INTEGRATOR, "Write") == {COMMANDS}


def test_nobody_has_a_right_to_everything() -> None:
    for right in rights():
        assert "All" not in right.operations
        assert not {"Delete", "Alter", "ClusterAction"} & set(right.operations)
        assert right.name not in {"", "*"}


def test_the_lines_for_kafka_say_the_same_as_the_table() -> None:
    granted = set()
    for line in commands("127.0.0.1:9092", "admin.properties", "cad-{room}"):
        words = shlex.split(line)
        assert words[:5] == [
            "kafka-acls",
            "--bootstrap-server",
            "127.0.0.1:9092",
            "--command-config",
            "admin.properties",
        ]
        pairs = list(itertools.pairwise(words))
        role = next(value for name, value in pairs if name == "--allow-principal").removeprefix("User:cad-")
        operations = tuple(value for name, value in pairs if name == "--operation")
        prefixed = ("--resource-pattern-type", "prefixed") in pairs
        kinds = {"cluster": ["kafka-cluster"] * ("--cluster" in words)}
        kinds |= {kind: [value for name, value in pairs if name == f"--{kind}"] for kind in ("topic", "group")}
        granted |= {(role, operations, kind, name, prefixed) for kind, names in kinds.items() for name in names}
    assert granted == {(right.role, right.operations, right.kind, right.name, right.prefixed) for right in rights()}


def test_the_command_prints_a_table_and_json_and_lines() -> None:
    run = CliRunner()
    rows = json.loads(run.invoke(program(), ["acls", "--json"]).stdout)
    assert {
        "user": "overread-relay",
        "may": "Write",
        "what": f"topic {COMMANDS}",
        "why": "carries the outbox there",
    } in rows
    lines = run.invoke(program(), ["acls", "--commands", "--bus", "kafka://one:9093,two:9093"]).stdout.splitlines()
    assert lines == commands("one:9093,two:9093", None, "overread-{room}")
