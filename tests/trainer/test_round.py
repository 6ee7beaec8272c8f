"""A whole round on pictures that are learnt in seconds: train, export, register, announce; and every reason not to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select

from inference.pictures import APPLICATION, Archive
from inference.words import NOON, corrected, hear, perform, promoted, purged, received, registered
from overread import config
from overread.core.corrections import Verdict
from overread.core.errors import Fenced, Misconfigured
from overread.core.events import ChallengerRegistered, Kind, Place, Purpose, ReadRequested
from overread.core.splits import Split
from overread.registry import WEIGHTS_FILE, Registry
from overread.store.engine import Store, upsert
from overread.store.leases import Lease
from overread.trainer import bootstrap
from overread.trainer import round as rounds
from overread.trainer.labels import Neighbourhoods, fixed_patches, labelled
from overread.trainer.pool import Admit, Forget, Learn
from overread.trainer.round import Round
from overread.trainer.tables import trainer_requests, trainer_rounds
from overread.trainer.versions import Promote, Register
from overread_learn.evaluate import auc
from overread_learn.nets import WeightsUnavailable, build, from_bytes
from overread_learn.patches import cut
from overread_learn.scoring import Scorer, probability

HANDLERS = (Admit(), Learn(), Register(), Promote(), Forget())


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a trunk, as an administrator would bring it: no test downloads anything."""
    path = tmp_path_factory.mktemp("weights") / "squeeze.pth"
    torch.save(build("squeezenet1_1", 2, None, 5).net.state_dict(), path)
    return path


class Room:
    def __init__(self, store: Store, registry: Registry, archive: Archive, weights: Path, **settings: Any) -> None:
        self.store, self.registry, self.archive, self.weights = store, registry, archive, weights
        self.settings = config.Trainer(**{"weights": weights, "epochs": 1, "least_labels": 8, **settings})
        self.lease = Lease(store, "trainer.round", "tests")
        self.duty = self.start()

    def start(self, lease: Lease | None = None) -> Round:
        """A process of its own: nothing is remembered but what stands in the database."""
        views = self.archive.views()
        return Round(self.store, self.registry, views, self.settings, lease or self.lease, lambda: NOON)

    def hear(self, *events: Any) -> None:
        hear(self.store, HANDLERS, *events)

    def look(self) -> list[Any] | None:
        return perform(self.store, self.duty)

    def bootstrap(self) -> ChallengerRegistered:
        (said,) = self.look() or ()
        assert isinstance(said, ChallengerRegistered)
        self.hear(said, promoted(said.version, said.sha256, cleared=False))
        return said

    def label(self, first: int, labels: list[int], split: Split = Split.TRAIN) -> list[Place]:
        places = self.archive.add(labels, first)
        for number, (label, place) in enumerate(zip(labels, places, strict=True), first):
            verdict = Verdict.CONFIRMED if label else Verdict.REJECTED
            self.hear(received(number, place, split=split), corrected(number, verdict, place=place, split=split))
        return places

    def row(self, number: int) -> Any:
        with self.store.reading() as tx:
            return tx.execute(select(trainer_rounds).where(trainer_rounds.c.round == number)).one_or_none()


@pytest.fixture
def room(store: Store, registry: Registry, archive: Archive, weights: Path) -> Room:
    return Room(store, registry, archive, weights)


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
    assert (said.labels, said.strategy) == (24, "diversity@.25")
    row = room.row(1)
    assert (row.state, row.version, row.sha256, row.parent, row.labels) == ("registered", 2, said.sha256, 1, 24)
    content, trained = room.registry.fetch(2), room.registry.fetch(2, WEIGHTS_FILE)
    assert content is not None
    assert trained is not None
    assert hashlib.sha256(content).hexdigest() == said.sha256 != parent.sha256
    scorer, model = Scorer(content), from_bytes(trained)
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
    version = room.registry.versions()[0]
    assert version.tags["labels_sha256"] == row.labels_sha256
    assert version.tags["parent_sha256"] == parent.sha256
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
    finetune = rounds.finetune

    def diverges(*given: Any, **more: Any) -> Any:
        tried.append(1)
        if len(tried) == 1:
            raise rounds.Diverged("the loss is not finite")
        return finetune(*given, **more)

    monkeypatch.setattr(rounds, "finetune", diverges)
    assert reason(room) == ("waiting", "waiting: the loss is not finite")
    assert len(tried) == 1
    room.label(40, [1, 0])
    assert len(room.look() or ()) == 1


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
    monkeypatch.setattr(rounds, "parity", lambda *_: 2e-4)
    with pytest.raises(Misconfigured, match="differs from PyTorch"):
        room.look()
    assert room.registry.versions() == []


def test_the_neighbourhood_of_a_label_holds_all_that_its_patches_need(room: Room) -> None:
    places = room.label(0, [1, 0])
    with room.store.reading() as tx:
        known = labelled(tx, Split.TRAIN)
    views = room.archive.views()
    patches, truth = fixed_patches(views, known)
    assert truth.tolist() == [1, 0]
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
