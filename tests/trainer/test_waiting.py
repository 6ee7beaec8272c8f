"""Every reason why a round does not begin, each said once, and what it makes selection do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.pictures import Archive
from inference.words import corrected, promoted, purged, received, registered
from overread.core.corrections import Verdict
from overread.core.events import Kind, Purpose, ReadRequested
from overread.core.splits import Split
from overread.registry import Registry
from overread.store.engine import Store, upsert
from overread.trainer import round as rounds
from overread.trainer.tables import trainer_requests
from trainer.room import Room


def reason(room: Room) -> tuple[str, str]:
    assert room.look() == []
    row = room.row(1)
    assert room.look() is None, "the same is said again and again"
    return row.state, row.reason


def test_too_few_labels_and_one_class_wait_for_more(room: Room) -> None:
    room.bootstrap()
    room.label(100, [1, 0], Split.VALIDATION)
    room.label(0, [1] * 7)
    assert reason(room) == ("waiting", "waiting: fewer than 8 labels of train patients")
    before = room.row(1).labels_sha256
    room.label(20, [1])
    state, why = reason(room)
    assert state == "waiting"
    assert "one class" in why
    assert "train" in why
    assert room.row(1).labels_sha256 != before, "selection would not know that these labels were not enough either"
    room.label(30, [0])
    assert len(room.look() or ()) == 1


def test_one_class_of_validation_asks_no_train_reads(room: Room) -> None:
    """Validation patients are read completely: more labels of train patients would never mend it."""
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [0, 0], Split.VALIDATION)
    state, why = reason(room)
    assert state == "reading"
    assert "one class among the labels of validation" in why


def ask(room: Room, number: int, purpose: Purpose) -> None:
    event = ReadRequested(candidate=f"c-{number:03}", study=f"s-{number}", purpose=purpose, round=1, rank=0)
    with room.store.writing() as tx:
        tx.execute(upsert(trainer_requests).values(**event.model_dump()))


def test_open_reads_are_waited_for(room: Room) -> None:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    room.hear(received(50))
    ask(room, 50, Purpose.ACQUISITION)
    assert reason(room)[0] == "reading"
    room.hear(purged("s-50"))
    assert len(room.look() or ()) == 1


def test_half_of_the_validation_reads_are_enough(room: Room) -> None:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    for number in (100, 101, 110, 111, 112):
        if number > 105:
            room.hear(received(number, split=Split.VALIDATION))
        ask(room, number, Purpose.REFERENCE)
    assert reason(room) == ("reading", "reading: more than half of the validation patients' reads are open")
    room.hear(corrected(110, Verdict.UNSURE, split=Split.VALIDATION))
    assert len(room.look() or ()) == 1


def test_all_rounds_done_is_said(store: Store, registry: Registry, archive: Archive, weights: Path) -> None:
    room = Room(store, registry, archive, weights, most_rounds=1)
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    (said,) = room.look() or ()
    room.hear(said, promoted(2, said.sha256))
    room.label(40, [1])
    assert room.look() == []
    assert room.row(2).reason == "all 1 rounds are done"


def test_a_champion_without_weights_stops_the_rounds_and_is_not_fetched_for_ever(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.bootstrap()
    content = room.registry.fetch(1)
    assert content is not None
    version, _ = room.registry.register(
        "import", model=content + b"\0", weights=None, tags={}, parameters={}, metrics={}
    )
    room.hear(registered(version, "2" * 64, Kind.IMPORTED, 0), promoted(version, "2" * 64))
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    fetched = []
    fetch = room.registry.fetch
    monkeypatch.setattr(room.registry, "fetch", lambda *what: fetched.append(what) or fetch(*what))
    state, why = reason(room)
    assert state == "stopped", "as `waiting` it would have readers asked for labels that nobody can learn from"
    assert "imported without weights" in why
    assert room.look() is None
    assert len(fetched) == 1


def test_a_round_that_failed_is_not_trained_again_on_the_same_labels(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Divergence is made by hand: which rate diverges differs between machines."""
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    tried = []
    learn = rounds.learn

    def diverges(*given: Any, **more: Any) -> Any:
        tried.append(1)
        if len(tried) == 1:
            raise rounds.Diverged("the loss is not finite")
        return learn(*given, **more)

    monkeypatch.setattr(rounds, "learn", diverges)
    assert reason(room) == ("waiting", "waiting: the loss is not finite")
    assert len(tried) == 1
    # Selection asks for more, and the answer is no label: the round says again that it waits.
    room.hear(received(50))
    ask(room, 50, Purpose.ACQUISITION)
    assert reason(room) == ("reading", "reading: requested reads are open")
    room.hear(corrected(50, Verdict.UNSURE))
    assert reason(room) == ("waiting", "waiting: the loss is not finite")
    room.label(110, [1, 0], Split.VALIDATION)
    assert room.look() is None
    assert len(tried) == 1, "labels of validation patients mend no divergence"
    room.label(40, [1, 0])
    assert len(room.look() or ()) == 1


def test_validation_patients_without_pixels_are_no_reason_to_ask_for_train_reads(room: Room) -> None:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    (place, _) = room.label(100, [1, 0], Split.VALIDATION)
    room.archive.blobs.delete(room.archive.slices.manifest(place.series).slices[0].blob)
    assert reason(room) == ("reading", "reading: one class among the validation patients' labels that have pixels")
    room.label(110, [1, 0], Split.VALIDATION)
    assert len(room.look() or ()) == 1, "the labels that failed are not those that stand now"
