"""The relay: on a broker the outbox is not the log, so somebody carries its rows there, in their order.

Writers take turns, so ids rise in the order of commits (docs/adr/0009) and one number says how far the relay is. It
stands among the offsets, as of a reader of a topic `outbox`: marking a batch costs one row, and rows are not touched.

A row is sent at least once. Who dies between the acknowledgement and the mark sends it again, and so may two relays at
a time for a moment, when one loses its lease while the broker keeps it waiting. Consumers drop doubles by ce_id. Each
relay sends without gaps from a place that had been reached, so what comes first of each row comes in order.

What the bus will never take (`InvalidEvent`, such as a record that is too large) is set aside with the reason, in its
row. Later rows of the same key go on: one of them may be the word that the study is purged, facts carry a full
snapshot, and every room puts up with a gap, as topics have no order among each other anyway. Whatever else goes wrong
stops the relay where it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from overread import metrics
from overread.bus.port import Bus, Record
from overread.core.clock import Clock, utc_now
from overread.core.errors import BusUnavailable, InvalidEvent, Misconfigured, Retryable
from overread.core.events import Event
from overread.store import deliveries
from overread.store.engine import Store
from overread.store.leases import Lease
from overread.store.tables import outbox

log = logging.getLogger(__name__)

READER = ("relay", "outbox", 0)
"""Under which group, topic and partition the place stands among the offsets."""

READ_AHEAD = 500
"""Rows that come from the database together."""


@dataclass
class Carried:
    """What the bus has acknowledged, and what it will never take."""

    first: int
    """The place that the batch was read from."""
    following: int
    """The place after the last row that is settled."""
    refused: dict[int, str] = field(default_factory=dict)
    """Reason by id."""


class Relay:
    """A duty: sends what is new in the outbox, one batch a turn, if this process holds the lease.

    Args:
        store: whose outbox it is.
        bus: where the rows go.
        holder: who we are among the processes that may relay.
        lease_seconds: after so long a relay that died is succeeded.
    """

    every = 0.05
    batch = 2000
    """Rows at most that are sent and marked together."""
    size = 4 << 20
    """Bytes that a batch is done with: it has one row more at most, and what is read ahead."""
    brake = 20
    """Refused rows in a row that stop the relay until it is started again: a broker set up wrongly, not bad rows."""

    def __init__(self, store: Store, bus: Bus, holder: str, *, lease_seconds: float = 10.0) -> None:
        self._store, self._bus = store, bus
        self._lease = Lease(store, "relay", holder, seconds=lease_seconds)
        self._renew_every, self._renew_at, self._ours = lease_seconds / 3, 0.0, False
        self._refused_in_a_row = 0
        self.trouble: str | None = None
        """What an operator has to mend before anything is sent."""

    def prepare(self) -> Carried | None:
        """Publish a batch; None where there is none, or where another relay runs.

        Raises:
            BusUnavailable: nothing of the batch was acknowledged; it comes again.
            Misconfigured: the bus lacks a topic or a right, and the operator has to give it.
        """
        if not self._holds():
            return None
        with self._store.reading() as tx:
            first = deliveries.next_offset(tx, *READER)
            rows = self._unsent(tx, first)
        try:
            found = self._carry(first, rows) if rows else None
        except Misconfigured as error:
            self.trouble = str(error)
            raise
        self.trouble = None
        return found

    def _unsent(self, tx: Connection, first: int) -> list[Row[Any]]:
        """Read rows until they are enough."""
        unsent = select(outbox).where(outbox.c.id >= first).order_by(outbox.c.id).limit(self.batch)
        rows: list[Row[Any]] = []
        size = 0
        with tx.execute(unsent, execution_options={"yield_per": READ_AHEAD}) as found:
            for row in found:
                rows.append(row)
                size += len(row.value or b"")
                if size >= self.size:
                    break
        return rows

    def _holds(self) -> bool:
        """Renew the lease now and then; ask for it as seldom while it is another's."""
        if time.monotonic() >= self._renew_at:
            self._ours = self._lease.take()
            self._renew_at = time.monotonic() + self._renew_every
        return self._ours

    def _carry(self, first: int, rows: Sequence[Row[Any]]) -> Carried:
        carried = Carried(first, first)
        parts = [rows]
        while parts:
            part = parts.pop()
            try:
                self._bus.publish([_record(row) for row in part])
                self._refused_in_a_row = 0
                metrics.relayed.inc(len(part))
            except InvalidEvent as error:
                if len(part) > 1:  # which one it was is found by halves, the first half first: order stays
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                    continue
                if self._refused_in_a_row >= self.brake:
                    if carried.following > first:
                        break  # what was settled is marked before anything stops
                    raise BusUnavailable(
                        f"relay: {self.brake} rows in a row are set aside, and the next one is refused too ({error}). "
                        "Mend the cause and start the relay again: nothing is lost."
                    ) from error
                self._refuse(part[0].id, error)
                carried.refused[part[0].id] = str(error)
            except Retryable:
                if carried.following == first:
                    raise
                break  # what was acknowledged is marked; the rest comes again
            carried.following = part[-1].id + 1
        return carried

    def _refuse(self, number: int, error: InvalidEvent) -> None:
        self._refused_in_a_row += 1
        log.error("relay: a row is set aside", extra={"row": number, "reason": str(error)})
        metrics.relay_refused.inc()

    def apply(self, tx: Connection, prepared: Carried) -> Sequence[Event]:
        """Mark what was settled, unless another relay has been here meanwhile."""
        if deliveries.next_offset(tx, *READER) != prepared.first:
            return ()
        deliveries.advance(tx, *READER, prepared.following)
        for number, reason in prepared.refused.items():
            tx.execute(update(outbox).where(outbox.c.id == number).values(refused=reason))
        return ()

    def close(self) -> None:
        """Let another relay begin at once."""
        if self._ours:
            self._lease.give_back()


class Prune:
    """A duty: forgets rows that were sent long ago. Those that were set aside stay.

    Args:
        store: whose outbox it is.
        keep: for so long what was sent can still be looked at.
        clock: by which rows were dated.
    """

    every = 60.0
    batch = 1000
    """Rows at most in one transaction."""

    def __init__(self, store: Store, keep: timedelta = timedelta(days=7), clock: Clock = utc_now) -> None:
        self._store, self._keep, self._clock = store, keep, clock

    def prepare(self) -> list[int] | None:
        """Return the ids of some old rows, or None."""
        before = self._clock() - self._keep
        with self._store.reading() as tx:
            sent = (outbox.c.id < deliveries.next_offset(tx, *READER)) & outbox.c.refused.is_(None)
            oldest = select(outbox.c.id, outbox.c.time).where(sent).order_by(outbox.c.id).limit(self.batch).subquery()
            return list(tx.execute(select(oldest.c.id).where(oldest.c.time < before)).scalars()) or None

    def apply(self, tx: Connection, prepared: list[int]) -> Sequence[Event]:
        """Delete them."""
        tx.execute(delete(outbox).where(outbox.c.id.in_(prepared)))
        return ()


class Standing(NamedTuple):
    """How the relay is doing."""

    unsent: int
    """Rows that are still to be sent."""
    refused: int
    """Rows that were set aside."""
    reasons: list[str]
    """Why, of the latest ten of them."""


def standing(tx: Connection) -> Standing:
    """Return what `overread status` says of the relay."""
    unsent = select(func.count()).select_from(outbox).where(outbox.c.id >= deliveries.next_offset(tx, *READER))
    aside = outbox.c.refused.is_not(None)
    return Standing(
        tx.execute(unsent).scalar_one(),
        tx.execute(select(func.count()).select_from(outbox).where(aside)).scalar_one(),
        list(tx.execute(select(outbox.c.refused).where(aside).order_by(outbox.c.id.desc()).limit(10)).scalars()),
    )


def release(tx: Connection) -> int:
    """Put what was set aside behind all other rows, to be tried again; return how many."""
    aside = outbox.c.refused.is_not(None)
    columns = [column for column in outbox.c if column.name not in {"id", "refused"}]
    again = select(*columns).where(aside).order_by(outbox.c.id)
    tx.execute(insert(outbox).from_select(columns, again))
    return tx.execute(delete(outbox).where(aside)).rowcount


def _record(row: Row[Any]) -> Record:
    headers = {name: value.encode("latin-1") for name, value in row.headers.items()}
    return Record(row.topic, row.key, row.value, headers)
