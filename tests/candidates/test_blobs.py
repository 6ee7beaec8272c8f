from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.candidates.blobs import LaplacianOfGaussian


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> NDArray[np.float32]:
    z, y, x = np.indices(shape, np.float32)
    distance = np.sqrt(((z - centre[0]) * 2) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


@pytest.fixture
def noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 20, (9, 96, 96)).astype(np.float32)


def test_a_ball_is_one_spot_at_its_middle(noise: NDArray[np.float32]) -> None:
    volume = noise + 600 * ball(noise.shape, (4, 40.3, 60.6), 5)
    (spot,) = LaplacianOfGaussian().find(volume, spacing_mm=1.0, gap_mm=2.0)
    assert abs(spot.slice - 4) <= 1  # three slices cut through its middle
    assert (spot.x, spot.y) == pytest.approx((60.6, 40.3), abs=0.6)
    assert 3 < spot.radius_px < 8


def test_a_stronger_ball_ranks_first_and_a_tube_that_goes_on_ranks_lower(noise: NDArray[np.float32]) -> None:
    tube = np.broadcast_to(ball((1, 96, 96), (0, 70, 20), 5), noise.shape)
    volume = noise + 600 * ball(noise.shape, (4, 30, 60), 5) + 600 * tube + 300 * ball(noise.shape, (4, 70, 70), 5)
    spots = LaplacianOfGaussian().find(volume, spacing_mm=1.0, gap_mm=2.0)
    scores = {(round(spot.x, -1), round(spot.y, -1)): spot.score for spot in spots}
    assert scores[60, 30] > scores[70, 70]
    assert scores[60, 30] > scores[20, 70]
    assert len(spots) == 3


def test_a_line_in_the_plane_and_an_edge_are_no_blobs(noise: NDArray[np.float32]) -> None:
    volume = noise.copy()
    volume[:, 30:36, 10:86] += 600
    volume[:, 70:] += 600
    assert LaplacianOfGaussian().find(volume[:1], spacing_mm=1.0, gap_mm=None) == []


def test_noise_alone_gives_nothing_and_a_flat_image_does_not_fail(noise: NDArray[np.float32]) -> None:
    assert LaplacianOfGaussian().find(noise, spacing_mm=1.0, gap_mm=2.0) == []
    assert LaplacianOfGaussian().find(np.zeros((64, 64), np.int16), spacing_mm=None, gap_mm=None) == []


def test_there_is_a_cap(noise: NDArray[np.float32]) -> None:
    volume = noise[0] + sum(
        600 * ball((1, 96, 96), (0, y, x), 4)[0] for y in range(12, 90, 24) for x in range(12, 90, 24)
    )
    assert len(LaplacianOfGaussian().find(volume, spacing_mm=1.0, gap_mm=None)) == 16
    assert len(LaplacianOfGaussian(most=5).find(volume, spacing_mm=1.0, gap_mm=None)) == 5


def test_in_colour_it_looks_for_dark_spots_of_the_green_channel() -> None:
    image = np.full((96, 96, 3), 128, np.uint8)
    image += np.random.default_rng(0).integers(0, 4, image.shape, np.uint8)
    image[..., 1] -= (90 * ball((1, 96, 96), (0, 30, 60), 5)[0]).astype(np.uint8)
    image[..., 1] += (90 * ball((1, 96, 96), (0, 70, 20), 5)[0]).astype(np.uint8)
    (spot,) = LaplacianOfGaussian().find(image, spacing_mm=None, gap_mm=None)
    assert (spot.x, spot.y) == pytest.approx((60, 30), abs=0.6)
    (spot,) = LaplacianOfGaussian(dark_in_colour=False).find(image, spacing_mm=None, gap_mm=None)
    assert (spot.x, spot.y) == pytest.approx((20, 70), abs=0.6)
