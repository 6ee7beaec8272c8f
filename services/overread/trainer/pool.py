"""The pool: candidates, their logits, and what readers said of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, bindparam, delete, select, update

from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent
from overread.core.events import CandidateReceived, CandidateScored, Event, FindingCorrected, StudyPurged
from overread.core.splits import Split
from overread.handler import Effect, Together, Work
from overread.store.engine import upsert
from overread.store.lists import listed
from overread.trainer.tables import trainer_labels, trainer_learnt, trainer_pool, trainer_requests, trainer_scores
from overread_learn.acquisition.bounds import fault

CHANGING = ("series", "slice", "x", "y", "label", "agreement", "readers", "verdict", "version")
"""What a later verdict may change about a label."""


class Admit(Effect, Together):
    """A candidate enters the pool."""

    consumes = CandidateReceived

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Insert once; where the answer came first, as read."""
        names = {envelope.event.candidate for envelope, _ in batch}
        answered = select(trainer_labels.c.candidate).where(
            trainer_labels.c.candidate.in_(listed(names)), trainer_labels.c.readers > 0
        )
        read = set(tx.execute(answered).scalars())
        rows = [
            {
                "candidate": envelope.event.candidate,
                "study": envelope.event.study,
                "patient": envelope.event.patient,
                "split": envelope.event.split,
                "arrived": envelope.time,
                "read": envelope.event.candidate in read,
            }
            for envelope, _ in batch
        ]
        tx.execute(upsert(trainer_pool).on_conflict_do_nothing(), rows)
        return ()


class Rate(Together):
    """A score arrives. Locked patients' scores are none of the trainer's business."""

    consumes = CandidateScored

    def prepare(self, envelope: Envelope[CandidateScored]) -> dict[str, object]:
        """Pack the logits.

        Raises:
            InvalidEvent: they are no patches of equally many classes, the embedding is no base64 of half-precision
                numbers, or a number of either is not finite or too large: selection could choose by none of them again.
        """
        event = envelope.event
        sizes = {len(patch) for patch in event.logits}
        if len(sizes) != 1 or min(sizes) < 2:
            raise InvalidEvent(f"logits of {len(event.logits)} patches of {sorted(sizes)} classes")
        logits = np.asarray(event.logits)
        if fault(logits):
            raise InvalidEvent(f"a logit is {fault(logits)}")
        try:
            embedding = None if event.embedding is None else base64.b64decode(event.embedding, validate=True)
        except ValueError as error:
            raise InvalidEvent("the embedding is no base64") from error
        if embedding is not None and (not embedding or len(embedding) % 2):
            raise InvalidEvent(f"an embedding of {len(embedding)} bytes is no row of half-precision numbers")
        if embedding and fault(np.frombuffer(embedding, "<f2")):
            raise InvalidEvent("the embedding has a number that is not finite")
        return {"logits": logits.astype("<f4").tobytes(), "embedding": embedding}

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Keep the latest: scores of one candidate come in the order in which they were made."""
        rows = [
            {
                "candidate": envelope.event.candidate,
                "study": envelope.event.study,
                "model": envelope.event.model,
                "classes": len(envelope.event.logits[0]),
                **prepared,
            }
            for envelope, prepared in batch
            if envelope.event.split is Split.TRAIN
        ]
        if rows:
            entry = upsert(trainer_scores)
            latest = {name: entry.excluded[name] for name in ("model", "classes", "logits", "embedding")}
            tx.execute(entry.on_conflict_do_update(index_elements=["candidate"], set_=latest), rows)
        return ()


class Learn(Effect, Together):
    """A fact arrives: the label as it stands after all readers."""

    consumes = FindingCorrected

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Replace the label, never by an older version; of locked patients note only that they were read."""
        read = update(trainer_pool).where(trainer_pool.c.candidate == bindparam("of")).values(read=bindparam("is_read"))
        tx.execute(read, [{"of": told.event.candidate, "is_read": told.event.readers > 0} for told, _ in batch])
        if rows := [_label(envelope) for envelope, _ in batch if envelope.event.split is not Split.LOCKED]:
            entry = upsert(trainer_labels)
            said = {name: entry.excluded[name] for name in CHANGING}
            newer = trainer_labels.c.version < entry.excluded.version
            tx.execute(entry.on_conflict_do_update(index_elements=["candidate"], set_=said, where=newer), rows)
        return ()


def _label(envelope: Envelope[FindingCorrected]) -> dict[str, object]:
    fact = envelope.event
    return {
        "candidate": fact.candidate,
        "study": fact.study,
        "patient": fact.patient,
        "split": fact.split,
        "source": fact.source,
        "purpose": fact.purpose,
        "since": envelope.time,
        "series": fact.place.series,
        "slice": fact.place.slice,
        "x": fact.place.x,
        "y": fact.place.y,
        "label": fact.label,
        "agreement": fact.agreement,
        "readers": fact.readers,
        "verdict": fact.verdict,
        "version": fact.version,
    }


class Forget(Effect):
    """A purged study teaches no more."""

    consumes = StudyPurged

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> Sequence[Event]:
        """Delete its rows."""
        study = envelope.event.key
        for table in (trainer_pool, trainer_scores, trainer_labels, trainer_requests, trainer_learnt):
            tx.execute(delete(table).where(table.c.study == study))
        return ()
