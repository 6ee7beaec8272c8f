"""What would turn patches, or what is found in them, into numbers that are none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from overread_learn.applications import Background, Range, Window, load
from overread_learn.applications.normalisation import (
    LARGEST_DOWNSCALE,
    LARGEST_GAIN,
    LARGEST_SIGMA,
    LARGEST_VALUE,
    NARROWEST,
    SMALLEST_SIGMA,
)
from overread_learn.patches import cut, prepare
from overread_learn.patches.boundaries import boundaries
from overread_learn.patches.volume import Volume

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_an_image_of_one_value_is_black(value: int, dtype: Any) -> None:
    application = load("carotid-imt")
    assert not prepare(np.full((9, 9), value, dtype), application).pixels.any()


def test_few_bright_pixels_on_black_are_white() -> None:
    image = np.zeros((50, 50), np.float32)
    image[7, 9] = 3.5
    pixels = prepare(image, load("carotid-imt")).pixels
    assert pixels[7, 9].tolist() == [255, 255, 255]
    assert pixels.sum() == 3 * 255


@pytest.mark.parametrize("downscale", [1, LARGEST_DOWNSCALE])
@pytest.mark.parametrize("sigma", [SMALLEST_SIGMA, LARGEST_SIGMA])
@pytest.mark.parametrize("gain", [1e-300, LARGEST_GAIN])
def test_the_limits_of_background_subtraction_can_be_used(downscale: int, sigma: float, gain: float) -> None:
    application = replace(load("fundus-microaneurysm"), normalisation=Background(downscale, sigma, gain))
    prepared = prepare(IMAGE, application)
    assert prepared.scale == 1 / downscale
    assert np.isfinite(cut(prepared, 20, 20, application)).all()


@pytest.mark.parametrize(
    "window", [Window(-LARGEST_VALUE, LARGEST_VALUE), Window(0, NARROWEST), Window(LARGEST_VALUE - 1, LARGEST_VALUE)]
)
def test_the_limits_of_a_window_can_be_used(window: Window) -> None:
    application = replace(load("lung-nodule"), normalisation=window)
    whole = np.linspace(window.low, window.high, IMAGE.size).reshape(IMAGE.shape)
    for image in (IMAGE, whole.astype(np.int64), whole.astype(np.float32), whole):
        assert np.isfinite(cut(prepare(image, application), 20, 20, application, 0.7)).all()


def test_the_largest_scale_counts_too() -> None:
    application = replace(load("histopathology"), scales=(1.0, 40.0))
    prepared = prepare(IMAGE, application)
    with pytest.raises(ValueError, match=r"by the largest of scales, is 19200 pixels wide, more than 16384"):
        cut(prepared, 15, 15, application, 1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_volume_is_finite(bad: float) -> None:
    voxels = np.zeros((3, 3, 3), np.float32)
    voxels[1, 1, 1] = bad
    with pytest.raises(ValueError, match="a volume holds values that are not finite"):
        Volume(voxels, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("dtype", [np.uint8, ">i2", np.int64, np.float16, np.float32, np.float64, np.longdouble])
def test_a_volume_of_any_integers_or_floats_is_sampled(dtype: Any) -> None:
    volume = Volume(np.arange(27).reshape(3, 3, 3).astype(dtype), (1.0, 1.0, 1.0))
    assert volume.sample(np.array([[1.0, 1.0, 1.5]])).tolist() == [13.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_probabilities_of_a_wall_are_finite(bad: float) -> None:
    probabilities = np.full((6, 5, 3), 1 / 3)
    probabilities[2, 2, 1] = bad
    with pytest.raises(ValueError, match="probabilities hold values that are not finite"):
        boundaries(probabilities, 0.07)


def test_percentiles_are_finite() -> None:
    with pytest.raises(ValueError, match="percentiles"):
        Range(float("nan"), 99.5)
