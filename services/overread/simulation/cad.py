"""A first-pass CAD's report: Comprehensive SR by TID 1500 with one measurement group a candidate (PS3.16)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from overread.pacs.sr import HALF
from overread.simulation.ct import IMPLEMENTATION, uid

SCORE = Code("DETSCORE", "99OVERREAD", "Detector score")
"""Certainty of finding is a per cent; a detector's score is any number, and ranks by it."""
_LESION = Code("52988006", "SCT", "Lesion")
_NO_UNITS = Code("1", "UCUM", "no units")


class Marked(NamedTuple):
    """A candidate of one image."""

    name: str
    image: Dataset
    x: float
    y: float
    """Pixel centres."""
    score: float | None


def report(marked: Sequence[Marked], out: Path, *, name: str, version: str, identity: tuple[str, ...]) -> str:
    """Write the report of one study and return its SOP Instance UID.

    Args:
        marked: at least one candidate; all images are of one study.
        out: the file.
        name: the detector's.
        version: the detector's.
        identity: what all UIDs follow from: the same candidates make the same file.
    """
    images = list({str(one.image.SOPInstanceUID): one.image for one in marked}.values())
    algorithm = sr.AlgorithmIdentification(name=name, version=version)
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(uid=uid(*identity, "device"), name=name),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[_group(one, algorithm, identity) for one in marked],
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=images,
    )
    dataset = sr.ComprehensiveSR(
        evidence=images,
        content=content,
        series_instance_uid=uid(*identity, "report series"),
        series_number=90,
        sop_instance_uid=uid(*identity, "report"),
        instance_number=1,
        manufacturer="Overread simulation",
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    _timeless(dataset, images[0])
    dataset.save_as(out, enforce_file_format=True)
    return str(dataset.SOPInstanceUID)


def _group(
    one: Marked, algorithm: sr.AlgorithmIdentification, identity: tuple[str, ...]
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    region = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POINT,
        graphic_data=np.array([[one.x + HALF, one.y + HALF]]),
        source_image=sr.SourceImageForRegion.from_source_image(one.image),
    )
    scores = [] if one.score is None else [sr.Measurement(name=SCORE, value=float(one.score), unit=_NO_UNITS)]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid(*identity, "candidate", one.name), identifier=one.name),
        referenced_region=region,
        finding_type=_LESION,
        algorithm_id=algorithm,
        measurements=scores,
    )


def _timeless(dataset: Dataset, image: Dataset) -> None:
    """Set the times that highdicom took from the clock to the study's: the same set makes the same bytes."""
    for element in dataset.iterall():
        if element.VR == "DT":
            element.value = f"{image.StudyDate}{image.StudyTime}"
        elif element.VR == "DA" and element.value:
            element.value = image.StudyDate
        elif element.VR == "TM" and element.value:
            element.value = image.StudyTime
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION
    dataset.file_meta.ImplementationVersionName = "OVERREAD_SIM"
