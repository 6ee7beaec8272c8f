"""Candidates to logits: at once when they arrive, again at low priority when another model serves."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, delete, or_, select, update

from overread import metrics
from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent, Undecodable
from overread.core.events import CandidateReceived, CandidateScored, Event, FindingCorrected, Place, StudyPurged
from overread.core.splits import Split
from overread.handler import Effect
from overread.inference.swap import Champion, Serving
from overread.inference.tables import inference_candidates, inference_read
from overread.pacs.views import Views
from overread.store.engine import Store, after_commit, upsert
from overread_learn.patches import cut
from overread_learn.scoring import probability

log = logging.getLogger(__name__)


class Scored(NamedTuple):
    """A candidate's logits (m, classes) and embeddings (m, d), and whose they are; or why there are none."""

    serving: Serving | None
    logits: NDArray[np.float32] | None
    embeddings: NDArray[np.float32] | None = None
    problem: str | None = None


class Scoring:
    """Cuts and scores one place with the model that serves."""

    def __init__(self, views: Views, champion: Champion) -> None:
        self._views, self._champion = views, champion

    @property
    def serving(self) -> Serving | None:
        """The model that scores now."""
        return self._champion.serving

    def score(self, place: Place) -> Scored:
        """Score with the serving model; no model yet is no problem, pixels that can't be used are."""
        serving = self._champion.serving
        if serving is None:
            return Scored(None, None)
        begun = time.perf_counter()
        try:
            view = self._views.at(place)
            patches = cut(view.prepared, view.x, view.y, serving.scorer.application, view.spacing_mm)
        except FileNotFoundError:
            return Scored(None, None, problem="pixels purged")
        except (Undecodable, InvalidEvent, ValueError) as error:
            return Scored(None, None, problem=str(error))
        logits, embeddings = serving.scorer.embed(patches)
        metrics.scoring_seconds.observe(time.perf_counter() - begun)
        return Scored(serving, logits, embeddings)


def _event(candidate: str, study: str, split: Split, scored: Scored) -> CandidateScored | None:
    if scored.serving is None or scored.logits is None:
        return None
    scorer = scored.serving.scorer
    return CandidateScored(
        candidate=candidate,
        study=study,
        split=split,
        logits=tuple(tuple(float(value) for value in row) for row in scored.logits),
        probability=probability(scored.logits),
        version=scored.serving.version,
        model=scorer.sha256,
        provider=scorer.provider,
        precision=scorer.precision,
        cleared=scored.serving.cleared,
        embedding=None if scored.embeddings is None else _half(scored.embeddings.mean(axis=0)),
    )


def _half(embedding: NDArray[np.float32]) -> str:
    # Half precision keeps three digits, plenty for distances, and an event of 1.4 kB for 512 numbers.
    return base64.b64encode(np.clip(embedding, -65504, 65504).astype("<f2").tobytes()).decode()


class Score:
    """A new candidate is scored at once; where no model serves yet, `Rescore` comes back to it."""

    consumes = CandidateReceived

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring

    def prepare(self, envelope: Envelope[CandidateReceived]) -> Scored:
        """Cut and score."""
        event = envelope.event
        return self._scoring.score(event.place)

    def apply(self, tx: Connection, envelope: Envelope[CandidateReceived], prepared: Scored) -> Sequence[Event]:
        """Remember the candidate and publish its score."""
        event = envelope.event
        if prepared.problem:
            log.warning("not scored", extra={"candidate": event.candidate, "reason": prepared.problem})
        scored = _event(event.candidate, event.study, event.split, prepared)
        row = upsert(inference_candidates).values(
            candidate=event.candidate,
            study=event.study,
            split=event.split,
            series=event.place.series,
            slice=event.place.slice,
            x=event.place.x,
            y=event.place.y,
            read=tx.execute(select(inference_read).where(inference_read.c.candidate == event.candidate)).first()
            is not None,
            model=scored.model if scored else None,
            problem=prepared.problem,
        )
        if tx.execute(row.on_conflict_do_nothing()).rowcount == 0 or scored is None:
            return ()
        after_commit(tx, metrics.scored.labels("new").inc)
        return (scored,)


class Rescore:
    """Algorithm 1 of AIFT selects under M(t-1): after a swap the unread pool is scored again, a few at a time.

    Where the strategy keeps away from what is `labelled`, train patients' answered candidates follow: embeddings of two
    models are of two spaces. They come last, since nobody waits for what a model says of them but selection.
    """

    every = 0.5
    chunk = 48
    """Candidates a turn: what arrives meanwhile waits no longer than these take."""

    def __init__(self, store: Store, scoring: Scoring, *, labelled: bool = False) -> None:
        self._store, self._scoring, self._labelled = store, scoring, labelled

    def prepare(self) -> list[tuple[CandidateScored | None, str, str | None]] | None:
        """Score the next chunk; image by image, since preparing an image costs more than scoring it."""
        serving = self._scoring.serving
        if serving is None:
            return None
        with self._store.reading() as tx:
            rows = self._stale(tx, serving.scorer.sha256, read=False)
            if self._labelled and not rows:
                rows = self._stale(tx, serving.scorer.sha256, read=True)
        if not rows:
            return None
        chunk = []
        for row in rows:
            scored = self._scoring.score(Place(series=row.series, slice=row.slice, x=row.x, y=row.y))
            chunk.append((_event(row.candidate, row.study, Split(row.split), scored), row.candidate, scored.problem))
        return chunk

    def _stale(self, tx: Connection, model: str, *, read: bool) -> Sequence[Row[Any]]:
        table = inference_candidates
        wanted: list[ColumnElement[bool]] = [table.c.read.is_(read), table.c.problem.is_(None)]
        if read:
            wanted.append(table.c.split == Split.TRAIN)
        stale = select(table).where(*wanted, or_(table.c.model.is_(None), table.c.model != model))
        return tx.execute(stale.order_by(table.c.series, table.c.slice, table.c.candidate).limit(self.chunk)).all()

    def apply(self, tx: Connection, prepared: list[tuple[CandidateScored | None, str, str | None]]) -> Sequence[Event]:
        """Note who scored, and publish."""
        for event, candidate, problem in prepared:
            values = {"problem": problem} if event is None else {"model": event.model}
            tx.execute(
                update(inference_candidates).where(inference_candidates.c.candidate == candidate).values(**values)
            )
        events = [event for event, _, _ in prepared if event is not None]
        after_commit(tx, lambda: metrics.scored.labels("again").inc(len(events)))
        return events


class MarkRead(Effect):
    """A candidate that was read leaves the pool; one whose every verdict was withdrawn comes back."""

    consumes = FindingCorrected

    def apply(self, tx: Connection, envelope: Envelope[FindingCorrected], _prepared: None) -> Sequence[Event]:
        """Note it, also for a candidate that has not come yet."""
        event = envelope.event
        read = event.readers > 0
        if read:
            entry = upsert(inference_read).values(candidate=event.candidate, study=event.study)
            tx.execute(entry.on_conflict_do_nothing())
        else:
            tx.execute(delete(inference_read).where(inference_read.c.candidate == event.candidate))
        table = inference_candidates
        tx.execute(update(table).where(table.c.candidate == event.candidate).values(read=read))
        return ()


class Forget(Effect):
    """A purged study."""

    consumes = StudyPurged

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> Sequence[Event]:
        """Delete its candidates."""
        study = envelope.event.key
        for table in (inference_candidates, inference_read):
            tx.execute(delete(table).where(table.c.study == study))
        return ()
