"""The drills: each makes one thing fail while corrections pass, and ends when all of them have had their effects."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from overread.house import declare_tables
from overread.simulation.broker import Cluster, free_ports
from overread.simulation.faults.evidence import Row, judge
from overread.simulation.faults.line import Line
from overread.simulation.faults.part import ACKNOWLEDGED, AFTER_KAFKA, AFTER_SQL, BEFORE_SQL
from overread.simulation.postgres import NAME, Server
from overread.store.engine import Store
from overread.store.migrations import upgrade

SOON = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300"}
"""A broker that was killed comes back after 5 s, and not after 13."""


@dataclass
class Ground:
    """What all drills stand on: one broker, one database server, and how much of each fault there is to be."""

    folder: Path
    quick: bool
    cluster: Cluster
    server: Server
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.draw = random.Random(5)  # noqa: S311 - to be repeated
        self._numbers = count()

    def line(self, name: str, **more: Any) -> Line:
        """Return a fresh house on PostgreSQL."""
        self.cluster.start()
        url = self.server.create(f"drill_{next(self._numbers)}", NAME)
        return Line(self.folder / name, self.cluster, url, **more)

    def much(self, whole: float, quick: float) -> float:
        """Return how much of a fault there is to be."""
        return quick if self.quick else whole


@contextmanager
def ground(folder: Path, *, quick: bool, say: Callable[[str], None]) -> Iterator[Ground]:
    """Start a broker and a database server; both are stopped at the end, whatever happens."""
    with ExitStack() as parts:
        # Not in the project: where we are root, the database's user could not go there.
        place = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="overread-faults-")))
        place.chmod(0o755)
        cluster = Cluster(place / "kafka", settings=SOON)
        server = Server(place / "postgresql", free_ports(1)[0])
        say("starting a broker and a database server")
        parts.enter_context(server)
        parts.enter_context(cluster)
        prepare(server.url())
        yield Ground(folder, quick, cluster, server, say)


def prepare(url: str) -> None:
    """Make a house's tables."""
    declare_tables()
    store = Store(url)
    upgrade(store)
    store.close()


def under_load(line: Line, fault: Callable[[], None], *rooms: str) -> None:
    """Let corrections pass, and the fault happen; then let all of it settle."""
    line.begin(*rooms)
    line.clients.start()
    try:
        fault()
    finally:
        line.clients.stop()
    line.settle()


def happened(row: Row, line: Line, room: str, words: str, what: str) -> Row:
    """Count in a room's log what the drill is about; where it never happened the drill shows nothing."""
    number = (line.folder / f"{room}.log").read_text().count(words)
    row.did += f"; {number} {what}"
    if number == 0:
        row.other, row.verdict, row.details = row.other + 1, "WRONG", (*row.details, f"none {what}")
    return row


def killed_brokers(on: Ground) -> Row:
    """The broker is killed by -9 and started again, over and over."""
    kills = int(on.much(20, 1))

    def kill() -> None:
        for number in range(kills):
            time.sleep(on.draw.uniform(0.3, 1.5))
            on.say(f"kill {number + 1} of {kills}")
            on.cluster.nodes[0].kill()
            on.cluster.start()

    with on.line("broker-killed") as line:
        under_load(line, kill)
        return judge(line, "broker killed", f"{kills} x kill -9 and start")


def frozen_broker(on: Ground) -> Row:
    """The broker stands still for 45 s; connections stay open and nobody answers."""
    seconds = on.much(45, 5)
    # A quick freeze has to outlast what it would in a long one: heartbeats, and the client's own patience for answers.
    patience = {"answer": 2.0, "session": 3.0} if on.quick else {"session": 30.0, "answer": 10.0}

    with on.line("broker-frozen", patience=patience) as line:
        under_load(line, lambda: freeze(on, seconds))
        shortened = ", sessions of 3 s instead of 30 s, answers awaited for 2 s instead of 10 s" if on.quick else ""
        return judge(line, "broker frozen", f"SIGSTOP for {seconds:g} s{shortened}")


def freeze(on: Ground, seconds: float) -> None:
    """Stop the broker's process for so long."""
    time.sleep(0.5)
    on.cluster.nodes[0].freeze()
    try:
        time.sleep(seconds)
    finally:
        on.cluster.nodes[0].thaw()
    time.sleep(0.5)


def past_delivery(on: Ground) -> Row:
    """A batch is not acknowledged within the time for it: kafka-python's producer would hang for ever."""
    times = int(on.much(3, 1))

    def fault() -> None:
        for _ in range(times):
            freeze(on, 5.0)

    with on.line("past-delivery", patience={"delivery": 1.5, "answer": 2.0}) as line:
        under_load(line, fault)
        row = judge(line, "batch past delivery_timeout", f"{times} x frozen for 5 s; deliveries awaited for 1.5 s")
        return happened(row, line, "relay", "publishing to", "batches were given up, with their producers")


def absent_broker(on: Ground) -> Row:
    """The rooms start where no broker is."""
    seconds = on.much(10, 2)

    def start() -> None:
        time.sleep(seconds)
        line.check_rooms()
        on.cluster.start()
        time.sleep(1.5)

    with on.line("broker-absent", patience={"answer": 1.0}) as line:
        line.begin()  # the candidates have to be known
        for room in ("review", "trainer.selection", "relay"):
            line.leave(room)
        on.cluster.stop()
        under_load(line, start, "review", "trainer.selection", "relay")
        return judge(line, "broker absent at start", f"rooms and clients start, the broker {seconds:g} s later")


def killed_consumer(point: str, room: str) -> Callable[[Ground], Row]:
    """Return the drill in which a room dies at a point, and comes again."""

    def drill(on: Ground) -> Row:
        kills = int(on.much(10, 2))

        def kill() -> None:
            for number in range(kills):
                if number == 0:
                    line.leave(room)
                line.start(room, die_at=point, passages=on.draw.randint(1, 4))
                line.until_dead(room)
            line.start(room)

        with on.line(f"{room}-killed-{point}".replace(" ", "-")) as line:
            under_load(line, kill)
            return judge(line, f"{NAMES.get(room, room)} killed {point}", f"{kills} x kill -9")

    drill.__doc__ = f"{NAMES.get(room, room)} is killed by -9 {point}, and comes again."
    return drill


NAMES = {"trainer.selection": "consumer"}


def storm(on: Ground) -> Row:
    """Members join and leave without a pause, by goodbye and by kill -9."""
    seconds, names = on.much(60, 10), ("trainer-1", "trainer-2", "trainer-3")
    changes = 0

    def blow() -> None:
        nonlocal changes
        here: list[str] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = on.draw.choice(names)
            if name not in here:
                line.start("trainer.selection", name)
                here.append(name)
            elif on.draw.random() < 0.5:
                line.kill(name)
                line.forget(name)
                here.remove(name)
            else:
                line.leave(name)
                here.remove(name)
            changes += 1
            time.sleep(on.draw.uniform(0.2, 1.0))

    with on.line("rebalance-storm", patience={"session": 3.0}) as line:
        under_load(line, blow)
        return judge(line, "rebalance storm", f"{changes} members came or went in {seconds:g} s; sessions of 3 s")


def slow_consumer(on: Ground) -> Row:
    """Now and then an event takes longer than max.poll.interval allows."""
    seconds = on.much(20, 6)

    def slowly() -> None:
        line.leave("trainer.selection")
        for name in ("slow-1", "slow-2"):
            line.start("trainer.selection", name, slow_every=40, slow=2.5)
        time.sleep(seconds)

    with on.line("slow-consumer", patience={"work": 1.0}, rate=30.0) as line:
        under_load(line, slowly)
        return judge(
            line, "slow consumer", "two members; each 40th fact takes 2.5 s, max.poll.interval is 1 s, not 900 s"
        )


def poison(on: Ground) -> Row:
    """One record in a hundred can be read by nobody."""
    seconds = on.much(20, 3)
    share = 0.01 if not on.quick else 0.03
    with on.line("poison", poison=share, rate=100.0) as line:
        under_load(line, lambda: time.sleep(seconds))
        row = judge(line, "poison", "")
        bad = sum(line.clients.poisoned.values())
        row.did = f"{bad} of {bad + line.clients.said['bus']} records; all of them dead letters, no brake"
        return row


def clocks(on: Ground) -> Row:
    """The rooms' clocks are an hour apart."""
    shifts = {"review": -3600.0, "trainer.selection": 3600.0, "relay": 1800.0}

    def wrong() -> None:
        for room, shift in shifts.items():
            line.leave(room)
            line.start(room, clock_shift=shift)
        time.sleep(on.much(15, 2))

    with on.line("clocks") as line:
        under_load(line, wrong)
        return judge(line, "clocks apart", "review -1 h, trainer +1 h, relay +30 min, clients right")


DRILLS: Mapping[str, Callable[[Ground], Row]] = {
    "broker-killed": killed_brokers,
    "broker-frozen": frozen_broker,
    "broker-absent": absent_broker,
    "past-delivery": past_delivery,
    "before-sql": killed_consumer(BEFORE_SQL, "trainer.selection"),
    "after-sql": killed_consumer(AFTER_SQL, "trainer.selection"),
    "after-kafka": killed_consumer(AFTER_KAFKA, "trainer.selection"),
    "relay-killed": killed_consumer(ACKNOWLEDGED, "relay"),
    "rebalance-storm": storm,
    "slow-consumer": slow_consumer,
    "poison": poison,
    "clocks": clocks,
}
"""By name; disks.py adds those of full disks."""
