"""A whole round on pictures that are learnt in seconds: train, export, register, announce."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.pictures import APPLICATION
from inference.words import promoted
from overread import config
from overread.core.errors import Fenced, Misconfigured
from overread.core.events import ChallengerRegistered, Kind
from overread.core.splits import Split
from overread.registry import WEIGHTS_FILE
from overread.store.leases import Lease
from overread.trainer import bootstrap, shelf
from overread.trainer import round as rounds
from overread.trainer.labels import Neighbourhoods, fixed_patches, labelled
from overread_learn.acquisition.strategy import ALIASES
from overread_learn.evaluate import auc
from overread_learn.finetune import cooled
from overread_learn.nets import WeightsUnavailable, build, from_bytes, temperature_of
from overread_learn.patches import cut
from overread_learn.scoring import Scorer, probability
from trainer.room import Room


def test_the_first_look_registers_the_bootstrap_and_waits_for_rollout(room: Room) -> None:
    (said,) = room.look() or ()
    assert (said.kind, said.version, said.round, said.parent) == (Kind.BOOTSTRAP, 1, 0, None)
    content = room.registry.fetch(1)
    assert content is not None
    assert hashlib.sha256(content).hexdigest() == said.sha256
    scorer = Scorer(content)
    assert scorer.application == APPLICATION
    assert scorer.metadata["overread.kind"] == "bootstrap"
    assert room.row(0).reason == "start: file:squeeze.pth"
    (version,) = room.registry.versions()
    assert version.tags["sha256"] == said.sha256
    assert room.look() is None
    room.hear(said)
    assert room.look() is None


def test_a_round_learns_registers_and_says_so(room: Room) -> None:
    room.settings = room.settings.model_copy(update={"epochs": 4})
    room.duty = room.start()
    parent = room.bootstrap()
    room.label(0, [1, 0] * 12)
    places = room.label(100, [1, 0] * 6, Split.VALIDATION)
    (said,) = room.look() or ()
    assert isinstance(said, ChallengerRegistered)
    assert (said.kind, said.round, said.version, said.parent) == (Kind.ROUND, 1, 2, parent.version)
    assert (said.labels, said.strategy) == (24, "auto")
    row = room.row(1)
    assert (row.state, row.version, row.sha256, row.parent, row.labels) == ("registered", 2, said.sha256, 1, 24)
    content, trained, version = (
        room.registry.fetch(2),
        room.registry.fetch(2, WEIGHTS_FILE),
        room.registry.versions()[0],
    )
    assert content is not None
    assert trained is not None
    assert hashlib.sha256(content).hexdigest() == said.sha256 != parent.sha256
    assert float(version.tags["temperature"]) == pytest.approx(temperature_of(trained), rel=1e-3) != 1
    scorer, model = Scorer(content), cooled(from_bytes(trained), temperature_of(trained))
    found = []
    for place in places:
        view = room.archive.views().at(place)
        patches = cut(view.prepared, view.x, view.y, APPLICATION, view.spacing_mm)
        logits = scorer.logits(patches)
        with torch.inference_mode():
            np.testing.assert_allclose(logits, model(torch.from_numpy(patches)).numpy(), atol=1e-3)
        found.append(probability(logits))
    assert auc([1, 0] * 6, found) == pytest.approx(said.auc_validation, abs=1e-6)
    assert said.auc_validation is not None
    assert said.auc_validation > 0.9, "nothing was learnt from pictures that a child tells apart"
    assert version.tags["labels_sha256"] == row.labels_sha256
    assert version.tags["parent_sha256"] == parent.sha256
    assert (version.tags["strategy"], version.tags["chooses"]) == ("auto", ALIASES["auto"])
    assert version.tags["interpolated"] == "1", "an untrained network has nothing to hold on to"
    room.hear(said)
    assert room.look() is None, "rollout decides first"
    room.hear(promoted(2, said.sha256))
    assert room.look() == []
    assert room.row(2).reason == "waiting: no label since the last round"
    assert room.look() is None


class Killed(BaseException):
    pass


@pytest.mark.parametrize("number", [0, 1])
def test_a_crash_between_registering_and_writing_it_down_registers_once(room: Room, number: int) -> None:
    if number:
        room.bootstrap()
        room.label(0, [1, 0] * 4)
        room.label(100, [1, 0] * 2, Split.VALIDATION)
    lost = room.duty.prepare()
    assert lost is not None
    assert lost.event is not None
    assert len(room.registry.versions()) == number + 1
    room.duty = room.start()
    (said,) = room.look() or ()
    assert (said.version, said.sha256) == (lost.event.version, lost.event.sha256)
    assert len(room.registry.versions()) == number + 1
    content = room.registry.fetch(said.version)
    assert content is not None
    assert hashlib.sha256(content).hexdigest() == said.sha256


def test_a_crash_before_registering_gives_the_same_model_when_run_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    offered = []
    register = room.registry.register

    def dies(identity: str, **given: Any) -> Any:
        offered.append((identity, given["model"]))
        if len(offered) == 1:
            raise Killed
        return register(identity, **given)

    monkeypatch.setattr(room.registry, "register", dies)
    with pytest.raises(Killed):
        room.look()
    assert room.row(1) is None
    room.duty = room.start()
    assert len(room.look() or ()) == 1
    assert offered[0] == offered[1]


def test_a_round_that_is_killed_goes_on_from_its_last_epoch(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.settings = room.settings.model_copy(update={"epochs": 3})
    room.duty = room.start()
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    epochs: list[int] = []
    offered = []

    def hear(_round: int, report: Any) -> None:
        epochs.append(report.epoch)
        if len(epochs) == 2:
            raise Killed

    def dies(_identity: str, **given: Any) -> Any:
        offered.append(given["model"])
        raise Killed

    monkeypatch.setattr(rounds.Round, "_report", staticmethod(hear))
    monkeypatch.setattr(room.registry, "register", dies)
    with pytest.raises(Killed):
        room.look()
    assert len(list(room.checkpoints.iterdir())) == 1
    room.duty = room.start()
    with pytest.raises(Killed):  # it learns to the end and dies in registering
        room.look()
    assert epochs == [1, 2, 3]
    assert not list(room.checkpoints.iterdir())
    room.duty = room.start()
    with pytest.raises(Killed):  # and now without any interruption
        room.look()
    assert epochs == [1, 2, 3, 1, 2, 3]
    assert offered[0] == offered[1]


def test_a_round_may_leave_out_its_safeguards(room: Room) -> None:
    room.settings = room.settings.model_copy(update={"interpolate": False, "recalibrate": False})
    room.duty = room.start()
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    assert len(room.look() or ()) == 1
    tags = room.registry.versions()[0].tags
    assert (tags["interpolated"], tags["temperature"]) == ("1", "1")


def test_while_another_holds_the_lease_nothing_is_done(room: Room) -> None:
    other = Lease(room.store, "trainer.round", "another")
    assert other.take()
    assert room.look() is None
    assert room.registry.versions() == []
    other.give_back()
    assert len(room.look() or ()) == 1


def test_a_round_whose_lease_was_lost_writes_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stood still for longer than its lease; here the clock is not waited for: the lease is taken away."""
    short = Lease(room.store, "trainer.round", "slow", seconds=0.3)
    room.duty = room.start(short)
    beginning = room.duty._bootstrap

    def slowly() -> Any:
        outcome = beginning()
        taken = Lease(room.store, "trainer.round", "another", seconds=60)
        for _ in range(200):
            if taken.take():
                break
            with room.store.writing() as tx:  # what a stop of a minute does to it
                from overread.store.tables import leases  # noqa: PLC0415

                tx.execute(leases.update().values(expires=0.0))
        import time  # noqa: PLC0415

        time.sleep(0.5)
        return outcome

    monkeypatch.setattr(room.duty, "_bootstrap", slowly)
    with pytest.raises(Fenced):
        room.look()
    assert room.row(0) is None


def test_pixels_that_are_gone_are_left_out(room: Room) -> None:
    room.bootstrap()
    places = room.label(0, [1, 0] * 5)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    manifest = room.archive.slices.manifest(places[0].series)
    for part in manifest.slices[:2]:
        room.archive.blobs.delete(part.blob)
    (said,) = room.look() or ()
    assert said.labels == 8
    assert room.row(1).labels == 10


def test_an_export_that_computes_something_else_is_not_registered(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong exporter can't be had on demand, so its measure is what is replaced."""
    monkeypatch.setattr(shelf, "parity", lambda *_: 2e-4)
    with pytest.raises(Misconfigured, match="differs from PyTorch"):
        room.look()
    assert room.registry.versions() == []


def test_the_neighbourhood_of_a_label_holds_all_that_its_patches_need(room: Room) -> None:
    places = room.label(0, [1, 0])
    with room.store.reading() as tx:
        known = labelled(tx, Split.TRAIN)
    views = room.archive.views()
    patches, truth, patients = fixed_patches(views, known)
    assert truth.tolist() == [1, 0]
    assert patients == [one.patient for one in known]
    for place, found in zip(places, patches, strict=True):
        view = room.archive.views().at(place)
        whole = cut(view.prepared, view.x, view.y, APPLICATION, view.spacing_mm)
        np.testing.assert_allclose(found, whole[: len(found)], atol=1e-4)
    samples = Neighbourhoods(views, known)
    one = samples.draw(0, np.random.default_rng(3))
    again = samples.draw(0, np.random.default_rng(3))
    np.testing.assert_array_equal(one, again)
    assert samples.missing == 0


def test_without_a_file_the_start_is_imagenets_or_random_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download is no part of a test: that it fails is what is replaced."""

    def away(arch: str, classes: int, weights: Any, seed: int) -> Any:
        if weights == "imagenet":
            raise WeightsUnavailable("no network")
        return build(arch, classes, weights, seed)

    monkeypatch.setattr(bootstrap, "build", away)
    assert bootstrap.start(config.Trainer(), 2).origin == "random"


def test_a_start_that_cannot_be_made_names_its_setting(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(Misconfigured, match=r"trainer\.weights"):
        bootstrap.start(config.Trainer(weights=tmp_path / "absent.pth"), 2)
    with pytest.raises(Misconfigured, match=r"trainer\.weights"):
        bootstrap.start(config.Trainer(weights=weights, arch="resnet18"), 2)
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    with pytest.raises(Misconfigured, match=r"trainer\.weights"):
        bootstrap.start(config.Trainer(weights=tmp_path / "garbage.pth"), 2)
