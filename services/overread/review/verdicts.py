"""A reader's word: from the command to the fact, or to a refusal that says why.

`judge` decides by compare-and-set on the candidate's version; `record` writes what a fact says and nothing else, so the
ledger and the candidates can be rebuilt from the facts alone (`Restore`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from sqlalchemy import Connection, Executable, Row, bindparam, func, select, update

from overread import metrics
from overread.core.codec import Envelope
from overread.core.corrections import LABEL, MOVES, NAME, READER, REASON_AT_MOST, Verdict, adjudicate
from overread.core.errors import InvalidEvent, Undecodable
from overread.core.events import (
    CorrectionRefused,
    CorrectionSubmitted,
    Event,
    FindingCorrected,
    Place,
    Purpose,
    Source,
)
from overread.core.series import SeriesManifest
from overread.core.splits import Split
from overread.handler import Effect
from overread.review.objections import Objection, empty, misplaced, stale, unknown, wrong_study
from overread.review.tables import candidates, reads, verdicts
from overread.review.worklist import in_turn
from overread.store.engine import after_commit, upsert

BLOB_KEY = re.compile("[0-9a-f]{64}")

# Statements are built once: building one takes longer than the database takes to answer it.
_HERE = candidates.c.series.is_not(None)
_CANDIDATE = select(candidates).where(candidates.c.candidate == bindparam("candidate"), _HERE)
_SIBLING = select(candidates).where(candidates.c.study == bindparam("study"), _HERE).limit(1)
_SAID = verdicts.c.candidate == bindparam("candidate")
_LATEST = (
    select(verdicts)
    .where(_SAID, verdicts.c.version.in_(select(func.max(verdicts.c.version)).where(_SAID).group_by(verdicts.c.reader)))
    .order_by(verdicts.c.version)
)
# What is still open first, then in reading order.
_ASKED = (
    select(reads.c.purpose)
    .where(reads.c.candidate == bindparam("candidate"))
    .order_by(reads.c.open.desc(), *in_turn())
    .limit(1)
)
_ENTER = upsert(verdicts).on_conflict_do_nothing(index_elements=["correction"])
_CLOSE = update(reads).where(reads.c.candidate == bindparam("of")).values(open=bindparam("asked_again"))


class Manifests(Protocol):
    """The part of `pacs.slices.Slices` that a verdict needs."""

    def manifest(self, key: str) -> SeriesManifest:
        """Return the series' order; FileNotFoundError where it is gone."""
        ...


class Judge:
    """A command from the bus: another system's correction, or the bus's copy of one that REST has judged already."""

    consumes = CorrectionSubmitted

    def __init__(self, slices: Manifests) -> None:
        self._slices = slices

    def prepare(self, envelope: Envelope[CorrectionSubmitted]) -> SeriesManifest | None:
        """Check what the schema says nothing of, and read the manifest that the place names.

        Raises:
            InvalidEvent: the id, the reader or the reason is nothing that the ledger takes.
        """
        _check(envelope)
        return find_image(self._slices, envelope.event)

    def apply(
        self, tx: Connection, envelope: Envelope[CorrectionSubmitted], image: SeriesManifest | None
    ) -> Sequence[Event]:
        """Judge and say so."""
        outcome = judge(tx, envelope, image)
        after_commit(tx, lambda: count(outcome))
        return (outcome,)


class Restore(Effect):
    """A fact of the past: what `overread replay` hears to fill an empty database. No part of the running line."""

    consumes = FindingCorrected

    def apply(self, tx: Connection, envelope: Envelope[FindingCorrected], _prepared: None) -> Sequence[Event]:
        """Write what the fact says; a fact that stands already changes nothing."""
        record(tx, envelope.time, envelope.event)
        return ()


def find_image(slices: Manifests, command: CorrectionSubmitted) -> SeriesManifest | None:
    """Return the manifest of the command's place; None where it has no place or the series is gone."""
    # A command from the bus may hold anything: what is no blob key is not looked up.
    if command.place is None or not BLOB_KEY.fullmatch(command.place.series):
        return None
    try:
        return slices.manifest(command.place.series)
    except (FileNotFoundError, Undecodable):
        return None


def count(outcome: FindingCorrected | CorrectionRefused) -> None:
    """Raise the room's counters."""
    if isinstance(outcome, FindingCorrected):
        metrics.corrections.labels(outcome.verdict.value).inc()
    else:
        metrics.refusals.labels(outcome.reason.value).inc()


def judge(
    tx: Connection, envelope: Envelope[CorrectionSubmitted], image: SeriesManifest | None = None
) -> FindingCorrected | CorrectionRefused:
    """Decide on a correction and write it, all in the caller's transaction.

    Args:
        tx: a writing transaction: between look and write nobody else comes.
        envelope: holds a CorrectionSubmitted; its id becomes the correction's name.
        image: the manifest that the command's place names (`find_image`), read before the transaction began.

    Returns:
        The fact, already recorded; or the refusal, and nothing has changed.
    """
    command = envelope.event
    row = tx.execute(_CANDIDATE, {"candidate": command.candidate}).first()
    current = int(row.version) if row else 0
    adds = command.verdict is Verdict.ADDED
    if adds and row is None:  # the study's other candidates say whose it is
        row = tx.execute(_SIBLING, {"study": command.study}).first()
        exists = False
    else:
        exists = row is not None
    if row is None:
        return _refuse(envelope.id, command, unknown(command), current)
    if row.study != command.study:
        return _refuse(envelope.id, command, wrong_study(command), current)
    latest = _find_latest(tx, command.candidate)
    objection = stale(command, current, exists=exists) or empty(command, latest) or misplaced(tx, command, image)
    if objection is not None:
        return _refuse(envelope.id, command, objection, current)
    said = {reader: Verdict(verdict.verdict) for reader, verdict in latest.items()} | {command.reader: command.verdict}
    label = adjudicate(said.values())
    fact = FindingCorrected(
        correction=envelope.id,
        candidate=command.candidate,
        study=command.study,
        patient=row.patient,
        split=Split(row.split),
        site=row.site,
        application=row.application,
        source=Source.READER if adds else Source(row.source),
        purpose=_find_purpose(tx, command.candidate),
        version=current + 1,
        verdict=command.verdict,
        reader=command.reader,
        reason=command.reason,
        place=_place(command, row, latest),
        label=label.value,
        agreement=label.agreement,
        readers=label.readers,
        detector_score=None if adds else row.detector_score,
    )
    if not record(tx, envelope.time, fact):
        raise InvalidEvent(
            "ce_id is the name of another correction, which stands in the ledger; mint one for each click"
        )
    return fact


def _check(envelope: Envelope[CorrectionSubmitted]) -> None:
    command = envelope.event
    if NAME.fullmatch(envelope.id) is None:
        raise InvalidEvent("ce_id is 8 to 128 letters, digits, dots, colons, dashes: a UUID, minted at the click")
    if READER.fullmatch(command.reader) is None:
        raise InvalidEvent("reader: 1 to 64 characters, no control characters")
    if len(command.reason or "") > REASON_AT_MOST:
        raise InvalidEvent(f"reason: at most {REASON_AT_MOST} characters, not {len(command.reason or '')}")


def _refuse(correction: str, command: CorrectionSubmitted, objection: Objection, current: int) -> CorrectionRefused:
    reason, detail = objection
    return CorrectionRefused(
        correction=correction,
        candidate=command.candidate,
        study=command.study,
        reason=reason,
        detail=detail,
        current_version=current,
    )


def _find_latest(tx: Connection, candidate: str) -> dict[str, Row[Any]]:
    """Return each reader's latest verdict, in the order in which they were said."""
    rows = tx.execute(_LATEST, {"candidate": candidate})
    return {row.reader: row for row in rows}


def _place(command: CorrectionSubmitted, row: Row[Any], latest: dict[str, Row[Any]]) -> Place:
    """Return where the candidate is after this verdict.

    A withdrawal leaves the place to the others: the last of them who saw a lesion saw it where the mark then stood.
    Where nobody is left it goes back to where its source had put it.
    """
    if command.place is not None and command.verdict in MOVES:
        return command.place
    if command.verdict is Verdict.WITHDRAWN:
        others: Iterable[Row[Any]] = (said for reader, said in latest.items() if reader != command.reader)
        seen = [said for said in others if LABEL[Verdict(said.verdict)] == 1]
        if seen:
            last = max(seen, key=lambda said: int(said.version))
            return Place(series=last.series, slice=last.slice, x=last.x, y=last.y)
        if row.original_series is not None:
            return Place(series=row.original_series, slice=row.original_slice, x=row.original_x, y=row.original_y)
    return Place(series=row.series, slice=row.slice, x=row.x, y=row.y)


def _find_purpose(tx: Connection, candidate: str) -> Purpose | None:
    """Return why it was asked for."""
    purpose = tx.execute(_ASKED, {"candidate": candidate}).scalar()
    return Purpose(purpose) if purpose else None


def record(tx: Connection, time: datetime, fact: FindingCorrected) -> bool:
    """Write ledger, candidate and reads from the fact alone. A fact that is in the ledger already changes nothing.

    Returns False where it is.

    Args:
        tx: a writing transaction.
        time: when the reader said it.
        fact: facts of one candidate come in the order of their versions.
    """
    place = {"series": fact.place.series, "slice": fact.place.slice, "x": fact.place.x, "y": fact.place.y}
    entry = {
        "correction": fact.correction,
        "candidate": fact.candidate,
        "study": fact.study,
        "version": fact.version,
        "verdict": fact.verdict.value,
        "reader": fact.reader,
        "reason": fact.reason,
        "time": time,
        **place,
    }
    if tx.execute(_ENTER, entry).rowcount == 0:
        return False
    state = {
        **place,
        "version": fact.version,
        "label": fact.label,
        "agreement": fact.agreement,
        "readers": fact.readers,
    }
    origin: dict[str, Any] = {
        "study": fact.study,
        "patient": fact.patient,
        "split": fact.split.value,
        "site": fact.site,
        "application": fact.application,
        "source": fact.source.value,
        "detector_score": fact.detector_score,
    }
    if fact.verdict is Verdict.ADDED:  # this reader is its source
        origin |= {"producer": fact.reader, **{f"original_{name}": value for name, value in place.items()}}
    said = {**origin, **state}
    tx.execute(_replace(tuple(said)), {"candidate": fact.candidate, **said})
    # One reader's answer is what was asked for; the undo of the only answer asks again.
    tx.execute(_CLOSE, {"of": fact.candidate, "asked_again": fact.readers == 0})
    return True


@cache
def _replace(names: tuple[str, ...]) -> Executable:
    """Return the statement that writes these columns of a candidate, whether it is there or not."""
    entry = upsert(candidates)
    return entry.on_conflict_do_update(
        index_elements=["candidate"], set_={name: entry.excluded[name] for name in names}
    )
