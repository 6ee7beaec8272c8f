from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from overread.core.errors import Undecodable
from overread.core.series import SeriesManifest, Slice
from overread.pacs.slices import Slices
from overread.store.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "blobs"))


@pytest.fixture
def put(blobs: Blobs) -> Callable[..., str]:
    def store(*values: int, frames: int = 1, size: int = 8) -> str:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2"
        dataset.Rows = dataset.Columns = size
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.NumberOfFrames = frames
        dataset.WindowCenter, dataset.WindowWidth = "5", "10"
        planes = np.stack([np.full((size, size), value, np.uint16) for value in values])
        dataset.PixelData = planes.tobytes()
        dataset["PixelData"].VR = "OW"
        file = io.BytesIO()
        dcmwrite(file, dataset, enforce_file_format=True)
        return blobs.put(file.getvalue())

    return store


def manifest(*parts: Slice, stack: bool, size: int = 8) -> SeriesManifest:
    return SeriesManifest(series="e-1", modality="CT", rows=size, columns=size, stack=stack, slices=parts)


def test_a_stack_is_seen_as_below_key_above(blobs: Blobs, put: Callable[..., str]) -> None:
    parts = [Slice(instance=f"i-{n}", blob=put(n)) for n in range(3)]
    stack = manifest(*parts, stack=True)
    key = blobs.put(stack.model_dump_json().encode())
    slices = Slices(blobs)
    assert slices.manifest(key) == stack
    seen = slices.image(stack, 1)
    assert (seen.shape, seen.dtype) == ((8, 8, 3), np.float32)
    assert seen[0, 0].tolist() == [0, 1, 2]
    assert slices.image(stack, 0)[0, 0].tolist() == [0, 0, 1]
    assert slices.image(stack, 2)[0, 0].tolist() == [1, 2, 2]
    assert slices.window(parts[0]) == (5.0, 10.0)


def test_a_single_image_is_seen_as_it_is(blobs: Blobs, put: Callable[..., str]) -> None:
    single = manifest(Slice(instance="i-1", blob=put(7)), stack=False)
    assert Slices(blobs).image(single, 0).shape == (8, 8)


def test_frames_of_one_instance(blobs: Blobs, put: Callable[..., str]) -> None:
    blob = put(3, 4, frames=2)
    slices = Slices(blobs)
    assert [int(slices.pixels(Slice(instance="i", blob=blob, frame=n))[0, 0]) for n in (0, 1)] == [3, 4]
    with pytest.raises(Undecodable):
        slices.pixels(Slice(instance="i", blob=blob, frame=2))


def test_pixels_are_shared_and_read_only(blobs: Blobs, put: Callable[..., str]) -> None:
    slices, part = Slices(blobs), Slice(instance="i", blob=put(1))
    assert slices.pixels(part) is slices.pixels(part)
    with pytest.raises(ValueError, match="read-only"):
        slices.pixels(part)[0, 0] = 1


def test_the_cache_is_bounded_by_bytes(blobs: Blobs, put: Callable[..., str]) -> None:
    slices = Slices(blobs, cache_mb=1)  # two slices of 512 KiB
    parts = [Slice(instance=f"i-{n}", blob=put(n, size=512)) for n in range(3)]
    first = slices.pixels(parts[0])
    for part in parts[1:]:
        slices.pixels(part)
    assert slices.pixels(parts[2]) is slices.pixels(parts[2])
    assert slices.pixels(parts[0]) is not first


def test_what_is_gone_says_so(blobs: Blobs, put: Callable[..., str]) -> None:
    slices, part = Slices(blobs), Slice(instance="i", blob=put(1))
    with pytest.raises(FileNotFoundError):
        slices.manifest("0" * 64)
    slices.pixels(part)
    blobs.delete(part.blob)
    slices.forget(part.blob)
    with pytest.raises(FileNotFoundError):
        slices.pixels(part)
    with pytest.raises(Undecodable, match="no series manifest"):
        slices.manifest(blobs.put(b"{}"))


def test_threads_get_the_same_pixels(blobs: Blobs, put: Callable[..., str]) -> None:
    slices = Slices(blobs, cache_mb=1)
    parts = [Slice(instance=f"i-{n}", blob=put(n, size=256)) for n in range(12)]
    wrong: list[int] = []

    def read(seed: int) -> None:
        order = np.random.default_rng(seed).integers(0, 12, 60)
        wrong.extend(index for index in order if int(slices.pixels(parts[index])[0, 0]) != index)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
