"""A study from its first instance to its candidates.

It settles when nothing arrived for `settle_seconds`. What arrives later settles it again: late slices make new
manifests (candidates keep the one they were found in), late reports add candidates and never replace any, and a report
that marks an image which has not come waits for it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from overread import metrics
from overread.candidates import marks as marking
from overread.candidates.eye import Eye, Looked
from overread.candidates.generator import Generator, load
from overread.candidates.marks import Mark
from overread.candidates.tables import candidates_found, candidates_instances, candidates_studies
from overread.config import Candidates, Gateway
from overread.core.clock import Clock
from overread.core.codec import Envelope
from overread.core.events import CandidateReceived, Event, InstanceReceived, Place, StudyPurgedAtSource
from overread.core.pseudonyms import Pseudonyms
from overread.pacs.slices import Slices
from overread.store.blobs import Blobs
from overread.store.engine import Store, after_commit, upsert

log = logging.getLogger(__name__)

LONGEST_PAUSE = 600.0
"""Between two tries of a study whose settling fails (s)."""


class Collect:
    """Notes an instance, and when its study last grew."""

    consumes = InstanceReceived

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def prepare(self, envelope: Envelope[InstanceReceived]) -> float:
        """Look at the clock."""
        del envelope
        return self._clock().timestamp()

    def apply(self, tx: Connection, envelope: Envelope[InstanceReceived], prepared: float) -> Sequence[Event]:
        """Enter it once; the same instance again does not keep its study from settling."""
        event = envelope.event
        columns = ("instance", "study", "series", "site", "sop_class", "modality", "blob")
        values = {name: getattr(event, name) for name in columns}
        entered = tx.execute(upsert(candidates_instances).values(**values).on_conflict_do_nothing())
        if entered.rowcount == 1:
            seen = upsert(candidates_studies).values(
                study=event.study, patient=event.patient, split=event.split, last_seen=prepared
            )
            tx.execute(seen.on_conflict_do_update(index_elements=["study"], set_={"last_seen": prepared}))
        return ()


class Forget:
    """Deletes what is known of a purged study; should it be sent again, it is a new one."""

    consumes = StudyPurgedAtSource

    def prepare(self, envelope: Envelope[StudyPurgedAtSource]) -> None:
        """Nothing to compute."""

    def apply(self, tx: Connection, envelope: Envelope[StudyPurgedAtSource], prepared: None) -> Sequence[Event]:
        """Delete its rows."""
        del prepared
        for table in (candidates_found, candidates_instances, candidates_studies):
            tx.execute(delete(table).where(table.c.study == envelope.event.key))
        return ()


class Settle:
    """Looks for one complete study at a time and announces its candidates.

    Args:
        store: the database.
        blobs: where instances are read and manifests written.
        slices: decoded pixels.
        pseudonyms: the site's.
        settings: of this room.
        gateway: which peer's candidates come from where.
        application: the CAD application's name.
        clock: the present.
        generator: instead of the one that the settings name.

    Raises:
        Misconfigured: the generator that the settings name is not to be had.
    """

    every = 1.0

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        slices: Slices,
        pseudonyms: Pseudonyms,
        settings: Candidates,
        gateway: Gateway,
        application: str,
        clock: Clock,
        generator: Generator | None = None,
    ) -> None:
        self._store, self._pseudonyms, self._settings = store, pseudonyms, settings
        self._application, self._clock = application, clock
        self._eye = Eye(blobs, slices, pseudonyms, gateway, generator or load(settings.generator))
        self._tried: dict[str, tuple[int, float]] = {}

    def prepare(self) -> Looked | None:
        """Read, order and search the study that has been complete for longest; None where none is due."""
        now = self._clock().timestamp()
        with self._store.reading() as tx:
            study = next((row for row in self._due(tx, now) if self._tried.get(row.study, (0, 0.0))[1] <= now), None)
            if study is None:
                return None
            mine = candidates_instances.c.study == study.study
            rows = tx.execute(select(candidates_instances).where(mine).order_by("instance")).all()
            earlier = tx.execute(select(candidates_found).where(candidates_found.c.study == study.study)).all()
        # A study that makes a generator fail comes again, ever more rarely, and stands in nobody's way meanwhile.
        tries = self._tried.get(study.study, (0, 0.0))[0] + 1
        self._tried[study.study] = (tries, now + min(2.0**tries, LONGEST_PAUSE))
        return self._eye.look(study, rows, earlier)

    def _due(self, tx: Connection, now: float) -> Sequence[Any]:
        fresh = select(candidates_instances.c.study).where(~candidates_instances.c.settled).distinct()
        return tx.execute(
            select(candidates_studies)
            .where(candidates_studies.c.study.in_(fresh))
            .where(candidates_studies.c.last_seen <= now - self._settings.settle_seconds)
            .order_by(candidates_studies.c.last_seen)
        ).all()

    def apply(self, tx: Connection, prepared: Looked) -> Sequence[Event]:
        """Mark what was looked at and announce what was never announced before."""
        study = prepared.study
        self._tried.pop(study.study, None)
        mine = candidates_instances.c.study == study.study
        if tx.execute(select(candidates_instances.c.instance).where(mine)).first() is None:
            return ()  # purged while it was looked at
        for instance in sorted(prepared.fresh | prepared.problems.keys()):
            said = prepared.problems.get(instance)
            values = {
                "settled": True,
                "waiting": instance in prepared.waiting,
                "problem": "; ".join(dict.fromkeys(said)) if said else None,
            }
            tx.execute(update(candidates_instances).where(candidates_instances.c.instance == instance).values(**values))
        events = [event for mark, key in prepared.marks for event in self._announce(tx, study, mark, key)]
        problems = Counter(problem for said in prepared.problems.values() for problem in said)
        for instance in prepared.problems.keys() & prepared.fresh:
            for problem in prepared.problems[instance]:
                # What a decoder says holds numbers; a label holds none.
                reason = problem if problem in marking.REASONS else "undecodable"
                after_commit(tx, metrics.set_aside.labels(reason).inc)
        report = log.warning if problems else log.info
        report(
            "study settled",
            extra={
                "study": study.study,
                "instances": prepared.instances,
                "candidates": len(events),
                "waiting": len(prepared.waiting),
                "problems": dict(problems),
            },
        )
        return events

    def _announce(self, tx: Connection, study: Any, mark: Mark, key: str) -> Sequence[Event]:
        candidate = self._pseudonyms.candidate(study.study, mark.source, *mark.identity)
        image = mark.frame.image
        entered = tx.execute(
            upsert(candidates_found)
            .values(
                candidate=candidate,
                study=study.study,
                series=image.series,
                source=mark.source,
                instance=image.instance,
                frame=mark.frame.frame,
                x=mark.x,
                y=mark.y,
                radius_px=mark.radius_px,
            )
            .on_conflict_do_nothing()
        )
        if entered.rowcount != 1:
            return ()
        after_commit(tx, metrics.candidates_found.labels(mark.source).inc)
        place = Place(series=key, slice=mark.at, x=mark.x, y=mark.y)
        return (
            CandidateReceived(
                candidate=candidate,
                study=study.study,
                patient=study.patient,
                split=study.split,
                site=image.site,
                application=self._application,
                source=mark.source,
                producer=mark.producer,
                place=place,
                radius_px=mark.radius_px,
                detector_score=mark.score,
            ),
        )


class Problem(NamedTuple):
    """Something that came and was of no use."""

    where: str
    reason: str
    count: int  # type: ignore[assignment]  # the table's column; nobody counts in this tuple
    """Instances."""


def problems(store: Store) -> list[Problem]:
    """Return what is wrong or waits, most frequent first: for `overread status`."""
    table = candidates_instances
    with store.reading() as tx:
        wrong = tx.execute(
            select(table.c.problem, func.count()).where(table.c.problem.is_not(None)).group_by(table.c.problem)
        ).all()
        waiting = tx.execute(select(func.count()).select_from(table).where(table.c.waiting)).scalar_one()
    found = [Problem("candidates", reason, count) for reason, count in wrong]
    if waiting:
        found.append(Problem("candidates", marking.WAITING, waiting))
    return sorted(found, key=lambda problem: (-problem.count, problem.reason))
