"""Images come with the depth they are stored in, or are refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from overread_learn.applications import load
from overread_learn.experiment.candidate_set import NotACandidateSet
from overread_learn.experiment.image_files import MOST_PIXELS, read_image, refuse_turned
from overread_learn.patches import prepare

HU = np.array([[-1000, -300, 0], [40, 400, 3000]])
UNSIGNED = np.array([[0, 255, 256], [4095, 40000, 65535]], np.uint16)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("hu.tif", HU.astype(np.int16)),
        ("hu.tif", HU.astype(np.int32) * 1000),
        ("hu.tif", HU.astype(np.float32) + 0.25),
        ("small.tif", (HU // 32).astype(np.int8)),
        ("grey.tif", UNSIGNED),
        ("grey.png", UNSIGNED),
        ("grey.pgm", UNSIGNED),
        ("grey.png", UNSIGNED.astype(np.uint8)),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.dtype),
)
def test_grey_keeps_its_depth_and_its_sign(tmp_path: Path, name: str, pixels: NDArray[np.generic]) -> None:
    cv2.imwrite(str(tmp_path / name), pixels)
    assert np.array_equal(read_image(tmp_path / name), pixels)


@pytest.mark.parametrize("name", ["pages.tif", "frames.gif", "frames.png"])
def test_a_file_of_several_images_is_refused_by_name(tmp_path: Path, name: str) -> None:
    first, second = (Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (10, 200))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.raises(NotACandidateSet, match=f"{name}: 2 images in one file, of which the first would be read"):
        read_image(tmp_path / name)


def test_a_phones_jpeg_comes_without_its_previews(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (10, 200))
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    with Image.open(tmp_path / "phone.jpg") as image:
        assert image.format == "MPO"
    assert np.abs(read_image(tmp_path / "phone.jpg").astype(int) - 10).max() <= 2


def _turned(file: Path, orientation: int) -> NDArray[np.uint8]:
    """Write a picture that asks to be turned, and return what is stored."""
    pixels = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(file, exif=exif)
    return pixels


@pytest.mark.parametrize("name", ["phone.jpg", "phone.tif", "phone.png", "phone.webp"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_picture_that_viewers_turn_is_refused_by_name(tmp_path: Path, name: str, orientation: int) -> None:
    _turned(tmp_path / name, orientation)
    complaint = f"{name}: EXIF orientation {orientation}: viewers turn .*-auto-orient.* remove the tag"
    with pytest.raises(NotACandidateSet, match=complaint):
        read_image(tmp_path / name)
    with pytest.raises(NotACandidateSet, match=complaint):
        refuse_turned(tmp_path / name)


def test_a_picture_that_xmp_turns_is_refused(tmp_path: Path) -> None:
    about = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    Image.new("L", (24, 16)).save(tmp_path / "phone.jpg", xmp=about)
    with pytest.raises(NotACandidateSet, match=r"phone\.jpg: EXIF orientation 8"):
        read_image(tmp_path / "phone.jpg")


@pytest.mark.parametrize("name", ["upright.tif", "upright.png"])
def test_a_picture_that_is_upright_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    assert np.array_equal(_turned(tmp_path / name, 1), read_image(tmp_path / name))
    refuse_turned(tmp_path / name)


def test_exif_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    Image.new("L", (24, 16)).save(tmp_path / "odd.png", exif=b"Exif\0\0no TIFF header")
    with pytest.raises(NotACandidateSet, match=r"odd\.png: its EXIF can't be read"):
        read_image(tmp_path / "odd.png")


def test_a_big_endian_tiff_comes_in_the_machines_byte_order(tmp_path: Path) -> None:
    Image.fromarray(UNSIGNED.astype(">u2")).save(tmp_path / "grey.tif")
    with Image.open(tmp_path / "grey.tif") as image:
        assert image.mode == "I;16B"
    found = read_image(tmp_path / "grey.tif")
    assert found.dtype == np.uint16
    assert np.array_equal(found, UNSIGNED)


def test_32_bits_without_a_sign_stay_so(tmp_path: Path) -> None:
    pixels = UNSIGNED.astype(np.uint32) * 65537
    Image.fromarray(pixels.view(np.int32)).save(tmp_path / "grey.tif")
    content, signed = (tmp_path / "grey.tif").read_bytes(), struct.pack("<HHIH", 339, 3, 1, 2)
    assert signed in content
    (tmp_path / "grey.tif").write_bytes(content.replace(signed, struct.pack("<HHIH", 339, 3, 1, 1)))
    assert np.array_equal(read_image(tmp_path / "grey.tif"), pixels)


def test_hu_reach_the_lung_window(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hu.tif"), HU.astype(np.int16))
    prepared = prepare(read_image(tmp_path / "hu.tif"), load("lung-nodule"))
    assert np.allclose(prepared.pixels[:, :, 0], np.clip((HU + 1000) / 1400 * 255, 0, 255), atol=1e-3)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.ppm"])
def test_colour_that_pillow_would_cut_to_8_bits_is_refused(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), np.dstack([UNSIGNED] * 3))
    with pytest.raises(NotACandidateSet, match=rf"{name}: more than 8 bits a channel.* give it as \.npy"):
        read_image(tmp_path / name)


def test_colour_of_8_bits_a_palette_and_bits_are_read(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    image = Image.fromarray(pixels)
    image.save(tmp_path / "plain.png")
    assert np.array_equal(read_image(tmp_path / "plain.png"), pixels)
    image.convert("RGBA").save(tmp_path / "alpha.png")
    assert np.array_equal(read_image(tmp_path / "alpha.png"), pixels)
    image.quantize(8).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (2, 4, 3)
    Image.fromarray(pixels[:, :, 0] > 100).save(tmp_path / "bits.png")
    assert read_image(tmp_path / "bits.png").tolist() == np.where(pixels[:, :, 0] > 100, 255, 0).tolist()


def _header(width: int, height: int) -> bytes:
    """The beginning of a PNG of one bit a pixel."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 100)))
    made = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def test_one_limit_and_one_error(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(_header(MOST_PIXELS // 1024, 1025))
    with pytest.raises(NotACandidateSet, match=r"wide\.png: more than 268 million pixels"):
        read_image(tmp_path / "wide.png")
    np.lib.format.open_memmap(
        tmp_path / "wide.npy", "w+", np.uint8, (MOST_PIXELS // 1024, 1025)
    ).flush()  # a sparse file
    with pytest.raises(NotACandidateSet, match=r"wide\.npy: more than 268 million pixels"):
        read_image(tmp_path / "wide.npy")


def test_below_it_pillows_own_limit_neither_warns_nor_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(UNSIGNED).save(tmp_path / "grey.png")
    for limit in (5, 2):  # six pixels: one more than is warned of, three times as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert np.array_equal(read_image(tmp_path / "grey.png"), UNSIGNED)
        assert limit == Image.MAX_IMAGE_PIXELS, "other readers of images keep it"


@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_an_image_that_is_none_is_named(tmp_path: Path, name: str) -> None:
    for content in (b"", b"no image at all", b"\x93NUMPY\x01\x00", _header(48, 48)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NotACandidateSet, match=rf"{name}: not an image that can be read"):
            read_image(tmp_path / name)


def test_a_npy_holds_any_numbers_and_only_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 4), np.float64) / 3)
    assert np.array_equal(read_image(tmp_path / "x.npy"), np.ones((3, 4)) / 3)
    np.save(tmp_path / "x.npy", np.array([[None]]), allow_pickle=True)
    with pytest.raises(NotACandidateSet, match="Python objects"):
        read_image(tmp_path / "x.npy")
