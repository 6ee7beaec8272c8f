"""What the champion has said of train patients' candidates: counted while selection waits, loaded when it chooses.

A hundred thousand of them hold 130 MB, and selection looks twice a second: what is only counted is counted by the
database, within its indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, func, select

from overread.core.splits import Split
from overread.trainer.tables import trainer_pool, trainer_scores
from overread_learn.acquisition import Pool

BURST = 0.1
"""Share of candidates that arrive, or lose their logits, at once, rather than one by one."""

_BOTH = trainer_pool.join(trainer_scores, trainer_scores.c.candidate == trainer_pool.c.candidate)


class Scored(NamedTuple):
    """How far scoring has come."""

    candidates: int
    by_champion: int
    """Of these, how many carry its logits."""

    @property
    def missing(self) -> int:
        """How many don't."""
        return self.candidates - self.by_champion

    def short_of(self, share: float) -> bool:
        """Whether fewer than this share carry them."""
        return self.by_champion < share * self.candidates


class Arrears:
    """Since when scoring has come no further: the fewest that lacked the champion's logits, and when they were so few.

    What arrives and is scored soon after is no progress: beside candidates that nobody can score it would hide for ever
    that nothing but these is missing. A tenth of all at once is a burst, and awaited anew.
    """

    def __init__(self, now: datetime) -> None:
        self._model, self._fewest, self._since = "", (0, 0), now

    def since(self, model: str, groups: tuple[Scored, Scored], now: datetime) -> datetime:
        """Look at unread and answered candidates, and return since when no fewer lacked this model's logits."""
        missing = (groups[0].missing, groups[1].missing)
        fell = any(few < before for few, before in zip(missing, self._fewest, strict=True))
        burst = any(
            few > before + BURST * group.candidates
            for few, before, group in zip(missing, self._fewest, groups, strict=True)
        )
        if model != self._model or burst:
            self._model, self._fewest, self._since = model, missing, now
        elif fell:
            self._fewest, self._since = (min(missing[0], self._fewest[0]), min(missing[1], self._fewest[1])), now
        return self._since


def count(tx: Connection, model: str, *, read: bool) -> Scored:
    """Count the train patients' candidates that somebody has answered, or nobody."""
    mine = _mine(read=read)
    every = select(func.count()).select_from(trainer_pool).where(*mine)
    scored = select(func.count()).select_from(_BOTH).where(*mine, trainer_scores.c.model == model)
    return Scored(tx.execute(every).scalar_one(), tx.execute(scored).scalar_one())


def unread(tx: Connection, model: str, *, embeddings: bool) -> Sequence[Row[Any]]:
    """Load what can be chosen from: candidate, study, classes, logits, and embedding where it is wanted."""
    columns = [trainer_pool.c.candidate, trainer_pool.c.study, trainer_scores.c.classes, trainer_scores.c.logits]
    wanted = [*columns, trainer_scores.c.embedding] if embeddings else columns
    return tx.execute(
        select(*wanted).select_from(_BOTH).where(*_mine(read=False), trainer_scores.c.model == model)
    ).all()


def answered(tx: Connection, model: str) -> NDArray[np.float16] | None:
    """Load the embeddings (l, d) of what was answered; None where there is none.

    Those of another model would be another space.
    """
    given = trainer_scores.c.embedding.is_not(None)
    found = select(trainer_scores.c.embedding).select_from(_BOTH)
    rows = tx.execute(found.where(*_mine(read=True), trainer_scores.c.model == model, given))
    return stacked(rows.scalars().all())


def pool(rows: Sequence[Row[Any]]) -> Pool:
    """Return rows as a pool of logits."""
    return Pool.of(
        [row.candidate for row in rows],
        [np.frombuffer(row.logits, "<f4").reshape(-1, row.classes) for row in rows],
    )


def stacked(embeddings: Sequence[bytes | None]) -> NDArray[np.float16] | None:
    """Stack embeddings, (n, d); None where one is missing or of another length."""
    rows = [np.frombuffer(row, "<f2") for row in embeddings if row is not None]
    return np.stack(rows) if rows and len(rows) == len(embeddings) and len({len(row) for row in rows}) == 1 else None


def _mine(*, read: bool) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return trainer_pool.c.split == Split.TRAIN, trainer_pool.c.read.is_(read)
