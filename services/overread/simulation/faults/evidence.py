"""What a drill leaves behind, read from outside: the log, the ledger, the labels, the effects, and a rebuild."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import kafka
from kafka import TopicPartition
from sqlalchemy import text

from overread.bus.dead_letters import topic_of
from overread.core.codec import decode
from overread.core.errors import InvalidEvent
from overread.core.events import CorrectionRefused, FindingCorrected
from overread.house import declare_tables
from overread.replay import differences, replay
from overread.review.standing import ledger
from overread.simulation.broker import Cluster
from overread.simulation.checker import Entry, Evidence, Fact, Verdict, check
from overread.simulation.faults.line import HEARS, LETTERS, TOPICS, Line
from overread.simulation.history import Attempt, Outcome, read
from overread.store.engine import Store, metadata
from overread.trainer.standing import labels


class Effect(NamedTuple):
    """A line that the trainer's tally has written, in the order of writing."""

    correction: str
    candidate: str
    version: int


@dataclass
class Row:
    """What came of one drill."""

    fault: str
    did: str
    """What was done, with how much of it."""
    events: int = 0
    """Different ones on the bus."""
    deliveries: int = 0
    """Messages handed to rooms; each event goes to one or two of them."""
    resent: int = 0
    """Records beyond the first of each event: what publishers sent again."""
    retries: int = 0
    """Attempts of the clients that were not answered."""
    lost: int = 0
    doubled: int = 0
    order_broken: int = 0
    other: int = 0
    """Invented, resurrected, not rebuilt, not answered, not set aside as it should be."""
    seconds: float = 0.0
    verdict: str = "holds"
    details: tuple[str, ...] = ()
    """The first of what is wrong."""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.verdict == "holds"

    def facts(self) -> dict[str, Any]:
        """Return it for the summary."""
        return asdict(self)


@dataclass
class Heard:
    """What stands in the log."""

    facts: list[Fact] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """Corrections."""
    names: set[str] = field(default_factory=set)
    """Every ce_id."""
    records: int = 0
    """That can be read; an event may stand there more than once."""
    letters: dict[str, int] = field(default_factory=dict)
    """Dead letters, by topic."""


def judge(line: Line, fault: str, did: str) -> Row:
    """Hold everything against the clients' history. All clients have ended, and the line has settled."""
    heard = hear(line.cluster)
    line.clients.refused(sorted(heard.refused), line.history)
    history = read(line.history)
    with line.store.reading() as tx:
        entries = [Entry(row["correction"], row["candidate"], row["version"]) for row in ledger(tx)]
        taught = {row["candidate"]: row["label"] for row in labels(tx)}
        lines = tx.execute(text("SELECT correction, candidate, version FROM drill ORDER BY id")).all()
    effects = [Effect(row.correction, row.candidate, int(row.version)) for row in lines]
    verdict = check(history, Evidence(entries, heard.facts, taught, _rebuilt(line)))
    effect = check_effects(history, entries, effects)
    unanswered = [f"{one.key} was not answered" for one in history.values() if one.outcome is Outcome.UNKNOWN]
    lost = verdict.lost + effect.lost
    doubled = verdict.doubled + effect.doubled
    order = verdict.order_broken + effect.order_broken
    other = verdict.invented + verdict.resurrected + verdict.differs + effect.invented
    other += unanswered + _set_aside(heard.letters, line.clients.poisoned)
    wrong = lost + doubled + order + other
    return Row(
        fault,
        did,
        events=len(heard.names),
        deliveries=line.delivered(),
        resent=heard.records - len(heard.names),
        retries=sum(line.clients.retries.values()),
        lost=len(lost),
        doubled=len(doubled),
        order_broken=len(order),
        other=len(other),
        verdict="WRONG" if wrong else "holds",
        details=tuple(wrong[:5]),
    )


def check_effects(history: Mapping[str, Attempt], entries: Sequence[Entry], effects: Sequence[Effect]) -> Verdict:
    """Hold the trainer's tally against the ledger: each entry had its effect once, in the order of its candidate."""
    counted = Counter(effect.correction for effect in effects)
    known = {entry.correction for entry in entries}
    last: dict[str, int] = {}
    order = []
    for effect in effects:
        if effect.version != last.get(effect.candidate, 0) + 1:
            before = last.get(effect.candidate, 0)
            order.append(f"{effect.candidate}: version {effect.version} had its effect after version {before}")
        last[effect.candidate] = effect.version
    return Verdict(
        lost=[f"{key} stands in the ledger and had no effect" for key in sorted(known - counted.keys())],
        doubled=[f"{key} had {number} effects" for key, number in counted.items() if number > 1],
        order_broken=order,
        invented=[f"{key} had an effect, and nobody did it" for key in counted if key not in history],
        resurrected=[],
        differs=[],
    )


def hear(cluster: Cluster) -> Heard:
    """Read every topic of the line from its beginning; each key's events come in their order."""
    heard = Heard()
    for topic in TOPICS:
        count = 0
        for headers, value in _records(cluster, topic):
            count += 1
            if topic in LETTERS:
                continue
            try:
                envelope = decode(headers, value)
            except InvalidEvent:
                continue
            heard.names.add(envelope.id)
            heard.records += 1
            event = envelope.event
            if isinstance(event, FindingCorrected):
                heard.facts.append(Fact(envelope.id, event.correction, event.candidate, event.version, event.label))
            elif isinstance(event, CorrectionRefused):
                heard.refused.add(event.correction)
        if topic in LETTERS:
            heard.letters[topic] = count
    return heard


def _records(cluster: Cluster, topic: str) -> Iterator[tuple[dict[str, bytes], bytes | None]]:
    """Read a topic without a group, so that nothing of it meets the rooms' own reading."""
    places = [TopicPartition(topic, number) for number in range(TOPICS[topic])]
    with closing(kafka.KafkaConsumer(bootstrap_servers=cluster.servers, metrics_enabled=False)) as eye:
        eye.assign(places)
        eye.seek_to_beginning(*places)
        end = eye.end_offsets(places)
        while any(eye.position(place) < end[place] for place in places):
            for records in eye.poll(500, max_records=5000).values():
                for record in records:
                    yield {name: bytes(value or b"") for name, value in record.headers}, record.value


def _rebuilt(line: Line) -> list[str]:
    """Rebuild ledger and labels from offset 0 into a fresh database, and compare them with the live ones."""
    declare_tables()
    fresh = Store(f"sqlite:///{line.folder}/rebuilt.db")
    metadata.create_all(fresh.engine)
    try:
        replay(line.bus, fresh, until=None, on_progress=lambda _: None)
        return differences(line.store, fresh)
    finally:
        fresh.close()


def _set_aside(letters: Mapping[str, int], poisoned: Mapping[str, int]) -> list[str]:
    """Compare the dead letters with what was poisoned."""
    expected = {topic_of(topic, room): poisoned.get(topic, 0) for room, topics in HEARS.items() for topic in topics}
    return [
        f"{topic} holds {letters[topic]} dead letters, and {number} records were poisoned"
        for topic, number in expected.items()
        if letters[topic] != number
    ]
