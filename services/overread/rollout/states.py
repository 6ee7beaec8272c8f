"""The states of a version and the only ways between them, by compare-and-set."""

from __future__ import annotations

import logging
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, Row, select, update

from overread.core.errors import Conflict
from overread.rollout.tables import rollout_champions, rollout_transitions, rollout_versions

log = logging.getLogger(__name__)

Version = Row[tuple[int, str, str, str, int, str, str | None, bool, int | None]]
"""A row of `rollout_versions`."""


class State(StrEnum):
    """Where a version stands."""

    REGISTERED = "registered"
    VALIDATING = "validating"
    VALIDATED = "validated"
    AWAITING_SIGNOFF = "awaiting_signoff"
    PROMOTING = "promoting"
    CHAMPION = "champion"
    REJECTED = "rejected"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


WAYS: dict[State, frozenset[State]] = {
    # The bootstrap model goes straight to `promoting`: it serves selection only, and no gate could clear it.
    State.REGISTERED: frozenset({State.VALIDATING, State.PROMOTING, State.ABORTED}),
    State.VALIDATING: frozenset({State.VALIDATED, State.REJECTED, State.ABORTED}),
    State.VALIDATED: frozenset({State.AWAITING_SIGNOFF}),
    # Back to `validating` when another version became champion meanwhile: the comparison has to be made again.
    State.AWAITING_SIGNOFF: frozenset({State.PROMOTING, State.VALIDATING, State.ABORTED}),
    State.PROMOTING: frozenset({State.CHAMPION}),
    State.CHAMPION: frozenset({State.RETIRED, State.ROLLED_BACK}),
    State.RETIRED: frozenset({State.CHAMPION}),
    State.REJECTED: frozenset(),
    State.ABORTED: frozenset(),
    State.ROLLED_BACK: frozenset(),
}


def move(
    tx: Connection, version: int, come_from: State, to: State, *, by: str, reason: str | None, time: datetime
) -> None:
    """Change a version's state if it is still the one believed, and write the act down.

    Raises:
        Conflict: it is in another state by now, or there is no such way.
    """
    if to not in WAYS[come_from]:
        raise Conflict(f"version {version} can't go from {come_from} to {to}")
    here = (rollout_versions.c.version == version) & (rollout_versions.c.state == come_from)
    if tx.execute(update(rollout_versions).where(here).values(state=to, reason=reason)).rowcount != 1:
        raise Conflict(f"version {version} is no longer {come_from}; look again with `overread rollout show {version}`")
    note(tx, version, come_from, to, by=by, reason=reason, time=time)


def note(
    tx: Connection, version: int, come_from: State | None, to: State, *, by: str, reason: str | None, time: datetime
) -> None:
    """Append an act to the history."""
    tx.execute(
        rollout_transitions.insert().values(
            version=version, from_state=come_from, to_state=to, by=by, reason=reason, time=time
        )
    )
    log.info("rollout", extra={"version": version, "from": come_from, "to": to, "by": by, "reason": reason})


def version_row(tx: Connection, version: int) -> Version | None:
    """Return a version's row."""
    return tx.execute(select(rollout_versions).where(rollout_versions.c.version == version)).first()


def in_state(tx: Connection, state: State) -> Version | None:
    """Return the oldest version in a state."""
    table = rollout_versions
    return tx.execute(select(table).where(table.c.state == state).order_by(table.c.version).limit(1)).first()


def all_in(tx: Connection, state: State) -> list[Version]:
    """Return the versions in a state, oldest first."""
    table = rollout_versions
    return list(tx.execute(select(table).where(table.c.state == state).order_by(table.c.version)))


def cleared_baseline(tx: Connection) -> Version | None:
    """Return the version that was cleared first."""
    version = tx.execute(
        select(rollout_champions.c.version).where(rollout_champions.c.first_clearance).limit(1)
    ).scalar()
    return None if version is None else version_row(tx, version)


def crown(tx: Connection, version: int, *, first_clearance: bool, time: datetime) -> None:
    """Append to the line of champions."""
    tx.execute(rollout_champions.insert().values(version=version, first_clearance=first_clearance, time=time))


def champions(tx: Connection) -> list[int]:
    """Return every champion in order; one that was restored stands twice."""
    return list(tx.execute(select(rollout_champions.c.version).order_by(rollout_champions.c.order)).scalars())
