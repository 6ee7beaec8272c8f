"""From bytes to pixels: every file decodes right or raises `Undecodable`; there is nothing in between.

Grey images come out in modality units (HU for CT; PS3.3 C.11.1), bright meaning more; colour comes out as RGB. What a
data set claims is checked against what it holds before anything is allocated for it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from overread.core.errors import Undecodable
from overread.pacs.codecs import DECODERS
from overread.pacs.frames import group, number

MAX_FRAME_BYTES = 1 << 29
"""Decoded bytes of one frame; a mammogram has 5e7, a whole-slide tile far less."""
MAX_FRAMES = 20_000

_NATIVE = {str(uid) for uid in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}

ODD = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom and the decoders raise on odd input. Their words may quote the input and are never repeated."""


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn what the libraries raise on odd input into `Undecodable`."""
    try:
        yield
    except ODD as error:
        raise Undecodable(f"{what} ({type(error).__name__})") from error


def read(content: bytes) -> Dataset:
    """Parse a DICOM file (PS3.10).

    Raises:
        Undecodable: no file meta information, a deflated data set (a few kilobytes may unfold into gigabytes), a
            structure that can't be walked.
    """
    if content[128:132] != b"DICM":
        raise Undecodable("no DICOM file: there is no prefix DICM after 128 bytes (PS3.10 7.1)")
    with guarded("the file meta information can't be read"):
        start = BytesIO(content)
        start.seek(132)
        meta = read_dataset(start, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        syntax = meta.get("TransferSyntaxUID")
    if not syntax:
        raise Undecodable("the file meta information names no transfer syntax")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise Undecodable("deflated transfer syntax is not accepted; send explicit VR little endian")
    with guarded("the data set can't be parsed"):
        return dcmread(BytesIO(content))


def frames(dataset: Dataset) -> int:
    """Return the number of frames (1 where NumberOfFrames is absent, PS3.3 C.7.6.6).

    Raises:
        Undecodable: no image, or a claim that the pixel data can't bear out.
    """
    _shape(dataset)
    return number(dataset, "NumberOfFrames", 1)


def _shape(dataset: Dataset) -> tuple[int, int, int, int]:
    """Check what the header claims; returns rows, columns, samples, bits allocated."""
    with guarded("the image header can't be read"):
        keyword = next((name for name in _PIXELS if name in dataset), "")
        held = len(dataset[keyword].value or b"") if keyword else 0
    if not held:
        raise Undecodable("no pixel data")
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    samples, bits = number(dataset, "SamplesPerPixel", 1), number(dataset, "BitsAllocated")
    stored, count = number(dataset, "BitsStored", bits), number(dataset, "NumberOfFrames", 1)
    if rows < 1 or columns < 1 or samples not in {1, 3} or bits not in {1, 8, 16, 32, 64} or not 1 <= stored <= bits:
        raise Undecodable(f"an image of {rows} x {columns} x {samples} samples with {stored} of {bits} bits")
    if not 1 <= count <= MAX_FRAMES:
        raise Undecodable(f"{count} frames; 1 to {MAX_FRAMES} are read")
    frame_bits = rows * columns * samples * bits
    if frame_bits > MAX_FRAME_BYTES * 8:
        raise Undecodable(f"a frame of {frame_bits >> 23} MiB; {MAX_FRAME_BYTES >> 20} MiB are read")
    if _syntax(dataset) in _NATIVE:
        if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            frame_bits = frame_bits * 2 // 3  # PS3.3 C.7.6.3.1.2: two pixels share Cb and Cr
        expected = -(-frame_bits * count // 8)
        if held < expected:
            raise Undecodable(f"the pixel data are cut off: {held} of {expected} bytes")
    elif held < 10 * count:  # an item tag, its length and something in it (PS3.5 A.4)
        raise Undecodable(f"{held} bytes of pixel data can't hold {count} frames")
    return rows, columns, samples, bits


def _syntax(dataset: Dataset) -> str:
    return str(getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID", ""))


def _decoder(syntax: str) -> Decoder:
    if syntax in _NATIVE:
        return get_decoder(syntax)
    if syntax not in DECODERS:
        raise Undecodable(f"transfer syntax {UID(syntax).name} is not supported")
    return DECODERS[syntax]


def stored(dataset: Dataset, frame: int, *, rgb: bool = False) -> tuple[NDArray[Any], str]:
    """Decode one frame to its stored values, (H, W) or (H, W, 3), and say their photometric interpretation.

    Args:
        dataset: from `read`.
        frame: 0-based.
        rgb: convert YBR to RGB.

    Raises:
        Undecodable: the frame can't be decoded completely.
    """
    rows, columns, samples, _ = _shape(dataset)
    count = number(dataset, "NumberOfFrames", 1)
    if not 0 <= frame < count:
        raise Undecodable(f"frame {frame} of an instance that has {count}")
    decoder = _decoder(_syntax(dataset))
    with guarded(f"frame {frame} can't be decoded as {decoder.UID.name}"):
        options: dict[str, Any] = {"as_rgb": rgb, "allow_excess_frames": False}
        values, about = decoder.as_array(dataset, index=frame, raw=not rgb, **options)
    if values.shape != ((rows, columns) if samples == 1 else (rows, columns, samples)):
        raise Undecodable(f"frame {frame} decodes to {values.shape} instead of {rows} x {columns} x {samples}")
    return values, str(about["photometric_interpretation"])


def decode(source: Dataset | bytes, frame: int = 0) -> NDArray[Any]:
    """Decode one frame for detector, model and reader.

    Returns:
        (H, W) int16 or float32 in modality units; MONOCHROME1 is inverted within its stored range, so that bright means
        more everywhere. Or (H, W, 3) uint8 RGB; deeper colour keeps its highest eight stored bits.

    Raises:
        Undecodable: with a reason that holds no identifier.
    """
    dataset = read(source) if isinstance(source, bytes) else source
    with guarded("the image header can't be read"):
        photometric = str(dataset.get("PhotometricInterpretation", ""))
    samples = number(dataset, "SamplesPerPixel", 1)
    if photometric in _GREY and samples == 1:
        values, _ = stored(dataset, frame)
        return _modality(dataset, frame, values)
    if photometric == "PALETTE COLOR" and samples == 1:
        values, _ = stored(dataset, frame)
        with guarded("the palette can't be applied"):
            depth = int(dataset.RedPaletteColorLookupTableDescriptor[2])
            return _eight_bits(apply_color_lut(values, dataset), depth)
    if photometric in _COLOUR and samples == 3:
        values, found = stored(dataset, frame, rgb=True)
        if found != "RGB":
            raise Undecodable(f"colour {found} can't be turned into RGB")
        return _eight_bits(values, number(dataset, "BitsStored"))
    raise Undecodable(f"photometric interpretation {photometric[:16]!r} with {samples} samples is not supported")


def _eight_bits(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    return (values >> max(depth - 8, 0)).astype(np.uint8)


def rescale(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Return slope and intercept (PS3.3 C.11.1, in enhanced objects C.7.6.16.2.9).

    Raises:
        Undecodable: a slope of 0, or either is no number.
    """
    place = group(dataset, frame, "PixelValueTransformationSequence", "RescaleSlope") or dataset
    with guarded("the rescale values can't be read"):
        slope, intercept = place.get("RescaleSlope"), place.get("RescaleIntercept")
        slope, intercept = float(1 if slope is None else slope), float(intercept or 0)
    if slope == 0 or not math.isfinite(slope) or not math.isfinite(intercept):
        raise Undecodable(f"rescale slope {slope} and intercept {intercept} give no pixel values")
    return slope, intercept


def _mirror(dataset: Dataset) -> int | None:
    """Return what a stored value and its MONOCHROME1 inverse add up to, or None for MONOCHROME2 (PS3.3 C.7.6.3.1.2)."""
    if dataset.get("PhotometricInterpretation") != "MONOCHROME1":
        return None
    return -1 if number(dataset, "PixelRepresentation", 0) else (1 << number(dataset, "BitsStored")) - 1


def _modality(dataset: Dataset, frame: int, values: NDArray[Any]) -> NDArray[Any]:
    slope, intercept = rescale(dataset, frame)
    mirror = _mirror(dataset)
    if mirror is not None:
        values = mirror - values.astype(np.float64 if values.dtype.itemsize > 2 else np.int32)
    if "ModalityLUTSequence" in dataset:
        with guarded("the modality LUT can't be applied"):
            return np.ascontiguousarray(apply_modality_lut(values, dataset), dtype=np.float32)
    if slope == 1 and intercept.is_integer() and values.dtype.kind in "iub":
        low, high = int(values.min()) + int(intercept), int(values.max()) + int(intercept)
        if low >= -32768 and high <= 32767:
            wide = np.int64 if values.dtype.itemsize > 2 else np.int32
            return (values.astype(wide) + int(intercept)).astype(np.int16)
    result = (values.astype(np.float64) * slope + intercept).astype(np.float32)
    if not np.isfinite(result).all():
        raise Undecodable("the pixel values are not all finite numbers")
    return result


def window(dataset: Dataset, pixels: NDArray[Any], frame: int = 0) -> tuple[float, float]:
    """Return centre and width of the default window in the units of `decode` (PS3.3 C.11.2, enhanced C.7.6.16.2.10).

    The first one that the header offers; where it offers none that works, one that spans the 1st to 99th percentile.
    """
    if pixels.ndim == 3:
        return 128.0, 256.0
    place = group(dataset, frame, "FrameVOILUTSequence", "WindowCenter") or dataset
    try:
        centre, width = (_first(place.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    except ODD:  # a broken window is no reason to hide the image
        centre = width = math.nan
    if math.isfinite(centre) and math.isfinite(width) and width >= 1:
        mirror = _mirror(dataset)
        if mirror is not None:
            slope, intercept = rescale(dataset, frame)
            centre = slope * mirror + 2 * intercept - centre
        return centre, width
    low, high = np.percentile(pixels[:: max(pixels.shape[0] // 256, 1), :: max(pixels.shape[1] // 256, 1)], (1, 99))
    return float(low + high) / 2, max(float(high - low), 1.0)


def _first(value: Any) -> float:
    if value is None or value == "":
        return math.nan
    return float(value if isinstance(value, (int, float, str)) else value[0])


def spacing_mm(dataset: Dataset, frame: int = 0) -> float | None:
    """Return the pixel spacing in the plane (mm; the mean where rows and columns differ), or None.

    PixelSpacing (PS3.3 10.7), in enhanced objects that of the frame, else ImagerPixelSpacing: the detector's plane, a
    few per cent wider than the patient's.
    """
    place = group(dataset, frame, "PixelMeasuresSequence", "PixelSpacing") or dataset
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            down, across = (float(part) for part in place.get(keyword) or ())
        except ODD:  # absent, one value, or no numbers
            continue
        if math.isfinite(down + across) and down > 0 and across > 0:
            return (down + across) / 2
    return None
