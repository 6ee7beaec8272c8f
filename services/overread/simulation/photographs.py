"""A candidate set as a hospital would send it: photographs as DICOM, their candidates as a CAD's report."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    OphthalmicPhotography8BitImageStorage,
    SecondaryCaptureImageStorage,
)

from overread.core.errors import Misconfigured, Undecodable
from overread.pacs.jpeg import Header, header
from overread.simulation.cad import Marked, report
from overread.simulation.ct import file_meta, patient_and_study, uid
from overread_learn.experiment import candidate_set
from overread_learn.experiment.candidate_set import Row
from overread_learn.experiment.image_files import read_image, refuse_turned

RADIUS_PX = 6.0
"""Of a truth row: a simulated reader takes a candidate this close for the one that was meant."""


class Wrapped(NamedTuple):
    """What was written."""

    truth: Path
    """truth.csv: `study_uid, sop_uid, frame, x, y, radius_px, label, lesion`, a row for each labelled candidate."""
    splits: Path
    """splits.csv: `patient_id, split` of the patients whose split the set gives."""
    files: int
    studies: int
    candidates: int


def wrap(
    candidates: Path, out: Path, *, detector: str = "first pass", on_progress: Callable[[], None] = lambda: None
) -> Wrapped:
    """Write one study a patient: its images, and one report of their candidates.

    A colour photograph in baseline JPEG becomes an Ophthalmic Photography 8 Bit Image with its bitstream as it is; a
    grey one, and what is no baseline JPEG, a Secondary Capture Image. The same set makes the same bytes.

    Args:
        candidates: the folder of the set.
        out: the folder; made where it is not.
        detector: the name that the report gives the detector; its version is the digest of candidates.csv.
        on_progress: called after each study.

    Raises:
        Misconfigured: as `candidate_set.read`; an image that can't be read, or a candidate outside its image.
    """
    try:
        chosen = candidate_set.read(candidates)
    except candidate_set.NotACandidateSet as error:
        raise Misconfigured(str(error)) from error
    for row in chosen.rows:
        if row.label not in {0, 1, None}:
            raise Misconfigured(f"candidates.csv: {row.candidate}: label is 0 or 1, the loop knows no third class yet")
    out.mkdir(parents=True, exist_ok=True)
    by_patient = sorted(chosen.rows, key=lambda row: (row.patient, row.image))
    wrapped = Wrapped(out / "truth.csv", out / "splits.csv", 0, 0, len(by_patient))
    files = studies = 0
    with wrapped.truth.open("w", newline="") as file:
        truth = csv.writer(file, lineterminator="\n")
        truth.writerow(("study_uid", "sop_uid", "frame", "x", "y", "radius_px", "label", "lesion"))
        for patient, rows in groupby(by_patient, key=lambda row: row.patient):
            folder = out / f"study-{studies:04d}"
            folder.mkdir(exist_ok=True)
            identity = ("candidate set", chosen.digest, patient)
            marked: list[Marked] = []
            for number, (name, mine) in enumerate(groupby(rows, key=lambda row: row.image), 1):
                dataset = _wrap_image(chosen.images[name], patient, number, identity)
                dataset.save_as(folder / f"image-{number:03d}.dcm", enforce_file_format=True)
                del dataset.PixelData  # from here on it is only referred to
                files += 1
                for row in mine:
                    one = _mark(row, dataset)
                    marked.append(one)
                    if row.label is not None:
                        place = (f"{one.x:g}", f"{one.y:g}", RADIUS_PX)
                        uids = (dataset.StudyInstanceUID, dataset.SOPInstanceUID)
                        truth.writerow((*uids, 0, *place, row.label, row.candidate))
            report(marked, folder / "report.dcm", name=detector, version=chosen.digest[:12], identity=identity)
            files, studies = files + 1, studies + 1
            on_progress()
    with wrapped.splits.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("patient_id", "split"))
        table.writerows(sorted(chosen.splits.items()))
    return wrapped._replace(files=files, studies=studies)


def _mark(row: Row, image: Dataset) -> Marked:
    columns, rows = int(image.Columns), int(image.Rows)
    x, y = ((columns - 1) / 2, (rows - 1) / 2) if row.x is None or row.y is None else (float(row.x), float(row.y))
    if not (0 <= x < columns and 0 <= y < rows):
        raise Misconfigured(f"candidates.csv: {row.candidate} lies outside its image of {columns} x {rows} pixels")
    return Marked(row.candidate, image, x, y, row.score)


def _wrap_image(file: Path, patient: str, number: int, identity: tuple[str, ...]) -> Dataset:
    content = file.read_bytes()
    sof = _baseline(content)
    dataset = Dataset()
    photograph = sof is not None and len(sof.components) == 3
    sop_class = OphthalmicPhotography8BitImageStorage if photograph else SecondaryCaptureImageStorage
    dataset.file_meta = file_meta(sop_class, JPEGBaseline8Bit if sof is not None else ExplicitVRLittleEndian)
    dataset.SOPClassUID = sop_class
    digest = hashlib.sha256(content).hexdigest()
    dataset.SOPInstanceUID = uid(*identity, "image", file.stem, digest)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    patient_and_study(dataset, patient, uid(*identity, "study"), "1")
    dataset.SeriesInstanceUID = uid(*identity, "images")
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.Manufacturer = "Overread simulation"
    dataset.Laterality = None
    if photograph:
        _photography(dataset)
    else:
        dataset.Modality, dataset.ConversionType = "OT", "DI"
        dataset.ImageType = ["DERIVED", "SECONDARY"]
    try:
        if sof is not None:
            refuse_turned(file)  # DICOM has no such tag, and no viewer of it would turn the image
            _bitstream(dataset, sof, content)
        else:
            _native(dataset, file)
    except candidate_set.NotACandidateSet as error:
        raise Misconfigured(str(error)) from error
    return dataset


def _baseline(content: bytes) -> Header | None:
    """Return the frame header of a baseline JPEG with one or three components; None for anything else."""
    try:
        sof = header(content)
    except Undecodable:
        return None
    return sof if sof.process == 0 and sof.precision == 8 and len(sof.components) in {1, 3} else None


def _photography(dataset: Dataset) -> None:
    """Ophthalmic Photography Image and Acquisition Parameters (PS3.3 C.8.17.2, C.8.17.4), as far as a file tells."""
    dataset.Modality = "OP"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.AcquisitionDateTime = f"{dataset.StudyDate}{dataset.StudyTime}"
    dataset.BurnedInAnnotation = "NO"
    dataset.ImageLaterality = None
    dataset.PatientEyeMovementCommanded = dataset.EmmetropicMagnification = None
    dataset.IntraOcularPressure = dataset.HorizontalFieldOfView = dataset.PupilDilated = None
    dataset.RefractiveStateSequence = []
    dataset.AcquisitionDeviceTypeCodeSequence = [_code("409898007", "SCT", "Fundus Camera")]
    dataset.IlluminationTypeCodeSequence = dataset.LightPathFilterTypeStackCodeSequence = []
    dataset.ImagePathFilterTypeStackCodeSequence = dataset.LensesCodeSequence = []
    dataset.AnatomicRegionSequence = [_code("81745001", "SCT", "Eye")]
    dataset.DetectorType = None
    dataset.AcquisitionContextSequence = []


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _pixel_module(dataset: Dataset, rows: int, columns: int, samples: int, bits: int) -> None:
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples == 3:
        dataset.PlanarConfiguration = 0


def _bitstream(dataset: Dataset, sof: Header, content: bytes) -> None:
    """Encapsulate the JPEG as it is: nothing is decoded, so nothing is lost (PS3.5 A.4.1)."""
    _pixel_module(dataset, sof.rows, sof.columns, len(sof.components), 8)
    if len(sof.components) == 3 and not sof.rgb:
        # PS3.5 8.2.1: components that share chroma are 4:2:2 to DICOM, also where JPEG shares them by rows as well.
        dataset.PhotometricInterpretation = "YBR_FULL" if sof.subsampling == (1, 1) else "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    decoded = sof.rows * sof.columns * len(sof.components)
    dataset.LossyImageCompressionRatio = f"{decoded / len(content):.4g}"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = encapsulate([content])
    dataset["PixelData"].is_undefined_length = True


def _native(dataset: Dataset, file: Path) -> None:
    """Decode whatever else can be read: grey of 8 or 16 bits in its own depth, and RGB of 8."""
    pixels = read_image(file)
    if (pixels.ndim, pixels.dtype.name, *pixels.shape[2:]) not in {(2, "uint8"), (2, "uint16"), (3, "uint8", 3)}:
        raise Misconfigured(
            f"{file}: {pixels.dtype} {pixels.shape}; the loop takes grey of 8 or 16 bits without a sign, and RGB of 8"
        )
    _pixel_module(dataset, pixels.shape[0], pixels.shape[1], 1 if pixels.ndim == 2 else 3, pixels.dtype.itemsize * 8)
    dataset.LossyImageCompression = "00"
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
