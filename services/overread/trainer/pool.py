"""The pool: candidates, their logits, and what readers said of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, delete, select, update

from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent
from overread.core.events import CandidateReceived, CandidateScored, Event, FindingCorrected, StudyPurged
from overread.core.splits import Split
from overread.store.engine import upsert
from overread.trainer.tables import trainer_labels, trainer_learnt, trainer_pool, trainer_requests, trainer_scores
from overread.worker import Effect


class Admit(Effect):
    """A candidate enters the pool."""

    consumes = CandidateReceived

    def apply(self, tx: Connection, envelope: Envelope[CandidateReceived], _prepared: None) -> Sequence[Event]:
        """Insert once; where the answer came first, as read."""
        event = envelope.event
        labelled = tx.execute(
            select(trainer_labels.c.readers).where(trainer_labels.c.candidate == event.candidate)
        ).scalar()
        row = upsert(trainer_pool).values(
            candidate=event.candidate,
            study=event.study,
            patient=event.patient,
            split=event.split,
            arrived=envelope.time,
            read=bool(labelled),
        )
        tx.execute(row.on_conflict_do_nothing())
        return ()


class Rate:
    """A score arrives. Locked patients' scores are none of the trainer's business."""

    consumes = CandidateScored

    def prepare(self, envelope: Envelope[CandidateScored]) -> dict[str, object]:
        """Pack the logits.

        Raises:
            InvalidEvent: the embedding is no base64 of half-precision numbers.
        """
        event = envelope.event
        try:
            embedding = None if event.embedding is None else base64.b64decode(event.embedding, validate=True)
        except ValueError as error:
            raise InvalidEvent("the embedding is no base64") from error
        if embedding is not None and (not embedding or len(embedding) % 2):
            raise InvalidEvent(f"an embedding of {len(embedding)} bytes is no row of half-precision numbers")
        return {"logits": np.asarray(event.logits, dtype="<f4").tobytes(), "embedding": embedding}

    def apply(
        self, tx: Connection, envelope: Envelope[CandidateScored], prepared: dict[str, object]
    ) -> Sequence[Event]:
        """Keep the latest: scores of one candidate come in the order in which they were made."""
        event = envelope.event
        if event.split is Split.TRAIN:
            values = {"model": event.model, "classes": len(event.logits[0]), **prepared}
            row = upsert(trainer_scores).values(candidate=event.candidate, study=event.study, **values)
            tx.execute(row.on_conflict_do_update(index_elements=["candidate"], set_=values))
        return ()


class Learn(Effect):
    """A fact arrives: the label as it stands after all readers."""

    consumes = FindingCorrected

    def apply(self, tx: Connection, envelope: Envelope[FindingCorrected], _prepared: None) -> Sequence[Event]:
        """Replace the label, never by an older version; of locked patients note only that they were read."""
        event = envelope.event
        tx.execute(
            update(trainer_pool).where(trainer_pool.c.candidate == event.candidate).values(read=event.readers > 0)
        )
        if event.split is Split.LOCKED:
            return ()
        values = {
            "series": event.place.series,
            "slice": event.place.slice,
            "x": event.place.x,
            "y": event.place.y,
            "label": event.label,
            "agreement": event.agreement,
            "readers": event.readers,
            "verdict": event.verdict,
            "version": event.version,
        }
        row = upsert(trainer_labels).values(
            candidate=event.candidate,
            study=event.study,
            patient=event.patient,
            split=event.split,
            source=event.source,
            purpose=event.purpose,
            since=envelope.time,
            **values,
        )
        tx.execute(
            row.on_conflict_do_update(
                index_elements=["candidate"], set_=values, where=trainer_labels.c.version < event.version
            )
        )
        return ()


class Forget(Effect):
    """A purged study teaches no more."""

    consumes = StudyPurged

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> Sequence[Event]:
        """Delete its rows."""
        study = envelope.event.key
        for table in (trainer_pool, trainer_scores, trainer_labels, trainer_requests, trainer_learnt):
            tx.execute(delete(table).where(table.c.study == study))
        return ()
