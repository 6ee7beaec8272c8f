"""Why a correction is not accepted: each function returns a reason with an explanation for people, or None."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, or_, select

from overread.core.corrections import MOVES, Verdict
from overread.core.events import CorrectionSubmitted, Refusal
from overread.core.series import SeriesManifest
from overread.review.tables import candidates

Objection = tuple[Refusal, str]


def unknown(command: CorrectionSubmitted) -> Objection:
    """The candidate, or for an addition its study, has never been heard of."""
    if command.verdict is Verdict.ADDED:
        return Refusal.UNKNOWN_CANDIDATE, (
            f"no candidate of study {command.study} is known here, so nobody can say whose lesion this is; "
            "send the study through the gateway first"
        )
    return Refusal.UNKNOWN_CANDIDATE, f"candidate {command.candidate} is not known here (not arrived, or purged)"


def wrong_study(command: CorrectionSubmitted) -> Objection:
    """The command names a study that is not the candidate's."""
    return Refusal.WRONG_STUDY, f"candidate {command.candidate} does not belong to study {command.study}"


def stale(command: CorrectionSubmitted, current: int, *, exists: bool) -> Objection | None:
    """The reader saw another version than the one that stands; an addition meets a candidate that is there already."""
    if command.verdict is Verdict.ADDED and exists:
        return Refusal.ALREADY_EXISTS, f"candidate {command.candidate} exists already; an addition mints a new id"
    if command.expected_version != current:
        return Refusal.STALE_VERSION, (
            f"the candidate is at version {current}, the reader saw version {command.expected_version}; "
            "look at it again, then decide"
        )
    return None


def empty(command: CorrectionSubmitted, latest: dict[str, Row[Any]]) -> Objection | None:
    """A withdrawal of nothing; `latest` holds each reader's latest verdict."""
    if command.verdict is Verdict.WITHDRAWN:
        said = latest.get(command.reader)
        if said is None or said.verdict == Verdict.WITHDRAWN:
            return Refusal.NOTHING_TO_WITHDRAW, "this reader has said nothing of this candidate that still stands"
    return None


def misplaced(tx: Connection, command: CorrectionSubmitted, image: SeriesManifest | None) -> Objection | None:
    """The place is missing or lies in no image of the study.

    A lesion in somebody else's series would teach a lie, so the series must be one in which the study has a candidate.
    """
    place = command.place
    if command.verdict not in MOVES:
        return None
    if place is None:
        return Refusal.PLACE_MISSING, f"`{command.verdict.value}` needs a place: series, slice, x, y"
    here = select(candidates.c.candidate).where(
        candidates.c.study == command.study,
        or_(candidates.c.series == place.series, candidates.c.original_series == place.series),
    )
    if tx.execute(here.limit(1)).first() is None:
        return Refusal.WRONG_STUDY, f"the place's series is none in which study {command.study} has a candidate"
    if image is None:
        return Refusal.OUTSIDE_IMAGE, "the place's series is not stored here any more"
    # (0, 0) is the centre of the first pixel: the image begins half a pixel before it. Not-a-number fails both tests.
    inside = -0.5 <= place.x <= image.columns - 0.5 and -0.5 <= place.y <= image.rows - 0.5
    if not (inside and 0 <= place.slice < len(image.slices)):
        return Refusal.OUTSIDE_IMAGE, (
            f"slice {place.slice}, x {place.x:g}, y {place.y:g} lies outside {len(image.slices)} slices of "
            f"{image.columns} x {image.rows} pixels"
        )
    return None
