"""Why a round can't begin yet: each reason once, in the words that `overread status` shows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from overread.config import Trainer
from overread.core.splits import Split
from overread.trainer.labels import Labelled, digest
from overread.trainer.selection import open_reads, reference_reads
from overread.trainer.tables import trainer_rounds

STATES = ("waiting", "reading", "stopped")


def why_not(
    tx: Connection, settings: Trainer, number: int, train: Sequence[Labelled], validation: Sequence[Labelled]
) -> str | None:
    """Return why round `number` can't begin with these labels; None where it can.

    `reading` waits for answers that were asked for, or that selection can't ask for (validation patients are read
    completely anyway); `waiting` makes selection ask for more.
    """
    most, (still_open, steering) = settings.most_rounds, reference_reads(tx, Split.VALIDATION)
    reasons = {
        f"all {most} rounds are done": most is not None and number > most,
        "reading: requested reads are open": open_reads(tx) > 0,
        "reading: more than half of the validation patients' reads are open": 2 * still_open > steering,
        f"waiting: fewer than {settings.least_labels} labels of train patients": len(train) < settings.least_labels,
        "waiting: no label since the last round": digest(train) == _last_learnt(tx),
        "waiting: one class among the labels of train patients": _one_class(train),
        "reading: one class among the labels of validation patients": _one_class(validation),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def state_of(reason: str) -> str:
    """Return the state that a reason begins with, as `trainer_rounds` has it."""
    prefix = reason.partition(":")[0]
    return prefix if prefix in STATES else "waiting"


def _one_class(labels: Sequence[Labelled]) -> bool:
    return len({one.label for one in labels}) < 2


def _last_learnt(tx: Connection) -> str | None:
    """Return the digest of the labels that the last round learnt."""
    table = trainer_rounds
    last = select(table.c.labels_sha256).where(table.c.state == "registered").order_by(table.c.round.desc())
    return tx.execute(last.limit(1)).scalar()
