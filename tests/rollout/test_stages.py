"""From the first model to a cleared champion, one act at a time, with real networks on a real shelf."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from inference.words import NAME, NOON, corrected, perform, purged, received, registered
from overread.core.errors import Conflict, GateFailed
from overread.core.events import Event, Kind, ModelPromoted, ModelRejected
from overread.core.splits import Split
from overread.rollout import states
from overread.rollout.standing import show, standing, versions
from overread.rollout.states import State
from overread.rollout.tables import rollout_transitions
from registry.shelf import model_file
from rollout.room import Room


def test_the_bootstrap_serves_uncleared_without_a_gate(room: Room) -> None:
    version = room.shelve("bootstrap", Kind.BOOTSTRAP)
    (said,) = room.go()
    assert said == ModelPromoted(
        name=NAME,
        version=version,
        sha256=hashlib.sha256(room.models["bootstrap"]).hexdigest(),
        previous=None,
        cleared=False,
        first_clearance=False,
    )
    assert room.registry.champion() == version
    assert room.evidence(version) == []
    assert room.go() == []


def test_the_first_clearance_then_a_champion_that_is_not_worse_than_both(room: Room) -> None:
    room.begin()
    good = room.shelve("good")
    assert room.go() == []
    assert room.state(good) == State.AWAITING_SIGNOFF
    (first,) = room.evidence(good)
    assert (first["gate"], first["answer"], first["champion"]) == ("first-clearance", "successful", 1)
    assert first["sha256"] == hashlib.sha256(room.models["good"]).hexdigest()
    assert first["protocol_sha256"] == room.sha256
    assert first["auc_locked"] > 0.9
    room.sign(good)
    (said,) = room.go()
    assert isinstance(said, ModelPromoted)
    assert (said.version, said.previous, said.cleared, said.first_clearance) == (good, 1, True, True)
    assert room.state(1) == State.RETIRED
    assert room.registry.champion() == good
    better = room.shelve("better")
    assert room.go() == []
    (second,) = room.evidence(better)
    assert (second["gate"], second["champion"], second["cleared_baseline"]) == ("non-inferiority", good, good)
    room.sign(better)
    (said,) = room.go()
    assert isinstance(said, ModelPromoted)
    assert (said.version, said.previous, said.cleared, said.first_clearance) == (better, good, True, False)
    with room.store.reading() as tx:
        facts = standing(tx)
        history = tx.execute(
            select(rollout_transitions.c.to_state).where(rollout_transitions.c.version == better)
        ).scalars()
        assert list(history) == [
            "registered",
            "validating",
            "validated",
            "awaiting_signoff",
            "promoting",
            "champion",
        ]
    assert facts["champions"] == [1, good, better]
    assert facts["champion"] == {"version": better, "sha256": hashlib.sha256(room.models["better"]).hexdigest()}
    assert facts["cleared_baseline"] == good


@pytest.mark.parametrize("cleared", [False, True])
def test_flipped_scores_are_rejected_and_the_trainer_is_told_no_numbers(room: Room, *, cleared: bool) -> None:
    room.begin()
    if cleared:
        room.release("good")
    flipped = room.shelve("flipped")
    (said,) = room.go()
    assert isinstance(said, ModelRejected)
    assert (said.version, said.outcome) == (flipped, "rejected")
    assert said.gate == ("non-inferiority" if cleared else "first-clearance")
    assert set(said.model_dump()) == {"name", "version", "sha256", "outcome", "gate"}
    assert room.state(flipped) == State.REJECTED
    assert room.evidence(flipped)[0]["answer"] == "failed"
    with pytest.raises(GateFailed, match="rejected"):
        room.sign(flipped)
    with pytest.raises(Conflict):
        room.stop(flipped)


def test_a_bootstrap_network_is_not_cleared_by_the_gate(room: Room) -> None:
    """As an import, since the gate alone must keep it out."""
    room.begin()
    version = room.shelve("flipped", Kind.IMPORTED)
    assert [type(said) for said in room.go()] == [ModelRejected]
    assert room.state(version) == State.REJECTED


def test_too_few_labels_wait_with_their_reason_and_go_on_when_there_are_enough(room: Room) -> None:
    room.shelve("bootstrap", Kind.BOOTSTRAP)
    good = room.shelve("good")
    room.lock([1, 0, 0])
    room.go()
    assert room.state(good) == State.VALIDATING
    assert room.reason(good).startswith("inconclusive: 1 patients of 5")
    assert room.evidence(good) == []
    room.lock(first=100)
    room.go()
    assert room.state(good) == State.AWAITING_SIGNOFF


def test_an_import_that_waits_for_labels_does_not_keep_the_first_model_out(room: Room) -> None:
    """Without a first model nothing is asked for, so the labels that it waits for would never come."""
    imported = room.shelve("good", Kind.IMPORTED)
    room.go()
    assert room.state(imported) == State.VALIDATING
    bootstrap = room.shelve("bootstrap", Kind.BOOTSTRAP)
    assert [event.version for event in room.go() if isinstance(event, ModelPromoted)] == [bootstrap]


def test_a_locked_image_in_other_units_judges_nobody_and_is_named(room: Room) -> None:
    room.begin()
    (place,) = room.archive.add([1], first=900, above=5000)
    room.hear(
        received(900, place, split=Split.LOCKED),
        corrected(900, place=place, split=Split.LOCKED),
    )
    good = room.shelve("good")
    room.go()
    assert room.state(good) == State.VALIDATING
    assert room.reason(good).startswith("error: candidate c-900: the image holds ")
    assert room.evidence(good) == []
    room.hear(purged("s-900"), minutes=5)
    room.go()
    assert room.state(good) == State.AWAITING_SIGNOFF


def test_a_version_whose_file_was_changed_is_not_judged_and_holds_up_nobody(room: Room, tmp_path: Path) -> None:
    room.begin()
    spoilt = room.shelve("good")
    file = model_file(tmp_path, spoilt)
    file.write_bytes(room.models["better"])
    whole = room.shelve("better")
    room.go()
    assert room.state(spoilt) == State.VALIDATING
    assert "error: " in room.reason(spoilt)
    assert "SHA-256" in room.reason(spoilt)
    assert room.state(whole) == State.AWAITING_SIGNOFF
    file.write_bytes(room.models["good"])
    room.go()
    assert room.state(spoilt) == State.AWAITING_SIGNOFF


def test_pixels_that_are_gone_are_an_error_until_the_purge_is_heard(room: Room) -> None:
    room.shelve("bootstrap", Kind.BOOTSTRAP)
    room.go()
    places = room.lock()
    room.lock(first=100)
    (first, *_) = room.archive.slices.manifest(places[0].series).slices
    room.archive.blobs.delete(first.blob)
    good = room.shelve("good")
    room.go()
    assert room.state(good) == State.VALIDATING
    room.hear(purged("s-0"), minutes=1)
    room.go()
    assert room.state(good) == State.AWAITING_SIGNOFF
    (evidence,) = room.evidence(good)
    assert evidence["positives"] == 23


def test_compare_and_set_lets_one_of_two_processes_act(room: Room) -> None:
    room.begin()
    good = room.shelve("good")
    other = room.start()
    mine, theirs = room.advance.prepare(), other.prepare()
    assert mine is not None
    assert theirs is not None
    for duty, step in ((room.advance, mine), (other, theirs)):
        with room.store.writing() as tx:
            assert duty.apply(tx, step) == ()
    with room.store.reading() as tx:
        acts = tx.execute(select(rollout_transitions.c.to_state).where(rollout_transitions.c.version == good)).all()
    assert [act.to_state for act in acts] == ["registered", "validating"]


def test_two_processes_that_crown_say_so_once(room: Room) -> None:
    room.shelve("bootstrap", Kind.BOOTSTRAP)
    perform(room.store, room.advance)
    other = room.start()
    steps = room.advance.prepare(), other.prepare()
    said: list[Event] = []
    for step in steps:
        assert step is not None
        with room.store.writing() as tx:
            said += room.advance.apply(tx, step)
    assert len(said) == 1
    with room.store.reading() as tx:
        assert states.champions(tx) == [1]


def test_a_move_that_is_none_and_one_from_another_state_are_conflicts(room: Room) -> None:
    version = room.shelve("good")
    with room.store.writing() as tx:
        for come_from, to in ((State.REGISTERED, State.CHAMPION), (State.VALIDATED, State.AWAITING_SIGNOFF)):
            with pytest.raises(Conflict):
                states.move(tx, version, come_from, to, by="x", reason=None, time=NOON)
        for ended in (State.REJECTED, State.ABORTED, State.ROLLED_BACK):
            assert not states.WAYS[ended]
    assert room.state(version) == State.REGISTERED


def test_a_crash_after_the_alias_only_sets_it_again(room: Room) -> None:
    room.shelve("bootstrap", Kind.BOOTSTRAP)
    perform(room.store, room.advance)
    assert room.advance.prepare() is not None
    assert room.registry.champion() == 1
    assert room.state(1) == State.PROMOTING
    room.advance = room.start()
    assert len(room.go()) == 1


def test_a_registration_that_is_heard_twice_is_one(room: Room) -> None:
    version = room.shelve("good")
    room.hear(registered(version, "f" * 64))
    with room.store.reading() as tx:
        (row,) = versions(tx)
    assert row["sha256"] == hashlib.sha256(room.models["good"]).hexdigest()
    with room.store.reading() as tx:
        assert show(tx, 99) is None
