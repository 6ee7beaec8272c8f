"""Which version is champion, and which waits for its verdict: all that the trainer learns of a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from overread.core.codec import Envelope
from overread.core.events import ChallengerRegistered, Event, ModelPromoted, ModelRejected
from overread.handler import Effect
from overread.store.engine import upsert
from overread.trainer.tables import trainer_versions


@dataclass(frozen=True)
class Model:
    """A version in the trainer's eyes."""

    version: int
    sha256: str


def champion(tx: Connection) -> Model | None:
    """Return the version promoted last."""
    table = trainer_versions
    row = tx.execute(
        select(table).where(table.c.promotion.is_not(None)).order_by(table.c.promotion.desc()).limit(1)
    ).first()
    return Model(row.version, row.sha256) if row else None


def pending(tx: Connection) -> int | None:
    """Return a version of a round that has no verdict yet."""
    table = trainer_versions
    waiting = select(table.c.version).where(table.c.verdict == "pending", table.c.kind != "imported")
    return tx.execute(waiting.order_by(table.c.version).limit(1)).scalar()


def enter(tx: Connection, event: ChallengerRegistered) -> None:
    """Insert a version as pending, once."""
    row = upsert(trainer_versions).values(
        version=event.version, sha256=event.sha256, kind=event.kind, round=event.round, verdict="pending"
    )
    tx.execute(row.on_conflict_do_nothing())


class Register(Effect):
    """A challenger stands in the registry: an import, or one of a round, which has entered it before."""

    consumes = ChallengerRegistered

    def apply(self, tx: Connection, envelope: Envelope[ChallengerRegistered], _prepared: None) -> Sequence[Event]:
        """Insert as pending."""
        enter(tx, envelope.event)
        return ()


class Promote(Effect):
    """The champion changed."""

    consumes = ModelPromoted

    def apply(self, tx: Connection, envelope: Envelope[ModelPromoted], _prepared: None) -> Sequence[Event]:
        """Give the version the next place in the order of promotions."""
        event = envelope.event
        last = tx.execute(select(func.max(trainer_versions.c.promotion))).scalar() or 0
        tx.execute(
            update(trainer_versions)
            .where(trainer_versions.c.version == event.version)
            .values(verdict="promoted", promotion=last + 1)
        )
        return ()


class Reject(Effect):
    """A challenger will not serve; it is never a parent."""

    consumes = ModelRejected

    def apply(self, tx: Connection, envelope: Envelope[ModelRejected], _prepared: None) -> Sequence[Event]:
        """Note the verdict."""
        event = envelope.event
        tx.execute(
            update(trainer_versions).where(trainer_versions.c.version == event.version).values(verdict="rejected")
        )
        return ()
