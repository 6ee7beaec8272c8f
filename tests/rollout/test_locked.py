"""The locked set: whoever is in it, in it stays what was first seen there, until the study is purged."""

from __future__ import annotations

from sqlalchemy import select

from inference.words import corrected, deliver, purged, received
from overread.core.corrections import Verdict
from overread.core.events import Source
from overread.core.splits import Split
from overread.rollout.locked import locked_set
from overread.rollout.tables import rollout_truth
from rollout.room import HANDLERS, Room


def cases(room: Room) -> list[tuple[str, int]]:
    with room.store.reading() as tx:
        return [(case.candidate, case.label) for case in locked_set(tx).cases]


def test_the_first_clearance_closes_the_locked_set(room: Room) -> None:
    room.begin()
    before = len(cases(room))
    room.lock([1, 0, 0], first=100)
    assert len(cases(room)) == before + 3, "the bootstrap's promotion must not close it"
    room.release("good")
    room.lock([1, 0, 0], first=200)
    assert len(cases(room)) == before + 3


def test_only_locked_patients_enter_the_set(room: Room) -> None:
    for number, split in enumerate(Split):
        room.hear(received(number, split=split), corrected(number, split=split))
    assert [name for name, _ in cases(room)] == [f"c-{list(Split).index(Split.LOCKED):03}"]


def test_an_amended_place_is_not_taken_over_and_a_newer_label_is(room: Room) -> None:
    (place,) = room.archive.add([1])
    room.hear(received(1, place, split=Split.LOCKED))
    moved = place.model_copy(update={"x": 3.0, "y": 4.0})
    room.hear(corrected(1, Verdict.REJECTED, version=2, place=moved, split=Split.LOCKED))
    room.hear(corrected(1, Verdict.AMENDED, version=1, place=moved, split=Split.LOCKED))
    with room.store.reading() as tx:
        (case,) = locked_set(tx).cases
    assert (case.place, case.label) == (place, 0)


def test_an_answer_may_overtake_its_candidate_and_an_added_lesion_is_a_miss(room: Room) -> None:
    room.hear(corrected(1, split=Split.LOCKED))
    room.hear(received(1, split=Split.LOCKED))
    room.hear(corrected(2, Verdict.ADDED, split=Split.LOCKED, source=Source.READER))
    room.hear(received(3, split=Split.LOCKED), corrected(3, Verdict.UNSURE, split=Split.LOCKED))
    room.hear(received(4, split=Split.LOCKED))
    with room.store.reading() as tx:
        found = locked_set(tx)
    assert ([case.candidate for case in found.cases], found.candidates, found.answered, found.missed) == (
        ["c-001"],
        3,
        2,
        1,
    )


def test_a_purged_study_leaves_the_set_and_a_fact_from_before_does_not_bring_it_back(room: Room) -> None:
    room.lock([1, 0, 0])
    room.hear(corrected(7, Verdict.ADDED, split=Split.LOCKED, source=Source.READER, study="s-0"))
    deliver(room.store, HANDLERS, purged("s-0"), minutes=5)
    deliver(
        room.store,
        HANDLERS,
        corrected(0, Verdict.REJECTED, version=2, split=Split.LOCKED),
        corrected(7, Verdict.ADDED, version=2, split=Split.LOCKED, source=Source.READER, study="s-0"),
        minutes=4,
    )
    assert [name for name, _ in cases(room)] == ["c-001", "c-002"]
    with room.store.reading() as tx:
        assert locked_set(tx).missed == 0
        assert set(tx.execute(select(rollout_truth.c.study)).scalars()) == {"s-1", "s-2"}
