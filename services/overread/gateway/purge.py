"""Forget a study: its pixels here, and by event everything that other rooms know of it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, or_, select

from overread.core.codec import Envelope
from overread.core.events import StudyPurged, StudyPurgedAtSource
from overread.gateway.tables import gateway_instances, gateway_quarantine
from overread.handler import Outbox
from overread.store.blobs import Blobs
from overread.store.engine import Store


class Purged(NamedTuple):
    """What was forgotten."""

    study: str
    instances: int
    blobs: int


def purge(store: Store, outbox: Outbox, blobs: Blobs, study: str) -> Purged | None:
    """Delete by Study Instance UID or pseudonym; None where no such study is here.

    The pixels go first: a crash after that leaves names without pixels, and calling again finishes the work.
    """
    mine = or_(gateway_instances.c.study == study, gateway_instances.c.study_uid == study)
    gone: set[str] = set()
    while True:
        with store.reading() as tx:
            instances, more = _pixels(tx, mine)
        if not instances:
            return None
        for blob in more - gone:
            blobs.delete(blob)
        gone |= more
        with store.writing() as tx:
            if _pixels(tx, mine)[1] - gone:
                continue  # more of it arrived meanwhile, and that has pixels too
            row = tx.execute(select(gateway_instances.c.study).where(mine)).first()
            if row is None:
                return None  # somebody else has purged it meanwhile
            tx.execute(delete(gateway_quarantine).where(gateway_quarantine.c.instance.in_(instances)))
            tx.execute(delete(gateway_instances).where(mine))
            words = (StudyPurgedAtSource(study=row.study), StudyPurged(study=row.study))
            outbox(tx, [Envelope(word, "gateway").record() for word in words])
        return Purged(row.study, len(instances), len(gone))


def _pixels(tx: Connection, mine: ColumnElement[bool]) -> tuple[list[str], set[str]]:
    """Return a study's instances, and the blobs that nobody else has."""
    rows = tx.execute(select(gateway_instances.c.instance, gateway_instances.c.blob).where(mine)).all()
    instances = [row.instance for row in rows]
    kept = gateway_quarantine.c.instance.in_(instances)
    blobs = {row.blob for row in rows} | set(tx.execute(select(gateway_quarantine.c.blob).where(kept)).scalars())
    elsewhere = gateway_instances.c.blob.in_(sorted(blobs)) & ~gateway_instances.c.instance.in_(instances)
    return instances, blobs - set(tx.execute(select(gateway_instances.c.blob).where(elsewhere)).scalars())
