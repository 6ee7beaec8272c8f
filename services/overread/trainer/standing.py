"""What was learnt: for `overread status` and `overread labels`."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from overread.core.splits import Split
from overread.trainer.tables import trainer_labels, trainer_pool, trainer_rounds
from overread.trainer.versions import champion


def standing(tx: Connection) -> dict[str, Any]:
    """Return the rounds in order, the champion's version, and how much of the pool is unread."""
    current = champion(tx)
    unread = select(func.count()).where(trainer_pool.c.split == Split.TRAIN, trainer_pool.c.read.is_(False))
    rounds = tx.execute(select(trainer_rounds).order_by(trainer_rounds.c.round)).all()
    return {
        "champion": current.version if current else None,
        "unread": tx.execute(unread).scalar_one(),
        "rounds": [row._asdict() for row in rounds],
    }


def labels(tx: Connection) -> list[dict[str, Any]]:
    """Return every label of train and validation patients, in the order of candidates' ids."""
    rows = tx.execute(select(trainer_labels).order_by(trainer_labels.c.candidate)).all()
    return [row._asdict() for row in rows]


class Learnt(NamedTuple):
    """What a study taught."""

    labels: int
    versions: list[int]
    """Versions of rounds that were registered since: they may have learnt from it."""


def learnt_from(tx: Connection, study: str) -> Learnt:
    """Return a study's labels and the versions that may have learnt from them."""
    mine = trainer_labels.c.study == study
    first = tx.execute(
        select(func.min(trainer_labels.c.since)).where(mine, trainer_labels.c.split == Split.TRAIN)
    ).scalar()
    number = tx.execute(select(func.count()).where(mine)).scalar_one()
    if first is None:
        return Learnt(number, [])
    since = select(trainer_rounds.c.version).where(trainer_rounds.c.changed > first, trainer_rounds.c.round > 0)
    found = tx.execute(since.order_by(trainer_rounds.c.version)).scalars()
    return Learnt(number, [version for version in found if version is not None])
