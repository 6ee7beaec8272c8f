"""How deep a round trains: all layers, the last blocks, or what a search finds, again when the labels have doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from inference.words import promoted
from overread import config
from overread.core.splits import Split
from overread.registry import WEIGHTS_FILE
from overread.trainer import depth as depths
from overread.trainer import learning
from overread_learn.depth import shallowest
from overread_learn.finetune import step
from overread_learn.nets import build, from_bytes
from overread_learn.nets.blocks import freeze
from trainer.room import Room


class Killed(BaseException):
    pass


def begin(room: Room, *, validation: int = 6, **settings: Any) -> None:
    """A house that has its bootstrap, 24 labels to learn and some patients to judge by."""
    room.settings = room.settings.model_copy(update={"epochs": 2, **settings})
    room.duty = room.start()
    room.bootstrap()
    room.label(0, [1, 0] * 12)
    room.label(500, [1, 0] * validation, Split.VALIDATION)


def learn(room: Room) -> None:
    """The next round, and its promotion."""
    (said,) = room.look() or ()
    room.hear(said, promoted(said.version, said.sha256))


def weights(room: Room, version: int) -> dict[str, torch.Tensor]:
    content = room.registry.fetch(version, WEIGHTS_FILE)
    assert content is not None
    return from_bytes(content).state_dict()


def facts(room: Room) -> tuple[dict[str, str], dict[str, float]]:
    (newest, *_) = room.registry.versions()
    client = room.registry._client
    run = client.get_model_version(room.registry.name, str(newest.version)).run_id
    return dict(newest.tags), client.get_run(run).data.metrics


def changed(room: Room) -> set[str]:
    """The layers in which version 2 differs from the bootstrap."""
    before, after = weights(room, 1), weights(room, 2)
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_set_depth_leaves_the_trunk_as_it_was(room: Room) -> None:
    begin(room, depth=2)
    learn(room)
    tags, _ = facts(room)
    assert tags["depth"] == "2 of 5 blocks, stage4-head"
    assert (room.row(1).depth, room.row(1).searched) == (2, None)
    content = room.registry.fetch(1, WEIGHTS_FILE)
    assert content is not None
    network = from_bytes(content)
    freeze(network, 2)
    assert changed(room) == {name for name, value in network.named_parameters() if value.requires_grad}


def test_what_did_not_learn_keeps_its_statistics_when_weights_are_interpolated(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(build("resnet18", 2, None, seed=0).net.state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.setattr(learning, "SHARES", (0.5,))
    begin(room, depth=1, arch="resnet18", weights=tmp_path / "resnet18.pth", epochs=1)
    learn(room)
    room.label(100, [1, 0])
    learn(room)
    tags, _ = facts(room)
    assert tags["interpolated"] == "0.5"
    before, after = weights(room, 2), weights(room, 3)
    assert torch.equal(before["net.bn1.running_mean"], after["net.bn1.running_mean"])
    assert not torch.equal(before["net.fc.weight"], after["net.fc.weight"])


def test_unless_it_is_set_all_layers_learn(room: Room) -> None:
    begin(room)
    learn(room)
    tags, _ = facts(room)
    assert tags["depth"] == "all layers"
    assert room.row(1).depth is None
    assert changed(room) == set(weights(room, 1))


def test_a_search_holds_until_the_labels_have_doubled(room: Room) -> None:
    begin(room, depth="search")
    learn(room)
    tags, numbers = facts(room)
    tried = {name: value for name, value in numbers.items() if name.startswith("auc_depth_")}
    assert set(tried) == {f"auc_depth_{depth}" for depth in range(1, 6)}
    first = room.row(1)
    assert first.searched == 24
    assert tags["depth"].startswith(f"{first.depth} of 5 blocks")
    assert tags["searched"] == "24"
    room.label(100, [1, 0] * 11)  # 46
    learn(room)
    assert (room.row(2).depth, room.row(2).searched) == (first.depth, None)
    room.label(200, [1, 0])  # 48
    learn(room)
    assert room.row(3).searched == 48


def test_what_the_search_takes_is_the_shallowest_that_is_good_enough(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr(depths, "_say", heard.append)
    begin(room, depth="search")
    learn(room)
    assert [row.depth for row in heard] == [1, 2, 3, 4, 5]
    assert room.row(1).depth == shallowest(heard)


def test_patients_too_few_for_a_standard_error_are_no_reason_to_wait(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    begin(room, depth="search", validation=1)
    learn(room)
    assert (room.row(1).depth, room.row(1).searched) == (None, None)
    assert "no search for a depth" in caplog.text


def test_a_depth_that_there_is_not_stops_the_rounds_and_says_so(room: Room) -> None:
    begin(room, depth=9)
    assert room.look() == []
    row = room.row(1)
    assert row.state == "stopped"
    assert "trainer.depth: squeezenet1_1 has depths 1 (the head) to 5 (everything), got 9" in row.reason


@pytest.mark.parametrize("depth", [0, -1, "deep", 1.5])
def test_a_depth_that_cannot_be_is_refused_at_the_start(depth: Any) -> None:
    with pytest.raises(ValidationError, match="depth"):
        config.Trainer(depth=depth)
    assert config.Trainer(depth="3").depth == 3  # type: ignore[arg-type]


def test_a_round_that_is_killed_in_its_search_repeats_no_epoch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = []
    one_epoch = step._epoch

    def counted(*given: Any) -> float:
        epochs.append(1)
        return one_epoch(*given)

    offered = []

    def dies(_identity: str, **given: Any) -> Any:
        offered.append(given["model"])
        raise Killed

    rows = []

    def hear(row: Any) -> None:
        rows.append(row.depth)
        if len(rows) == 3:
            raise Killed

    monkeypatch.setattr(step, "_epoch", counted)
    monkeypatch.setattr(depths, "_say", hear)
    begin(room, depth="search")
    monkeypatch.setattr(room.registry, "register", dies)
    with pytest.raises(Killed):
        room.look()
    assert len(list(room.checkpoints.iterdir())) == 3
    room.duty = room.start()
    with pytest.raises(Killed):  # it learns to the end and dies in registering
        room.look()
    assert rows == [1, 2, 3, 1, 2, 3, 4, 5]
    assert len(epochs) == 5 * 2, "each depth once, and the one that is taken not again"
    assert not list(room.checkpoints.iterdir())
    room.duty = room.start()
    with pytest.raises(Killed):  # and now without any interruption
        room.look()
    assert offered[0] == offered[1]


def test_checkpoints_of_other_terms_are_put_aside(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def hear(_row: Any) -> None:
        raise Killed

    begin(room, depth="search")
    with monkeypatch.context() as patched:
        patched.setattr(depths, "_say", hear)
        with pytest.raises(Killed):
            room.look()
    room.settings = room.settings.model_copy(update={"epochs": 1})
    room.duty = room.start()
    learn(room)
    assert room.row(1).searched == 24
