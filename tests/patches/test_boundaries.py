from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.applications import load
from overread_learn.patches import boundaries, cut, prepare
from overread_learn.scoring import softmax

SPACING = 0.07
COLUMNS = 30


def wall(top: NDArray[np.float64], bottom: NDArray[np.float64], rows: int = 48) -> NDArray[np.float64]:
    """Draw lumen (black), intima-media (grey) and adventitia (white); a row that a boundary crosses is a mixture.

    ``top`` and ``bottom`` are the boundaries, (columns,), from the centre of the first row.
    """
    row = np.arange(rows)[:, None]
    return 100 * np.clip(row - top + 0.5, 0, 1) + 120 * np.clip(row - bottom + 0.5, 0, 1)


def classified(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Classify each pixel by the middle of its patch, (rows, columns, 3): a boundary is halfway between two levels."""
    application = load("carotid-imt")
    lumen, media, adventitia = ((level / 220 - application.mean[0]) / application.std[0] for level in (0, 100, 220))
    prepared = prepare(image, application)
    logits = np.zeros((*image.shape, 3))
    for y, x in np.ndindex(image.shape):
        patch = cut(prepared, x, y, application, SPACING)[0, 0]
        middle = patch[31:33, 31:33].mean()
        logits[y, x] = (
            -3.0,
            -((2.5 * (middle - (lumen + media) / 2)) ** 2),
            -((2.5 * (middle - (media + adventitia) / 2)) ** 2),
        )
    return softmax(logits)


@pytest.mark.parametrize(("top", "bottom"), [(18.0, 28.0), (17.3, 25.6), (20.5, 34.25)])
def test_steps_are_recovered_within_half_a_pixel(top: float, bottom: float) -> None:
    slope = np.linspace(0, 3, 12)
    found = boundaries(classified(wall(top + slope, bottom + slope)), SPACING)
    assert np.abs(found.lumen_intima - top - slope).max() < 0.5
    assert np.abs(found.media_adventitia - bottom - slope).max() < 0.5
    assert np.abs(found.thickness_mm / SPACING - (bottom - top)).max() < 0.5


def gaussians(upper: NDArray[np.float64], lower: NDArray[np.float64], rows: int = 40) -> NDArray[np.float64]:
    row = np.arange(rows)[:, None]
    intima, adventitia = (0.45 * np.exp(-((row - at) ** 2) / 2) for at in (upper, lower))
    return np.stack([1 - intima - adventitia, intima, adventitia], axis=-1)


def test_fractions_of_a_row_come_from_the_probabilities_nearby() -> None:
    upper = 12 + 3 * np.sin(np.arange(COLUMNS) / 6)
    found = boundaries(gaussians(upper, upper + 9.4), SPACING)
    assert np.abs(found.lumen_intima - upper).max() < 0.15
    assert found.thickness_mm.mean() == pytest.approx(9.4 * SPACING, abs=0.01 * SPACING)
    assert found.thickness_mm.shape == (COLUMNS,)


def test_a_column_of_noise_is_bridged_by_its_neighbours() -> None:
    upper = np.full(COLUMNS, 12.0)
    torn = gaussians(upper, upper + 8)
    torn[:, 10:13] = (0.98, 0.01, 0.01)
    torn[30, 11] = (0.0, 0.99, 0.01)  # an echo far away
    found = boundaries(torn, SPACING)
    assert np.abs(found.lumen_intima - 12).max() < 0.5
    assert np.abs(boundaries(torn, SPACING, smoothness=5.0).media_adventitia - 20).max() < 0.5


def test_media_adventitia_lies_below_even_where_an_echo_lies_above() -> None:
    upper = np.full(COLUMNS, 20.0)
    probabilities = gaussians(upper, upper + 8)
    probabilities[5, :, 2] = 0.95
    found = boundaries(probabilities, SPACING)
    assert np.abs(found.media_adventitia - 28).max() < 0.2


def test_the_path_is_the_cheapest_of_all() -> None:
    from itertools import product  # noqa: PLC0415

    from overread_learn.patches.boundaries import STEP, _path  # noqa: PLC0415

    for seed in range(20):
        cost = np.random.default_rng(seed).exponential(size=(5, 4))

        def price(path: tuple[int, ...], cost: NDArray[np.float64] = cost) -> float:
            rises = np.abs(np.diff(path))
            if rises.max() > STEP:
                return float("inf")
            return float(cost[list(path), range(4)].sum() + 0.3 * (rises**2).sum())

        assert tuple(_path(cost, 0.3)) == min(product(range(5), repeat=4), key=price)


def test_no_wall_is_thinner_than_nothing() -> None:
    p = np.zeros((12, 5, 3))
    p[[5, 6, 7], :, 1] = np.array([0.5, 0.3, 0.2])[:, None]
    p[[4, 6], :, 2] = np.array([0.6, 0.4])[:, None]
    found = boundaries(p, 0.07)
    assert (found.thickness_mm >= 0).all()
    assert (found.media_adventitia >= found.lumen_intima).all()


@pytest.mark.parametrize(
    ("shape", "spacing", "smoothness", "complaint"),
    [
        ((40, 30), 0.1, 1.0, "columns, 3"),
        ((40, 30, 2), 0.1, 1.0, "columns, 3"),
        ((1, 30, 3), 0.1, 1.0, "rows >= 2"),
        ((40, 0, 3), 0.1, 1.0, "columns, 3"),
        ((40, 30, 3), 0.0, 1.0, "spacing_mm > 0"),
        ((40, 30, 3), 0.1, -1.0, "smoothness >= 0"),
    ],
)
def test_what_has_no_boundaries(shape: Any, spacing: float, smoothness: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        boundaries(np.zeros(shape), spacing, smoothness)
