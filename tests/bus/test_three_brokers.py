"""Three brokers: one is killed, then another after the first has come back. Nothing that was accepted is lost."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokers import MARKS, admin
from bus.target import place
from databases import create_tables
from overread.bus.embedded import EmbeddedBus
from overread.bus.kafka import KafkaBus
from overread.bus.kafka_client import Access
from overread.bus.kafka_topics import Operator
from overread.bus.reading import everything
from overread.bus.relay import Relay, standing
from overread.core.clock import uuid7
from overread.core.codec import Envelope, decode
from overread.core.corrections import Verdict
from overread.core.events import (
    COMMANDS,
    FACTS,
    CandidateReceived,
    CorrectionSubmitted,
    FindingCorrected,
    Place,
    Source,
)
from overread.core.splits import Split
from overread.review import standing as review
from overread.review.verdicts import judge
from overread.review.worklist import List
from overread.simulation.broker import Cluster
from overread.simulation.checker import Entry, Evidence, Fact, check
from overread.simulation.history import Outcome, opened, read
from overread.store.engine import Store
from overread.topology import TOPICS
from overread.trainer import standing as trainer
from overread.trainer.pool import Admit, Learn
from overread.worker import Worker

pytestmark = MARKS

OURS = {name: TOPICS[name] for name in (FACTS, COMMANDS)}
PARTITIONS = {name: topic.partitions for name, topic in OURS.items()}
CANDIDATES = [f"c-{number}" for number in range(12)]
TURNS = (Verdict.CONFIRMED, Verdict.REJECTED, Verdict.WITHDRAWN)
STEP = 60
"""Rows that the relay has to carry on between two kills."""
PATIENCE = 60.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    quick = {"broker.session.timeout.ms": "1500", "broker.heartbeat.interval.ms": "300"}
    with Cluster(tmp_path / "kafka", nodes=3, settings=quick) as cluster:
        yield cluster


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    create_tables(url := f"sqlite:///{tmp_path}/overread.db")
    opened = Store(url)
    yield opened
    opened.close()


def test_two_brokers_fall_one_after_the_other_and_nothing_accepted_is_lost(
    three: Cluster, store: Store, tmp_path: Path
) -> None:
    with Operator(Access.from_url(three.url)) as operator:
        shapes = operator.shapes(OURS)
        operator.make(shapes)
    assert {(one.replicas, one.settings["min.insync.replicas"]) for one in shapes.values()} == {(3, "2")}
    admit(store)
    bus = KafkaBus(Access.from_url(three.url), PARTITIONS)
    outbox = EmbeddedBus(store, PARTITIONS).append
    relay = Relay(store, bus, "relay")
    worker = Worker("relay", store=store, bus=bus, outbox=outbox, handlers=(), duties=(relay,))

    def carry_on() -> None:
        before = place(store)
        wait(lambda: place(store) >= before + STEP, "the relay carries nothing")

    with beside(worker.run):
        with beside(lambda stop: correct(store, tmp_path / "history", stop)):
            carry_on()
            for node in three.nodes[:2]:
                node.kill()
                carry_on()
                with Operator(Access.from_url(three.url)) as operator:
                    assert operator.differences(operator.shapes(OURS)) == [], "a broker that is down is no drift"
                three.start()
                wait(lambda: in_sync(three), "a broker does not catch up")
            carry_on()
        wait(lambda: unsent(store) == 0, "the relay does not send everything")
    relay.close()

    history = read(tmp_path / "history")
    facts, labels = heard(bus, tmp_path)
    bus.close()
    assert len(history) > 4 * STEP
    assert {attempt.outcome for attempt in history.values()} == {Outcome.OK}
    with store.reading() as tx:
        ledger = [Entry(row["correction"], row["candidate"], row["version"]) for row in review.ledger(tx)]
    verdict = check(history, Evidence(ledger, facts, labels))
    assert verdict.holds, verdict
    assert check(history, Evidence(ledger, facts[:-1], labels)).lost, "the check can fail"


def admit(store: Store) -> None:
    """Let review know the candidates."""
    for name in CANDIDATES:
        envelope = Envelope(received(name), "tests")
        with store.writing() as tx:
            List().apply(tx, envelope, None)


def received(name: str) -> CandidateReceived:
    return CandidateReceived(
        candidate=name,
        study=f"s-{name}",
        patient=f"p-{name}",
        split=Split.TRAIN,
        site="TESTS",
        application="lung-nodule",
        source=Source.GENERATOR,
        producer="tests",
        place=Place(series="0" * 64, slice=0, x=1.0, y=1.0),
    )


def correct(store: Store, history: Path, stop: threading.Event) -> None:
    """What a reader does until told to stop: an effect in the ledger and a row in the outbox, in one transaction."""
    outbox = EmbeddedBus(store, PARTITIONS).append
    with opened(history) as told:
        for number in itertools.count():
            turn, which = divmod(number, len(CANDIDATES))
            name, key = CANDIDATES[which], uuid7()
            command = CorrectionSubmitted(
                candidate=name, study=f"s-{name}", verdict=TURNS[turn % 3], reader="one", expected_version=turn
            )
            told.invoke([(key, name)])
            with store.writing() as tx:
                fact = judge(tx, Envelope(command, "tests", id=key))
                assert isinstance(fact, FindingCorrected)
                outbox(tx, [Envelope(fact, "review").record()])
            told.end([key], Outcome.OK)
            if stop.wait(0.005):
                return


def heard(bus: KafkaBus, folder: Path) -> tuple[list[Fact], dict[str, int | None]]:
    """Return every fact from the beginning of the log, and the labels that a trainer makes of them."""
    create_tables(url := f"sqlite:///{folder}/labels.db")
    store, facts, seen = Store(url), [], set()
    admit_to_pool, learn = Admit(), Learn()
    for name in CANDIDATES:
        with store.writing() as tx:
            admit_to_pool.apply(tx, Envelope(received(name), "tests"), None)
    for messages in everything(bus, FACTS):
        with store.writing() as tx:
            for message in messages:
                envelope = decode(message.record.headers, message.record.value)
                fact = envelope.event
                assert isinstance(fact, FindingCorrected)
                facts.append(Fact(envelope.id, fact.correction, fact.candidate, fact.version, fact.label))
                if envelope.id not in seen:  # as the inbox would
                    learn.apply(tx, envelope, None)
                seen.add(envelope.id)
    with store.reading() as tx:
        labels = {row["candidate"]: row["label"] for row in trainer.labels(tx)}
    store.close()
    return facts, labels


@contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run it on a thread; what it fails of fails the test."""
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def wait(until: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def in_sync(cluster: Cluster) -> bool:
    with admin(cluster) as operator:
        topics = operator.describe_topics(list(OURS))
    return all(len(partition["isr_nodes"]) == 3 for topic in topics for partition in topic["partitions"])


def unsent(store: Store) -> int:
    with store.reading() as tx:
        return standing(tx).unsent
