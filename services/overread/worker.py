"""Poll, decode, prepare, apply, commit: the one loop in which every room handles events.

`prepare` reads and computes while no transaction is open; `apply` only writes, in milliseconds, and returns the events
that follow. Inbox, effect, outbox and offset share one transaction, a savepoint an event, so an effect happens once
however often its event is delivered. Scoring for 100 ms inside the transaction would lock every other room out of
SQLite; outside it nobody waits. What is wrong for ever becomes a dead letter and blocks nobody; what is away is tried
again in place; too many dead letters in a row stop the worker: a bad release, not bad events.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from overread import metrics
from overread.bus.dead_letters import dead_letter, summary
from overread.bus.place import Place
from overread.bus.port import Bus, Consumer, Message, Partition, Record
from overread.core.codec import Envelope, decode
from overread.core.errors import Fenced, InvalidEvent, OverreadError, Retryable
from overread.core.events import Event, StudyPurged
from overread.store import deliveries
from overread.store.engine import Store

log = logging.getLogger(__name__)

Outbox = Callable[[Connection, Sequence[Record]], None]
"""Publishes inside a transaction."""


class Handler(Protocol):
    """What a room does about one type of event."""

    @property
    def consumes(self) -> type[Event]:
        """The event it is called for; a class attribute will do."""
        ...

    def prepare(self, envelope: Envelope[Any], /) -> Any:
        """Read and compute; may take long; must not write. Called again after a crash or a retry."""
        ...

    def apply(self, tx: Connection, envelope: Envelope[Any], prepared: Any, /) -> Sequence[Event]:
        """Write and return what follows; milliseconds."""
        ...


class Effect:
    """A handler's first part where there is nothing to compute."""

    def prepare(self, envelope: Envelope[Any]) -> None:
        """Nothing to compute."""


class Duty(Protocol):
    """What a room does by itself every few seconds, in the same two parts."""

    every: float
    """Seconds between two looks."""

    def prepare(self) -> Any:
        """Return the work, or None when there is none."""
        ...

    def apply(self, tx: Connection, prepared: Any, /) -> Sequence[Event]:
        """Write and return what follows."""
        ...


class BrakeError(OverreadError):
    """Too many dead letters in a row: somebody has to look before more are made."""


class _StoppedError(Exception):
    """The room was told to stop while something was away; what is in hand comes again."""


@dataclass
class _Ready:
    message: Message
    envelope: Envelope[Event] | None
    prepared: list[tuple[Handler, Any]]
    dead: Exception | None = None
    attempts: int = 1


class Worker:
    """Runs one room's handlers and duties on one thread."""

    batch = 32
    """Events a transaction at most."""
    attempts = 3
    """For errors that nobody foresaw; after that the event is a dead letter."""
    brake = 20
    """Dead letters in a row that stop the worker."""
    patience = 30.0
    """Longest pause between two tries of what is retryable (s)."""

    def __init__(
        self,
        room: str,
        *,
        store: Store,
        bus: Bus,
        outbox: Outbox,
        handlers: Sequence[Handler],
        duties: Sequence[Duty] = (),
        member: str | None = None,
    ) -> None:
        self.room, self._store, self._bus, self._outbox = room, store, bus, outbox
        self._handlers: dict[type[Event], list[Handler]] = {}
        for handler in handlers:
            self._handlers.setdefault(handler.consumes, []).append(handler)
        self._duties = [(duty, 0.0) for duty in duties]
        topics = sorted({event.topic for event in self._handlers})
        self._consumer = bus.consumer(room, topics, member or f"{room}-0") if topics else None
        self._place = Place(self._consumer, store, room) if self._consumer else None
        self._dead_in_a_row = 0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what is in hand is finished first."""
        try:
            while not stop.is_set():
                busy = self.perform_duties(stop)
                self.step(0.0 if busy else 0.25, stop)
                if self._consumer is None and not busy:
                    stop.wait(min((0.25, *(duty.every for duty, _ in self._duties))))
        finally:
            with suppress(_StoppedError):  # where no goodbye gets through, the others wait for the time-out
                self._patiently(self._consumer.close if self._consumer else lambda: None, stop)

    def perform_duties(self, stop: threading.Event) -> bool:
        """Do what is due; True if there was anything to do."""
        busy = False
        for place, (duty, due) in enumerate(self._duties):
            if time.monotonic() < due:
                continue
            try:
                worked = self._perform(duty, stop)
            except _StoppedError:
                return False
            except Exception:  # a duty that fails leaves the room's events flowing
                log.exception("%s: %s failed", self.room, type(duty).__name__)
                worked = False
            # A duty that had work may have more: look again at the next turn.
            self._duties[place] = (duty, time.monotonic() + (0.0 if worked else duty.every))
            busy = busy or worked
        return busy

    def _perform(self, duty: Duty, stop: threading.Event) -> bool:
        prepared = self._patiently(duty.prepare, stop)
        if prepared is None:
            return False

        def write() -> None:
            with self._store.writing() as tx:
                self._publish(tx, duty.apply(tx, prepared))

        self._patiently(write, stop)
        return True

    def step(self, timeout: float, stop: threading.Event | None = None) -> int:
        """Handle one batch; return how many messages it had."""
        consumer, place, stop = self._consumer, self._place, stop or threading.Event()
        if consumer is None or place is None:
            return 0
        try:
            messages = self._patiently(lambda: place.poll(self.batch, timeout), stop)
            ready = []
            for message in messages:
                ready.append(self._ready(message, stop))
                place.keep_alive()
            if ready:
                self._patiently(lambda: self._commit(consumer, place, ready), stop)
        except _StoppedError:
            return 0
        return len(ready)

    def _ready(self, message: Message, stop: threading.Event) -> _Ready:
        """Decode and prepare, with patience for what is away."""
        ready = _Ready(message, None, [])
        try:
            envelope = ready.envelope = decode(message.record.headers, message.record.value)
        except InvalidEvent as error:
            ready.dead = error
            return ready
        handlers = self._handlers.get(type(envelope.event), [])
        with self._store.reading() as tx:
            handled = not handlers or deliveries.was_handled(tx, self.room, envelope.id)
        while not handled:
            try:
                ready.prepared = [
                    (handler, self._patiently(lambda handler=handler: handler.prepare(envelope), stop))  # type: ignore[misc]
                    for handler in handlers
                ]
                break
            except _StoppedError:
                raise
            except InvalidEvent as error:
                ready.dead = error
                break
            except Exception as error:  # whatever a handler does wrong, the room goes on
                log.exception("%s: prepare failed", self.room, extra={"event": envelope.id, "attempt": ready.attempts})
                if ready.attempts >= self.attempts:
                    ready.dead = error
                    break
                ready.attempts += 1
                if stop.wait(0.2 * ready.attempts):
                    raise _StoppedError from error
        return ready

    def _commit(self, consumer: Consumer, place: Place, batch: Sequence[_Ready]) -> None:
        ends: dict[Partition, int] = {}
        dead = 0
        with self._store.writing() as tx:
            for item in batch:
                error = item.dead
                if error is None and item.envelope is not None and item.prepared:
                    error = self._apply(tx, item.envelope, item.prepared)
                if error is not None:
                    letter = dead_letter(item.message, self.room, error, item.attempts)
                    log.error("%s: dead letter", self.room, extra=summary(letter))
                    self._outbox(tx, [letter])
                    dead += 1
                ends[item.message.partition] = item.message.offset + 1
            for partition, following in ends.items():
                deliveries.advance(tx, self.room, *partition, following)
        metrics.handled.labels(self.room).inc(len(batch) - dead)
        metrics.dead_letters.labels(self.room).inc(dead)
        try:
            consumer.commit(ends)
        except Fenced:
            log.info("%s: another member took over; the effects stand", self.room)
            place.forget()
        except Retryable as error:  # the SQL offset is the truth; the next commit tells the bus
            log.info("%s: the bus did not take the commit", self.room, extra={"reason": str(error)})
        self._dead_in_a_row = self._dead_in_a_row + dead if dead == len(batch) else 0
        if self._dead_in_a_row >= self.brake:
            why = f"{self._dead_in_a_row} dead letters in a row, see the topics that end in .{self.room}.dlq"
            raise BrakeError(f"{self.room} stops: {why}. Mend the cause and start again: nothing is lost.")

    def _apply(self, tx: Connection, envelope: Envelope[Any], work: list[tuple[Handler, Any]]) -> Exception | None:
        savepoint = tx.begin_nested()
        try:
            late = deliveries.was_purged_since(tx, self.room, envelope.event.key, envelope.time)
            if deliveries.first_time(tx, self.room, envelope.id) and not late:
                for handler, prepared in work:
                    self._publish(tx, handler.apply(tx, envelope, prepared))
            if isinstance(envelope.event, StudyPurged):
                deliveries.note_purge(tx, self.room, envelope.event.study, envelope.time)
        except Retryable:
            raise  # the database's trouble, not the event's: the whole batch comes again
        except Exception as error:
            savepoint.rollback()
            if not isinstance(error, InvalidEvent):
                log.exception("%s: apply failed", self.room, extra={"event": envelope.id})
            return error
        savepoint.commit()
        return None

    def _publish(self, tx: Connection, events: Sequence[Event]) -> None:
        self._outbox(tx, [Envelope(event, self.room).record() for event in events])

    def _patiently(self, call: Callable[[], Any], stop: threading.Event) -> Any:
        """Try again, ever more slowly, for as long as something is merely away."""
        pause = 0.1
        while True:
            try:
                return call()
            except Retryable as error:
                metrics.retries.labels(self.room).inc()
                log.warning("%s: waiting", self.room, extra={"reason": str(error)})
                if stop.wait(pause):
                    raise _StoppedError from error
                if self._place is not None:
                    self._place.keep_alive()
                pause = min(pause * 2, self.patience)
