"""The locked set: candidates of locked patients, and what readers said of them. Only this room ever sees both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from overread.core.codec import Envelope
from overread.core.events import CandidateReceived, Event, FindingCorrected, Place, Source, StudyPurged
from overread.core.splits import Split
from overread.handler import Effect
from overread.rollout.tables import rollout_candidates, rollout_champions, rollout_truth
from overread.store.engine import upsert


class Case(NamedTuple):
    """An answered candidate of a locked patient."""

    candidate: str
    patient: str
    place: Place
    label: int
    detector_score: float | None


class LockedSet(NamedTuple):
    """Everything that a gate may count. `answered` includes reads without a label (unsure, split)."""

    cases: tuple[Case, ...]
    candidates: int
    answered: int
    missed: int
    """Lesions that readers added: false negatives of the candidate source, which no classifier is asked about."""


def locked_set(tx: Connection) -> LockedSet:
    """Return the set as it stands, in the order of candidates' ids."""
    candidates, truth = rollout_candidates, rollout_truth
    rows = tx.execute(
        select(candidates, truth.c.label, truth.c.readers)
        .outerjoin(truth, truth.c.candidate == candidates.c.candidate)
        .order_by(candidates.c.candidate)
    ).all()
    cases = tuple(
        Case(
            row.candidate,
            row.patient,
            Place(series=row.series, slice=row.slice, x=row.x, y=row.y),
            row.label,
            row.detector_score,
        )
        for row in rows
        if row.label is not None
    )
    added = tx.execute(select(truth.c.candidate).where(truth.c.source == Source.READER, truth.c.label == 1)).all()
    return LockedSet(cases, len(rows), sum(1 for row in rows if row.readers), len(added))


def closed(tx: Connection) -> bool:
    """Return whether the first clearance has closed the set."""
    return tx.execute(select(rollout_champions).where(rollout_champions.c.first_clearance)).first() is not None


class Seal(Effect):
    """A candidate of a locked patient enters the set, as long as it is open."""

    consumes = CandidateReceived

    def apply(self, tx: Connection, envelope: Envelope[CandidateReceived], _prepared: None) -> Sequence[Event]:
        """Insert it; after the closure nothing changes the set that versions are compared on."""
        event = envelope.event
        if event.split is Split.LOCKED and not closed(tx):
            row = upsert(rollout_candidates).values(
                candidate=event.candidate,
                study=event.study,
                patient=event.patient,
                detector_score=event.detector_score,
                **event.place.model_dump(),
            )
            tx.execute(row.on_conflict_do_nothing())
        return ()


class Truth(Effect):
    """A reader answered."""

    consumes = FindingCorrected

    def apply(self, tx: Connection, envelope: Envelope[FindingCorrected], _prepared: None) -> Sequence[Event]:
        """Keep the newest version of a locked candidate's label.

        An amended place is not taken over: the model is judged where the candidate was, as it would have been in use.
        """
        event = envelope.event
        if event.split is Split.LOCKED:
            values = {"label": event.label, "readers": event.readers, "version": event.version}
            row = upsert(rollout_truth).values(
                candidate=event.candidate, study=event.study, source=event.source, **values
            )
            newer = rollout_truth.c.version < event.version
            tx.execute(row.on_conflict_do_update(index_elements=["candidate"], set_=values, where=newer))
        return ()


class Forget(Effect):
    """A purged study leaves the set."""

    consumes = StudyPurged

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> Sequence[Event]:
        """Delete its rows; evidence that was written stands, since it says what was seen then."""
        for table in (rollout_candidates, rollout_truth):
            tx.execute(delete(table).where(table.c.study == envelope.event.key))
        return ()
