"""Whose answer teaches most: `ReadRequested`, with its reasons.

Train patients' unread candidates are ranked by the strategy under the champion's logits; a small random sample goes
beside them (`audit`). Validation and locked patients are read completely and in random order (`reference`): a worklist
of picks alone would bias every AUC.

A pick keeps the probability with which it was drawn, so that rates over all candidates can be told from the picks. That
holds only if each asking draws anew: the lots of an earlier one would favour whoever arrived since.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, select

from overread import metrics
from overread.config import Trainer
from overread.core.clock import Clock
from overread.core.events import Event, Purpose, ReadRequested
from overread.core.splits import Split
from overread.store.engine import Store, upsert
from overread.trainer import scores
from overread.trainer.labels import digest, labelled
from overread.trainer.strategies import check
from overread.trainer.tables import trainer_pool, trainer_requests, trainer_rounds
from overread.trainer.versions import champion, pending
from overread_learn.acquisition import Pool, Strategy
from overread_learn.acquisition import select as choose
from overread_learn.acquisition.representatives import LOOK_AT_LABELLED
from overread_learn.acquisition.strategy import BY_EMBEDDINGS

log = logging.getLogger(__name__)

QUIET_SECONDS = 20.0
"""A pool smaller than the budget is asked all the same once nothing has arrived for this long."""
FRESH = 0.9
"""Share of the unread pool that must carry the champion's logits before it is ranked."""
STALLED_SECONDS = 300.0
"""Candidates for which no score came in so long (their pixels can't be used) hold the others up no more; nor do those
that are labelled, all of which a strategy that keeps away from them waits for."""
CHUNK = 256
"""Reference reads that are asked for in one transaction."""

Share = Callable[[str, str], float]
"""(purpose, candidate) → a fixed number in [0, 1): `Pseudonyms.share`."""


class Select:
    """Asks for the next reads whenever the last ones are answered."""

    every = 0.5

    def __init__(self, store: Store, settings: Trainer, *, patches: int, share: Share, clock: Clock) -> None:
        self._strategy = check(settings)
        self._store, self._settings, self._patches = store, settings, patches
        self._share, self._clock = share, clock
        self._arrears = scores.Arrears(clock())

    def prepare(self) -> list[ReadRequested] | None:
        """Rank and choose; None where nothing is to be asked now."""
        with self._store.reading() as tx:
            return self._reference(tx) or self._round(tx) or None

    def apply(self, tx: Connection, prepared: list[ReadRequested]) -> Sequence[Event]:
        """Enter the requests; what was entered before is not asked twice."""
        new: list[Event] = []
        for event in prepared:
            row = upsert(trainer_requests).values(**event.model_dump())
            if tx.execute(row.on_conflict_do_nothing()).rowcount:
                new.append(event)
        return new

    def _reference(self, tx: Connection) -> list[ReadRequested]:
        """All candidates of validation and locked patients; the rank is a keyed lot, so the order is random."""
        asked = select(trainer_requests.c.candidate).where(trainer_requests.c.purpose == Purpose.REFERENCE)
        rows = tx.execute(
            select(trainer_pool)
            .where(
                trainer_pool.c.split.in_([Split.VALIDATION, Split.LOCKED]),
                trainer_pool.c.read.is_(False),
                trainer_pool.c.candidate.not_in(asked),
            )
            .limit(CHUNK)
        ).all()
        return [
            ReadRequested(
                candidate=row.candidate,
                study=row.study,
                purpose=Purpose.REFERENCE,
                round=0,
                rank=int(self._share("reference", row.candidate) * 1_000_000),
            )
            for row in rows
        ]

    def _round(self, tx: Connection) -> list[ReadRequested]:
        """The next budget: under way once per round, and again where the round waits for more."""
        current = champion(tx)
        following = next_round(tx)
        if current is None or pending(tx) is not None or open_reads(tx) > 0:
            return []
        if self._settings.most_rounds is not None and following > self._settings.most_rounds:
            return []
        asked = tx.execute(select(func.count()).where(trainer_requests.c.round == following)).scalar() or 0
        if asked and not self._wants_more(tx, following):
            return []
        unread = scores.count(tx, current.sha256, read=False)
        metrics.unread.set(unread.candidates)
        if not unread.by_champion or not self._enough(tx, unread.by_champion):
            return []
        away = self._strategy.draw in LOOK_AT_LABELLED
        known = scores.count(tx, current.sha256, read=True) if away else scores.Scored(0, 0)
        since = self._arrears.since(current.sha256, (unread, known), self._clock())
        late = unread.short_of(FRESH) or known.short_of(1)
        if late and (self._clock() - since).total_seconds() <= STALLED_SECONDS:
            return []
        fresh = scores.unread(tx, current.sha256, embeddings=self._strategy.embeds)
        pool = self._pool(tx, fresh, current.sha256)
        by = self._seeing(pool)
        # Not by how often the round has asked: a purge takes requests back, and the lots of an asking would come again.
        among = hashlib.sha256("\n".join(sorted(row.candidate for row in fresh)).encode()).hexdigest()[:16]
        seed = int(np.random.SeedSequence([self._settings.seed, following, int(among, 16)]).generate_state(1)[0])
        chosen = choose(pool, by, self._settings.budget, seed=seed, k_ref_m=self._patches)
        # The audit sample is random among the rest; its picks carry AIFT's terms like the others.
        taken = {pick.id for pick in chosen}
        rest = [row for row in fresh if row.candidate not in taken]
        rest.sort(key=lambda row: self._share(f"audit-{following}-{among}", row.candidate))
        few = rest[: self._settings.audit]
        lots = [
            replace(pick, propensity=len(few) / len(rest))  # drawn from the rest, not from the few
            for pick in (choose(scores.pool(few), "random", len(few), seed=seed, k_ref_m=self._patches) if few else ())
        ]
        study = {row.candidate: row.study for row in fresh}
        log.info(
            "reads requested", extra={"round": following, "strategy": by.name, "picks": len(chosen), "pool": len(fresh)}
        )
        return [
            ReadRequested(
                candidate=pick.id,
                study=study[pick.id],
                purpose=purpose,
                round=following,
                rank=place,
                strategy=by.name if purpose is Purpose.ACQUISITION else None,
                model=current.sha256,
                score=pick.score if purpose is Purpose.ACQUISITION else None,  # a lot is no score
                entropy=pick.entropy,
                diversity=pick.diversity,
                majority=pick.majority,
                propensity=pick.propensity,
            )
            for purpose, part in ((Purpose.ACQUISITION, chosen), (Purpose.AUDIT, lots))
            for place, pick in enumerate(part)
        ]

    def _pool(self, tx: Connection, fresh: Sequence[Row[Any]], model: str) -> Pool:
        """The unread candidates that the champion has scored, and what is known of the others."""
        pool = replace(scores.pool(fresh), counts=Counter(one.label for one in labelled(tx, Split.TRAIN)))
        if not self._strategy.embeds:
            return pool
        pool = replace(pool, embeddings=scores.stacked([row.embedding for row in fresh]))
        if pool.embeddings is None or self._now(pool).draw not in LOOK_AT_LABELLED:
            return pool
        seen = scores.answered(tx, model)
        every, found = scores.count(tx, model, read=True).candidates, 0 if seen is None else len(seen)
        if found < every:
            log.warning("the champion has not embedded all that is labelled", extra={"labelled": every, "seen": found})
        return replace(pool, labelled=seen)

    def _now(self, pool: Pool) -> Strategy:
        """Who chooses from it: the strategy or its cold start."""
        return self._strategy.now(pool.counts, pool.logits.shape[1])

    def _seeing(self, pool: Pool) -> Strategy:
        """The strategy, or where it would look now at embeddings that there are not, what is left of it."""
        if self._now(pool).draw not in BY_EMBEDDINGS or pool.embeddings is not None:
            return self._strategy
        # An imported champion may give none. Asking by the measure alone is better than asking nobody.
        instead = self._strategy.blind
        log.warning(
            "the champion gives no embeddings", extra={"strategy": self._strategy.name, "instead": instead.name}
        )
        return instead

    @staticmethod
    def _wants_more(tx: Connection, number: int) -> bool:
        """Whether the round waits for more than it has: what it said before the last answers counts no more."""
        said = tx.execute(select(trainer_rounds).where(trainer_rounds.c.round == number)).first()
        if said is None or said.state != "waiting":
            return False
        return bool(said.labels_sha256 == digest(labelled(tx, Split.TRAIN)))

    def _enough(self, tx: Connection, fresh: int) -> bool:
        if fresh >= self._settings.budget:
            return True
        last = tx.execute(select(func.max(trainer_pool.c.arrived))).scalar()
        return last is None or (self._clock() - _aware(last)).total_seconds() > QUIET_SECONDS


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def next_round(tx: Connection) -> int:
    """Return the round that is being collected for."""
    done = select(func.max(trainer_rounds.c.round)).where(trainer_rounds.c.state == "registered")
    last: int | None = tx.execute(done).scalar()
    return 1 if last is None else last + 1


def open_reads(tx: Connection) -> int:
    """Return how many ranked or audit reads nobody has answered."""
    unread = (
        select(func.count())
        .select_from(trainer_requests.join(trainer_pool, trainer_pool.c.candidate == trainer_requests.c.candidate))
        .where(trainer_requests.c.purpose != Purpose.REFERENCE, trainer_pool.c.read.is_(False))
    )
    return tx.execute(unread).scalar() or 0


def reference_reads(tx: Connection, split: Split) -> tuple[int, int]:
    """Return how many of a split's reference reads are open, and how many there are."""
    asked = trainer_requests.join(trainer_pool, trainer_pool.c.candidate == trainer_requests.c.candidate)
    mine = (trainer_requests.c.purpose == Purpose.REFERENCE) & (trainer_pool.c.split == split)
    every = select(func.count()).select_from(asked).where(mine)
    return tx.execute(every.where(trainer_pool.c.read.is_(False))).scalar() or 0, tx.execute(every).scalar() or 0
