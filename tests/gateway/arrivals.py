"""Instances as a modality would send them, and the gateway's own parts around a real database and a real disk."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import Table, func, select

from overread.bus.embedded import EmbeddedBus
from overread.core.codec import Envelope, decode
from overread.core.events import Event
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import SplitPolicy
from overread.gateway.admission import Admission, Arrival
from overread.store.blobs import Blobs
from overread.store.engine import Store
from overread.store.tables import outbox
from overread.topology import TOPICS

KEY = b"a key that only tests know, 32 b"
ROOT = "1.2.826.0.1.3680043.10.1338"


def dataset(number: int = 1, **values: Any) -> Dataset:
    """A CT slice of 4 x 4 pixels; `values` replace attributes, None leaves one out."""
    found = Dataset()
    found.SOPClassUID = CTImageStorage
    found.SOPInstanceUID = f"{ROOT}.1.{number}"
    found.StudyInstanceUID = f"{ROOT}.2.1"
    found.SeriesInstanceUID = f"{ROOT}.3.1"
    found.PatientID = "patient-1"
    found.Modality = "CT"
    found.Rows = found.Columns = 4
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit = 15
    found.PixelRepresentation = 0
    found.SamplesPerPixel = 1
    found.PhotometricInterpretation = "MONOCHROME2"
    found.PixelData = bytes(32)
    for name, value in values.items():
        if value is None:
            del found[name]
        else:
            setattr(found, name, value)
    return found


def encode(found: Dataset) -> bytes:
    """A PS3.10 file."""
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = CTImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.1.1"
    file = BytesIO()
    dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def arrival(number: int = 1, **values: Any) -> Arrival:
    """A request whose command says what its data set says."""
    found = dataset(number, **values)
    sop_instance = str(found.get("SOPInstanceUID") or "")
    return Arrival(encode(found), str(found.get("SOPClassUID") or ""), sop_instance, "MODALITY")


def renamed(one: Arrival, sop_instance: str) -> Arrival:
    """The same bytes under a command of another name."""
    return replace(one, sop_instance=sop_instance)


class Gateway:
    """An `Admission` and what came of it."""

    def __init__(self, store: Store, folder: Path, *, policy: SplitPolicy | None = None, reserve: int = 0) -> None:
        self.store = store
        self.bus = EmbeddedBus(store, {name: topic.partitions for name, topic in TOPICS.items()})
        self.folder = folder / "blobs"
        self.blobs = Blobs(str(self.folder), reserve=reserve)
        self.pseudonyms = Pseudonyms(KEY)
        self.admission = self.admit_with(policy or SplitPolicy())

    def admit_with(self, policy: SplitPolicy, **more: Any) -> Admission:
        return Admission(self.store, self.bus.append, self.blobs, self.pseudonyms, policy, **more)

    def admit(self, one: Arrival) -> None:
        self.admission.admit(one)

    def events(self) -> list[Event]:
        return [envelope.event for envelope in self.envelopes()]

    def envelopes(self) -> list[Envelope[Event]]:
        with self.store.reading() as tx:
            rows = tx.execute(select(outbox).order_by(outbox.c.id)).all()
        return [decode({name: text.encode("latin-1") for name, text in row.headers.items()}, row.value) for row in rows]

    def count(self, table: Table) -> int:
        with self.store.reading() as tx:
            return int(tx.execute(select(func.count()).select_from(table)).scalar_one())

    def files(self) -> list[str]:
        """Every file in the blob store, drafts included."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())
