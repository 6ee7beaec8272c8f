"""Images as they stand in the blob store, candidates in them, and networks small enough to train in seconds."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from overread.core.events import Place
from overread.core.series import SeriesManifest, Slice
from overread.pacs.slices import Slices
from overread.pacs.views import Views
from overread.store.blobs import Blobs
from overread_learn.applications import load

SIDE = 48
APPLICATION = replace(
    load("lung-nodule"),
    input_px=32,
    context=32.0,
    context_unit="px",
    patches=4,
    epochs=2,
    rate=2e-3,
    head_rate=5e-3,
)
"""The lung nodule's, on a smaller square."""
MIDDLE = SIDE / 2


def picture(label: int, seed: int) -> NDArray[np.int16]:
    """A noisy square in HU; with label 1 there is something bright in the middle."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:SIDE, :SIDE] - MIDDLE
    found = rng.normal(-600, 40, (SIDE, SIDE))
    if label:
        found += 800 * np.exp(-(down**2 + across**2) / (2 * 36))
    return found.astype(np.int16)


def encode(pixels: NDArray[np.int16], number: int) -> bytes:
    """A CT instance of these pixels."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
    found.Rows, found.Columns = pixels.shape
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit, found.PixelRepresentation, found.SamplesPerPixel = 15, 1, 1
    found.PhotometricInterpretation, found.PixelSpacing = "MONOCHROME2", [1.0, 1.0]
    found.RescaleSlope, found.RescaleIntercept = 1, 0
    found.PixelData = pixels.tobytes()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = BytesIO()
    dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


class Archive:
    """A blob store with pictures in it."""

    def __init__(self, folder: Path) -> None:
        self.blobs = Blobs(str(folder / "blobs"))
        self.slices = Slices(self.blobs)

    def views(self) -> Views:
        """Fresh ones: nothing is kept from before."""
        return Views(Slices(self.blobs), APPLICATION)

    def add(self, labels: list[int], first: int = 0, above: int = 0) -> list[Place]:
        """Store one series with a slice a label, all HU so much too large; return the middles."""
        stored = [encode(picture(label, first + place) + np.int16(above), place) for place, label in enumerate(labels)]
        parts = tuple(
            Slice(instance=f"i-{first + place}", blob=self.blobs.put(content)) for place, content in enumerate(stored)
        )
        series = SeriesManifest(
            series=f"e-{first}", modality="CT", rows=SIDE, columns=SIDE, spacing_mm=1.0, slices=parts
        )
        key = self.blobs.put(series.model_dump_json().encode())
        return [Place(series=key, slice=place, x=MIDDLE, y=MIDDLE) for place in range(len(labels))]


def export(folder: Path, seed: int, *, application: object = None) -> bytes:
    """An untrained network of this seed as ONNX."""
    from overread_learn.export import export as write  # noqa: PLC0415 - torch loads only where it is needed
    from overread_learn.nets import build  # noqa: PLC0415

    path = folder / f"seed-{seed}.onnx"
    write(build("squeezenet1_1", 2, None, seed), application or APPLICATION, path, extra={"seed": str(seed)})  # type: ignore[arg-type]
    return path.read_bytes()
