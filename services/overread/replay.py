"""Rebuild ledger and labels from the bus alone, from the beginning, into a fresh database.

Facts and candidates are kept for ever; everything else can be computed again. What was purged stays purged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL, inspect, make_url

from overread.bus.port import Bus, Message
from overread.bus.reading import everything
from overread.core.codec import Envelope, decode
from overread.core.errors import InvalidEvent, Misconfigured
from overread.core.events import CANDIDATES, FACTS, Event, FindingCorrected, StudyPurged
from overread.handler import Handler
from overread.review import standing as ledger
from overread.review import worklist
from overread.review.verdicts import Restore
from overread.store import deliveries
from overread.store.engine import Store
from overread.store.migrations import upgrade
from overread.trainer import pool
from overread.trainer import standing as taught

HANDLERS: tuple[Handler, ...] = (
    worklist.List(),
    worklist.Forget(),
    Restore(),
    pool.Admit(),
    pool.Learn(),
    pool.Forget(),
)
"""The rooms' own, so that what is rebuilt is what would have been built. `Restore` stands for review's judgement."""


class Replayed(NamedTuple):
    """What was read."""

    candidates: int
    facts: int
    skipped: int
    """Facts of purged studies, what came after `until`, and what is no event."""


def fresh(into: str) -> Store:
    """Open a new database and make our tables in it.

    Args:
        into: a file that does not exist yet, or the URL of a database without tables.

    Raises:
        Misconfigured: something is there already; it is left as it is.
    """
    if "://" not in into:
        into = URL.create("sqlite", database=str(Path(into).resolve())).render_as_string()
    store = Store(into)
    where = make_url(into)
    if where.drivername == "sqlite":
        taken = where.database is None or Path(where.database).exists()
    else:
        with store.reading() as tx:
            taken = bool(inspect(tx).get_table_names())
    if taken:
        store.close()
        raise Misconfigured(f"{store.place} is not empty; a replay goes into a fresh database")
    upgrade(store)
    return store


def replay(bus: Bus, into: Store, *, until: datetime | None, on_progress: Callable[[int], None]) -> Replayed:
    """Read candidates, then facts, each in the order of its partitions."""
    purged: dict[str, datetime] = {}
    counts = {CANDIDATES: 0, FACTS: 0}
    skipped = 0
    for topic in (CANDIDATES, FACTS):
        for messages in everything(bus, topic):
            batch = [_envelope(message) for message in messages]
            with into.writing() as tx:
                for envelope in batch:
                    if envelope is None:
                        skipped += 1
                        continue
                    event = envelope.event
                    late = until is not None and envelope.time > until
                    if isinstance(event, StudyPurged):
                        purged[event.study] = envelope.time
                        late = False  # a purge holds for any time: what was forgotten since is not brought back
                    gone = isinstance(event, FindingCorrected) and envelope.time < purged.get(
                        event.study, envelope.time
                    )
                    if gone or late:
                        skipped += 1
                        continue
                    if not deliveries.first_time(tx, "replay", envelope.id):
                        continue  # sent twice: a log may hold an event more than once
                    counts[topic] += 1
                    for handler in HANDLERS:
                        if isinstance(event, handler.consumes):
                            handler.apply(tx, envelope, handler.prepare(envelope))
            on_progress(len(batch))
    return Replayed(counts[CANDIDATES], counts[FACTS], skipped)


def differences(live: Store, rebuilt: Store) -> list[str]:
    """Compare ledger and labels row by row; an empty list says they are the same.

    In no order: two databases may sort texts differently.
    """
    found = []
    with live.reading() as ours, rebuilt.reading() as theirs:
        for name, rows in (("ledger", ledger.ledger), ("labels", taught.labels)):
            expected, got = (Counter(tuple(row.items()) for row in rows(tx)) for tx in (ours, theirs))
            if expected != got:
                odd = min([*(expected - got), *(got - expected)], key=str)
                counts = f"{expected.total()} rows live, {got.total()} rebuilt"
                found.append(f"{name}: {counts}, first difference {dict(odd)}")
    return found


def _envelope(message: Message) -> Envelope[Event] | None:
    """Decode; None for what every room set aside as a dead letter, too."""
    try:
        return decode(message.record.headers, message.record.value)
    except InvalidEvent:
        return None
