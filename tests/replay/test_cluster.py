"""On a real cluster, over either database, what is rebuilt is what is live, into either database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from brokers import MARKS, admin, make_topics
from contracts.adapters import Relayed
from inference.words import purged, received
from overread.config import load
from overread.core.clock import utc_now
from overread.core.codec import Envelope, Record
from overread.core.corrections import Verdict
from overread.core.errors import Misconfigured
from overread.core.events import CANDIDATES, COMMANDS, FACTS, REFUSALS, CorrectionSubmitted, Event
from overread.core.splits import Split
from overread.house import House
from overread.replay import fresh
from overread.review.tables import candidates, verdicts
from overread.review.verdicts import Judge
from overread.review.worklist import Forget as ForgetInReview
from overread.review.worklist import List
from overread.simulation.broker import Cluster
from overread.simulation.postgres import Server
from overread.store.engine import Store
from overread.store.tables import outbox
from overread.trainer.pool import Admit, Forget, Learn
from overread.trainer.tables import trainer_labels

PATIENCE = 60.0
TOPICS = dict.fromkeys((CANDIDATES, COMMANDS, FACTS, REFUSALS), 4)
LETTERS = {f"{topic}.{room}.dlq": 1 for topic in TOPICS for room in ("review", "trainer.selection")}


class Line:
    """Review and the trainer on a cluster, and the program beside them."""

    def __init__(self, cluster: Cluster, folder: Path, store_url: str) -> None:
        self._settings = {"bus_url": cluster.url, "store_url": store_url}
        self.house = House(load(None, data=folder / "house", **self._settings))
        self.folder = folder
        self.rooms = [
            self._room("review", List(), Judge(self.house.slices), ForgetInReview()),
            self._room("trainer.selection", Admit(), Learn(), Forget()),
        ]

    def _room(self, name: str, *handlers: Any) -> Relayed:
        house = self.house
        return Relayed(name, store=house.store, bus=house.bus, outbox=house.outbox, handlers=handlers)

    def say(self, *events: Event) -> None:
        self.house.bus.publish([Envelope(event, "tests").record() for event in events])

    def work(self, listed: int, ledger: int, versions: int) -> None:
        """Work until review lists so many candidates, the ledger has so many rows, and labels' versions this sum."""
        deadline = time.monotonic() + PATIENCE
        while (standing := self._standing()) != (listed, ledger, versions):
            assert time.monotonic() < deadline, standing
            for room in self.rooms:
                room.step(0.1)

    def _standing(self) -> tuple[int, int, int]:
        with self.house.store.reading() as tx:
            listed, said, learnt = (
                tx.execute(select(column)).scalars().all()
                for column in (candidates.c.candidate, verdicts.c.candidate, trainer_labels.c.version)
            )
        return len(listed), len(said), sum(learnt)

    def overread(self, *arguments: str) -> tuple[int, Any, str]:
        settings = [f"--set={name}={value}" for name, value in self._settings.items()]
        script = Path(sys.executable).with_name("overread")
        command = [script, "--data", self.folder / "house", *settings, *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def command(number: int, verdict: Verdict, version: int, reader: str = "one") -> CorrectionSubmitted:
    return CorrectionSubmitted(
        candidate=f"c-{number:03}", study=f"s-{number}", verdict=verdict, reader=reader, expected_version=version
    )


@pytest.fixture
def line(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path, postgresql: Server) -> Iterator[Line]:
    """Twelve candidates and their verdicts, two of them overruled, one study purged; a record that is none."""
    cluster.start()
    make_topics(cluster, {**TOPICS, **LETTERS})
    live = f"sqlite:///{tmp_path}/live.db" if request.param == "sqlite" else postgresql.create(f"live_{time.time_ns()}")
    made = Line(cluster, tmp_path, live)
    for number in range(12):
        made.say(received(number, split=Split.LOCKED if number % 4 == 3 else Split.TRAIN))
    made.work(12, 0, 0)  # topics have no order among each other
    made.say(*(command(number, Verdict.CONFIRMED if number % 2 else Verdict.REJECTED, 0) for number in range(12)))
    made.house.bus.publish([Record(FACTS, "s-0", b"{", {}), Record(CANDIDATES, "s-0", None, {})])
    made.work(12, 12, 9)
    made.say(command(1, Verdict.REJECTED, 1, "two"), command(2, Verdict.WITHDRAWN, 1), purged("s-4"))
    made.work(11, 13, 10)
    yield made
    made.house.close()
    with admin(cluster) as operator:
        operator.delete_topics([*TOPICS, *LETTERS])


@pytest.fixture
def empty_postgresql(postgresql: Server) -> str:
    return postgresql.create(f"rebuilt_{time.time_ns()}")


@pytest.mark.parametrize("line", [pytest.param(name, marks=MARKS) for name in ("sqlite", "postgresql")], indirect=True)
def test_the_log_alone_rebuilds_what_is_live_in_the_other_database(line: Line, empty_postgresql: str) -> None:
    target = "rebuilt.db" if line.house.store.url.startswith("postgresql") else empty_postgresql
    code, said, errors = line.overread("replay", "--verify", "--into", target)
    assert (code, said and said["differences"]) == (0, []), errors
    assert (said["candidates"], said["facts"]) == (13, 13), "twelve, and the word of the purge"
    assert said["skipped"] == 3, "two records that are no events, and the purged study's fact"
    code, said, errors = line.overread("replay", "--into", target)
    assert (code, said) == (2, None)
    assert "is not empty" in errors
    then = utc_now()
    line.say(command(5, Verdict.REJECTED, 1, "two"))
    line.work(11, 14, 11)
    code, said, errors = line.overread("replay", "--into", "before.db", "--until", f"{then:%Y-%m-%dT%H:%M:%S}")
    assert code == 0, errors
    early = Store(f"sqlite:///{line.folder}/before.db")
    with early.reading() as tx:
        assert "two" not in tx.execute(select(verdicts.c.reader).where(verdicts.c.candidate == "c-005")).scalars().all()
    early.close()
    with line.house.store.writing() as tx:
        tx.execute(delete(verdicts).where(verdicts.c.candidate == "c-005", verdicts.c.version == 2))
    code, said, _ = line.overread("replay", "--verify")
    assert code == 1
    assert [found.partition(":")[0] for found in said["differences"]] == ["ledger"]


@pytest.mark.parametrize("line", [pytest.param("sqlite", marks=MARKS)], indirect=True)
def test_the_program_finds_and_settles_letters_on_a_cluster(line: Line) -> None:
    """Most topics of dead letters are not there: rooms that do not run need none."""
    code, rows, errors = line.overread("dlq", "list", "--each")
    assert code == 0, errors
    assert sorted((row["room"], row["topic"]) for row in rows) == [
        ("review", CANDIDATES),
        ("trainer.selection", CANDIDATES),
        ("trainer.selection", FACTS),
    ]
    by = ("--name", "tests", "--reason", "planted", "--yes")
    code, said, errors = line.overread("dlq", "drop", "--topic", CANDIDATES, *by)
    assert (code, said) == (0, {"chosen": 2, "dropped": 2}), errors
    code, said, errors = line.overread("dlq", "replay", "--all", *by)
    assert (code, said) == (1, {"chosen": 1, "replayed": 0, "unreadable": 1}), errors


def test_a_target_that_is_not_empty_is_refused_and_left_alone(empty: str) -> None:
    other = Store(empty)
    outbox.create(other.engine)
    with pytest.raises(Misconfigured, match="is not empty"):
        fresh(empty)
    with other.reading() as tx:
        assert tx.execute(select(outbox)).all() == []
    other.close()


def test_an_empty_target_gets_every_table(empty: str) -> None:
    made = fresh(empty)
    with made.reading() as tx:
        assert tx.execute(select(candidates)).all() == []
    made.close()
