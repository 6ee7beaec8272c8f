"""Inbox, offsets and purges: why an event that comes twice has its effect once, and one that comes too late none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, literal, select, true

from overread.store.engine import upsert
from overread.store.lists import each, listed
from overread.store.tables import inbox, offsets, purges

# Statements are built once: building one takes longer than the database takes to answer it.
_ENTER = upsert(inbox).on_conflict_do_nothing()
_PLACE = upsert(offsets)
_ADVANCE = _PLACE.on_conflict_do_update(
    index_elements=["group", "topic", "partition"],
    set_={"next": _PLACE.excluded.next},
    where=offsets.c.next < _PLACE.excluded.next,
)


def first_time(tx: Connection, group: str, event: str) -> bool:
    """Enter the event into the group's inbox; False if it was there already (its effect stands)."""
    return tx.execute(_ENTER, {"group": group, "event": event}).rowcount == 1


def enter(tx: Connection, group: str, events: Sequence[str]) -> set[str]:
    """Enter many at once; return those that were not there."""
    if not events:
        return set()
    # SQLite reads ON CONFLICT after a SELECT only where that has a WHERE.
    named = select(literal(group), each(events)).where(true())
    statement = upsert(inbox).from_select(["group", "event"], named).on_conflict_do_nothing()
    entered = set(tx.execute(statement.returning(inbox.c.event)).scalars())
    if odd := entered.difference(events):
        raise ValueError(f"the database holds {len(odd)} events under other names than they have")
    return entered


def handled(tx: Connection, group: str, events: Collection[str]) -> set[str]:
    """Look without entering: spares the work of `prepare` on a redelivery."""
    return set(
        tx.execute(select(inbox.c.event).where(inbox.c.group == group, inbox.c.event.in_(listed(events)))).scalars()
    )


def note_purge(tx: Connection, group: str, study: str, time: datetime) -> None:
    """Remember that the study was purged at this time."""
    row = upsert(purges).values(group=group, study=study, time=time)
    # An older word may come again, behind a newer one.
    later = purges.c.time < row.excluded.time
    tx.execute(row.on_conflict_do_update(index_elements=["group", "study"], set_={"time": time}, where=later))


def was_purged_since(tx: Connection, group: str, study: str, time: datetime) -> bool:
    """Return whether the study was purged after something was said of it: a late event must not bring it back."""
    later = (purges.c.group == group) & (purges.c.study == study) & (purges.c.time > time)
    return tx.execute(select(purges.c.study).where(later)).first() is not None


def purged(tx: Connection, group: str, studies: Collection[str]) -> dict[str, datetime]:
    """Return when each of some studies was purged, as far as the group has heard."""
    if not studies:
        return {}
    here = select(purges.c.study, purges.c.time).where(purges.c.group == group, purges.c.study.in_(listed(studies)))
    return {row.study: row.time for row in tx.execute(here)}


def advance(tx: Connection, group: str, topic: str, partition: int, following: int) -> None:
    """Set where the group reads on, forwards only."""
    tx.execute(_ADVANCE, {"group": group, "topic": topic, "partition": partition, "next": following})


def next_offset(tx: Connection, group: str, topic: str, partition: int) -> int:
    """Return where the group reads on; 0 where it never read."""
    row = tx.execute(
        select(offsets.c.next).where(
            offsets.c.group == group, offsets.c.topic == topic, offsets.c.partition == partition
        )
    ).first()
    return int(row.next) if row else 0
