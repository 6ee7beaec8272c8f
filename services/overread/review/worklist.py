"""What waits for a reader, in which order, and with which score.

Topics have no order among each other: a score or a request to read may come before its candidate. Both are kept, and
the candidate appears in the worklist once all that it needs is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, delete, distinct, func, or_, select

from overread.core.codec import Envelope
from overread.core.events import CandidateReceived, CandidateScored, Event, Purpose, ReadRequested, StudyPurged
from overread.handler import Effect, Together, Work
from overread.review.tables import candidates, models, reads, requests, verdicts
from overread.store.engine import upsert

TURN = {Purpose.ACQUISITION: 0, Purpose.REFERENCE: 1, Purpose.AUDIT: 2}
"""Whose turn it is at equal rank."""
PLACE = ("series", "slice", "x", "y")


class List(Effect, Together):
    """A candidate is known from here on."""

    consumes = CandidateReceived

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Enter it, or complete the row that an early score or a restored fact began."""
        rows = [_candidate(envelope.event) for envelope, _ in batch]
        entry = upsert(candidates)
        said = {name: entry.excluded[name] for name in rows[0] if name not in PLACE}
        # Where readers have spoken the place is theirs: only the original is news.
        kept = {
            name: case((candidates.c.version == 0, entry.excluded[name]), else_=candidates.c[name]) for name in PLACE
        }
        tx.execute(entry.on_conflict_do_update(index_elements=["candidate"], set_={**said, **kept}), rows)
        return ()


def _candidate(event: CandidateReceived) -> dict[str, object]:
    place = {name: getattr(event.place, name) for name in PLACE}
    return {
        "candidate": event.candidate,
        "study": event.study,
        "patient": event.patient,
        "split": event.split.value,
        "site": event.site,
        "application": event.application,
        "source": event.source.value,
        "producer": event.producer,
        "radius_px": event.radius_px,
        "detector_score": event.detector_score,
        **{f"original_{name}": value for name, value in place.items()},
        **place,
    }


class Show(Effect, Together):
    """Keep a candidate's latest score."""

    consumes = CandidateScored

    def apply_all(self, tx: Connection, batch: Sequence[Work]) -> Sequence[Event]:
        """Replace the score, unless the one that stands was said later.

        Later means by the clock of the act, not by the version's number: after a rollback the restored version has the
        lower number, and a reader must not go on seeing what the withdrawn model said.
        """
        scores = [
            {
                "candidate": envelope.event.candidate,
                "study": envelope.event.study,
                "score": envelope.event.probability,
                "score_version": envelope.event.version,
                "score_cleared": envelope.event.cleared,
                "score_time": envelope.time,
            }
            for envelope, _ in batch
        ]
        entry = upsert(candidates)
        score = {name: entry.excluded[name] for name in scores[0] if name.startswith("score")}
        later = or_(candidates.c.score_time.is_(None), candidates.c.score_time <= entry.excluded.score_time)
        tx.execute(entry.on_conflict_do_update(index_elements=["candidate"], set_=score, where=later), scores)
        said: dict[tuple[int, str], dict[str, object]] = {}
        for envelope, _ in sorted(batch, key=lambda work: work.envelope.time):  # a batch names few models, many times
            event = envelope.event
            row = {"version": event.version, "sha256": event.model, "cleared": event.cleared, "seen": envelope.time}
            said[event.version, event.model] = row
        model = upsert(models)
        seen = {name: model.excluded[name] for name in ("cleared", "seen")}
        newer = models.c.seen <= model.excluded.seen
        keys = ["version", "sha256"]
        tx.execute(model.on_conflict_do_update(index_elements=keys, set_=seen, where=newer), [*said.values()])
        return ()


class Ask(Effect):
    """Somebody is asked to read a candidate."""

    consumes = ReadRequested

    def apply(self, tx: Connection, envelope: Envelope[ReadRequested], _prepared: None) -> Sequence[Event]:
        """Open a read, once for each purpose and round; what a reader has answered already stays closed."""
        event = envelope.event
        readers = tx.execute(select(candidates.c.readers).where(candidates.c.candidate == event.candidate)).scalar()
        entry = upsert(reads).values(
            candidate=event.candidate,
            purpose=event.purpose.value,
            round=event.round,
            study=event.study,
            rank=event.rank,
            open=not readers,
        )
        tx.execute(entry.on_conflict_do_nothing())
        return ()


class Forget(Effect):
    """A study is purged."""

    consumes = StudyPurged

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> Sequence[Event]:
        """Delete all that the room knows of it, the ledger's rows and the answers given over REST included."""
        event = envelope.event
        for table in (candidates, reads, verdicts, requests):
            tx.execute(delete(table).where(table.c.study == event.study))
        return ()


def in_turn() -> tuple[Any, ...]:
    """Return the ORDER BY of reads: by rank, then purpose, then round.

    Purposes take turns because each starts at rank 0: the most informative acquisition is read first and the reference
    set grows beside it, neither waiting for the other's end. At equal rank an earlier round comes first: a round ends
    when its reads are answered, so a leftover that is overtaken for ever would hold it open.
    """
    turn = case({purpose.value: place for purpose, place in TURN.items()}, value=reads.c.purpose)
    return reads.c.rank, turn, reads.c.round, reads.c.candidate


def waiting(tx: Connection, limit: int, purpose: Purpose | None = None) -> Sequence[Row[Any]]:
    """Return the open reads of known candidates in reading order, each candidate once: at its first turn."""
    asked = (
        select(
            reads.c.purpose,
            reads.c.round,
            reads.c.rank,
            candidates,
            func.row_number().over(partition_by=reads.c.candidate, order_by=in_turn()).label("turn"),
            func.row_number().over(order_by=in_turn()).label("position"),
        )
        .join(candidates, candidates.c.candidate == reads.c.candidate)
        .where(reads.c.open.is_(True), candidates.c.series.is_not(None))
    )
    if purpose is not None:
        asked = asked.where(reads.c.purpose == purpose.value)
    first = asked.subquery()
    return tx.execute(select(first).where(first.c.turn == 1).order_by(first.c.position).limit(limit)).all()


def remaining(tx: Connection) -> dict[str, int]:
    """Count the candidates that wait, by purpose; one that is asked for twice counts under both."""
    rows = tx.execute(
        select(reads.c.purpose, func.count(distinct(reads.c.candidate)).label("waiting"))
        .join(candidates, candidates.c.candidate == reads.c.candidate)
        .where(reads.c.open.is_(True), candidates.c.series.is_not(None))
        .group_by(reads.c.purpose)
    ).all()
    counted = {row.purpose: int(row.waiting) for row in rows}
    return {purpose.value: counted.get(purpose.value, 0) for purpose in Purpose}
