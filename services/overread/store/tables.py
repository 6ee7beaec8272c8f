"""The tables that belong to the store itself: the bus's log, what was handled, and who holds what."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
)

from overread.store.engine import metadata

Serial = BigInteger().with_variant(Integer, "sqlite")

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("value", LargeBinary),
    Column("headers", JSON, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("refused", String),  # why the relay set it aside; there is no relay where the outbox is the log
    Index("outbox_order", "topic", "partition", "id"),
    sqlite_autoincrement=True,  # an id is never given twice, even after pruning
)
"""Events in the order of their transactions. On the embedded bus this *is* the log; else bus/relay.py carries it on."""

_aside = outbox.c.refused.is_not(None)
Index("outbox_refused", outbox.c.id, sqlite_where=_aside, postgresql_where=_aside)

inbox = Table(
    "inbox",
    metadata,
    Column("group", String, nullable=False),
    Column("event", String, nullable=False),
    PrimaryKeyConstraint("group", "event"),
    sqlite_with_rowid=False,
)
"""Which group has had the effect of which event."""

purges = Table(
    "purges",
    metadata,
    Column("group", String, nullable=False),
    Column("study", String, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("group", "study"),
)
"""When a study was purged, as each group heard it. Topics have no order among each other: what was said before and is
heard after is dropped."""

offsets = Table(
    "offsets",
    metadata,
    Column("group", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next", BigInteger, nullable=False),
    PrimaryKeyConstraint("group", "topic", "partition"),
)
"""Where each group goes on reading; only ever forwards."""

settled_letters = Table(
    "settled_letters",
    metadata,
    Column("letter", String, primary_key=True),  # SHA-256 of the letter
    Column("topic", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("name", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
)
"""What was done about dead letters, by whom, when and why (bus/settling.py)."""

bus_groups = Table(
    "bus_groups",
    metadata,
    Column("group", String, primary_key=True),
    Column("generation", Integer, nullable=False),
)

bus_members = Table(
    "bus_members",
    metadata,
    Column("group", String, nullable=False),
    Column("member", String, nullable=False),
    Column("topics", JSON, nullable=False),
    Column("expires", Float, nullable=False),
    PrimaryKeyConstraint("group", "member"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("expires", Float, nullable=False),
)
"""Things that one process at a time may do."""
