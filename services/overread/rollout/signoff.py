"""What people do to a rollout: sign, and stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from overread.core.errors import Conflict, GateFailed
from overread.core.events import Event, ModelPromoted, ModelRejected, ModelRolledBack
from overread.rollout import states
from overread.rollout.states import State
from overread.rollout.tables import rollout_evidence, rollout_signoffs
from overread.store.engine import upsert

MEANING = "I have seen the evidence and release this version to serve."


class Signature(NamedTuple):
    """Who signed what."""

    version: int
    evidence: str
    name: str
    new: bool


def sign(tx: Connection, version: int, name: str, *, time: datetime, meaning: str = MEANING) -> Signature:
    """Sign the evidence of a version that awaits it; signing twice counts once.

    Raises:
        GateFailed: the version does not await a signature, or there is none of that number.
    """
    if not name.strip():
        raise GateFailed("a signature needs a name: --name")
    row = states.version_row(tx, version)
    if row is None:
        raise GateFailed(f"there is no version {version}; see `overread rollout list`")
    if row.state != State.AWAITING_SIGNOFF:
        why = f" ({row.reason})" if row.reason else ""
        raise GateFailed(f"version {version} is {row.state}{why}; only a version that awaits sign-off can be signed")
    table = rollout_evidence
    evidence = tx.execute(
        select(table.c.sha256).where(table.c.version == version).order_by(table.c.time.desc()).limit(1)
    ).scalar_one()
    entry = upsert(rollout_signoffs).values(
        evidence=evidence, name=name.strip(), version=version, meaning=meaning, time=time
    )
    new = tx.execute(entry.on_conflict_do_nothing()).rowcount == 1
    return Signature(version, evidence, name.strip(), new)


def stop(tx: Connection, version: int, name: str, *, reason: str, time: datetime) -> Sequence[Event]:
    """Abort a version on its way; a champion is rolled back to the one before it, which serves again at once.

    Raises:
        Conflict: the version has ended already, is being promoted, or nothing stands to go back to.
    """
    row = states.version_row(tx, version)
    if row is None:
        raise Conflict(f"there is no version {version}; see `overread rollout list`")
    state = State(row.state)
    if state is State.CHAMPION:
        return _roll_back(tx, version, name, reason=reason, time=time)
    if State.ABORTED not in states.WAYS[state]:
        raise Conflict(f"version {version} is {state}; it can't be stopped any more")
    states.move(tx, version, state, State.ABORTED, by=name, reason=reason, time=time)
    rejected = ModelRejected(
        name=row.name, version=version, sha256=row.sha256, outcome="aborted", gate="stopped by a person"
    )
    return (rejected,)


def _roll_back(tx: Connection, version: int, name: str, *, reason: str, time: datetime) -> Sequence[Event]:
    before = [states.version_row(tx, old) for old in reversed(states.champions(tx))]
    target = next((row for row in before if row is not None and row.state == State.RETIRED), None)
    row = states.version_row(tx, version)
    if target is None or row is None:
        raise Conflict(f"version {version} is the first champion; there is nothing to go back to")
    states.move(tx, version, State.CHAMPION, State.ROLLED_BACK, by=name, reason=reason, time=time)
    back = f"restored: version {version} was rolled back"
    states.move(tx, target.version, State.RETIRED, State.CHAMPION, by=name, reason=back, time=time)
    states.crown(tx, target.version, first_clearance=False, time=time)
    return (
        ModelRolledBack(name=row.name, version=version, sha256=row.sha256, restored=target.version),
        ModelPromoted(
            name=target.name, version=target.version, sha256=target.sha256, previous=version, cleared=target.cleared
        ),
    )
