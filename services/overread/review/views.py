"""What the tables say, in the words of the REST API. A score leaves here only where its model is cleared."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from overread.core.corrections import Verdict
from overread.core.events import Purpose
from overread.review.schemas import (
    Candidate,
    CandidateWithVerdicts,
    Model,
    Point,
    Remaining,
    Said,
    Status,
    Study,
    Worklist,
    WorklistItem,
)
from overread.review.standing import standing
from overread.review.tables import candidates, models, verdicts
from overread.review.worklist import remaining, waiting


def see_worklist(tx: Connection, limit: int, purpose: Purpose | None) -> Worklist:
    """Return the next reads and how many wait."""
    items = [
        WorklistItem(
            candidate=row.candidate,
            study=row.study,
            purpose=Purpose(row.purpose),
            round=row.round,
            rank=row.rank,
            version=row.version,
            place=_point(row),
            **_score(row),
        )
        for row in waiting(tx, limit, purpose)
    ]
    return Worklist(items=items, remaining=Remaining(**remaining(tx)))


def see_candidate(tx: Connection, candidate: str) -> CandidateWithVerdicts | None:
    """Return a candidate with its ledger; None where it is not known."""
    row = tx.execute(
        select(candidates).where(candidates.c.candidate == candidate, candidates.c.series.is_not(None))
    ).first()
    if row is None:
        return None
    ledger = tx.execute(select(verdicts).where(verdicts.c.candidate == candidate).order_by(verdicts.c.version)).all()
    said = [
        Said(
            correction=entry.correction,
            version=entry.version,
            verdict=Verdict(entry.verdict),
            reader=entry.reader,
            reason=entry.reason,
            place=_point(entry),
            time=entry.time.replace(tzinfo=UTC),  # SQLite keeps no zone; all times are UTC
        )
        for entry in ledger
    ]
    return CandidateWithVerdicts(**_candidate(row), verdicts=said)


def see_study(tx: Connection, study: str) -> Study | None:
    """Return a study's candidates, by series, slice and position; None where none is known."""
    rows = tx.execute(
        select(candidates)
        .where(candidates.c.study == study, candidates.c.series.is_not(None))
        .order_by(candidates.c.series, candidates.c.slice, candidates.c.y, candidates.c.x, candidates.c.candidate)
    ).all()
    if not rows:
        return None
    series = {row.series for row in rows} | {row.original_series for row in rows} - {None}
    return Study(study=study, series=sorted(series), candidates=[Candidate(**_candidate(row)) for row in rows])


def see_status(tx: Connection) -> Status:
    """Return which model serves, how many corrections stand in the ledger, and what waits."""
    model = tx.execute(select(models).order_by(models.c.seen.desc(), models.c.version.desc()).limit(1)).first()
    return Status(
        model=Model(version=model.version, sha256=model.sha256, cleared=model.cleared) if model else None,
        **standing(tx),
    )


def find_study_of(tx: Connection, series: str) -> str | None:
    """Return the study in which a series manifest stands; None where no candidate names it."""
    study: str | None = tx.execute(
        select(candidates.c.study)
        .where(or_(candidates.c.series == series, candidates.c.original_series == series))
        .limit(1)
    ).scalar()
    return study


def find_series(tx: Connection) -> list[str]:
    """Return every manifest that a candidate names."""
    named = select(candidates.c.series).union(select(candidates.c.original_series))
    return sorted(series for series in tx.execute(named).scalars() if series is not None)


def _point(row: Row[Any]) -> Point:
    # These stood in an event or in a checked request already; the ledger may hold what the bus brought.
    return Point.model_construct(series=row.series, slice=row.slice, x=row.x, y=row.y)


def _score(row: Row[Any]) -> dict[str, Any]:
    cleared = bool(row.score_cleared)
    return {"score": row.score if cleared else None, "model_cleared": cleared}


def _candidate(row: Row[Any]) -> dict[str, Any]:
    return {
        "candidate": row.candidate,
        "study": row.study,
        "version": row.version,
        "source": row.source,
        "producer": row.producer,
        "place": _point(row),
        "radius_px": row.radius_px,
        "label": row.label,
        "agreement": row.agreement,
        "readers": row.readers,
        **_score(row),
    }
