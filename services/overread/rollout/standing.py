"""Where versions stand and how they came there: for `overread status` and `overread rollout`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from overread.rollout import states
from overread.rollout.locked import locked_set
from overread.rollout.states import State
from overread.rollout.tables import rollout_evidence, rollout_signoffs, rollout_transitions, rollout_versions


def standing(tx: Connection) -> dict[str, Any]:
    """Return versions, transitions, evidence, the champion and the line of champions."""
    champion = states.in_state(tx, State.CHAMPION)
    baseline = states.cleared_baseline(tx)
    locked = locked_set(tx)
    return {
        "champion": None if champion is None else {"version": champion.version, "sha256": champion.sha256},
        "cleared_baseline": None if baseline is None else baseline.version,
        "champions": states.champions(tx),
        "versions": versions(tx),
        "transitions": [
            row._asdict() for row in tx.execute(select(rollout_transitions).order_by(rollout_transitions.c.order))
        ],
        "evidence": [row.content for row in tx.execute(select(rollout_evidence).order_by(rollout_evidence.c.time))],
        "locked": {"candidates": locked.candidates, "answered": locked.answered, "cases": len(locked.cases)},
    }


def versions(tx: Connection) -> list[dict[str, Any]]:
    """Return all versions, oldest first."""
    return [row._asdict() for row in tx.execute(select(rollout_versions).order_by(rollout_versions.c.version))]


def show(tx: Connection, version: int) -> dict[str, Any] | None:
    """Return a version's row, history, evidence and signatures; None where there is no such version."""
    row = states.version_row(tx, version)
    if row is None:
        return None

    def mine(table: Any) -> list[Any]:
        return list(tx.execute(select(table).where(table.c.version == version)))

    return {
        **row._asdict(),
        "transitions": [one._asdict() for one in mine(rollout_transitions)],
        "evidence": [one.content | {"evidence_sha256": one.sha256} for one in mine(rollout_evidence)],
        "signatures": [one._asdict() for one in mine(rollout_signoffs)],
    }
