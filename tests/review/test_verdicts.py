"""Adjudication, places, undo, additions; and the same from facts alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from overread.core.events import CandidateReceived, FindingCorrected, Purpose
from overread.review import tables
from overread.review.standing import ledger
from overread.store.engine import Store, metadata


@pytest.fixture(autouse=True)
def _candidate(room: Any) -> None:
    room.receive("c-1", detector_score=0.4)


def test_the_majority_of_latest_verdicts_is_the_label(room: Any) -> None:
    room.post("c-1", "confirmed", 0, reader="a")
    split = room.post("c-1", "rejected", 1, reader="b").json()
    assert (split["label"], split["agreement"], split["readers"]) == (None, 0.0, 2)
    settled = room.post("c-1", "rejected", 2, reader="c").json()
    assert (settled["label"], settled["readers"]) == (0, 3)
    assert settled["agreement"] == pytest.approx(2 / 3)
    turned = room.post("c-1", "confirmed", 3, reader="c").json()
    assert (turned["label"], turned["readers"]) == (1, 3)
    unsure = room.post("c-1", "unsure", 4, reader="c").json()
    assert (unsure["label"], unsure["readers"]) == (None, 3)
    candidate = room.get("candidates/c-1")
    assert [entry["verdict"] for entry in candidate["verdicts"]] == [
        "confirmed",
        "rejected",
        "rejected",
        "confirmed",
        "unsure",
    ]
    assert [entry["version"] for entry in candidate["verdicts"]] == [1, 2, 3, 4, 5]


def test_an_amendment_moves_and_its_withdrawal_moves_back(room: Any) -> None:
    assert room.post("c-1", "amended", 0, place=room.place(slice=3)).json()["label"] == 1
    assert room.get("candidates/c-1")["place"] == room.place(slice=3)
    answer = room.post("c-1", "withdrawn", 1).json()
    assert (answer["label"], answer["readers"], answer["version"]) == (None, 0, 2)
    assert room.get("candidates/c-1")["place"] == room.place(x=30.0, y=20.0)
    assert room.post("c-1", "withdrawn", 2).status_code == 409


def test_a_withdrawal_leaves_the_place_to_the_readers_who_are_left(room: Any) -> None:
    room.post("c-1", "amended", 0, reader="a", place=room.place(x=35.0))
    room.post("c-1", "confirmed", 1, reader="b")
    room.post("c-1", "amended", 2, reader="c", place=room.place(x=39.0))
    room.post("c-1", "withdrawn", 3, reader="c")
    assert room.get("candidates/c-1")["place"]["x"] == 35.0
    room.post("c-1", "withdrawn", 4, reader="a")
    assert room.get("candidates/c-1")["place"]["x"] == 35.0  # b confirmed it there
    room.post("c-1", "withdrawn", 5, reader="b")
    assert room.get("candidates/c-1")["place"]["x"] == 30.0


def test_confirming_one_s_own_amendment_keeps_it(room: Any) -> None:
    room.post("c-1", "amended", 0, place=room.place())
    room.post("c-1", "confirmed", 1)
    assert room.get("candidates/c-1")["place"] == room.place()


def test_an_addition_takes_its_patient_from_the_study(room: Any) -> None:
    answer = room.post("a-1", "added", 0, place=room.place(slice=0), reader="a")
    assert answer.status_code == 201
    assert answer.json()["version"] == 1
    fact = room.said()[-1].event
    assert isinstance(fact, FindingCorrected)
    assert (fact.patient, fact.split.value, fact.site, fact.application) == ("p-1", "train", "SITE", "lung-nodule")
    assert (fact.source.value, fact.purpose, fact.detector_score, fact.label) == ("reader", None, None, 1)
    added = next(one for one in room.get("studies/s-1")["candidates"] if one["candidate"] == "a-1")
    assert (added["source"], added["producer"], added["place"]) == ("reader", "a", room.place(slice=0))
    assert room.post("a-1", "rejected", 1, reader="b").status_code == 201
    assert room.post("a-1", "withdrawn", 2, reader="a").json()["label"] == 0


def test_the_fact_says_why_it_was_read(room: Any) -> None:
    room.ask("c-1", 9)
    room.ask("c-1", 2, Purpose.AUDIT)
    room.post("c-1", "confirmed", 0)
    room.post("c-1", "rejected", 1)
    purposes = [one.event.purpose for one in room.said() if isinstance(one.event, FindingCorrected)]
    assert purposes == [Purpose.AUDIT, Purpose.AUDIT]


@pytest.mark.parametrize("facts_first", [True, False])
def test_facts_alone_rebuild_ledger_and_candidates(room: Any, slices: Any, tmp_path: Path, facts_first: bool) -> None:
    room.receive("c-2")
    room.receive("c-3")
    for candidate in ("c-1", "c-2", "c-3"):
        room.ask(candidate)
    room.post("c-1", "amended", 0, reader="a", place=room.place())
    room.post("c-1", "rejected", 1, reader="b", reason="vessel")
    room.post("c-2", "confirmed", 0)
    room.post("c-2", "withdrawn", 1)
    room.post("c-2", "amended", 2, place=room.place(x=5.0))
    room.post("c-2", "withdrawn", 3)
    room.post("a-1", "added", 0, place=room.place(y=1.0))
    facts = [one for one in room.said() if isinstance(one.event, FindingCorrected)]
    received: list[CandidateReceived] = [
        room.candidate("c-1", detector_score=0.4),
        room.candidate("c-2"),
        room.candidate("c-3"),
    ]
    other = Store(f"sqlite:///{tmp_path}/rebuilt.db")
    metadata.create_all(other.engine)
    rebuilt = type(room)(other, slices)

    def restore() -> None:
        for fact in (*facts, *facts[:3]):  # delivered twice: no harm
            rebuilt.hear(fact.event, key=fact.id, time=fact.time)

    if facts_first:
        restore()
    for event in received:
        rebuilt.hear(event)
    if not facts_first:
        restore()
    assert rebuilt.rows(tables.candidates) == room.rows(tables.candidates)
    assert rebuilt.rows(tables.verdicts) == room.rows(tables.verdicts)
    with room.store.reading() as ours, other.reading() as theirs:
        assert ledger(ours) == ledger(theirs)
    # And life goes on from there.
    assert rebuilt.post("c-1", "withdrawn", 2, reader="a").json()["label"] == 0
    assert rebuilt.get("candidates/c-1")["place"]["x"] == 30.0
    other.close()


def test_a_fact_heard_twice_is_written_once(room: Any) -> None:
    room.post("c-1", "confirmed")
    fact = room.said()[-1]
    room.hear(fact.event)  # another delivery under another id
    assert len(room.rows(tables.verdicts)) == 1
    assert room.get("candidates/c-1")["version"] == 1
