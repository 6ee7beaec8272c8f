from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from overread.core.errors import Misconfigured
from overread.pacs import pixels, sr
from overread.simulation import photographs

ROWS = [
    ("a1", "P1", "eye", "train", "3", "4", "1", "0.1"),
    ("a2", "P1", "eye", "train", "0", "0", "0", "55.728"),
    ("a3", "P1", "other", "train", "31", "23", "0", ""),
    ("b1", "P2", "grey", "test", "5", "6", "1", "0.3333333333333333"),
    ("c1", "P3", "lossless", "validation", "", "", "0", "-2"),
]
COLUMNS = ("candidate_id", "patient_id", "image_id", "split", "x", "y", "label", "score")


def make(folder: Path, rows: list[tuple[str, ...]] = ROWS, columns: tuple[str, ...] = COLUMNS) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "candidates.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    colour = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(colour).save(folder / "images" / "eye.jpg", quality=95)
    Image.fromarray(colour).save(folder / "images" / "other.jpg", quality=95, subsampling=0)
    Image.fromarray(colour[..., 0]).save(folder / "images" / "grey.jpg")
    Image.fromarray(colour).save(folder / "images" / "lossless.png")
    return folder


def test_a_set_becomes_studies_with_their_reports(tmp_path: Path) -> None:
    done: list[int] = []
    source = make(tmp_path / "set")
    wrapped = photographs.wrap(source, tmp_path / "out", on_progress=lambda: done.append(1))
    assert (wrapped.studies, wrapped.files, wrapped.candidates, len(done)) == (3, 7, 5, 3)
    names = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.dcm"))
    assert names[:3] == ["study-0000/image-001.dcm", "study-0000/image-002.dcm", "study-0000/report.dcm"]


def test_the_photograph_is_the_bitstream_as_it_was(tmp_path: Path) -> None:
    source = make(tmp_path / "set")
    photographs.wrap(source, tmp_path / "out")
    kinds = {}
    for file in sorted((tmp_path / "out").rglob("image-*.dcm")):
        dataset = pixels.read(file.read_bytes())
        values = pixels.decode(dataset)
        kinds[str(dataset.PatientID), int(dataset.InstanceNumber)] = dataset.PhotometricInterpretation
        name = {"P1": ("eye.jpg", "other.jpg"), "P2": ("grey.jpg",), "P3": ("lossless.png",)}[dataset.PatientID]
        with Image.open(source / "images" / name[int(dataset.InstanceNumber) - 1]) as image:
            assert np.abs(values.astype(int) - np.asarray(image)).max() <= 2
    assert kinds == {
        ("P1", 1): "YBR_FULL_422",
        ("P1", 2): "YBR_FULL",
        ("P2", 1): "MONOCHROME2",
        ("P3", 1): "RGB",
    }
    first = dcmread(tmp_path / "out/study-0000/image-001.dcm")
    assert first.SOPClassUID.name == "Ophthalmic Photography 8 Bit Image Storage"
    assert (source / "images/eye.jpg").read_bytes() in first.PixelData
    assert first.LossyImageCompression == "01"


def test_the_report_gives_back_places_and_scores_exactly(tmp_path: Path) -> None:
    photographs.wrap(make(tmp_path / "set"), tmp_path / "out", detector="Seer")
    found = {}
    for file in (tmp_path / "out").rglob("report.dcm"):
        dataset = pixels.read(file.read_bytes())
        hd.sr.srread(file)  # a strict reader takes it too
        for region in sr.regions(dataset):
            found[region.tracking_id] = (region.x, region.y, region.score)
            assert region.algorithm == "Seer"
            assert region.sop_uid is not None
    expected = {row[0]: (float(row[4]), float(row[5]), float(row[7]) if row[7] else None) for row in ROWS[:4]}
    assert found == {**expected, "c1": (15.5, 11.5, -2.0)}


def test_truth_and_splits(tmp_path: Path) -> None:
    wrapped = photographs.wrap(make(tmp_path / "set"), tmp_path / "out")
    with wrapped.truth.open(newline="") as file:
        truth = list(csv.DictReader(file))
    assert [(row["lesion"], row["x"], row["y"], row["label"]) for row in truth] == [
        ("a1", "3", "4", "1"),
        ("a2", "0", "0", "0"),
        ("a3", "31", "23", "0"),
        ("b1", "5", "6", "1"),
        ("c1", "15.5", "11.5", "0"),
    ]
    assert {row["radius_px"] for row in truth} == {"6.0"}
    with wrapped.splits.open(newline="") as file:
        splits = {row["patient_id"]: row["split"] for row in csv.DictReader(file)}
    assert splits.pop("P1") in {"train", "validation"}
    assert splits == {"P2": "locked", "P3": "validation"}


def test_train_patients_are_divided_and_never_locked(tmp_path: Path) -> None:
    rows = [(f"c{n}", f"P{n}", f"eye{n}", "train", "1", "1", "0", "1") for n in range(60)]
    source = make(tmp_path / "set", rows)
    for n in range(60):
        shutil.copy(source / "images/eye.jpg", source / f"images/eye{n}.jpg")
    wrapped = photographs.wrap(source, tmp_path / "out")
    with wrapped.splits.open(newline="") as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    assert set(splits) == {"train", "validation"}
    assert 2 <= splits.count("validation") <= 20


def test_the_same_set_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make(tmp_path / "set")
    for name in ("one", "two"):
        photographs.wrap(source, tmp_path / name)
    files = sorted(file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file())
    assert len(files) == 9
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_set_without_labels_or_splits_has_no_truth(tmp_path: Path) -> None:
    rows = [("a1", "P1", "eye", "3", "4")]
    source = make(tmp_path / "set", rows, ("candidate_id", "patient_id", "image_id", "x", "y"))
    wrapped = photographs.wrap(source, tmp_path / "out")
    assert len(wrapped.truth.read_text().splitlines()) == 1
    assert len(wrapped.splits.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: "a2"}, "line 3: this candidate_id stands there twice"),
        ({1: ""}, "patient_id must have"),
        ({2: "../eye"}, "image_id must have"),
        ({2: "absent"}, "1 images are missing, the first is absent"),
        ({3: "test"}, "this patient is in two splits"),
        ({3: "holdout"}, "split is train, validation, test or locked"),
        ({4: "3.5"}, "line 2: x, y and label are whole numbers"),
        ({4: ""}, "x and y, or neither"),
        ({4: "32"}, "a1 lies outside its image of 32 x 24"),
        ({5: "-1"}, "a1 lies outside"),
        ({6: "2"}, "label is 0 or 1"),
        ({7: "high"}, "score is a number"),
        ({7: "nan"}, "score is a number, not nan"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, change: dict[int, str], reason: str) -> None:
    row = tuple(change.get(place, value) for place, value in enumerate(ROWS[0]))
    with pytest.raises(Misconfigured, match=reason):
        photographs.wrap(make(tmp_path / "set", [row, *ROWS[1:]]), tmp_path / "out")


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no such file"):
        photographs.wrap(tmp_path, tmp_path / "out")
    source = make(tmp_path / "set", [("a", "b")], ("candidate_id", "patient_id"))
    with pytest.raises(Misconfigured, match="the columns image_id are missing"):
        photographs.wrap(source, tmp_path / "out")
    source = make(tmp_path / "set")
    (source / "images/eye.png").write_bytes(b"x")
    with pytest.raises(Misconfigured, match="two images of one name"):
        photographs.wrap(source, tmp_path / "out")
    (source / "images/eye.png").unlink()
    (source / "images/eye.jpg").write_bytes(b"no image")
    with pytest.raises(Misconfigured, match="not an image that can be read"):
        photographs.wrap(source, tmp_path / "out")


@pytest.mark.parametrize("big", ["<u2", ">u2"])
def test_grey_of_16_bits_stays_so(tmp_path: Path, big: str) -> None:
    source = make(tmp_path / "set", ROWS[4:])
    (source / "images/lossless.png").unlink()
    grey = np.arange(768).reshape(24, 32) * 80
    Image.fromarray(grey.astype(big)).save(source / "images/lossless.tif")
    photographs.wrap(source, tmp_path / "out")
    dataset = pixels.read((tmp_path / "out/study-0000/image-001.dcm").read_bytes())
    assert np.array_equal(pixels.decode(dataset), grey)


def test_a_jpeg_that_viewers_turn_is_refused(tmp_path: Path) -> None:
    """DICOM would take its bitstream as it is, and show it unturned."""
    source, exif = make(tmp_path / "set"), Image.Exif()
    exif[274] = 6
    Image.new("RGB", (32, 24)).save(source / "images/eye.jpg", exif=exif)
    with pytest.raises(Misconfigured, match=r"eye\.jpg: EXIF orientation 6"):
        photographs.wrap(source, tmp_path / "out")


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_what_would_be_clipped_is_refused(tmp_path: Path, kind: type[np.number]) -> None:
    source = make(tmp_path / "set", ROWS[4:])
    (source / "images/lossless.png").unlink()
    cv2.imwrite(str(source / "images/lossless.tif"), np.full((24, 32), -1000, kind))
    with pytest.raises(Misconfigured, match=r"lossless\.tif: .* the loop takes grey of 8 or 16 bits without a sign"):
        photographs.wrap(source, tmp_path / "out")


def test_an_image_beyond_every_limit_is_named(tmp_path: Path) -> None:
    source = make(tmp_path / "set", ROWS[4:])
    (source / "images/lossless.png").unlink()
    (source / "images/lossless.pgm").write_bytes(b"P5 20000 20000 255\n")
    with pytest.raises(Misconfigured, match=r"lossless\.pgm: more than 268 million pixels"):
        photographs.wrap(source, tmp_path / "out")
