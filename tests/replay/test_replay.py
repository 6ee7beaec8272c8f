"""Ledger and labels rebuilt from the bus alone are the live ones; a difference that was planted is found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import delete, select, update

from inference.words import NOWHERE, corrected, purged, received
from overread.bus.embedded import EmbeddedBus
from overread.core.clock import utc_now
from overread.core.codec import Envelope, Record
from overread.core.corrections import Verdict
from overread.core.events import CANDIDATES, FACTS, CorrectionSubmitted, Event
from overread.core.splits import Split
from overread.replay import Replayed, differences, replay
from overread.review import standing as ledger
from overread.review.tables import candidates, verdicts
from overread.review.verdicts import Judge
from overread.review.worklist import Forget as ForgetInReview
from overread.review.worklist import List
from overread.store.engine import Store, metadata
from overread.topology import TOPICS
from overread.trainer.pool import Admit, Forget, Learn
from overread.trainer.tables import trainer_labels
from overread.worker import Worker


class Manifests:
    """No image: verdicts here carry no place of their own."""

    def manifest(self, key: str) -> Any:
        raise FileNotFoundError(key)


class Live:
    """Two rooms on one bus, as they run."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = EmbeddedBus(store, {name: topic.partitions for name, topic in TOPICS.items()})
        self.rooms = [
            self.room("review", List(), Judge(Manifests()), ForgetInReview()),
            self.room("trainer.selection", Admit(), Learn(), Forget()),
        ]

    def room(self, name: str, *handlers: Any) -> Worker:
        return Worker(name, store=self.store, bus=self.bus, outbox=self.bus.append, handlers=handlers)

    def say(self, *events: Event, work: bool = True) -> None:
        for event in events:
            self.bus.publish([Envelope(event, "tests").record()])
        if work:
            self.work()

    def work(self) -> None:
        while sum([room.step(0.0) for room in self.rooms]):
            pass


def command(number: int, verdict: Verdict, version: int, reader: str = "one", study: str = "") -> CorrectionSubmitted:
    return CorrectionSubmitted(
        candidate=f"c-{number:03}",
        study=study or f"s-{number}",
        verdict=verdict,
        reader=reader,
        expected_version=version,
    )


@pytest.fixture
def live(store: Store) -> Live:
    house = Live(store)
    for number in range(12):
        split = Split.LOCKED if number % 4 == 3 else Split.VALIDATION if number % 4 == 2 else Split.TRAIN
        house.say(received(number, split=split))
        house.say(command(number, Verdict.CONFIRMED if number % 2 else Verdict.REJECTED, 0))
    house.say(command(1, Verdict.REJECTED, 1, "two"), command(2, Verdict.WITHDRAWN, 1), work=False)
    house.work()
    return house


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/rebuilt.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def rebuild(live: Live, fresh: Store, until: datetime | None = None) -> Replayed:
    return replay(live.bus, fresh, until=until, on_progress=lambda _: None)


def rows(store: Store, column: Any) -> list[Any]:
    with store.reading() as tx:
        return sorted(tx.execute(select(column)).scalars())


def test_what_is_rebuilt_is_what_is_live(live: Live, fresh: Store) -> None:
    assert rebuild(live, fresh) == (12, 14, 0)
    assert len(rows(fresh, verdicts.c.correction)) == 14
    assert len(rows(fresh, trainer_labels.c.candidate)) == 9, "locked patients' labels are the trainer's to forget"
    assert differences(live.store, fresh) == []


def test_replaying_disturbs_no_room_and_may_be_done_again(live: Live, fresh: Store, tmp_path: Path) -> None:
    before = rows(live.store, verdicts.c.correction)
    rebuild(live, fresh)
    live.work()
    assert rows(live.store, verdicts.c.correction) == before
    again = Store(f"sqlite:///{tmp_path}/again.db")
    metadata.create_all(again.engine)
    rebuild(live, again)
    assert differences(fresh, again) == []
    again.close()


PLANTED = {
    "a verdict that was lost": delete(verdicts).where(verdicts.c.candidate == "c-001"),
    "a verdict that was changed": update(verdicts).where(verdicts.c.candidate == "c-000").values(verdict="confirmed"),
    "a label that was lost": delete(trainer_labels).where(trainer_labels.c.candidate == "c-000"),
    "a label that was changed": update(trainer_labels).where(trainer_labels.c.candidate == "c-000").values(label=1),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("side", ["live", "rebuilt"])
def test_a_planted_difference_is_found(live: Live, fresh: Store, planted: Any, side: str) -> None:
    rebuild(live, fresh)
    with (live.store if side == "live" else fresh).writing() as tx:
        assert tx.execute(planted).rowcount
    assert len(differences(live.store, fresh)) == 1


def test_two_databases_that_sort_texts_differently_are_the_same(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL may sort as people do, SQLite sorts bytes."""
    monkeypatch.setattr(ledger, "ledger", Mock(side_effect=[[{"c": "a"}, {"c": "B"}], [{"c": "B"}, {"c": "a"}]]))
    assert differences(live.store, live.store) == []


def test_what_was_purged_stays_purged_and_what_came_again_is_there(live: Live, fresh: Store) -> None:
    live.say(purged("s-0"), purged("s-1"))
    live.say(received(1))
    live.say(command(1, Verdict.CONFIRMED, 0))
    found = rebuild(live, fresh)
    assert found.skipped == 3
    assert differences(live.store, fresh) == []
    assert "c-000" not in rows(fresh, candidates.c.candidate)
    with fresh.reading() as tx:
        again = tx.execute(select(verdicts).where(verdicts.c.candidate == "c-001")).all()
    assert [(row.version, row.verdict) for row in again] == [(1, "confirmed")]


def test_a_purge_that_the_trainer_hears_before_the_facts_changes_nothing(live: Live, fresh: Store) -> None:
    """It was down meanwhile; on its return the candidates' topic comes first."""
    trainer = live.rooms.pop()
    live.say(received(50), command(50, Verdict.CONFIRMED, 0))
    live.say(purged("s-50"))
    live.rooms.append(trainer)
    live.work()
    assert "c-050" not in rows(live.store, trainer_labels.c.candidate)
    rebuild(live, fresh)
    assert differences(live.store, fresh) == []


def test_until_leaves_out_what_came_after_but_not_a_purge(live: Live, fresh: Store) -> None:
    then = utc_now()
    live.say(received(20))
    live.say(command(20, Verdict.CONFIRMED, 0))
    live.say(purged("s-0"))
    found = rebuild(live, fresh, then)
    assert "c-020" not in rows(fresh, candidates.c.candidate)
    assert "c-000" not in rows(fresh, candidates.c.candidate)
    assert len(set(rows(fresh, verdicts.c.candidate))) == 11
    assert found.skipped == 3


def test_a_record_that_is_no_event_is_skipped_as_the_rooms_skipped_it(live: Live, fresh: Store) -> None:
    poison = Envelope(corrected(0, place=NOWHERE), "tests").record()
    for topic in (CANDIDATES, FACTS):
        live.bus.publish(
            [
                Record(topic, "s-0", b"{}", {}),
                Record(topic, "s-0", None, poison.headers),
                Record(topic, "s-0", b"{", poison.headers),
            ]
        )
    live.work()
    assert rebuild(live, fresh).skipped == 6
    assert differences(live.store, fresh) == []
