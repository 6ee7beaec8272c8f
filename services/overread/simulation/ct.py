"""Writes a volume as a CT series: one instance a slice (CT Image IOD, PS3.3 A.3)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

IMPLEMENTATION = UID("1.2.826.0.1.3680043.8.498.1")
"""Implementation Class UID of what the simulation writes (the root that pydicom offers to all)."""


class Scanner(NamedTuple):
    """A make of CT with its look."""

    manufacturer: str
    model: str
    kernel: str
    noise: float
    """HU."""
    blur: float
    """Standard deviation of the point spread (pixels)."""
    matrix: int
    spacing: float
    """mm."""
    gap: float
    """Slice thickness and distance (mm)."""
    intercept: int


def uid(*parts: str) -> UID:
    """Return a UID that follows from its parts (PS3.5 B.2: 2.25 and a 128-bit number)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big') | 1 << 127}")


def write(
    folder: Path, volume: NDArray[np.float32], scanner: Scanner, patient: str, identity: tuple[str, ...]
) -> list[UID]:
    """Write one series and return its SOP Instance UIDs by slice.

    Args:
        folder: made where it is not; files are named by slice.
        volume: (S, H, W) HU.
        scanner: what the header says.
        patient: PatientID.
        identity: what all UIDs follow from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.clip(np.rint(volume) - scanner.intercept, 0, 32767).astype("<u2")
    names = []
    for index, plane in enumerate(stored):
        dataset = _header(scanner, patient, identity)
        sop_uid = uid(*identity, "slice", str(index))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = sop_uid
        dataset.InstanceNumber = index + 1
        height = index * scanner.gap
        half = scanner.spacing * (scanner.matrix - 1) / 2
        dataset.ImagePositionPatient = [f"{-half:.3f}", f"{-half:.3f}", f"{height:.2f}"]
        dataset.SliceLocation = f"{height:.2f}"
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelData = plane.tobytes()
        dataset.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
        names.append(sop_uid)
    return names


def file_meta(sop_class: UID, syntax: UID) -> FileMetaDataset:
    """Return the file meta information of a new instance (PS3.10 7.1); its SOP Instance UID is still to be set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION
    meta.ImplementationVersionName = "OVERREAD_SIM"
    return meta


def patient_and_study(dataset: Dataset, patient: str, study_uid: str, study_id: str) -> None:
    """Fill the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1)."""
    dataset.PatientName = f"{patient}^Simulated"
    dataset.PatientID = patient
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyInstanceUID = study_uid
    dataset.StudyID = study_id
    dataset.StudyDate = dataset.ContentDate = "20250101"
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""


def _header(scanner: Scanner, patient: str, identity: tuple[str, ...]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = file_meta(CTImageStorage, ExplicitVRLittleEndian)
    dataset.SOPClassUID = CTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceCreatorUID = IMPLEMENTATION
    patient_and_study(dataset, patient, uid(*identity, "study"), identity[-1])
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, dataset.StudyTime
    dataset.Modality = "CT"
    dataset.Manufacturer, dataset.ManufacturerModelName = scanner.manufacturer, scanner.model
    dataset.ConvolutionKernel = scanner.kernel
    dataset.KVP, dataset.SliceThickness = "120", f"{scanner.gap:.2f}"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.SeriesInstanceUID = uid(*identity, "series")
    dataset.SeriesNumber = dataset.AcquisitionNumber = 1
    dataset.FrameOfReferenceUID = uid(*identity, "space")
    dataset.PositionReferenceIndicator = ""
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.PixelSpacing = [f"{scanner.spacing:.3f}"] * 2
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(scanner.intercept), "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = "-500", "1500"
    return dataset
