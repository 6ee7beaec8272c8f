"""Poll, decode, prepare, apply, commit: the one loop in which every room handles events.

What a handler prepares it prepares while no transaction is open: scoring for 100 ms inside one would lock every other
room out of SQLite. Inbox, effects (effects.py), outbox and offsets of a batch share one transaction, so an effect
happens once however often its event is delivered; a batch in which an event fails is written again with a savepoint for
each. What is wrong for ever becomes a dead letter and blocks nobody; what is away is tried again in place; too many
dead letters in a row stop the worker: a bad release, not bad events.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from overread import metrics, tracing
from overread.bus.place import Place
from overread.bus.port import Bus, Consumer, Partition, Record
from overread.core.errors import Fenced, InvalidEvent, Misconfigured, OverreadError, Retryable
from overread.core.events import Event
from overread.effects import Effects
from overread.handler import Duty, Effect, Handler, Outbox, name
from overread.ready import Ready, decoded
from overread.store import deliveries
from overread.store.engine import Store

log = logging.getLogger(__name__)

TURN = 1.0
"""How long the preparing of a batch may take before the next one is smaller (s): duties wait for it."""
HOLD = 0.2
"""How long a batch may hold the database's turn before the next one is smaller (s): a reader's click waits for it."""
LEAST = 32
"""Events that a batch may have in any case."""


class BrakeError(OverreadError):
    """Too many dead letters in a row: somebody has to look before more are made."""


class _StoppedError(Exception):
    """The room was told to stop while something was away; what is in hand comes again."""


def _ends(batch: Sequence[Ready]) -> dict[Partition, int]:
    """Return where each partition goes on after a batch."""
    return {item.message.partition: item.message.offset + 1 for item in batch}


class Worker:
    """Runs one room's handlers and duties on one thread."""

    batch = 512
    """Events a transaction at most: `LEAST` at first, twice as many the next while neither part takes long."""
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
        self._computed = {handler.consumes for handler in handlers if not isinstance(handler, Effect)}
        self._duties = [(duty, 0.0) for duty in duties]
        topics = sorted({event.topic for event in self._handlers})
        self._consumer = bus.consumer(room, topics, member or f"{room}-0") if topics else None
        self._place = Place(self._consumer, store, room) if self._consumer else None
        self._failed: dict[int, float] = {}
        """How long a duty that failed rests (s): twice as long each time."""
        self._effects = Effects(room)
        self._size, self._held = LEAST, 0.0
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
            except Exception as error:  # a duty that fails leaves the room's events flowing
                if isinstance(error, OverreadError):  # it says what is wrong; where it was raised is no news
                    log.error("%s: %s failed", self.room, type(duty).__name__, extra={"reason": str(error)})  # noqa: TRY400
                else:
                    log.exception("%s: %s failed", self.room, type(duty).__name__)
                self._failed[place] = min(2 * self._failed.get(place, 0.5), self.patience)
                self._duties[place] = (duty, time.monotonic() + max(self._failed[place], duty.every))
                continue
            self._failed.pop(place, None)
            # A duty that had work may have more: look again at the next turn.
            self._duties[place] = (duty, time.monotonic() + (0.0 if worked else duty.every))
            busy = busy or worked
        return busy

    def _perform(self, duty: Duty, stop: threading.Event) -> bool:
        began = time.time_ns()
        prepared = self._patiently(duty.prepare, stop)
        if prepared is None:
            return False

        def write() -> None:
            with tracing.span(name(duty), began=began), self._store.writing() as tx:
                self._outbox(tx, self._effects.records(duty.apply(tx, prepared)))

        self._patiently(write, stop)
        return True

    def step(self, timeout: float, stop: threading.Event | None = None) -> int:
        """Handle one batch; return how many messages it had."""
        consumer, place, stop = self._consumer, self._place, stop or threading.Event()
        if consumer is None or place is None:
            return 0
        try:
            messages = self._patiently(lambda: place.poll(min(self._size, self.batch), timeout), stop)
            if not messages:
                return 0
            began = time.monotonic()
            fresh = [decoded(message) for message in messages]
            handled = self._patiently(lambda: self._find_handled(fresh), stop)
            ready = []
            for item in fresh:
                ready.append(self._ready(item, handled, stop))
                place.keep_alive()
            spent = time.monotonic() - began
            self._patiently(lambda: self._commit(consumer, place, ready), stop)
        except _StoppedError:
            return 0
        # What takes long comes in smaller batches; what does not shares the price of a transaction.
        if spent > TURN or self._held > HOLD:
            self._size = max(LEAST, self._size // 2)
        elif len(ready) == self._size < self.batch:
            self._size *= 2
        return len(ready)

    def _find_handled(self, batch: Sequence[Ready]) -> set[str]:
        """Return which events of a batch this room has handled before: they are not prepared again.

        Where there is nothing to compute nobody asks: the inbox will tell when they are applied.
        """
        ours = [item.envelope.entry for item in batch if item.envelope and type(item.envelope.event) in self._computed]
        if not ours:
            return set()
        with self._store.reading() as tx:
            return deliveries.handled(tx, self.room, ours)

    def _ready(self, ready: Ready, known: AbstractSet[str], stop: threading.Event) -> Ready:
        """Prepare, with patience for what is away."""
        envelope = ready.envelope
        if envelope is None:
            return ready
        handlers = self._handlers.get(type(envelope.event), [])
        handled = not handlers or envelope.entry in known
        if type(envelope.event) not in self._computed:
            ready.prepared = [(handler, None) for handler in handlers]
            return ready
        while not handled:
            try:
                with tracing.span(f"{self.room} prepares", envelope.event.key, ready.message.record.headers):
                    ready.prepared = [
                        (handler, self._patiently(lambda handler=handler: handler.prepare(envelope), stop))  # type: ignore[misc]
                        for handler in handlers
                    ]
                break
            except (_StoppedError, Misconfigured):
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

    def _commit(self, consumer: Consumer, place: Place, batch: Sequence[Ready]) -> None:
        try:
            self._write(batch, self._effects.of_all)
        except (Retryable, Misconfigured):
            raise  # the database's trouble, not an event's: the whole batch comes again
        except Exception:  # noqa: BLE001 - some event's own, of whatever kind: which one is found one by one
            log.info("%s: a batch failed and is taken apart", self.room)
            self._write(batch, self._apply_each)
        ends = _ends(batch)
        dead = sum(item.dead is not None and not item.parked for item in batch)
        parked = sum(item.parked for item in batch)
        metrics.handled.labels(self.room).inc(len(batch) - dead - parked)
        metrics.dead_letters.labels(self.room).inc(dead)
        metrics.parked.labels(self.room).inc(parked)
        try:
            consumer.commit(ends)
        except Fenced:
            log.info("%s: another member took over; the effects stand", self.room)
            place.forget()
        except Retryable as error:  # the SQL offset is the truth; the next commit tells the bus
            log.info("%s: the bus did not take the commit", self.room, extra={"reason": str(error)})
        self._brake(batch)

    def _apply_each(self, tx: Connection, batch: Sequence[Ready]) -> list[Record]:
        """Apply a batch event by event: one that fails becomes a dead letter."""
        said: list[Record] = []
        for item in batch:
            try:
                said += self._effects.of_one(tx, item) if item.lives else []
            except (Retryable, Misconfigured):
                raise
            except Exception as error:
                item.dead = error
                if not isinstance(error, InvalidEvent):
                    log.exception("%s: apply failed", self.room, extra={"event": item.told.id})
            if item.dead is not None:
                said.append(self._effects.letter(item))
        return said

    def _brake(self, batch: Sequence[Ready]) -> None:
        longest = 0
        for item in batch:
            if not item.parked:  # a newer version's word: no fault, and nothing for the brake
                self._dead_in_a_row = self._dead_in_a_row + 1 if item.dead is not None else 0
            longest = max(longest, self._dead_in_a_row)
        if longest >= self.brake:
            why = f"{longest} dead letters in a row, see the topics that end in .{self.room}.dlq"
            raise BrakeError(f"{self.room} stops: {why}. Mend the cause and start again: nothing is lost.")

    def _write(self, batch: Sequence[Ready], apply: Callable[[Connection, Sequence[Ready]], list[Record]]) -> None:
        """Inbox, effects, outbox and offsets of a batch, all or nothing."""
        with self._store.writing() as tx:
            began = time.monotonic()
            self._outbox(tx, apply(tx, batch))
            for partition, following in _ends(batch).items():
                deliveries.advance(tx, self.room, *partition, following)
            self._held = time.monotonic() - began

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
