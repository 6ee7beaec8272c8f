"""Who submits corrections during a drill: a reader by REST's own code, and another system by commands on the bus.

Each has candidates of its own and is their only reader, so it knows which version comes next. Now and then it says the
same thing twice under one name, and now and then it speaks of a version that is not there: that must be refused.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from overread.bus.port import Bus, Record
from overread.config import Review
from overread.core.clock import utc_now, uuid7
from overread.core.codec import Envelope
from overread.core.corrections import Verdict
from overread.core.errors import BusUnavailable, StoreUnavailable
from overread.core.events import COMMANDS, FACTS, CorrectionSubmitted
from overread.handler import Outbox
from overread.review.schemas import Correction
from overread.review.submit import ROOM, Submit
from overread.simulation.faults.part import NoImages
from overread.simulation.history import Outcome, opened
from overread.store import deliveries
from overread.store.engine import Store
from overread.topology import TOPICS

TURNS = (Verdict.CONFIRMED, Verdict.REJECTED, Verdict.WITHDRAWN)
"""What is said of a candidate at version 0, 1, 2, and so on again: every third word takes the one before it back."""
STALE, AGAIN = 0.03, 0.05
"""Shares of corrections that speak of a version that is not there, and that are sent twice."""
NEVER = 1_000_000
AHEAD_AT_MOST = 300
BATCH = 20
"""Commands that are published together at most."""
PAUSE = 0.1
"""Before the next try of what was not taken (s)."""


class Click(NamedTuple):
    """One act of a reader."""

    key: str
    candidate: str
    study: str
    verdict: Verdict
    version: int

    @property
    def stale(self) -> bool:
        """Whether it has to be refused."""
        return self.version >= NEVER


def study_of(candidate: str) -> str:
    """Return its study: two candidates share one."""
    name, _, number = candidate.rpartition("-")
    return f"s-{name}-{int(number) // 2}"


class Clients:
    """Both of them, each a thread, until `stop`.

    Args:
        store: of the house.
        outbox: of the house.
        bus: a connection of the other system's own.
        history: the file of what they tried and were told.
        candidates: how many each of them has.
        rate: corrections a second of each, at most.
        seed: of all that is drawn.
        poison: share of records beside the commands that nobody can read; some go to the facts' topic.
        padding: bytes of a header beside each command, which nobody reads.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        bus: Bus,
        history: Path,
        *,
        candidates: int = 24,
        rate: float = 60.0,
        seed: int = 0,
        poison: float = 0.0,
        padding: int = 0,
    ) -> None:
        self._submit = Submit(store, outbox, NoImages(), Review(), utc_now)
        self._store, self._bus, self._rate, self._poison = store, bus, rate, poison
        self._partitions = TOPICS[COMMANDS].partitions
        self._beside = {"x-padding": b"x" * padding} if padding else {}
        self._stop = threading.Event()
        self._closed = ExitStack()
        self._history = self._closed.enter_context(opened(history))
        self._turn = threading.Lock()
        self.rest = [f"c-rest-{number}" for number in range(candidates)]
        self.bus = [f"c-bus-{number}" for number in range(candidates)]
        self._threads = [
            threading.Thread(target=self._read, args=(random.Random(seed),), name="rest"),  # noqa: S311 - to be repeated
            threading.Thread(target=self._command, args=(random.Random(seed + 1),), name="commands"),  # noqa: S311
        ]
        self.retries = Counter[str]()
        """How often each was not answered and tried again."""
        self.said = Counter[str]()
        """What was accepted by REST, and what the bus has acknowledged."""
        self.poisoned = Counter[str]()
        """Records that nobody can read, by topic."""

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float = 90.0) -> None:
        """Let both finish what they have begun.

        Raises:
            TimeoutError: one of them does not get through.
        """
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(patience)
                if thread.is_alive():
                    raise TimeoutError(f"the {thread.name} client did not get through within {patience:g} s")
        self._closed.close()

    def refused(self, keys: Sequence[str], history: Path) -> None:
        """Write down what came back as refused, after the end."""
        with opened(history) as file:
            file.end(keys, Outcome.FAIL)

    def _clicks(self, candidates: Sequence[str], draw: random.Random) -> Iterator[Click]:
        versions = Counter[str]()
        for candidate in itertools.cycle(candidates):
            version = versions[candidate]
            if draw.random() < STALE:
                version += NEVER
            else:
                versions[candidate] += 1
            yield Click(uuid7(), candidate, study_of(candidate), TURNS[version % 3], version)

    def _read(self, draw: random.Random) -> None:
        for click in self._clicks(self.rest, draw):
            if self._stop.wait(1 / self._rate):
                return
            with self._turn:
                self._history.invoke([(click.key, click.candidate)])
            outcome = self._clicked(click)
            if draw.random() < AGAIN and self._clicked(click) is not outcome:
                raise ValueError("the same click was answered otherwise")
            with self._turn:
                self._history.end([click.key], outcome)

    def _clicked(self, click: Click) -> Outcome:
        """Click until it is answered: the key makes it one act."""
        body = Correction(candidate=click.candidate, study=click.study, verdict=click.verdict)
        while True:
            try:
                answer = self._submit(body, key=click.key, if_match=f'"{click.version}"', reader="reader")
            except StoreUnavailable:
                self.retries["rest"] += 1
                self._stop.wait(PAUSE)
                continue
            if answer.status == 201:
                self.said["rest"] += not answer.replayed
                return Outcome.OK
            return Outcome.FAIL

    def _command(self, draw: random.Random) -> None:
        clicks = self._clicks(self.bus, draw)
        while not self._stop.wait(BATCH / self._rate):
            if self._ahead() > AHEAD_AT_MOST:
                continue
            batch = list(itertools.islice(clicks, BATCH))
            records = [self._record(click) for click in batch]
            records += [record for record in records if draw.random() < AGAIN]
            for _ in range(len(batch)):
                if draw.random() < self._poison:
                    records.insert(draw.randrange(len(records)), self._bad(draw, records[0]))
            with self._turn:
                self._history.invoke([(click.key, click.candidate) for click in batch])
            self._published(records)
            with self._turn:
                self._history.end([click.key for click in batch if not click.stale], Outcome.OK)
            self.said["bus"] += len(batch)

    def _ahead(self) -> int:
        """Return how many commands review has still to read: a machine that is slow gets less to do."""
        with self._store.reading() as tx:
            read = sum(deliveries.next_offset(tx, ROOM, COMMANDS, number) for number in range(self._partitions))
        return sum(self.said.values()) - read

    def _published(self, records: Sequence[Record]) -> None:
        """Publish until it is acknowledged: what was written already is a double then, under the same name."""
        while True:
            try:
                self._bus.publish(records)
            except BusUnavailable:
                self.retries["bus"] += 1
                self._stop.wait(PAUSE)
            else:
                return

    def _record(self, click: Click) -> Record:
        command = CorrectionSubmitted(
            candidate=click.candidate,
            study=click.study,
            verdict=click.verdict,
            reader="another system",
            expected_version=click.version,
        )
        said = Envelope(command, "another-system", click.key).record()
        return Record(said.topic, said.key, said.value, {**said.headers, **self._beside})

    def _bad(self, draw: random.Random, good: Record) -> Record:
        topic = draw.choice((COMMANDS, FACTS))
        kind = draw.choice(("no JSON", "no field", "no value", "no CloudEvent"))
        value = {"no JSON": b"{", "no field": b"{}", "no value": None}.get(kind, good.value)
        headers = {} if kind == "no CloudEvent" else {**good.headers, "ce_id": uuid7().encode()}
        self.poisoned[topic] += 1
        return Record(topic, good.key, value, headers)
