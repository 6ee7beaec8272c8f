"""An image in other units than its window's is refused, and what a window clips on purpose is not."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.applications import Application, Window, load
from overread_learn.patches import prepare

NOISE = np.random.default_rng(0).random((40, 50))
EIGHT_BITS = ["histopathology", "polyp", "colonoscopy-frame"]


def windowed(low: float, high: float) -> Application:
    return replace(load("lung-nodule"), normalisation=Window(low, high))


@pytest.mark.parametrize("name", [*EIGHT_BITS, "lung-nodule"])
@pytest.mark.parametrize(
    "pixels",
    [
        (NOISE * 60000 + 1000).astype(np.uint16),
        (NOISE * 60000 + 1000).astype(np.float32),
        (NOISE * 6e7 + 1000).astype(np.int32),
        NOISE,
        np.stack([NOISE] * 3, axis=2).astype(np.float32),
        NOISE.astype(np.float16),
        NOISE * 2 - 1,
        NOISE * 6 - 3,  # less its mean, over its deviation
    ],
)
def test_another_scale_is_refused_by_its_range_and_the_window(name: str, pixels: NDArray[np.floating]) -> None:
    window: Any = load(name).normalisation
    with pytest.raises(ValueError, match="the image holds ") as raised:
        prepare(pixels, load(name))
    assert f"the image holds {pixels.min():g}..{pixels.max():g} ({pixels.dtype.name})" in str(raised.value)
    assert f"the window is {window.low:g}..{window.high:g}" in str(raised.value)


@pytest.mark.parametrize("corner", [0, 31000])
def test_hu_with_an_offset_and_no_sign_are_refused_whatever_the_window_leaves(corner: int) -> None:
    """As DeepLesion has them: HU + 32768, and 0 outside."""
    pixels = (NOISE * 1400 + 31768).astype(np.uint16)
    pixels[:10, :10] = corner
    with pytest.raises(ValueError, match="numbers without a sign hold nothing below 0; give signed ones"):
        prepare(pixels, load("lung-nodule"))


@pytest.mark.parametrize(
    "pixels",
    [
        (NOISE * 1400 - 1000).astype(np.int16),
        NOISE * 4000 - 1024,
        (NOISE * 60 - 1030).astype(np.int16),  # air
        NOISE * 5 - 1000,
        np.where(NOISE > 0.5, -2000, -1024).astype(np.int16),  # outside the field of view, and air
        np.full((9, 9), -1024, np.int16),
        np.full((9, 9), 40.0),
        np.full((9, 9), 3071, np.int16),
        (NOISE * 40 - 20).astype(np.float32),  # water and noise
    ],
)
def test_hu_are_clipped_on_purpose(pixels: NDArray[np.number]) -> None:
    levels = np.clip((pixels.astype(np.float64) + 1000) / 1400 * 255, 0, 255)
    assert np.allclose(prepare(pixels, load("lung-nodule")).pixels[..., 0], levels, atol=1e-3)


@pytest.mark.parametrize("name", EIGHT_BITS)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64, np.float32])
@pytest.mark.parametrize("top", [255, 90, 2])
def test_eight_bits_of_another_type_are_taken_as_they_are(name: str, dtype: Any, top: int) -> None:
    """So grey DICOM of 8 bits comes; a frame of 0 to 2 is a dark one."""
    pixels = np.rint(NOISE * top).astype(dtype)
    assert np.array_equal(prepare(pixels, load(name)).pixels[..., 0], pixels)
    if dtype != np.float32:
        dark = np.minimum(pixels, 1)
        assert np.array_equal(prepare(dark, load(name)).pixels[..., 0], dark)


@pytest.mark.parametrize("value", [-1, 256])
def test_one_value_outside_0_to_255_is_refused_where_that_is_the_window(value: int) -> None:
    pixels = np.full((9, 9), 100, np.int16)
    pixels[3, 3] = value
    low, high = min(100, value), max(100, value)
    with pytest.raises(
        ValueError, match=re.escape(f"{low}..{high} (int16), and the window is 0..255: bring the image")
    ):
        prepare(pixels, load("polyp"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_window_within_0_to_255_may_leave_nothing_of_a_bright_background(dtype: Any) -> None:
    slide = np.rint(NOISE * 20 + 230).astype(dtype)
    assert prepare(slide, windowed(0, 220)).pixels.min() == 255


def test_a_window_of_0_to_1_is_for_images_of_0_to_1() -> None:
    assert np.allclose(prepare(NOISE, windowed(0, 1)).pixels[..., 0], NOISE * 255, atol=1e-3)
    assert prepare(NOISE * 0.004, windowed(0, 1)).pixels.max() <= 1.02
    assert prepare((NOISE * 15).astype(np.uint16), windowed(0, 4095)).pixels.max() < 1
