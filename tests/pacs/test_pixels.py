from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpeg_ls
import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array as encode_j2k
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from rle.utils import encode_pixel_data as encode_rle

from overread.core.errors import Undecodable
from overread.pacs import pixels

# Lossy JPEG decoded by another library than the one that made the manifest: compared with a decoded twin instead.
TWINS = {
    "SC_rgb_dcmtk_+eb+cr.dcm": ("SC_rgb_dcmtk_ebcr_dcmd.dcm", 0),
    "SC_rgb_dcmtk_+eb+cy+n1.dcm": ("SC_rgb_dcmtk_ebcyn1_dcmd.dcm", 0),
    "SC_rgb_dcmtk_+eb+cy+np.dcm": ("SC_rgb_dcmtk_ebcynp_dcmd.dcm", 0),
    "SC_rgb_jpeg_lossy_gdcm.dcm": ("SC_rgb.dcm", 3),  # its header says RGB and it holds YCbCr
}
TWELVE_BIT = "d30242775a414c01"
"""Of dcmdjpeg's output."""


def image(values: NDArray[Any], **header: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    bits = values.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    data = values.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    for name, value in header.items():
        setattr(dataset, name, value)
    return dataset


def written(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


GREY = np.arange(12, dtype=np.uint16).reshape(3, 4)


def test_every_real_file_decodes_right_or_says_why(shared: Path) -> None:
    root = shared / "data" / "dicom"
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    decoded = 0
    refused: dict[str, str] = {}
    should_decode: list[str] = []
    for row in rows:
        name = Path(row["path"]).name
        try:
            dataset = pixels.read((root / "files" / row["path"]).read_bytes())
            count = pixels.frames(dataset)
            frames = [pixels.stored(dataset, frame)[0] for frame in range(count)]
            rgb = [pixels.stored(dataset, frame, rgb=True)[0] for frame in range(count)]
        except Undecodable as error:
            refused[name] = str(error)
            if row["pixel_sha256"]:
                should_decode.append(name)
            continue
        decoded += 1
        for frame in range(count):
            values = pixels.decode(dataset, frame)
            assert values.shape[:2] == (int(row["rows"]), int(row["cols"])), name
            assert values.dtype in {np.dtype(np.int16), np.dtype(np.float32), np.dtype(np.uint8)}, name
            assert np.isfinite(values).all(), name
            assert np.isfinite(pixels.window(dataset, values, frame)).all(), name
        if name in TWINS:
            twin, far = TWINS[name]
            other = pixels.decode((root / "files" / "pydicom" / twin).read_bytes())
            assert np.abs(pixels.decode(dataset).astype(int) - other).mean() <= far, name
        elif row["pixel_sha256"]:
            assert row["pixel_sha256"] in _digests(frames) | _digests(rgb), name
    assert should_decode == ["image_dfl.dcm"]
    assert "deflated" in refused["image_dfl.dcm"]
    assert decoded > 100


def _digests(frames: list[NDArray[Any]]) -> set[str]:
    """Of the frames together, in the machine's byte order and the other one."""
    together = np.stack(frames) if len(frames) > 1 else frames[0]
    native = np.ascontiguousarray(together, dtype=together.dtype.newbyteorder("="))
    return {hashlib.sha256(form.tobytes()).hexdigest() for form in (native, native.byteswap())}


def test_twelve_bit_jpeg_is_what_dcmtk_decodes(shared: Path) -> None:
    values = pixels.decode((shared / "data/dicom/files/pydicom/JPEG-lossy.dcm").read_bytes())
    assert (int(values.min()), int(values.max())) == (0, 264)
    assert hashlib.sha256(values.astype("<u2").tobytes()).hexdigest().startswith(TWELVE_BIT)


def test_grey_comes_in_modality_units_of_the_smallest_type() -> None:
    values = pixels.decode(image(GREY, RescaleSlope="1", RescaleIntercept="-1024"))
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values, GREY.astype(int) - 1024)
    values = pixels.decode(image(GREY, RescaleSlope="0.5", RescaleIntercept="1"))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, GREY * 0.5 + 1)
    assert pixels.decode(image(GREY + np.uint16(60000))).dtype == np.float32


@pytest.mark.parametrize(("slope", "intercept"), [("0", "0"), ("nan", "0"), ("1", "inf")])
def test_a_rescale_that_gives_no_values_is_refused(slope: str, intercept: str) -> None:
    with pytest.raises(Undecodable, match="rescale"):
        pixels.decode(image(GREY, RescaleSlope=slope, RescaleIntercept=intercept))


def test_monochrome1_is_inverted_and_its_window_with_it() -> None:
    header = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 10, "HighBit": 9}
    dataset = image(GREY, **header, WindowCenter="1000", WindowWidth="50")
    values = pixels.decode(dataset)
    np.testing.assert_array_equal(values, 1023 - GREY.astype(int))
    assert pixels.window(dataset, values) == (23.0, 50.0)


def test_the_window_is_the_first_of_the_header_else_spans_the_percentiles() -> None:
    assert pixels.window(image(GREY, WindowCenter=["40", "-600"], WindowWidth=["400", "1500"]), GREY) == (40.0, 400.0)
    centre, width = pixels.window(image(GREY), GREY)
    assert 5 <= centre <= 6
    assert 9 <= width <= 11
    assert pixels.window(image(GREY, WindowCenter="4", WindowWidth="0"), GREY) == (centre, width)


def test_spacing_is_known_only_where_it_makes_sense() -> None:
    assert pixels.spacing_mm(image(GREY, PixelSpacing=["0.5", "0.7"])) == pytest.approx(0.6)
    assert pixels.spacing_mm(image(GREY, ImagerPixelSpacing=["0.1", "0.1"])) == pytest.approx(0.1)
    assert pixels.spacing_mm(image(GREY)) is None
    assert pixels.spacing_mm(image(GREY, PixelSpacing=["0", "0.7"])) is None


def test_deep_colour_keeps_its_highest_eight_bits() -> None:
    values = np.full((2, 2, 3), 0xABCD, np.uint16)
    assert (pixels.decode(image(values)) == 0xAB).all()


def test_truncated_native_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(Undecodable, match="cut off: 23 of 24 bytes"):
        pixels.decode(image(GREY, PixelData=GREY.tobytes()[:-1]))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "MiB"),
        ({"NumberOfFrames": 2_000_000}, "frames"),
        ({"NumberOfFrames": 0}, "frames"),
        ({"Rows": 0}, "image of 0"),
        ({"SamplesPerPixel": 4}, "4 samples"),
        ({"BitsStored": 17}, "17 of 16 bits"),
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
        ({"PixelData": b""}, "no pixel data"),
        ({"Rows": None}, "Rows is missing"),
    ],
)
def test_claims_that_the_data_cannot_bear_out_are_refused(header: dict[str, object], reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        pixels.decode(image(GREY, **header))


def test_a_frame_that_is_not_there_is_refused() -> None:
    with pytest.raises(Undecodable, match="frame 1 of an instance that has 1"):
        pixels.decode(image(GREY), 1)


def test_bytes_that_are_no_dicom_file_are_refused() -> None:
    for content in (b"", b"x" * 200, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\x02\x00"):
        with pytest.raises(Undecodable):
            pixels.read(content)


def test_a_deflated_data_set_is_refused_without_unfolding_it() -> None:
    dataset = image(np.zeros((64, 64), np.uint16))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(Undecodable, match="deflated"):
        pixels.read(written(dataset))


def test_deep_nesting_ends_in_a_clear_error() -> None:
    # Sequences of undefined length, one in the other: tag, VR, length; item, length.
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    content = written(image(GREY)) + opened * 50_000
    with pytest.raises(Undecodable, match="can't be parsed"):
        pixels.read(content)


def compressed(syntax: str, frame: bytes, template: Dataset) -> Dataset:
    template.file_meta.TransferSyntaxUID = syntax
    template.PixelData = encapsulate([frame])
    template["PixelData"].is_undefined_length = True
    return pixels.read(written(template))


NOISE = np.random.default_rng(0).integers(0, 4000, (64, 64), np.uint16)


def rle_frame() -> bytes:
    about = {"rows": 64, "columns": 64, "samples_per_pixel": 1, "bits_allocated": 16, "byteorder": "<"}
    return bytes(encode_rle(NOISE.tobytes(), **about))


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (RLELossless, rle_frame),
        (JPEGLSLossless, lambda: bytes(jpeg_ls.encode_array(NOISE))),
        (JPEG2000Lossless, lambda: bytes(encode_j2k(NOISE, bits_stored=12))),
    ],
)
def test_a_cut_bitstream_is_refused_never_half_shown(syntax: str, encode: Callable[[], bytes]) -> None:
    whole = image(NOISE, BitsStored=12, HighBit=11)
    frame = encode()
    np.testing.assert_array_equal(pixels.decode(compressed(syntax, frame, whole)), NOISE)
    for share in (0.3, 0.6, 0.9, 0.99):
        cut = frame[: int(len(frame) * share)]
        with pytest.raises(Undecodable):
            pixels.decode(compressed(syntax, cut, whole))


def test_a_cut_lossless_jpeg_is_refused(shared: Path) -> None:
    dataset = pixels.read((shared / "data/dicom/files/pydicom/JPEG-LL.dcm").read_bytes())
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    for share in (0.3, 0.6, 0.9):
        dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
        with pytest.raises(Undecodable):
            pixels.decode(dataset)


def test_a_bitstream_of_another_size_than_the_header_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "JPEG")
    template = image(np.zeros((8, 8), np.uint8))
    with pytest.raises(Undecodable):
        pixels.decode(compressed(JPEGBaseline8Bit, file.getvalue(), template))


def test_a_cut_jpeg_is_refused() -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    content = file.getvalue()
    template = image(noise)
    assert pixels.decode(compressed(JPEGBaseline8Bit, content, template)).shape == (64, 64)
    with pytest.raises(Undecodable, match="JPEG Baseline"):
        pixels.decode(compressed(JPEGBaseline8Bit, content[: len(content) // 2], template))


def test_a_reason_never_repeats_what_was_in_the_file() -> None:
    dataset = image(GREY, PatientName="SECRET^NAME", PatientID="SECRET")
    dataset.Rows = None
    with pytest.raises(Undecodable) as caught:
        pixels.decode(written(dataset))
    assert "SECRET" not in str(caught.value)
