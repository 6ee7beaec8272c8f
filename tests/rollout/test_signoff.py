"""What people do to a rollout: nothing is released without them, and they can always take it back."""

from __future__ import annotations

import pytest

from inference.pictures import Archive
from inference.words import perform
from overread.core.errors import Conflict, GateFailed
from overread.core.events import ModelPromoted, ModelRejected, ModelRolledBack
from overread.registry import Registry
from overread.rollout import states
from overread.rollout.standing import show
from overread.rollout.states import State
from overread.store.engine import Store
from rollout.room import Room


def test_nothing_is_promoted_without_its_signatures(
    store: Store, registry: Registry, archive: Archive, models: dict[str, bytes]
) -> None:
    room = Room(store, registry, archive, models, required=2)
    room.begin()
    good = room.shelve("good")
    with pytest.raises(GateFailed, match="registered"):
        room.sign(good)
    assert room.go() == []
    assert room.sign(good, "A").new
    assert not room.sign(good, "A").new
    assert not room.sign(good, " A ").new, "one person with a blank is one person"
    assert room.go() == []
    assert room.state(good) == State.AWAITING_SIGNOFF
    for nobody in ("", "   "):
        with pytest.raises(GateFailed, match="--name"):
            room.sign(good, nobody)
    with pytest.raises(GateFailed, match="no version 99"):
        room.sign(99)
    room.sign(good, "B")
    assert len(room.go()) == 1
    assert room.state(good) == State.CHAMPION
    with room.store.reading() as tx:
        shown = show(tx, good)
    assert shown is not None
    assert [one["name"] for one in shown["signatures"]] == ["A", "B"]
    assert {one["evidence"] for one in shown["signatures"]} == {shown["evidence"][0]["evidence_sha256"]}


def test_each_version_that_awaits_a_signature_is_signed_by_itself(room: Room) -> None:
    """The older one may lie there for weeks."""
    room.begin()
    older, newer = room.shelve("good"), room.shelve("better")
    room.go()
    assert room.state(older) == room.state(newer) == State.AWAITING_SIGNOFF
    room.sign(newer)
    (said,) = room.go()
    assert isinstance(said, ModelPromoted)
    assert said.version == newer


def test_evidence_against_a_champion_that_serves_no_more_is_gathered_again(room: Room) -> None:
    room.begin()
    older, newer = room.shelve("good"), room.shelve("better")
    room.go()
    room.sign(older)
    room.sign(newer)
    said = room.go()
    assert [event.version for event in said if isinstance(event, ModelPromoted)] == [older]
    assert room.state(newer) == State.AWAITING_SIGNOFF, "a signature for another comparison let it through"
    first, second = room.evidence(newer)
    assert (first["champion"], second["champion"]) == (1, older)
    assert (first["gate"], second["gate"]) == ("first-clearance", "non-inferiority")
    room.sign(newer)
    assert [event.version for event in room.go() if isinstance(event, ModelPromoted)] == [newer]


def test_a_version_on_its_way_is_aborted_and_stays_so(room: Room) -> None:
    room.begin()
    good = room.shelve("good")
    room.go()
    (said,) = room.stop(good)
    assert isinstance(said, ModelRejected)
    assert (said.version, said.outcome) == (good, "aborted")
    assert room.go() == []
    assert room.state(good) == State.ABORTED
    with pytest.raises(Conflict):
        room.stop(good)
    with pytest.raises(Conflict, match="no version 99"):
        room.stop(99)


def test_a_champion_is_rolled_back_to_the_one_before_it(room: Room) -> None:
    room.begin()
    good, better = room.release("good"), room.release("better")
    withdrawn, back = room.stop(better)
    assert isinstance(withdrawn, ModelRolledBack)
    assert isinstance(back, ModelPromoted)
    assert (withdrawn.version, withdrawn.restored) == (better, good)
    assert (back.version, back.cleared, back.first_clearance, back.previous) == (good, True, False, better)
    assert (room.state(better), room.state(good)) == (State.ROLLED_BACK, State.CHAMPION)
    perform(room.store, room.heal)
    assert room.registry.champion() == good
    withdrawn, back = room.stop(good)
    assert isinstance(back, ModelPromoted)
    assert (back.version, back.cleared) == (1, False), "what was never cleared is not cleared by coming back"
    with pytest.raises(Conflict, match="nothing to go back to"):
        room.stop(1)
    with room.store.reading() as tx:
        assert states.champions(tx) == [1, good, better, good, 1]
        baseline = states.cleared_baseline(tx)
    assert baseline is not None
    assert baseline.version == good


def test_the_alias_is_put_back_and_only_when_nothing_is_being_promoted(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    perform(room.store, room.heal)
    room.begin()
    good = room.shelve("good")
    room.registry.set_champion(good)
    assert perform(room.store, room.heal) is None
    assert room.registry.champion() == 1
    assert "registry alias put back" in caplog.text
    room.registry._client.delete_registered_model_alias(room.registry.name, "champion")
    perform(room.store, room.heal)
    assert room.registry.champion() == 1
    room.go()
    room.sign(good)
    while room.state(good) != State.PROMOTING:
        perform(room.store, room.advance)
    room.advance.prepare()
    perform(room.store, room.heal)
    assert room.registry.champion() == good, "the alias of a promotion under way was taken back"
