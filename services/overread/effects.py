"""What a batch of events does to the database: inbox, effects, and the events that follow, in the caller's transaction.

Two ways to the same end. `of_all` asks inbox and purges once, and handlers that can do many at a time do; it takes a
batch in which nothing is wrong. `of_each` gives every event a savepoint, and makes a dead letter of the one that fails.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from overread import tracing
from overread.bus.dead_letters import dead_letter, is_parked, summary
from overread.bus.port import LARGEST, Message, Record, size_of
from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent, Misconfigured, Retryable
from overread.core.events import COMMANDS, Event, StudyPurged
from overread.handler import Handler, Together, Work, name
from overread.store import deliveries
from overread.store.engine import savepoint

log = logging.getLogger(__name__)


@dataclass
class Ready:
    """A message, and what was made of it before the transaction."""

    message: Message
    envelope: Envelope[Event] | None
    """None where it could not be decoded."""
    prepared: list[tuple[Handler, Any]]
    """What each handler has prepared; empty where the event is nobody's, or was handled before."""
    dead: Exception | None = None
    """Why it becomes a dead letter."""
    parked: bool = False
    attempts: int = 1

    @property
    def lives(self) -> bool:
        """Whether handlers have something to apply."""
        return self.dead is None and self.envelope is not None and bool(self.prepared)

    @property
    def told(self) -> Envelope[Event]:
        """The envelope of one that lives."""
        if self.envelope is None:
            raise ValueError("what could not be decoded tells nothing")
        return self.envelope


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
                said += [self._letter(item) for item in items if item.dead is not None]
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
            return [record for item in run for record in self._of_one(tx, item)]
        said: list[Record] = []
        for place, handler in enumerate(handlers):
            if isinstance(handler, Together):
                work = [Work(item.told, item.prepared[place][1]) for item in run]
                said += self.records(handler.apply_all(tx, work))
        return said

    def of_each(self, tx: Connection, batch: Sequence[Ready]) -> list[Record]:
        """Apply a batch event by event, each in a savepoint: one that fails becomes a dead letter."""
        said: list[Record] = []
        for item in batch:
            if item.lives:
                item.dead = self._try(tx, item, said)
            if item.dead is not None:
                said.append(self._letter(item))
        return said

    def _try(self, tx: Connection, item: Ready, said: list[Record]) -> Exception | None:
        envelope = item.told
        follows: list[Record] = []
        try:
            with savepoint(tx):
                late = deliveries.was_purged_since(tx, self._room, envelope.event.key, envelope.time)
                if deliveries.first_time(tx, self._room, envelope.entry) and (_answered(envelope) or not late):
                    follows = self._of_one(tx, item)
                if isinstance(envelope.event, StudyPurged):
                    deliveries.note_purge(tx, self._room, envelope.event.study, envelope.time)
        except (Retryable, Misconfigured):
            raise
        except Exception as error:
            if not isinstance(error, InvalidEvent):
                log.exception("%s: apply failed", self._room, extra={"event": envelope.id})
            return error
        said += follows
        return None

    def _of_one(self, tx: Connection, item: Ready) -> list[Record]:
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

    def _letter(self, item: Ready) -> Record:
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
