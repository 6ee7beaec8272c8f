"""The ledger and its sums: for `overread status` and `overread replay --verify`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from overread.core.corrections import Verdict
from overread.review.tables import verdicts
from overread.review.worklist import remaining


def standing(tx: Connection) -> dict[str, Any]:
    """Return accepted corrections by verdict, and open reads by purpose."""
    rows = tx.execute(select(verdicts.c.verdict, func.count().label("said")).group_by(verdicts.c.verdict)).all()
    counted = {row.verdict: int(row.said) for row in rows}
    return {
        "corrections": {verdict.value: counted.get(verdict.value, 0) for verdict in Verdict},
        "remaining": remaining(tx),
    }


def ledger(tx: Connection) -> list[dict[str, Any]]:
    """Return every accepted correction, in the order of candidate and version.

    Without its time: live it is the click's, rebuilt the fact's, a moment later where the command came by the bus.
    """
    said = [column for column in verdicts.c if column.name != "time"]
    rows = tx.execute(select(*said).order_by(verdicts.c.candidate, verdicts.c.version)).all()
    return [row._asdict() for row in rows]
