"""What happens to a round while it trains, and between its registering and the room's hearing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.words import promoted, purged
from overread.core.splits import Split
from overread.registry import Registry
from overread.store.engine import Store
from overread.trainer import round as rounds
from overread.trainer.standing import learnt_from
from overread.trainer.versions import pending
from trainer.room import Room


@pytest.fixture
def ready(room: Room) -> Room:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    return room


def test_no_second_round_begins_before_the_room_has_heard_of_the_first(ready: Room) -> None:
    (said,) = ready.look() or ()
    ready.label(40, [1])  # it came while the round trained
    assert ready.look() is None, "rollout decides first, also while its event is under way"
    with ready.store.reading() as tx:
        assert pending(tx) == said.version
    ready.hear(said, promoted(said.version, said.sha256))
    (second,) = ready.look() or ()
    assert (second.version, second.parent) == (3, 2)


def test_the_bootstrap_too_is_pending_at_once(room: Room) -> None:
    (said,) = room.look() or ()
    with room.store.reading() as tx:
        assert pending(tx) == said.version


def test_what_is_said_of_a_version_is_true_after_a_restart_with_other_settings(ready: Room) -> None:
    """Killed between registering and writing it down: the version that stands there was trained otherwise."""
    lost = ready.duty.prepare()
    assert lost is not None
    assert lost.event is not None
    ready.settings = ready.settings.model_copy(update={"strategy": "random", "epochs": 3, "interpolate": False})
    ready.duty = ready.start()
    (said,) = ready.look() or ()
    assert said.version == lost.event.version + 1
    (version,) = (one for one in ready.registry.versions() if one.version == said.version)
    assert version.tags["strategy"] == said.strategy == ready.row(1).strategy == "random"
    assert ready.row(1).version == said.version


def test_validation_labels_that_came_after_a_kill_are_those_of_the_version(ready: Room) -> None:
    lost = ready.duty.prepare()
    assert lost is not None
    assert lost.event is not None
    ready.label(110, [1, 0] * 2, Split.VALIDATION)
    ready.duty = ready.start()
    (said,) = ready.look() or ()
    assert said.version != lost.event.version


def test_a_study_that_is_purged_while_a_round_learns_it_is_not_in_its_version(
    ready: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who purges it is told which versions learnt from it: one that comes later would not be among them."""
    ready.label(20, [1, 0])
    learn, trained = rounds.learn, []

    def meanwhile(*given: Any, **more: Any) -> Any:
        trained.append(len(given[1]))
        found = learn(*given, **more)
        if len(trained) == 1:
            with ready.store.reading() as tx:
                assert learnt_from(tx, "s-0").versions == []
            ready.hear(purged("s-0"))
        return found

    monkeypatch.setattr(rounds, "learn", meanwhile)
    assert ready.look() is None
    assert len(ready.registry.versions()) == 1
    assert ready.row(1) is None
    (said,) = ready.look() or ()
    assert trained == [10, 9]
    assert said.labels == 9


@pytest.mark.parametrize("depth", ["all", "search"])
def test_a_checkpoint_that_cannot_be_read_is_no_reason_to_ask_for_labels(
    store: Store, registry: Registry, archive: Any, weights: Path, depth: str
) -> None:
    room = Room(store, registry, archive, weights, depth=depth)
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    with store.reading() as tx:
        parts = (rounds.champion(tx), rounds.teaching.labelled(tx, Split.TRAIN))
        validation = rounds.teaching.labelled(tx, Split.VALIDATION)
    assert parts[0] is not None
    name = room.duty._identity(rounds.Task(1, parts[0], parts[1], validation))
    room.checkpoints.mkdir(parents=True, exist_ok=True)
    for stem in (name, f"{name}-depth1"):
        (room.checkpoints / f"{stem}.pt").write_bytes(b"")
    assert len(room.look() or ()) == 1
    assert room.row(1).state == "registered"
