"""Inbox, offsets and purges: why an event that comes twice has its effect once, and one that comes too late none."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from overread.store.engine import upsert
from overread.store.tables import inbox, offsets, purges


def first_time(tx: Connection, group: str, event: str) -> bool:
    """Enter the event into the group's inbox; False if it was there already (its effect stands)."""
    statement = upsert(inbox).values(group=group, event=event).on_conflict_do_nothing()
    return tx.execute(statement).rowcount == 1


def was_handled(tx: Connection, group: str, event: str) -> bool:
    """Look without entering: spares the work of `prepare` on a redelivery."""
    return tx.execute(select(inbox.c.event).where(inbox.c.group == group, inbox.c.event == event)).first() is not None


def note_purge(tx: Connection, group: str, study: str, time: datetime) -> None:
    """Remember that the study was purged at this time."""
    row = upsert(purges).values(group=group, study=study, time=time)
    tx.execute(row.on_conflict_do_update(index_elements=["group", "study"], set_={"time": time}))


def was_purged_since(tx: Connection, group: str, study: str, time: datetime) -> bool:
    """Return whether the study was purged after something was said of it: a late event must not bring it back."""
    later = (purges.c.group == group) & (purges.c.study == study) & (purges.c.time > time)
    return tx.execute(select(purges.c.study).where(later)).first() is not None


def advance(tx: Connection, group: str, topic: str, partition: int, following: int) -> None:
    """Set where the group reads on, forwards only."""
    statement = upsert(offsets).values(group=group, topic=topic, partition=partition, next=following)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["group", "topic", "partition"],
            set_={"next": statement.excluded.next},
            where=offsets.c.next < statement.excluded.next,
        )
    )


def next_offset(tx: Connection, group: str, topic: str, partition: int) -> int:
    """Return where the group reads on; 0 where it never read."""
    row = tx.execute(
        select(offsets.c.next).where(
            offsets.c.group == group, offsets.c.topic == topic, offsets.c.partition == partition
        )
    ).first()
    return int(row.next) if row else 0
