from __future__ import annotations

# long because: every scenario of settling stands beside the others, on one set-up.
import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from candidates.hospital import SIZE, Hospital, bytes_of, ct, report
from overread.candidates import studies
from overread.candidates.generator import Spot
from overread.config import SourcePolicy
from overread.core.errors import Undecodable
from overread.core.events import Source, StudyPurgedAtSource
from overread.store.engine import Store

Open = Callable[..., Hospital]


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> Open:
    return lambda *arguments, **peers: Hospital(store, tmp_path, *arguments, **peers)


def reasons(hospital: Hospital) -> list[str]:
    return [problem.reason for problem in studies.problems(hospital.store)]


def test_a_study_settles_when_nothing_came_for_a_while(opened: Open) -> None:
    hospital = opened()
    hospital.receive(ct(0), ct(1, bright=(5, 6)))
    hospital.later(6)
    hospital.receive(ct(2))
    hospital.later(6)
    assert hospital.look() is None
    (found,) = hospital.settled()
    assert (found.place.slice, found.place.x, found.place.y) == (1, 5.0, 6.0)
    assert (found.source, found.producer, found.detector_score) == (Source.GENERATOR, "brightest 1", 9.0)
    assert (found.application, found.site, found.radius_px) == ("lung-nodule", "CT1", 2.0)
    assert hospital.look() is None


def test_slices_stand_by_position_and_a_ct_is_a_stack(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n, bright=(3, 3) if n == 2 else None) for n in range(4)]
    hospital.receive(slices[2], slices[0], slices[3], slices[1])
    (found,) = hospital.settled()
    manifest = hospital.slices.manifest(found.place.series)
    assert [part.instance for part in manifest.slices] == [
        hospital.pseudonyms.instance(str(one.SOPInstanceUID)) for one in slices
    ]
    assert (manifest.stack, manifest.rows, manifest.columns, manifest.spacing_mm) == (True, SIZE, SIZE, 0.5)
    assert hospital.generator.volumes == [(4, SIZE, SIZE)]


def test_without_positions_instance_numbers_decide_and_it_is_no_stack(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n, bright=(n, 0)) for n in range(3)]
    for one in slices:
        del one.ImagePositionPatient
    hospital.receive(*slices)
    found = hospital.settled()
    manifest = hospital.slices.manifest(found[0].place.series)
    assert not manifest.stack
    order = [hospital.pseudonyms.instance(str(slices[n].SOPInstanceUID)) for n in (2, 1, 0)]
    assert [part.instance for part in manifest.slices] == order
    assert sorted(one.place.x for one in found) == [0.0, 1.0, 2.0]


def test_two_sizes_in_one_series_are_two_manifests(opened: Open) -> None:
    hospital = opened()
    odd = ct(3, bright=(1, 1))
    odd.Rows = SIZE // 2
    odd.PixelData = odd.PixelData[: SIZE * SIZE]
    hospital.receive(*(ct(n, bright=(2, 2) if n == 0 else None) for n in range(3)), odd)
    keys = {found.place.series for found in hospital.settled()}
    assert {hospital.slices.manifest(key).rows for key in keys} == {SIZE, SIZE // 2}


def test_slices_on_each_other_are_no_stack(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n, bright=(2, 2)) for n in range(3)]
    slices[2].ImagePositionPatient = slices[1].ImagePositionPatient
    hospital.receive(*slices)
    assert not hospital.slices.manifest(hospital.settled()[0].place.series).stack


def test_a_scout_is_not_searched(opened: Open) -> None:
    hospital = opened()
    scout = ct(0, bright=(2, 2))
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    hospital.receive(scout)
    assert hospital.settled() == []


def test_the_same_instance_again_changes_nothing(opened: Open) -> None:
    hospital = opened()
    event = hospital.event(ct(0, bright=(2, 2)))
    hospital.hear(event)
    hospital.later(9)
    hospital.hear(event)
    hospital.later(1)
    assert len(hospital.look() or ()) == 1
    hospital.hear(event)
    hospital.later()
    assert hospital.look() is None


def test_a_look_that_was_not_written_comes_again_with_the_same_candidates(opened: Open) -> None:
    hospital = opened()
    hospital.receive(ct(0, bright=(2, 2)))
    hospital.later()
    first, second = hospital.settle.prepare(), None
    assert first is not None
    assert hospital.look() is None  # it has just been tried and waits
    hospital.later(3)
    second = hospital.settle.prepare()
    assert second is not None
    with hospital.store.writing() as tx:
        announced = hospital.settle.apply(tx, first)
    with hospital.store.writing() as tx:
        assert hospital.settle.apply(tx, second) == []
    assert len(announced) == 1


def test_late_slices_make_a_new_manifest_and_keep_the_candidates(opened: Open) -> None:
    hospital = opened()
    hospital.receive(*(ct(n, bright=(4, 4) if n == 1 else None) for n in range(3)))
    (early,) = hospital.settled()
    hospital.receive(ct(3))
    assert hospital.settled() == []
    assert hospital.generator.volumes == [(3, SIZE, SIZE), (4, SIZE, SIZE)]
    brighter = ct(9, bright=(12, 12))
    brighter.PixelData = brighter.PixelData.replace((900).to_bytes(2, "little"), (950).to_bytes(2, "little"))
    gap = [ct(n) for n in range(4, 9)]
    hospital.receive(*gap, brighter)
    (late,) = hospital.settled()
    assert late.candidate != early.candidate
    assert late.place.series != early.place.series
    assert len(hospital.slices.manifest(early.place.series).slices) == 3
    assert len(hospital.slices.manifest(late.place.series).slices) == 10


def test_a_spot_that_moved_a_little_is_the_same_candidate(opened: Open) -> None:
    hospital = opened()
    hospital.receive(*(ct(n, bright=(4, 4) if n == 2 else None) for n in range(3)))
    assert len(hospital.settled()) == 1
    brighter = ct(3, bright=(5, 4))
    brighter.PixelData = brighter.PixelData.replace((900).to_bytes(2, "little"), (950).to_bytes(2, "little"))
    hospital.receive(brighter)
    assert hospital.settled() == []


def test_a_report_gives_its_candidates_and_no_generator_runs(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n, bright=(9, 9) if n == 0 else None) for n in range(3)]
    hospital.receive(*slices, report("1.5", (slices[1], 3, 4), (slices[2], 5, 6)))
    first, second = hospital.settled()
    assert (first.source, first.producer, first.detector_score) == (Source.SR, "Seer 3", 10.0)
    assert (first.place.slice, first.place.x, first.place.y) == (1, 3.0, 4.0)
    assert (second.place.slice, second.place.x, second.place.y) == (2, 5.0, 6.0)
    assert first.candidate == hospital.pseudonyms.candidate(first.study, "sr", "1.5", "1.5.1")
    assert hospital.generator.volumes == []


def test_a_late_report_adds_and_never_replaces(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n, bright=(9, 9) if n == 0 else None) for n in range(3)]
    hospital.receive(*slices)
    assert [found.source for found in hospital.settled()] == [Source.GENERATOR]
    hospital.receive(report("1.5", (slices[1], 3, 4)))
    assert [found.source for found in hospital.settled()] == [Source.SR]
    assert len(hospital.generator.volumes) == 1


def test_a_report_before_its_images_waits_for_them(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n) for n in range(3)]
    hospital.receive(report("1.5", (slices[0], 1, 1), (slices[2], 3, 4)), slices[0])
    (early,) = hospital.settled()
    assert early.place.x == 1.0
    assert reasons(hospital) == ["a report marks an image that has not come"]
    hospital.receive(slices[1], slices[2])
    (late,) = hospital.settled()
    assert (late.place.slice, late.place.x) == (2, 3.0)
    assert reasons(hospital) == []


def test_a_region_in_space_lands_on_its_slice(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n) for n in range(3)]
    hospital.receive(*slices, report("1.5", (slices[0], 1, 1), space=(2.0, 3.0, 4.6)))
    found = hospital.settled()[-1]
    assert (found.place.slice, found.place.x, found.place.y) == (2, 4.0, 6.0)


@pytest.mark.parametrize(
    ("policy", "sources"),
    [
        (SourcePolicy.AUTO, [Source.SR]),
        (SourcePolicy.SR, [Source.SR]),
        (SourcePolicy.GENERATOR, [Source.GENERATOR]),
    ],
)
def test_who_is_listened_to_is_the_peers_policy(opened: Open, policy: SourcePolicy, sources: list[Source]) -> None:
    hospital = opened(SourcePolicy.SR, CT1=policy)
    slices = [ct(n, bright=(9, 9) if n == 0 else None) for n in range(3)]
    hospital.receive(*slices)
    hospital.receive(report("1.5", (slices[1], 3, 4)), site="CAD")
    assert [found.source for found in hospital.settled()] == sources


def test_with_reports_only_a_study_without_one_has_no_candidates(opened: Open) -> None:
    hospital = opened(SourcePolicy.SR)
    hospital.receive(ct(0, bright=(9, 9)))
    assert hospital.settled() == []


def test_an_undecodable_instance_is_remembered_and_the_rest_goes_on(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    hospital = opened()
    cut = ct(3)
    cut.PixelData = cut.PixelData[:-2]
    hospital.hear(hospital.event(ct(4), content=b"garbage"))
    with caplog.at_level(logging.INFO):
        hospital.receive(*(ct(n, bright=(2, 2) if n == 0 else None) for n in range(3)), cut)
        (found,) = hospital.settled()
    assert len(hospital.slices.manifest(found.place.series).slices) == 3
    assert any("cut off" in reason for reason in reasons(hospital))
    assert any("no DICOM file" in reason for reason in reasons(hospital))
    assert not any(
        uid in record.getMessage() + str(vars(record)) for record in caplog.records for uid in ("1.2.4", "P1")
    )


def test_a_candidate_outside_its_image_is_refused_and_remembered(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n) for n in range(3)]
    hospital.receive(*slices, report("1.5", (slices[1], SIZE - 0.5, 4), (slices[1], SIZE - 0.6, -0.5)))
    (found,) = hospital.settled()
    assert found.place.y == -0.5
    assert reasons(hospital) == ["a candidate lies outside its image"]


def test_a_generator_that_points_outside_is_refused(opened: Open) -> None:
    hospital = opened()
    hospital.generator.find = lambda *_, **__: [Spot(0, 99, 0, 1, 1)]  # type: ignore[method-assign]
    hospital.receive(ct(0))
    assert hospital.settled() == []
    assert reasons(hospital) == ["a candidate lies outside its image"]


def test_a_report_without_regions_or_with_nonsense_is_a_problem(opened: Open) -> None:
    hospital = opened()
    image = ct(0)
    empty = report("1.5", (image, 1, 1))
    measurements = empty.ContentSequence[-1]
    del measurements.ContentSequence
    broken = copy.deepcopy(report("1.6", (image, 1, 1)))
    del broken.ContentSequence
    hospital.receive(image, empty, broken)
    assert hospital.settled() == []
    assert sorted(reasons(hospital)) == [
        "a report without regions (TID 1500 measurement groups with coordinates)",
        "the report has no content tree",
    ]


def test_a_report_on_an_unreadable_image_or_a_missing_frame_says_so(opened: Open) -> None:
    hospital = opened()
    slices = [ct(n) for n in range(2)]
    marked = report("1.5", (slices[0], 1, 1), (slices[1], 1, 1))
    groups = marked.ContentSequence[-1].ContentSequence
    shape = next(item for item in groups[1].ContentSequence if item.ValueType == "SCOORD")
    shape.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber = 7
    slices[0].PixelData = b"\0\0"
    hospital.receive(*slices, marked)
    assert hospital.settled() == []
    assert any("can't be read" in reason and "frame" in reason for reason in reasons(hospital))


def test_a_study_that_fails_stands_in_nobodys_way(opened: Open) -> None:
    hospital = opened()
    hospital.receive(ct(0, study="1.1", series="1.2"))
    hospital.later(1)
    hospital.receive(ct(0, study="2.1", series="2.2", bright=(1, 1)))
    find, calls = hospital.generator.find, []

    def failing(pixels: Any, **about: Any) -> list[Spot]:
        calls.append(1)
        if pixels.max() < 500:
            raise ZeroDivisionError
        return find(pixels, **about)

    hospital.generator.find = failing  # type: ignore[method-assign]
    hospital.later()
    with pytest.raises(ZeroDivisionError):
        hospital.look()
    assert len(hospital.look() or ()) == 1
    assert hospital.look() is None
    hospital.later(3)
    with pytest.raises(ZeroDivisionError):
        hospital.look()


def test_a_series_that_is_not_for_the_generator_is_a_problem(opened: Open) -> None:
    hospital = opened()

    def refusing(*_: Any, **__: Any) -> list[Spot]:
        raise Undecodable("this detector wants colour")

    hospital.generator.find = refusing  # type: ignore[method-assign]
    hospital.receive(ct(0))
    assert hospital.settled() == []
    assert reasons(hospital) == ["this detector wants colour"]


def test_a_purged_study_is_forgotten_and_may_come_again(opened: Open) -> None:
    hospital = opened()
    event = hospital.event(ct(0, bright=(2, 2)))
    hospital.hear(event)
    (found,) = hospital.settled()
    hospital.hear(StudyPurgedAtSource(study=event.study))
    hospital.later()
    assert hospital.look() is None
    hospital.hear(event)
    assert [again.candidate for again in hospital.settled()] == [found.candidate]


def test_a_study_purged_while_it_was_looked_at_announces_nothing(opened: Open) -> None:
    hospital = opened()
    event = hospital.event(ct(0, bright=(2, 2)))
    hospital.hear(event)
    hospital.later()
    prepared = hospital.settle.prepare()
    assert prepared is not None
    hospital.hear(StudyPurgedAtSource(study=event.study))
    with hospital.store.writing() as tx:
        assert hospital.settle.apply(tx, prepared) == ()


def test_pixels_that_are_gone_are_a_problem(opened: Open) -> None:
    hospital = opened()
    event = hospital.event(ct(0))
    hospital.hear(event)
    hospital.blobs.delete(event.blob)
    assert hospital.settled() == []
    assert reasons(hospital) == ["its bytes are gone"]


def test_frames_of_an_enhanced_object_are_put_into_order(opened: Open) -> None:
    hospital = opened()
    dataset = ct(0)
    planes = []
    for height in (4.0, 0.0, 2.0):
        position = Dataset()
        position.ImagePositionPatient = [0, 0, height]
        item = Dataset()
        item.PlanePositionSequence = [position]
        planes.append(item)
    dataset.PerFrameFunctionalGroupsSequence = planes
    dataset.NumberOfFrames = 3
    values = np.full((3, SIZE, SIZE), 100, np.uint16)
    values[2, 5, 6] = 900
    dataset.PixelData = values.tobytes()
    hospital.hear(hospital.event(dataset, content=bytes_of(dataset)))
    (found,) = hospital.settled()
    manifest = hospital.slices.manifest(found.place.series)
    assert [part.frame for part in manifest.slices] == [1, 2, 0]
    assert (manifest.stack, found.place.slice, found.place.x, found.place.y) == (True, 1, 6.0, 5.0)
