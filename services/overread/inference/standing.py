"""What was scored: for `overread status`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from overread.inference.tables import inference_candidates


def standing(tx: Connection) -> dict[str, Any]:
    """Return counts of candidates, of those that have a score, and of problems by reason."""
    table = inference_candidates
    counted = select(table.c.problem, func.count().label("number")).group_by(table.c.problem)
    problems = tx.execute(counted.where(table.c.problem.is_not(None)))
    return {
        "candidates": tx.execute(select(func.count(table.c.candidate))).scalar_one(),
        "scored": tx.execute(select(func.count(table.c.model))).scalar_one(),
        "problems": {row.problem: row.number for row in problems},
    }
