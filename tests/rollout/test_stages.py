"""From the first model to a cleared champion, one act at a time, with real networks on a real shelf."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from inference.pictures import Archive
from inference.words import NAME, NOON, corrected, hear, perform, purged, received, registered
from overread.core.corrections import Verdict
from overread.core.errors import Conflict, GateFailed
from overread.core.events import Event, Kind, ModelPromoted, ModelRejected, ModelRolledBack, Place, Source
from overread.core.splits import Split
from overread.registry import Registry
from overread.rollout import gates, signoff, states
from overread.rollout.evidence import Examiner, seal
from overread.rollout.gates import SignOff
from overread.rollout.locked import Forget, Seal, Truth, locked_set
from overread.rollout.stages import Advance, Heal, Register
from overread.rollout.standing import show, standing, versions
from overread.rollout.states import State
from overread.rollout.tables import rollout_evidence, rollout_transitions, rollout_truth
from overread.store.engine import Store
from registry.shelf import model_file

HANDLERS = (Seal(), Truth(), Register(), Forget())
LABELS = [1, 0, 0] * 12


class Room:
    def __init__(
        self, store: Store, registry: Registry, archive: Archive, models: dict[str, bytes], *, required: int = 1
    ) -> None:
        self.store, self.registry, self.archive, self.models = store, registry, archive, models
        protocol, sha256 = gates.load(None)
        self.protocol = protocol.model_copy(update={"signoff": SignOff(required=required)})
        self.sha256, self.minutes = sha256, 0
        self.advance = self.start()
        self.heal = Heal(store, registry)

    def start(self) -> Advance:
        examiner = Examiner(self.registry, self.archive.views(), providers=None, threads=1)
        return Advance(self.store, self.registry, examiner, self.protocol, self.sha256, self.clock)

    def clock(self) -> Any:
        self.minutes += 1
        return NOON + timedelta(minutes=self.minutes)

    def hear(self, *events: Event, minutes: float = 0.0) -> None:
        assert hear(self.store, HANDLERS, *events, minutes=minutes) == []

    def lock(self, labels: Sequence[int] = LABELS, first: int = 0, detector: Sequence[float] = ()) -> list[Place]:
        """Patients of three candidates each, all answered."""
        places = self.archive.add(list(labels), first)
        for at, (label, place) in enumerate(zip(labels, places, strict=True)):
            number, patient = first + at, f"p-{first}-{at // 3}"
            score = detector[at] if detector else None
            self.hear(
                received(number, place, split=Split.LOCKED, patient=patient, detector_score=score),
                corrected(
                    number, Verdict.CONFIRMED if label else Verdict.REJECTED, place=place, split=Split.LOCKED
                ),
            )
        return places

    def shelve(self, name: str, kind: Kind = Kind.ROUND) -> int:
        content = self.models[name]
        identity = f"{name}-{len(self.registry.versions())}"
        version, digest = self.registry.register(
            identity, model=content, weights=None, tags={}, parameters={}, metrics={}
        )
        self.hear(registered(version, digest, kind, 0 if kind is Kind.BOOTSTRAP else 1))
        return version

    def go(self) -> list[Event]:
        """Advance until there is nothing to do."""
        said: list[Event] = []
        for _ in range(40):
            found = perform(self.store, self.advance)
            if found is None:
                return said
            said += found
        raise AssertionError("the rollout never comes to rest")

    def state(self, version: int) -> str:
        with self.store.reading() as tx:
            row = states.version_row(tx, version)
        assert row is not None
        return str(row.state)

    def reason(self, version: int) -> str:
        with self.store.reading() as tx:
            row = states.version_row(tx, version)
        assert row is not None
        return str(row.reason)

    def sign(self, version: int, name: str = "Head of Radiology") -> signoff.Signature:
        with self.store.writing() as tx:
            return signoff.sign(tx, version, name, time=self.clock())

    def stop(self, version: int) -> list[Event]:
        with self.store.writing() as tx:
            return list(signoff.stop(tx, version, "Head of Radiology", reason="misses", time=self.clock()))

    def evidence(self, version: int) -> list[dict[str, Any]]:
        with self.store.reading() as tx:
            rows = tx.execute(select(rollout_evidence).order_by(rollout_evidence.c.time)).all()
        for row in rows:
            assert seal(row.content) == row.sha256
        return [row.content for row in rows if row.version == version]

    def release(self, name: str) -> int:
        """Take a model all the way."""
        version = self.shelve(name)
        self.go()
        self.sign(version)
        self.go()
        assert self.state(version) == State.CHAMPION, self.reason(version)
        return version

    def begin(self) -> None:
        """A house with its first model and a locked set."""
        self.shelve("bootstrap", Kind.BOOTSTRAP)
        self.go()
        self.lock()


@pytest.fixture
def room(store: Store, registry: Registry, archive: Archive, models: dict[str, bytes]) -> Room:
    return Room(store, registry, archive, models)


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
    room.hear(purged("s-0"), minutes=5)
    room.hear(
        corrected(0, Verdict.REJECTED, version=2, split=Split.LOCKED),
        corrected(7, Verdict.ADDED, version=2, split=Split.LOCKED, source=Source.READER, study="s-0"),
        minutes=4,
    )
    assert [name for name, _ in cases(room)] == ["c-001", "c-002"]
    with room.store.reading() as tx:
        assert locked_set(tx).missed == 0
        assert set(tx.execute(select(rollout_truth.c.study)).scalars()) == {"s-1", "s-2"}


def test_a_registration_that_is_heard_twice_is_one(room: Room) -> None:
    version = room.shelve("good")
    room.hear(registered(version, "f" * 64))
    with room.store.reading() as tx:
        (row,) = versions(tx)
    assert row["sha256"] == hashlib.sha256(room.models["good"]).hexdigest()
    with room.store.reading() as tx:
        assert show(tx, 99) is None
