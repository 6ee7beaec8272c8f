"""What a room gives the worker: handlers for events, duties for what it does by itself, each in two parts.

`prepare` reads and computes while no transaction is open; `apply` only writes, in milliseconds, and returns the events
that follow. Neither publishes nor commits: that is the worker's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from overread.core.codec import Envelope, Record
from overread.core.events import Event

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
        """Write and return what follows; milliseconds. Called again where the transaction came to nothing.

        What is counted is counted by `store.engine.after_commit`.
        """
        ...


class Effect:
    """A handler's first part where there is nothing to compute."""

    def prepare(self, envelope: Envelope[Any]) -> None:
        """Nothing to compute."""


class Work(NamedTuple):
    """An event, and what its handler has prepared for it."""

    envelope: Envelope[Any]
    prepared: Any


class Together(ABC):
    """A handler's second part where many events share their statements: `executemany`, not a round trip for each.

    What it may hold: no event of a batch looks at what another one wrote, and of two about one thing the later one is
    written later. Where an event of a batch fails, the batch comes again one by one.
    """

    @abstractmethod
    def apply_all(self, tx: Connection, batch: Sequence[Work], /) -> Sequence[Event]:
        """Write a batch, in its order, and return what follows. It is never empty."""

    def apply(self, tx: Connection, envelope: Envelope[Any], prepared: Any) -> Sequence[Event]:
        """Write one: a batch of its own."""
        return self.apply_all(tx, [Work(envelope, prepared)])


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


def name(worker: Handler | Duty) -> str:
    """Return what the topology calls a handler or a duty, such as `review.verdicts.Judge`."""
    kind = type(worker)
    return f"{kind.__module__.removeprefix('overread.')}.{kind.__name__}"
