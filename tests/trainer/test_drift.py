"""Have small steps lost something? Every few rounds M0 learns all labels too, and takes over where it is better."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prometheus_client import REGISTRY

from inference.words import promoted, registered
from overread.core.splits import Split
from overread.registry import WEIGHTS_FILE
from overread.trainer import learning
from overread.trainer import round as rounds
from overread.trainer.tables import trainer_rounds
from overread_learn.finetune import Diverged
from overread_learn.nets import from_bytes, to_bytes
from trainer.room import Room


class Killed(BaseException):
    pass


def begin(room: Room, *, spoilt: bool, **settings: Any) -> None:
    """A house whose second round is next; its champion, version 2, learnt nothing, or can't learn anything either."""
    room.settings = room.settings.model_copy(update={"epochs": 3, "drift_every": 2, **settings})
    room.duty = room.start()
    room.bootstrap()
    room.label(0, [1, 0] * 12)
    room.label(100, [1, 0] * 6, Split.VALIDATION)
    weights = room.registry.fetch(1, WEIGHTS_FILE)
    assert weights is not None
    network = from_bytes(weights)
    if spoilt:  # no path through it is alive: every candidate has the same score, for ever
        with torch.no_grad():
            for value in network.parameters():
                value.zero_()
    version, sha256 = room.registry.register(
        "drifted", model=b"a network", weights=to_bytes(network), tags={}, parameters={}, metrics={}
    )
    with room.store.writing() as tx:
        values = {"round": 1, "state": "registered", "version": version, "parent": 1, "labels": 0}
        tx.execute(trainer_rounds.insert().values(**values, changed=room.duty._clock()))
    room.hear(registered(version, sha256), promoted(version, sha256))


def facts(room: Room, version: int = 3) -> tuple[dict[str, str], dict[str, float]]:
    """A version's tags and numbers in the registry."""
    (newest, *_) = room.registry.versions()
    assert newest.version == version
    client = room.registry._client
    run = client.get_model_version(room.registry.name, str(version)).run_id
    return dict(newest.tags), client.get_run(run).data.metrics


def gauge(network: str) -> float | None:
    return REGISTRY.get_sample_value("overread_drift_auc", {"network": network})


def test_a_restart_that_is_better_becomes_the_challenger_as_it_is(room: Room) -> None:
    begin(room, spoilt=True)
    (said,) = room.look() or ()
    tags, numbers = facts(room)
    assert tags["drift"] == "restarted from M0 on all labels, not interpolated"
    assert (tags["parent"], tags["start"], tags["trained_on"], tags["interpolated"]) == ("2", "1", "24", "1")
    assert numbers["auc_continued"] == 0.5
    assert numbers["auc_restarted"] > 0.9
    assert said.auc_validation == pytest.approx(numbers["auc_restarted"], abs=0.02)
    assert (gauge("continued"), gauge("restarted")) == (numbers["auc_continued"], numbers["auc_restarted"])


def test_a_restart_that_learns_all_labels_rescues_a_row_that_learns_few(room: Room) -> None:
    begin(room, spoilt=True, training="ACFT(Q)")
    with room.store.reading() as tx:
        known = rounds.teaching.labelled(tx, Split.TRAIN)
    with room.store.writing() as tx:
        rounds.curriculum.remember(tx, 1, known[:20])
    assert len(room.look() or ()) == 1
    tags, _ = facts(room)
    assert (tags["training"], tags["start"], tags["trained_on"]) == ("ACFT(Q)", "1", "24")


def test_without_drift_the_round_goes_on_and_both_figures_are_told(room: Room) -> None:
    begin(room, spoilt=False, drift_margin=1.0)
    assert len(room.look() or ()) == 1
    tags, numbers = facts(room)
    assert (tags["drift"], tags["start"]) == ("none", "2")
    assert float(tags["interpolated"]) in learning.SHARES
    assert {"auc_continued", "auc_restarted"} <= set(numbers)


@pytest.mark.parametrize("settings", [{"drift_every": 0}, {"drift_every": 3}, {"training": "AFT(LQ)"}])
def test_where_it_is_not_due_nothing_is_trained_twice(
    room: Room, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []
    monkeypatch.setattr(rounds.Round, "_report", staticmethod(lambda _, report: epochs.append(report.epoch)))
    begin(room, spoilt=False, epochs=1, **settings)
    assert len(room.look() or ()) == 1
    tags, numbers = facts(room)
    assert epochs == [1]
    assert "drift" not in tags
    assert "auc_restarted" not in numbers


def test_the_first_round_starts_from_m0_anyway(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []
    monkeypatch.setattr(rounds.Round, "_report", staticmethod(lambda _, report: epochs.append(report.epoch)))
    room.settings = room.settings.model_copy(update={"drift_every": 1})
    room.duty = room.start()
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0], Split.VALIDATION)
    assert len(room.look() or ()) == 1
    assert epochs == [1]


def test_a_round_that_is_killed_in_its_check_repeats_no_epoch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(room, spoilt=True)
    room.checkpoints.mkdir(exist_ok=True)
    (room.checkpoints / "round-1-other.pt").write_bytes(b"of a round that is over")
    epochs: list[int] = []
    offered = []

    def hear(_round: int, report: Any) -> None:
        epochs.append(report.epoch)
        if len(epochs) == 5:
            raise Killed

    def dies(_identity: str, **given: Any) -> Any:
        offered.append(given["model"])
        raise Killed

    monkeypatch.setattr(rounds.Round, "_report", staticmethod(hear))
    monkeypatch.setattr(room.registry, "register", dies)
    with pytest.raises(Killed):
        room.look()
    left = sorted(path.name for path in room.checkpoints.iterdir())
    assert len(left) == 2, "the training that is done, and the restart under way"
    room.duty = room.start()
    with pytest.raises(Killed):  # it learns to the end and dies in registering
        room.look()
    assert epochs == [1, 2, 3, 1, 2, 3]
    assert not list(room.checkpoints.iterdir())
    room.duty = room.start()
    with pytest.raises(Killed):  # and now without any interruption
        room.look()
    assert epochs == [1, 2, 3, 1, 2, 3] * 2
    assert offered[0] == offered[1]
    assert not list(room.checkpoints.iterdir())


def test_a_restart_that_diverges_does_not_cost_the_round(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divergence is made by hand: which rate diverges differs between machines."""
    begin(room, spoilt=False, epochs=1)
    fit = learning.finetune_last
    tried = []

    def second_diverges(*given: Any, **more: Any) -> Any:
        tried.append(1)
        if len(tried) == 2:
            raise Diverged("the loss is not finite")
        return fit(*given, **more)

    monkeypatch.setattr(learning, "finetune_last", second_diverges)
    assert len(room.look() or ()) == 1
    tags, _ = facts(room)
    assert tags["start"] == "2"
    assert "drift" not in tags
    assert not list(room.checkpoints.iterdir())
