from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from highdicom import sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from overread.core.errors import Undecodable
from overread.pacs import pixels, sr

LESION = Code("52988006", "SCT", "Lesion")


def code(value: str, meaning: str = "x") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def item(kind: str, concept: str, *children: Dataset, **values: object) -> Dataset:
    one = Dataset()
    one.ValueType, one.ConceptNameCodeSequence = kind, [code(concept)]
    for name, value in values.items():
        setattr(one, name, value)
    if children:
        one.ContentSequence = list(children)
    return one


def image(uid: str = "1.2.3", frames: object = None) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = uid
    if frames is not None:
        reference.ReferencedFrameNumber = frames
    return item("IMAGE", "0", ReferencedSOPSequence=[reference])


def shape(kind: str, *points: float, source: Dataset | None = None, concept: str = "111030") -> Dataset:
    return item("SCOORD", concept, source or image(), GraphicType=kind, GraphicData=list(points))


def group(*children: Dataset) -> Dataset:
    return item("CONTAINER", "125007", *children)


def report(*groups: Dataset, about: tuple[Dataset, ...] = ()) -> Dataset:
    return item("CONTAINER", "126000", *about, item("CONTAINER", "126010", *groups))


def test_the_half_pixel_is_taken_off_once() -> None:
    (found,) = sr.regions(report(group(shape("POINT", 10.5, 20.5))))
    assert (found.x, found.y) == (10.0, 20.0)
    assert (found.sop_uid, found.frame, found.radius_px, found.score) == ("1.2.3", 0, None, None)


@pytest.mark.parametrize(
    ("kind", "points", "centre", "radius"),
    [
        ("CIRCLE", (5, 5, 8, 9), (4.5, 4.5), 5.0),
        ("ELLIPSE", (1, 5, 9, 5, 5, 3, 5, 7), (4.5, 4.5), math.sqrt(8)),
        ("POLYLINE", (0, 0, 4, 0, 4, 4, 0, 4, 0, 0), (1.5, 1.5), 4 / math.sqrt(math.pi)),
        ("POLYLINE", (0, 0, 4, 0), (1.5, -0.5), None),
        ("MULTIPOINT", (0, 0, 4, 2), (1.5, 0.5), None),
    ],
)
def test_every_shape_has_a_centre(
    kind: str, points: tuple[float, ...], centre: tuple[float, float], radius: float | None
) -> None:
    (found,) = sr.regions(report(group(shape(kind, *points))))
    assert (found.x, found.y) == pytest.approx(centre)
    assert found.radius_px == (None if radius is None else pytest.approx(radius))


def test_frames_count_from_zero_here() -> None:
    (found,) = sr.regions(report(group(shape("POINT", 1, 1, source=image(frames=[3, 4])))))
    assert found.frame == 2


def test_tracking_score_and_algorithm_are_read() -> None:
    def number(value: object, concept: str, meaning: str, exact: float | None = None) -> Dataset:
        measured = Dataset()
        measured.NumericValue = value
        if exact is not None:
            measured.FloatingPointValue = exact
        one = item("NUM", concept, MeasuredValueSequence=[measured])
        one.ConceptNameCodeSequence = [code(concept, meaning)]
        return one

    about = (item("TEXT", "111001", TextValue="Seer"), item("TEXT", "111003", TextValue="2.1"))
    tracked = (item("TEXT", "112039", TextValue="A"), item("UIDREF", "112040", UID="1.9"))
    certainty = number("87", "111012", "Certainty of Finding")
    first, second = sr.regions(
        report(
            group(*tracked, shape("POINT", 1, 1), certainty),
            group(shape("POINT", 2, 2), certainty, number("0.33", "X", "Detector score", 1 / 3)),
            about=about,
        )
    )
    assert (first.tracking_uid, first.tracking_id, first.score) == ("1.9", "A", 87.0)
    assert (first.algorithm, first.version) == ("Seer", "2.1")
    assert (second.tracking_uid, second.score) == ("1", 1 / 3)


def test_regions_in_space_keep_millimetres() -> None:
    one = item(
        "SCOORD3D", "111030", GraphicType="POINT", GraphicData=[1.0, 2.0, 3.0], ReferencedFrameOfReferenceUID="1.5"
    )
    (found,) = sr.regions(report(group(one)))
    assert (found.point_mm, found.frame_of_reference, found.sop_uid) == ((1.0, 2.0, 3.0), "1.5", None)
    assert math.isnan(found.x)


def test_an_image_by_reference_is_followed() -> None:
    by_reference = Dataset()
    by_reference.ReferencedContentItemIdentifier = [1, 1]
    marked = shape("POINT", 1, 1)
    marked.ContentSequence = [by_reference]
    (found,) = sr.regions(report(group(marked), about=(image("1.7"),)))
    assert found.sop_uid == "1.7"


def test_the_image_region_wins_over_other_shapes() -> None:
    (found,) = sr.regions(report(group(shape("POINT", 9, 9, concept="1"), shape("POINT", 1.5, 1.5))))
    assert found.x == 1.0


def test_a_report_without_regions_is_empty() -> None:
    assert sr.regions(report(group(item("TEXT", "1", TextValue="x")))) == []


@pytest.mark.parametrize(
    "broken",
    [
        Dataset(),
        report(group(shape("POINT"))),
        report(group(shape("POINT", float("nan"), 1))),
        report(group(shape("SPIRAL", 1, 1))),
        report(group(shape("CIRCLE", 1, 1))),
        report(group(shape("POINT", 1, 1, 1))),
        report(group(shape("POINT", 1, 1, source=item("TEXT", "1")))),
        report(group(item("SCOORD", "1", image()))),
    ],
)
def test_a_malformed_report_is_refused_as_a_whole(broken: Dataset) -> None:
    with pytest.raises(Undecodable):
        sr.regions(broken)


def test_depth_is_bounded() -> None:
    deep = shape("POINT", 1, 1)
    for _ in range(100):
        deep = item("CONTAINER", "1", deep)
    with pytest.raises(Undecodable, match="deeper"):
        sr.regions(report(deep))


def test_real_reports_do_not_crash_it(shared: Path) -> None:
    for name in ("test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"):
        assert sr.regions(pixels.read((shared / "data/dicom/files/pydicom" / name).read_bytes())) == []


def test_a_strict_writer_agrees(shared: Path) -> None:
    source = pixels.read((shared / "data/dicom/files/pydicom/CT_small.dcm").read_bytes())
    region = hd.ImageRegion3D("POINT", np.array([[1.0, 2.0, 3.0]]), str(source.FrameOfReferenceUID))
    planar = hd.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.TrackingIdentifier(uid="1.2.3.4", identifier="A"),
        referenced_region=region,
        finding_type=LESION,
        algorithm_id=hd.AlgorithmIdentification("Seer", "3"),
        measurements=[hd.Measurement(codes.DCM.CertaintyOfFinding, 12.5, codes.UCUM.Percent)],
    )
    observer = hd.ObserverContext(codes.DCM.Device, hd.DeviceObserverIdentifyingAttributes(uid="1.2.3.5"))
    content = hd.MeasurementReport(
        observation_context=hd.ObservationContext(observer_device_context=observer),
        procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[planar],
    )
    built = hd.Comprehensive3DSR([source], content, "1.2.3.6", 1, "1.2.3.7", 1, manufacturer="x")
    (found,) = sr.regions(built)
    assert (found.tracking_uid, found.score, found.algorithm, found.version) == ("1.2.3.4", 12.5, "Seer", "3")
    assert found.point_mm == (1.0, 2.0, 3.0)
