from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.applications import Application, Background, Window, load
from overread_learn.patches import prepare


def test_window_maps_hu_to_0_to_255() -> None:
    image = np.array([[-2000, -1000], [-300, 3000]], dtype=np.int16)
    pixels, scale, padding = prepare(image, load("lung-nodule"))
    assert (scale, padding) == (1, (0, 0))
    assert pixels.shape == (2, 2, 3)
    assert np.allclose(pixels[..., 0], [[0, 0], [127.5, 255]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, ">i2"])
@pytest.mark.parametrize("kind", ["window", "range", "background"])
def test_dtypes_agree(plain: Application, dtype: Any, kind: str) -> None:
    shape = {"window": Window(0, 255), "range": plain.normalisation, "background": Background(2, 3.0, 4.0)}[kind]
    application = replace(plain, normalisation=shape)
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3))
    # uint8 is halved with rounding, so a gain of 4 may show two levels.
    tolerance = 2 if kind == "background" else 1e-4
    expected = prepare(image, application).pixels.astype(float)
    assert np.abs(prepare(image.astype(dtype), application).pixels - expected).max() <= tolerance


def test_grey_fills_three_channels(plain: Application) -> None:
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    pixels = prepare(image, plain).pixels
    assert np.array_equal(pixels, prepare(np.stack([image] * 3, axis=2), plain).pixels)


def test_range_stretches_each_image_and_survives_a_constant_one(plain: Application) -> None:
    pixels = prepare(np.array([[100, 200], [300, 500]]), plain).pixels
    assert np.allclose(pixels[..., 1], [[0, 63.75], [127.5, 255]])
    assert not prepare(np.full((4, 4), 7.0), plain).pixels.any()


def test_background_is_subtracted() -> None:
    application = load("fundus-microaneurysm")
    ramp = np.tile(np.linspace(20, 200, 400), (300, 1))
    ramp[150:154, 200:204] += 15
    pixels, scale, padding = prepare(np.stack([ramp] * 3, axis=2), application)
    assert (scale, pixels.dtype, pixels.shape) == (0.5, np.uint8, (150, 200, 3))
    assert padding == (0, 0)
    far = pixels[:, 40:90].astype(int)
    assert abs(far - 128).max() <= 1  # illumination is gone
    assert 180 <= pixels[75:77, 100:102].mean() <= 190  # 128 + 4 * 15, less the dot's own share of the blur


def test_background_formula() -> None:
    image = np.random.default_rng(1).integers(0, 256, (41, 61, 3), dtype=np.uint8)
    pixels = prepare(image, load("fundus-microaneurysm")).pixels
    padded = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="edge").astype(float)
    small = np.floor(padded.reshape(21, 2, 31, 2, 3).mean(axis=(1, 3)) + 0.5).astype(np.float32)
    expected = np.clip(4 * (small - cv2.GaussianBlur(small, (0, 0), 12)) + 128, 0, 255)
    assert pixels.shape == (21, 31, 3)
    assert np.abs(pixels - expected).max() <= 4.5  # one level of the half-size image, times the gain, and rounding


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (np.zeros((4, 4, 4)), r"\(H, W, 3\)"),
        (np.zeros(4), r"\(4,\)"),
        (np.zeros((0, 4)), "not empty"),
        (np.zeros((4, 4), dtype=bool), "bool"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), 4095), r"0\.\.255, got 4095\.\.4095"),
        (np.full((4, 4), -1), "eight bits"),
        (np.linspace(0, 1, 16).reshape(4, 4), r"0\.\.255, got 0\.0\.\.1\.0"),
    ],
)
def test_what_cannot_be_prepared(image: NDArray[Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        prepare(image, load("fundus-microaneurysm"))
