"""Who may do what on a Kafka cluster, from the topology: each room the least that its work needs.

Rooms write into the outbox; the relay alone writes to topics. So no room can say in another's name what it does not
say in its own database, and what another system may write is one topic: commands.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from overread.core.events import COMMANDS, FACTS, READS, REFUSALS
from overread.topology import DEAD_LETTERS, OPERATOR, ROOMS, TOPICS, hears

RELAY = "relay"
INTEGRATOR = "integrator"
"""The role of another system that submits corrections."""
OURS = "overread."
"""How every topic's name begins."""
READING = "reading-"
"""How the groups begin that read a topic once, from its beginning (`bus/reading.py`)."""


class Right(NamedTuple):
    """What one role may do with one resource. Write and Read include Describe."""

    role: str
    operations: tuple[str, ...]
    kind: str
    """`topic`, `group` or `cluster`."""
    name: str
    why: str
    prefixed: bool = False
    """Whether `name` is how the resource's name begins."""


def rights() -> list[Right]:
    """Return every right that a house and its neighbours need; whatever is not here is to be denied."""
    found = []
    for room in ROOMS:
        found += [Right(room, ("Read",), "topic", topic, why="hears it") for topic in sorted(hears(room))]
        if hears(room):
            found.append(Right(room, ("Read",), "group", room, why="commits what it has handled, and leaves"))
    found += [Right(RELAY, ("Write",), "topic", topic, why="carries the outbox there") for topic in TOPICS]
    found += [Right(RELAY, ("Write",), "topic", topic, why="carries dead letters there") for topic in DEAD_LETTERS]
    found += [
        Right(INTEGRATOR, ("Write",), "topic", COMMANDS, why="submits corrections"),
        *(
            Right(INTEGRATOR, ("Read",), "topic", topic, why=why)
            for topic, why in (
                (READS, "learns what is asked"),
                (FACTS, "learns what was accepted"),
                (REFUSALS, "learns what was refused"),
            )
        ),
        Right(INTEGRATOR, ("Read",), "group", f"{INTEGRATOR}-", prefixed=True, why="groups of its own"),
        Right(
            OPERATOR,
            ("Read", "Create", "DescribeConfigs", "AlterConfigs"),
            "topic",
            OURS,
            prefixed=True,
            why="topics, dlq, replay",
        ),
        Right(OPERATOR, ("Read",), "group", READING, prefixed=True, why="reads a topic from its beginning"),
        *(Right(OPERATOR, ("Describe",), "group", room, why="sees its lag") for room in ROOMS if hears(room)),
        Right(OPERATOR, ("Describe",), "cluster", "kafka-cluster", why="counts the brokers"),
    ]
    return found


def commands(servers: str, config: str | None, user: str) -> list[str]:
    """Return the lines for Kafka's `kafka-acls` that grant every right.

    Args:
        servers: of the cluster, as host:port.
        config: its file of client settings (`--command-config`), where the cluster asks who we are.
        user: what the users are called, `{room}` being the role: the setting `kafka.user`.
    """
    begin = ["kafka-acls", "--bootstrap-server", servers, *(["--command-config", config] if config else [])]
    names: dict[tuple[str, tuple[str, ...], str, bool], list[str]] = {}
    for right in rights():
        names.setdefault((right.role, right.operations, right.kind, right.prefixed), []).append(right.name)
    lines = []
    for (role, operations, kind, prefixed), some in names.items():
        who = ["--add", "--allow-principal", f"User:{user.replace('{room}', role)}"]
        may = [word for operation in operations for word in ("--operation", operation)]
        what = ["--cluster"] if kind == "cluster" else [word for name in some for word in (f"--{kind}", name)]
        lines.append(shlex.join([*begin, *who, *may, *what, *(["--resource-pattern-type", "prefixed"] * prefixed)]))
    return lines
