from dataclasses import replace

import numpy as np
import pytest

from overread_learn.applications import Application, load
from overread_learn.patches import augment, cut, prepare


def test_reproducible_and_never_the_same_twice(plain: Application) -> None:
    prepared = prepare(np.random.default_rng(0).integers(0, 256, (90, 90)), plain)
    rng = np.random.default_rng(5)
    first, second = augment(prepared, 45, 45, plain, rng), augment(prepared, 45, 45, plain, rng)
    assert first.shape == (3, 32, 32)
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)
    assert np.array_equal(first, augment(prepared, 45, 45, plain, np.random.default_rng(5)))


def test_only_turns_and_mirrors_without_scales_and_shifts(plain: Application) -> None:
    down, right = np.mgrid[:91, :91] - 45
    disc = np.exp(-(down**2 + right**2) / 50)
    prepared = prepare(disc + 0.5 * np.exp(-(down**2 + (right - 8) ** 2) / 4), plain)
    still = cut(prepared, 45, 45, plain)[0, 0]
    row, column = np.mgrid[:32, :32] - 15.5
    moon = []
    for seed in range(40):
        patch = augment(prepared, 45, 45, plain, np.random.default_rng(seed))[0]
        assert patch.sum() == pytest.approx(still.sum(), rel=2e-3)
        ring = np.where(np.abs(np.hypot(row, column) - 8) < 2, patch, 0)
        at = np.unravel_index(ring.argmax(), ring.shape)
        moon.append(np.degrees(np.arctan2(at[0] - 15.5, at[1] - 15.5)))
    # The moon went everywhere around its planet.
    assert {int(angle // 90) for angle in moon} == {-2, -1, 0, 1}


def test_mirrors_half_of_the_time(plain: Application) -> None:
    down, right = np.mgrid[:91, :91] - 45
    # Three dots in an order that only a mirror can reverse.
    dots = sum(
        height * np.exp(-((down - y) ** 2 + (right - x) ** 2) / 8)
        for height, x, y in [(1, 9, 0), (2, 0, 9), (4, -9, -3)]
    )
    prepared = prepare(np.asarray(dots), plain)
    row, column = np.mgrid[:32, :32] - 15.5

    def turn(seed: int) -> float:
        patch = augment(prepared, 45, 45, plain, np.random.default_rng(seed))[0]
        bright = patch > 0.75
        middle = (patch > 0.375) & (patch < 0.5)
        one = row[bright].mean(), column[bright].mean()
        two = row[middle].mean(), column[middle].mean()
        return float(one[0] * two[1] - one[1] * two[0])

    mirrored = sum(turn(seed) > 0 for seed in range(60))
    assert 15 < mirrored < 45


def test_scale_and_shift_stay_in_the_applications_range(plain: Application) -> None:
    application = replace(plain, shifts=((0.0, 0.0), (0.1, -0.2)), scales=(1.0, 1.5), patches=8)
    down, right = np.mgrid[:121, :121] - 60
    prepared = prepare(np.exp(-(down**2 + right**2) / 18), application)
    row, column = np.mgrid[:32, :32] - 15.5
    areas, distances = [], []
    for seed in range(60):
        patch = augment(prepared, 60, 60, application, np.random.default_rng(seed))[0].astype(float)
        areas.append((patch > 0.5).sum())
        weight = np.where(patch > 0.1, patch, 0)
        distances.append(np.hypot((row * weight).sum(), (column * weight).sum()) / weight.sum())
    assert 1.8 < max(areas) / min(areas) < 2.6  # 1.5 squared is 2.25
    assert 3 < max(distances) <= np.hypot(0.1, 0.2) * 32 + 0.1


def test_errors_are_those_of_cut() -> None:
    application = replace(load("lung-nodule"), context_px=None)
    prepared = prepare(np.eye(50, dtype=np.uint8), application)
    with pytest.raises(ValueError, match="spacing"):
        augment(prepared, 20, 20, application, np.random.default_rng(0))
    with pytest.raises(ValueError, match="outside"):
        augment(prepared, 50, 20, application, np.random.default_rng(0), spacing_mm=1)
