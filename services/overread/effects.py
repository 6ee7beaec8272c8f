"""What a batch of events does to the database: inbox, effects, and the events that follow, in the caller's transaction.

Two ways to the same end. `of_all` asks inbox and purges once, and handlers that can do many at a time do; it takes a
batch in which nothing is wrong. `of_one` gives an event a savepoint, so that the worker can make a dead letter of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection

from overread import tracing
from overread.bus.dead_letters import dead_letter, is_parked, summary
from overread.bus.port import LARGEST, Record, size_of
from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent
from overread.core.events import COMMANDS, Event, StudyPurged
from overread.handler import Together, Work, name
from overread.ready import Ready
from overread.store import deliveries
from overread.store.engine import savepoint

log = logging.getLogger(__name__)


class Effects:
    """Applies a room's batches."""

    def __init__(self, room: str) -> None:
        self._room = room

    def of_all(self, tx: Connection, batch: Sequence[Ready]) -> list[Record]:
        """Apply a batch in which nothing is wrong.

        Raises:
            Exception: whatever a handler or the database has against one of the events.
        """
        told = [item.told for item in batch if item.lives]
        first = deliveries.enter(tx, self._room, [envelope.entry for envelope in told])
        purges = deliveries.purged(tx, self._room, {envelope.event.key for envelope in told})
        said: list[Record] = []
        for kind, items in groupby(batch, lambda item: type(item.told.event) if item.lives else None):
            if kind is None:
                said += [self.letter(item) for item in items if item.dead is not None]
                continue
            fresh = []
            for item in items:
                envelope = item.told
                late = purges.get(envelope.event.key, envelope.time) > envelope.time
                if envelope.entry in first and (_answered(envelope) or not late):
                    fresh.append(item)
                first.discard(envelope.entry)  # the same event again
                if isinstance(envelope.event, StudyPurged):
                    deliveries.note_purge(tx, self._room, envelope.event.study, envelope.time)
                    purges[envelope.event.study] = envelope.time
            said += self._of_run(tx, fresh)
        return said

    def _of_run(self, tx: Connection, run: Sequence[Ready]) -> list[Record]:
        """Apply neighbours of one type: together where every handler can, and no trace has to tell them apart."""
        handlers = [handler for handler, _ in run[0].prepared] if run else []
        if tracing.is_on() or not all(isinstance(handler, Together) for handler in handlers):
            return [record for item in run for record in self._handled(tx, item)]
        said: list[Record] = []
        for place, handler in enumerate(handlers):
            if isinstance(handler, Together):
                work = [Work(item.told, item.prepared[place][1]) for item in run]
                said += self.records(handler.apply_all(tx, work))
        return said

    def of_one(self, tx: Connection, item: Ready) -> list[Record]:
        """Apply one event in a savepoint: where it fails, nothing of it is left.

        Raises:
            Exception: whatever a handler or the database has against it.
        """
        envelope = item.told
        follows: list[Record] = []
        with savepoint(tx):
            late = deliveries.was_purged_since(tx, self._room, envelope.event.key, envelope.time)
            if deliveries.first_time(tx, self._room, envelope.entry) and (_answered(envelope) or not late):
                follows = self._handled(tx, item)
            if isinstance(envelope.event, StudyPurged):
                deliveries.note_purge(tx, self._room, envelope.event.study, envelope.time)
        return follows

    def _handled(self, tx: Connection, item: Ready) -> list[Record]:
        """Apply an event's handlers; return what follows from it."""
        said: list[Record] = []
        envelope, headers = item.told, item.message.record.headers
        for handler, prepared in item.prepared:
            with tracing.span(name(handler), envelope.event.key, headers):
                said += self.records(handler.apply(tx, envelope, prepared))
        return said

    def records(self, events: Sequence[Event]) -> list[Record]:
        """Return the events as the room's own records, each with its trace.

        Raises:
            InvalidEvent: one is larger than a bus takes: what nobody would ever hear must not be committed.
        """
        records = tracing.marked([Envelope(event, self._room).record() for event in events])
        for record in records:
            if (size := size_of(record)) > LARGEST:
                raise InvalidEvent(f"{record.topic}: what follows has {size} bytes; the bus takes {LARGEST}")
        return records

    def letter(self, item: Ready) -> Record:
        """Return the dead letter of an event that is dead, and say so in the log."""
        letter = dead_letter(item.message, self._room, item.dead or InvalidEvent(""), item.attempts)
        item.parked = is_parked(letter)
        if item.parked:
            log.warning("%s: parked", self._room, extra=summary(letter))
        else:
            log.error("%s: dead letter", self._room, extra=summary(letter))
        return letter


def _answered(envelope: Envelope[Event]) -> bool:
    """Return whether whoever sent it waits for an answer: then it is judged even where its study was purged since."""
    return envelope.event.topic == COMMANDS
