"""A small hospital for this room's tests: instances go in, the room's own handlers run, events come out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from overread.candidates.generator import Spot
from overread.candidates.studies import Collect, Forget, Settle
from overread.config import Candidates, Gateway, SourcePolicy
from overread.core.codec import Envelope
from overread.core.events import CandidateReceived, InstanceReceived, StudyPurgedAtSource
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import Split
from overread.pacs.slices import Slices
from overread.store.blobs import Blobs
from overread.store.engine import Store

SIZE = 16


class Brightest:
    """A generator that any reader can check: the brightest pixel of each volume, if it is above 500."""

    name, version = "brightest", "1"

    def __init__(self) -> None:
        self.volumes: list[tuple[int, ...]] = []

    def find(self, pixels: NDArray[Any], *, spacing_mm: float | None, gap_mm: float | None) -> list[Spot]:
        assert spacing_mm == 0.5
        assert pixels.ndim == 2 or gap_mm == 2.0
        self.volumes.append(pixels.shape)
        volume = pixels if pixels.ndim == 3 else pixels[None]
        z, y, x = np.unravel_index(int(volume.argmax()), volume.shape)
        return [Spot(int(z), float(x), float(y), 2.0, 9.0)] if volume.max() > 500 else []


def bytes_of(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def ct(number: int, *, study: str = "1.1", series: str = "1.2", bright: tuple[int, int] | None = None) -> Dataset:
    """One slice at a height of 2 mm times `number`; `bright` is a (x, y) that stands out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uid = f"{series}.{number + 1}"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "A^B", "P1", "", ""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = study, series, "CT"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20250101", "120000", "1"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.InstanceNumber, dataset.SeriesNumber = 100 - number, 1  # runs against the position on purpose
    dataset.FrameOfReferenceUID = f"{study}.9"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 2.0 * number]
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.Rows = dataset.Columns = SIZE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
    values = np.full((SIZE, SIZE), 100, np.uint16)
    if bright is not None:
        values[bright[1], bright[0]] = 900
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def report(uid: str, *places: tuple[Dataset, float, float], space: tuple[float, float, float] | None = None) -> Dataset:
    """A CAD's report of places in pixel centres; `space` adds a point in millimetres."""
    groups = []
    for number, (source, x, y) in enumerate(places):
        region: Any = sr.ImageRegion(
            "POINT", np.array([[x + 0.5, y + 0.5]]), sr.SourceImageForRegion.from_source_image(source)
        )
        groups.append((number, region))
    if space is not None:
        groups.append(
            (len(groups), sr.ImageRegion3D("POINT", np.array([space]), str(places[0][0].FrameOfReferenceUID)))
        )
    observer = sr.ObserverContext(codes.DCM.Device, sr.DeviceObserverIdentifyingAttributes(uid="1.8"))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid=f"{uid}.{number + 1}", identifier=str(number)),
                referenced_region=region,
                algorithm_id=sr.AlgorithmIdentification("Seer", "3"),
                finding_type=Code("52988006", "SCT", "Lesion"),
                measurements=[sr.Measurement(codes.DCM.CertaintyOfFinding, 10.0 * (number + 1), codes.UCUM.Percent)],
            )
            for number, region in groups
        ],
    )
    kind = sr.ComprehensiveSR if space is None else sr.Comprehensive3DSR
    evidence = list({str(source.SOPInstanceUID): source for source, _, _ in places}.values())
    built: Dataset = kind(evidence, content, "1.7", 9, uid, 1, manufacturer="x")
    return built


class Hospital:
    """The room with a real database, real blobs and a clock that the test owns."""

    def __init__(
        self, store: Store, folder: Path, policy: SourcePolicy = SourcePolicy.AUTO, **peers: SourcePolicy
    ) -> None:
        self.store, self.blobs = store, Blobs(str(folder / "blobs"))
        self.slices, self.pseudonyms = Slices(self.blobs), Pseudonyms(b"k" * 32)
        self.now = datetime(2025, 1, 1, tzinfo=UTC)
        self.generator = Brightest()
        self.collect, self.forget = Collect(lambda: self.now), Forget()
        self.settle = Settle(
            store,
            self.blobs,
            self.slices,
            self.pseudonyms,
            Candidates(settle_seconds=10),
            Gateway(default_source=policy, peers=peers),
            "lung-nodule",
            lambda: self.now,
            self.generator,
        )

    def event(self, dataset: Dataset, content: bytes | None = None, site: str = "CT1") -> InstanceReceived:
        return InstanceReceived(
            instance=self.pseudonyms.instance(str(dataset.SOPInstanceUID)),
            series=self.pseudonyms.series(str(dataset.SeriesInstanceUID)),
            study=self.pseudonyms.study(str(dataset.StudyInstanceUID)),
            patient=self.pseudonyms.patient("P1"),
            split=Split.TRAIN,
            site=site,
            sop_class=str(dataset.SOPClassUID),
            modality=str(dataset.Modality),
            blob=self.blobs.put(bytes_of(dataset) if content is None else content),
        )

    def receive(self, *datasets: Dataset, site: str = "CT1") -> None:
        for dataset in datasets:
            self.hear(self.event(dataset, site=site))

    def hear(self, event: InstanceReceived | StudyPurgedAtSource) -> None:
        handler: Any = self.collect if isinstance(event, InstanceReceived) else self.forget
        envelope = Envelope(event, "gateway")
        prepared = handler.prepare(envelope)
        with self.store.writing() as tx:
            assert handler.apply(tx, envelope, prepared) == ()

    def look(self) -> Sequence[CandidateReceived] | None:
        """One turn of the duty; None where nothing was due."""
        prepared = self.settle.prepare()
        if prepared is None:
            return None
        with self.store.writing() as tx:
            return self.settle.apply(tx, prepared)  # type: ignore[return-value]

    def later(self, seconds: float = 10) -> None:
        self.now += timedelta(seconds=seconds)

    def settled(self) -> Sequence[CandidateReceived]:
        """Wait, look, and expect that there was something to look at."""
        self.later()
        found = self.look()
        assert found is not None
        return found
