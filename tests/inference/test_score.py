"""Candidates to logits: at once, later where no model serves yet, and again where another one does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from inference.pictures import APPLICATION, MIDDLE, SIDE, Archive
from inference.words import corrected, deliver, hear, perform, purged, received
from overread import config
from overread.core.corrections import Verdict
from overread.core.events import CandidateScored, Place
from overread.core.splits import Split
from overread.inference.score import Forget, MarkRead, Rescore, Score, Scoring
from overread.inference.standing import standing
from overread.inference.swap import Champion
from overread.inference.tables import inference_candidates, inference_read
from overread.store.engine import Store
from overread_learn.patches import cut
from overread_learn.scoring import Scorer


class Room:
    """The inference room without its registry: a champion that a test loads by hand."""

    def __init__(self, store: Store, archive: Archive, *, labelled: bool = False) -> None:
        self.store, self.archive = store, archive
        self.champion = Champion(config.Inference(), APPLICATION)
        scoring = Scoring(archive.views(), self.champion)
        self.handlers = (Score(scoring), MarkRead(), Forget())
        self.rescore = Rescore(store, scoring, labelled=labelled)

    def serve(self, content: bytes, version: int = 1, *, cleared: bool = True) -> str:
        return self.champion.load(content, version=version, cleared=cleared).scorer.sha256

    def hear(self, *events: Any, minutes: float = 0.0) -> list[Any]:
        return hear(self.store, self.handlers, *events, minutes=minutes)

    def again(self) -> list[Any]:
        """All that `Rescore` finds to do."""
        said: list[Any] = []
        while (found := perform(self.store, self.rescore)) is not None:
            said += found
        return said

    def row(self, candidate: str) -> Any:
        with self.store.reading() as tx:
            found = inference_candidates
            return tx.execute(select(found).where(found.c.candidate == candidate)).one_or_none()


@pytest.fixture
def room(store: Store, archive: Archive) -> Room:
    return Room(store, archive)


def test_a_candidate_is_scored_at_once_patch_by_patch(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    digest = room.serve(networks[0], 7, cleared=True)
    (place,) = archive.add([1])
    (said,) = room.hear(received(1, place, split=Split.LOCKED))
    assert isinstance(said, CandidateScored)
    assert np.shape(said.logits) == (APPLICATION.patches, 2)
    assert (said.candidate, said.study, said.split) == ("c-001", "s-1", Split.LOCKED)
    assert (said.version, said.cleared, said.precision) == (7, True, "fp32")
    assert said.model == digest == hashlib.sha256(networks[0]).hexdigest()
    assert said.provider == "CPUExecutionProvider"
    view = archive.views().at(place)
    patches = cut(view.prepared, view.x, view.y, APPLICATION, view.spacing_mm)
    np.testing.assert_allclose(said.logits, Scorer(networks[0]).logits(patches), atol=1e-5)
    weights = np.exp(said.logits)
    assert said.probability == pytest.approx((weights[:, 1] / weights.sum(axis=1)).mean(), abs=1e-5)


def test_the_same_candidate_again_says_nothing_new(room: Room, archive: Archive, networks: tuple[bytes, bytes]) -> None:
    room.serve(networks[0])
    (place,) = archive.add([1])
    assert len(room.hear(received(1, place))) == 1
    assert room.hear(received(1, place)) == []


def test_where_no_model_serves_yet_it_is_scored_once_one_does(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    places = archive.add([1, 0])
    assert room.hear(*(received(number, place) for number, place in enumerate(places))) == []
    assert room.again() == []
    digest = room.serve(networks[0], 3, cleared=False)
    said = room.again()
    assert sorted(one.candidate for one in said) == ["c-000", "c-001"]
    assert {(one.model, one.version, one.cleared) for one in said} == {(digest, 3, False)}
    assert room.again() == []


def test_after_a_swap_only_the_unread_and_the_stale_are_scored_again(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    room.serve(networks[0], 1)
    places = archive.add([1, 0, 1, 0])
    before = room.hear(*(received(number, place) for number, place in enumerate(places)))
    room.hear(corrected(1))
    second = room.serve(networks[1], 2)
    (late,) = archive.add([1], first=50)
    room.hear(received(9, late))
    said = room.again()
    assert sorted(one.candidate for one in said) == ["c-000", "c-002", "c-003"]
    assert {one.model for one in said} == {second}
    assert said[0].logits != before[0].logits
    assert room.row("c-001").model != second
    assert room.again() == []


def test_one_whose_every_verdict_was_withdrawn_is_scored_again(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    room.serve(networks[0], 1)
    (place,) = archive.add([1])
    room.hear(received(1, place), corrected(1))
    room.serve(networks[1], 2)
    assert room.again() == []
    room.hear(corrected(1, Verdict.WITHDRAWN, version=2, readers=0))
    assert [one.candidate for one in room.again()] == ["c-001"]


def test_an_answer_that_overtakes_its_candidate_marks_it_read(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    (place,) = archive.add([1])
    room.hear(corrected(1))
    room.hear(received(1, place))
    assert room.row("c-001").read
    room.serve(networks[0])
    assert room.again() == []


def test_rescoring_goes_by_chunks(
    room: Room, archive: Archive, networks: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.rescore, "chunk", 2)
    places = archive.add([1, 0, 1])
    room.hear(*(received(number, place) for number, place in enumerate(places)))
    room.serve(networks[0])
    assert [len(perform(room.store, room.rescore) or ()) for _ in range(3)] == [2, 1, 0]


OUTSIDE = {"left": (-0.6, 1.0), "right": (SIDE - 0.4, 1.0), "above": (1.0, -0.6), "below": (1.0, SIDE - 0.4)}


@pytest.mark.parametrize("x_y", OUTSIDE.values(), ids=OUTSIDE)
def test_a_place_outside_its_image_is_no_score_but_a_reason(
    room: Room, archive: Archive, networks: tuple[bytes, bytes], x_y: tuple[float, float]
) -> None:
    room.serve(networks[0])
    (place,) = archive.add([1])
    assert room.hear(received(1, place.model_copy(update={"x": x_y[0], "y": x_y[1]}))) == []
    assert "outside" in room.row("c-001").problem
    assert room.again() == []


def test_a_slice_that_is_not_there_is_a_reason(room: Room, archive: Archive, networks: tuple[bytes, bytes]) -> None:
    room.serve(networks[0])
    (place,) = archive.add([1])
    for number, key in enumerate((-1, 1)):
        assert room.hear(received(number, place.model_copy(update={"slice": key}))) == []
        assert "slice" in room.row(f"c-00{number}").problem


def broken_pixels(archive: Archive) -> Place:
    (place,) = archive.add([1])
    (part,) = archive.slices.manifest(place.series).slices
    path = Path(archive.blobs._path(part.blob))
    path.write_bytes(path.read_bytes()[:-200])
    return place


def purged_pixels(archive: Archive) -> Place:
    (place,) = archive.add([1])
    (part,) = archive.slices.manifest(place.series).slices
    archive.blobs.delete(part.blob)
    return place


def no_manifest(archive: Archive) -> Place:
    return Place(series=archive.blobs.put(b"{}"), slice=0, x=MIDDLE, y=MIDDLE)


def other_units(archive: Archive) -> Place:
    (place,) = archive.add([1], above=5000)
    return place


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (broken_pixels, "cut off"),
        (purged_pixels, "pixels purged"),
        (no_manifest, "no series"),
        (other_units, "and the window is -1000..400, which leaves 0 of 255 grey levels"),
    ],
)
@pytest.mark.parametrize("served", [True, False])
def test_pixels_that_cannot_be_used_are_a_reason_and_are_not_tried_for_ever(
    room: Room,
    archive: Archive,
    networks: tuple[bytes, bytes],
    spoil: Callable[[Archive], Place],
    reason: str,
    served: bool,
) -> None:
    place = spoil(archive)
    if served:
        room.serve(networks[0])
    assert room.hear(received(1, place)) == []
    room.serve(networks[0])
    assert room.again() == []
    assert reason in room.row("c-001").problem
    with room.store.reading() as tx:
        facts = standing(tx)
    assert (facts["candidates"], facts["scored"], sum(facts["problems"].values())) == (1, 0, 1)


def test_a_purged_study_is_forgotten_and_a_fact_from_before_does_not_bring_it_back(
    room: Room, archive: Archive, networks: tuple[bytes, bytes]
) -> None:
    room.serve(networks[0])
    places = archive.add([1, 0])
    room.hear(*(received(number, place) for number, place in enumerate(places)), corrected(0), corrected(1))
    deliver(room.store, room.handlers, purged("s-0"), minutes=5)
    deliver(room.store, room.handlers, corrected(0, version=2), minutes=4)
    assert room.row("c-000") is None
    assert room.row("c-001") is not None
    with room.store.reading() as tx:
        assert tx.execute(select(inference_read.c.candidate)).scalars().all() == ["c-001"]
    deliver(room.store, room.handlers, received(0, places[0]), corrected(0, version=3), minutes=6)
    assert room.row("c-000").read, "sent again after the purge it is a study like any other"
