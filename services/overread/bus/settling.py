"""What becomes of dead letters: they are read, sent again, or let lie.

A log deletes nothing, so a letter stays where it is for ever. What somebody did about it is a row of `settled_letters`:
it hides the letter, and it is the audit. A letter that is sent again and the row that says so stand in one transaction,
since the letter goes by the outbox.

Sent again, an event reaches every room that hears its topic. Those that have handled it find it in their inbox; the one
that had set it aside does not, since its savepoint took the entry back with everything else. It comes behind what was
said of its key meanwhile: rooms compare versions, and a purge since then wins.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, select

from overread.bus.dead_letters import is_parked, original
from overread.bus.port import Bus, Message, Record
from overread.bus.reading import everything
from overread.core.codec import decode
from overread.core.errors import InvalidEvent
from overread.store.engine import Store, upsert
from overread.store.tables import settled_letters

PART = 50
"""Letters a transaction at most: each may be as large as a record can be."""

_DIFFERS = re.compile(r"\b[pseic]-[0-9a-f]{8,}|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{64}\b|\b\d+\b")
"""What differs between two letters that have the same reason: pseudonyms, ids, keys of blobs, numbers."""


class Origin(NamedTuple):
    """Where a topic of dead letters gets them from."""

    topic: str
    room: str


@dataclass(frozen=True)
class Letter:
    """A dead letter as it stands in the log. Anybody may have written it: a header may be absent, or no text."""

    message: Message
    origin: Origin

    @cached_property
    def id(self) -> str:
        """SHA-256 of the whole record (64 hex digits): its name, and that of its doubles, which a relay may leave."""
        record = self.message.record
        parts = [record.topic.encode(), record.key.encode(), b"-" if record.value is None else b"+" + record.value]
        for name in sorted(record.headers):
            parts += [name.encode(errors="replace"), record.headers[name]]
        return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()

    @property
    def error(self) -> str:
        """Why it was set aside."""
        return self.message.record.headers.get("dlq_error", b"").decode(errors="replace")

    @property
    def reason(self) -> str:
        """The same without what differs from letter to letter."""
        return _DIFFERS.sub("…", self.error)

    @property
    def parked(self) -> bool:
        """Whether it waits for a version that knows its words."""
        return is_parked(self.message.record)

    @property
    def event(self) -> Record:
        """The event as it was said."""
        return original(self.message.record, self.origin.topic)

    @property
    def fault(self) -> str | None:
        """Why this version can't read the event; None where it can."""
        try:
            decode(self.event.headers, self.event.value)
        except InvalidEvent as error:
            return str(error)
        return None

    @property
    def ours(self) -> bool:
        """Whether the event is one of ours, so that nothing in it identifies a patient.

        By its source, and by being readable or parked. A reader's free text may stand in it all the same.
        """
        source = self.message.record.headers.get("ce_source", b"")
        return source.startswith(b"/overread/") and (self.parked or self.fault is None)


class Choice(NamedTuple):
    """Which letters; what is None or empty chooses nothing away."""

    topic: str | None = None
    """The topic that the event came on."""
    room: str | None = None
    offsets: tuple[int, int] | None = None
    """First and last, in the topic of dead letters."""
    error: str | None = None
    """Part of why it was set aside, in either case."""
    parked: bool | None = None
    ids: tuple[str, ...] = ()
    """Their whole names: first digits may be several letters'."""

    def takes(self, letter: Letter) -> bool:
        """Return whether this letter is meant."""
        first, last = self.offsets or (0, letter.message.offset)
        return (
            self.topic in {None, letter.origin.topic}
            and self.room in {None, letter.origin.room}
            and first <= letter.message.offset <= last
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and self.parked in {None, letter.parked}
            and (not self.ids or letter.id in self.ids)
        )


class Act(NamedTuple):
    """Who settles letters, and why; both stand in the audit."""

    name: str
    reason: str
    time: datetime


class Settled(NamedTuple):
    """A row of the audit."""

    letter: str
    topic: str
    """Of dead letters."""
    outcome: str
    """`replayed` or `dropped`."""
    name: str
    reason: str
    time: datetime


class Replayed(NamedTuple):
    """What came of it."""

    replayed: int
    """Letters that are settled now; what several rooms had set aside was sent once."""
    unreadable: int
    """Letters that this version could not handle either; they stay open."""


def letters(bus: Bus, origins: Mapping[str, Origin]) -> Iterator[Letter]:
    """Yield every letter that stands on these topics, settled or not, each once.

    Raises:
        BusUnavailable: the bus is away, or has none of the topics.
    """
    seen: set[bytes] = set()
    for messages in everything(bus, *origins):
        for message in messages:
            letter = Letter(message, origins[message.partition.topic])
            digest = bytes.fromhex(letter.id)
            if digest not in seen:
                seen.add(digest)
                yield letter


def settled(tx: Connection) -> dict[str, Settled]:
    """Return the audit, in the order of time, by letter."""
    rows = tx.execute(select(settled_letters).order_by(settled_letters.c.time, settled_letters.c.letter))
    return {row.letter: Settled(**row._mapping) for row in rows}  # noqa: SLF001 - SQLAlchemy's public name


def drop(store: Store, chosen: Iterable[Letter], act: Act) -> int:
    """Let the letters lie; return how many nobody had settled before."""
    dropped = 0
    for part in _parts(chosen):
        with store.writing() as tx:
            dropped += sum(_enter(tx, letter, "dropped", act) for letter in part)
    return dropped


def replay(
    store: Store, outbox: Callable[[Connection, Sequence[Record]], None], chosen: Iterable[Letter], act: Act
) -> Replayed:
    """Say the letters' events again on their own topics. What was settled before, by anybody, is passed over."""
    replayed = unreadable = 0
    sent: set[tuple[str, bytes]] = set()
    for part in _parts(chosen):
        with store.writing() as tx:
            for letter in part:
                if letter.fault is not None:
                    unreadable += 1
                    continue
                if not _enter(tx, letter, "replayed", act):
                    continue
                replayed += 1
                event = letter.event
                name = (event.topic, event.headers["ce_id"])
                if name not in sent:  # one copy serves every room that set it aside
                    outbox(tx, [event])
                    sent.add(name)
    return Replayed(replayed, unreadable)


def _enter(tx: Connection, letter: Letter, outcome: str, act: Act) -> bool:
    """Write the audit; False where somebody was quicker."""
    row = Settled(letter.id, letter.message.partition.topic, outcome, *act)
    return tx.execute(upsert(settled_letters).values(**row._asdict()).on_conflict_do_nothing()).rowcount == 1


def _parts(chosen: Iterable[Letter]) -> Iterator[list[Letter]]:
    each = iter(chosen)
    while part := list(islice(each, PART)):
        yield part
