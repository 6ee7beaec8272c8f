"""Forget a study: its pixels here, and by event everything that other rooms know of it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, or_, select

from overread.core.codec import Envelope
from overread.core.events import StudyPurged, StudyPurgedAtSource
from overread.gateway.tables import gateway_instances, gateway_quarantine
from overread.store.blobs import Blobs
from overread.store.engine import Store
from overread.worker import Outbox


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
    with store.reading() as tx:
        rows = tx.execute(select(gateway_instances).where(mine)).all()
        instances = [row.instance for row in rows]
        kept = gateway_quarantine.c.instance.in_(instances)
        gone = {row.blob for row in rows} | set(tx.execute(select(gateway_quarantine.c.blob).where(kept)).scalars())
        elsewhere = gateway_instances.c.blob.in_(sorted(gone)) & ~gateway_instances.c.instance.in_(instances)
        gone -= set(tx.execute(select(gateway_instances.c.blob).where(elsewhere)).scalars())
    if not rows:
        return None
    for blob in gone:
        blobs.delete(blob)
    pseudonym = rows[0].study
    with store.writing() as tx:
        tx.execute(delete(gateway_quarantine).where(kept))
        tx.execute(delete(gateway_instances).where(mine))
        words = (StudyPurgedAtSource(study=pseudonym), StudyPurged(study=pseudonym))
        outbox(tx, [Envelope(word, "gateway").record() for word in words])
    return Purged(pseudonym, len(instances), len(gone))
