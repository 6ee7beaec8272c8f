"""Dead letters over every adapter: found, sent again with one effect, or let lie; and each act is written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select

from contracts.adapters import Adapter
from contracts.child import PARTITIONS
from overread.bus.dead_letters import topic_of
from overread.bus.embedded import EmbeddedBus
from overread.bus.port import Record
from overread.bus.settling import Act, Choice, Letter, Origin, drop, letters, replay, settled
from overread.core.codec import Envelope
from overread.core.errors import InvalidEvent
from overread.core.events import Event, StudyPurged
from overread.store.engine import Store

PATIENCE = 20.0
ACT = Act("on call", "mended", datetime(2026, 3, 4, 12, tzinfo=UTC))
STRANGE = {"ce_type": b"\xff\xfe", "dlq_error": b"forged", "name ä": b"\x00\x1b[31m"}
"""No event, of a foreign system that knows our words."""


own = MetaData()
effects = Table(
    "effects", own, Column("id", Integer, primary_key=True), Column("room", String), Column("study", String)
)


class Picky:
    """A handler that refuses some studies until it is mended, when it has written already."""

    consumes = StudyPurged

    def __init__(self, room: str, *refused: str) -> None:
        self._room, self.refused = room, set(refused)
        self.store: Store

    def prepare(self, _envelope: Envelope[StudyPurged]) -> None:
        """Nothing to compute."""

    def apply(self, tx: Connection, envelope: Envelope[StudyPurged], _prepared: None) -> list[Event]:
        tx.execute(insert(effects).values(room=self._room, study=envelope.event.study))
        if envelope.event.study in self.refused:
            raise InvalidEvent(f"{envelope.event.study} is refused")
        return []

    @property
    def applied(self) -> list[str]:
        """What is committed."""
        with self.store.reading() as tx:
            return list(tx.execute(select(effects.c.study).where(effects.c.room == self._room)).scalars())


class Ward:
    """Two rooms that hear one topic, and the clerk who looks after their letters."""

    def __init__(self, broker: Adapter, topic: str) -> None:
        refused = {f"{topic}-one": ("s-2", "s-3"), f"{topic}-two": ("s-3",)}
        self.rooms = {room: Picky(room, *studies) for room, studies in refused.items()}
        self.origins = {topic_of(StudyPurged.topic, room): Origin(StudyPurged.topic, room) for room in self.rooms}
        broker.start()
        self.bus = broker.connect({StudyPurged.topic: PARTITIONS, **dict.fromkeys(self.origins, 1)})
        self.workers = [broker.worker(self.bus, room, [picky]) for room, picky in self.rooms.items()]
        self.one, self.two = self.rooms.values()
        self.store: Store = self.workers[0]._store
        own.create_all(self.store.engine)
        self.one.store = self.two.store = self.store

    def tell(self, *studies: str) -> None:
        self.bus.publish([Envelope(StudyPurged(study=study), "gateway").record() for study in studies])

    def work(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, "the rooms did not get that far"
            self.quieten()

    def quieten(self) -> None:
        """Work until no room finds anything, and carry what stands in the outbox."""
        while sum([worker.step(0.1) for worker in self.workers]):
            pass

    def letters(self, **choice: Any) -> list[Letter]:
        with self.store.reading() as tx:
            done = settled(tx)
        meant = Choice(**choice)
        return [each for each in letters(self.bus, self.origins) if meant.takes(each) and each.id not in done]

    def outbox(self, *arguments: Any) -> None:
        EmbeddedBus(self.store, {StudyPurged.topic: PARTITIONS}).append(*arguments)

    def replay(self, *chosen: Letter) -> Any:
        return replay(self.store, self.outbox, chosen, ACT)


@pytest.fixture
def ward(broker: Adapter, topic: str) -> Ward:
    made = Ward(broker, topic)
    made.tell("s-1", "s-2", "s-3", "s-4")
    made.work(lambda: len(made.one.applied) == 2 and len(made.two.applied) == 3)
    return made


def test_each_letter_is_found_where_it_came_from(ward: Ward) -> None:
    found = sorted((letter.origin.room[-3:], letter.message.record.key, letter.error) for letter in ward.letters())
    assert found == [
        ("one", "s-2", "InvalidEvent: s-2 is refused"),
        ("one", "s-3", "InvalidEvent: s-3 is refused"),
        ("two", "s-3", "InvalidEvent: s-3 is refused"),
    ]
    assert all(letter.ours and letter.fault is None and not letter.parked for letter in ward.letters())
    assert len({letter.id for letter in ward.letters()}) == 3


def test_a_letter_that_is_sent_again_has_its_effect_once_and_only_where_it_failed(ward: Ward) -> None:
    ward.one.refused.clear()
    (letter,) = ward.letters(room=next(iter(ward.rooms)), error="S-2 IS")
    assert ward.replay(letter) == (1, 0)
    assert ward.replay(letter) == (0, 0), "somebody had done it already"
    ward.work(lambda: ward.one.applied.count("s-2") == 1)
    ward.quieten()
    assert ward.one.applied.count("s-2") == 1
    assert ward.two.applied.count("s-2") == 1, "its inbox knew it"
    assert {left.message.record.key for left in ward.letters()} == {"s-3"}
    with ward.store.reading() as tx:
        assert [(row.letter, row.outcome, row.name, row.reason, row.time) for row in settled(tx).values()] == [
            (letter.id, "replayed", *ACT)
        ]


def test_what_two_rooms_set_aside_is_sent_once_for_both(ward: Ward) -> None:
    for room in (ward.one, ward.two):
        room.refused.clear()
    assert ward.replay(*ward.letters(error="s-3")) == (2, 0)
    with ward.store.reading() as tx:
        assert len(settled(tx)) == 2
    ward.work(lambda: "s-3" in ward.one.applied and "s-3" in ward.two.applied)
    ward.quieten()
    assert ward.one.applied.count("s-3") == ward.two.applied.count("s-3") == 1
    events = ward.bus.consumer("ears", [StudyPurged.topic], "one")
    said, deadline = [], time.monotonic() + PATIENCE
    while len(said) < 5 and time.monotonic() < deadline:
        said += events.poll(100, 0.2)
    assert sorted(message.record.key for message in said) == ["s-1", "s-2", "s-3", "s-3", "s-4"]
    again = {message.record.headers["ce_id"] for message in said if message.record.key == "s-3"}
    assert len(again) == 1
    assert not any(name.startswith("dlq_") for message in said for name in message.record.headers)


def test_what_fails_again_is_a_new_letter(ward: Ward) -> None:
    (old,) = ward.letters(error="s-2")
    assert ward.replay(old) == (1, 0)
    ward.work(lambda: bool(ward.letters(error="s-2")))
    (new,) = ward.letters(error="s-2")
    assert new.id != old.id
    assert new.event == old.event


def test_a_dropped_letter_is_listed_no_more_and_its_event_never_handled(ward: Ward) -> None:
    ward.one.refused.clear()
    chosen = ward.letters(error="s-2")
    assert drop(ward.store, chosen, ACT) == 1
    assert drop(ward.store, chosen, ACT) == 0
    assert ward.replay(*chosen) == (0, 0), "who drops first has the word"
    ward.quieten()
    assert "s-2" not in ward.one.applied
    assert {letter.message.record.key for letter in ward.letters()} == {"s-3"}


def test_letters_are_chosen_by_room_topic_offsets_and_name(ward: Ward) -> None:
    first, second = next(iter(ward.rooms)), list(ward.rooms)[1]
    assert {letter.message.record.key for letter in ward.letters(room=first)} == {"s-2", "s-3"}
    assert len(ward.letters(room=second, topic=StudyPurged.topic)) == 1
    assert ward.letters(topic="another") == []
    earlier, later = sorted(ward.letters(room=first), key=lambda letter: letter.message.offset)
    at = earlier.message.offset
    assert ward.letters(room=first, offsets=(at, at)) == [earlier]
    assert ward.letters(room=first, offsets=(at + 1, 2**63)) == [later]
    assert ward.letters(ids=(later.id,)) == [later]
    assert ward.letters(ids=(later.id[:12],)) == [], "first digits may be several letters'"
    assert ward.letters(parked=True) == []
    assert len(ward.letters(parked=False)) == 3


def test_what_no_version_can_read_stays_open_and_breaks_nothing(ward: Ward) -> None:
    ward.bus.publish(
        [
            Record(StudyPurged.topic, "", None, {}),
            Record(StudyPurged.topic, "key\ufffd", b"\xff\x00", STRANGE),
            Record(next(iter(ward.origins)), "", b"not even ours", {"dlq_attempts": b"many", "dlq_parked": b"1"}),
        ]
    )
    ward.work(lambda: len(ward.letters()) == 3 + 5)
    foreign = [letter for letter in ward.letters() if not letter.ours]
    assert len(foreign) == 5
    assert all(letter.fault and not letter.error.startswith("forged") for letter in foreign)
    assert ward.replay(*foreign) == (0, 5)
    assert len(ward.letters()) == 8
    assert drop(ward.store, foreign, ACT) == 5
    assert len(ward.letters()) == 3


def test_a_letter_that_the_relay_left_twice_is_one_letter(ward: Ward) -> None:
    (letter,) = ward.letters(error="s-2")
    ward.bus.publish([letter.message.record])
    assert [found.id for found in ward.letters(error="s-2")] == [letter.id]


@pytest.mark.parametrize(
    ("change", "letters_there"),
    [({"ce_type": b"overread.study.burnt.v2"}, 2), ({"ce_type": b"com.example.study"}, 2)],
    ids=["a newer type of ours", "somebody's type"],
)
def test_what_a_newer_version_wrote_is_parked_until_this_one_knows_it(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, change: dict[str, bytes], letters_there: int
) -> None:
    from overread.core import codec  # noqa: PLC0415

    ours = change["ce_type"].startswith(b"overread.")
    record = Envelope(StudyPurged(study="s-9"), "gateway").record()
    ward.bus.publish([Record(record.topic, record.key, record.value, {**record.headers, **change})])
    ward.work(lambda: len(ward.letters(error="unknown event type")) == letters_there)
    parked = ward.letters(parked=True)
    assert len(parked) == (letters_there if ours else 0)
    assert ward.replay(*parked) == (0, len(parked)), "this version does not know it yet"
    monkeypatch.setitem(codec._BY_TYPE, change["ce_type"].decode(), StudyPurged)  # the upgrade
    assert ward.replay(*parked) == (len(parked), 0)
    ward.quieten()
    if ours:
        ward.work(lambda: "s-9" in ward.one.applied and "s-9" in ward.two.applied)
    assert ward.letters(parked=True) == []
