import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.applications import Application, load
from overread_learn.patches import augment_volume, cut, cut_volume, prepare
from overread_learn.patches.variants import variants
from patches.thorax_vessel import BLOOD, CLOT, LUNG, drawn

RADIUS, EMBOLUS = 3.5, 1.8
MIDDLE = (BLOOD + LUNG) / 2


@pytest.fixture
def plain() -> Application:
    """Pulmonary embolism on 0..1, all of HU within the window, so that a patch can be read back."""
    application = load("pulmonary-embolism")
    wide = replace(application.normalisation, low=-1000.0, high=1200.0)
    return replace(application, normalisation=wide, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def hu(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    return patch * 2200 - 1000


def test_forty_five_patches_of_every_width_shift_and_rotation() -> None:
    application = load("pulmonary-embolism")
    volume, point = drawn(np.array([1.0, 0.5, 0.2]), RADIUS, embolus_mm=EMBOLUS)
    patches = cut_volume(volume, *point, application)
    assert patches.shape == (45, 3, 64, 64)
    assert patches.dtype == np.float32
    assert len(set(variants(application))) == 45
    assert len({patch.tobytes() for patch in patches}) == 45
    assert [application.context * scale for scale in application.scales] == [10, 15, 20]


def test_the_second_channel_is_repeated() -> None:
    application = replace(load("pulmonary-embolism"), mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
    volume, point = drawn(np.array([1.0, 0.5, 0.2]), RADIUS)
    patches = cut_volume(volume, *point, application)
    assert np.array_equal(patches[:, 1], patches[:, 2])
    assert not np.array_equal(patches[0, 0], patches[0, 1])


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 1, 0), (1, -2, 1.5)])
def test_every_patch_shows_disc_and_band_of_its_width(
    plain: Application, direction: tuple[float, float, float]
) -> None:
    volume, point = drawn(np.array(direction, dtype=float), RADIUS)
    row, column = np.mgrid[:64, :64] - 31.5
    for patch, variant in zip(cut_volume(volume, *point, plain), variants(plain), strict=True):
        # Shifts run along the vessel, so that neither section changes.
        radius = RADIUS / (plain.context * plain.scales[variant.scale] / 64)
        disc, band = hu(patch[0]) > MIDDLE, hu(patch[1]) > MIDDLE
        assert (disc != (np.hypot(row, column) <= radius))[np.abs(np.hypot(row, column) - radius) > 2].sum() == 0
        assert (band != (np.abs(row) <= radius))[np.abs(np.abs(row) - radius) > 2].sum() == 0


def test_an_embolus_is_dark_in_the_centre_and_moves_with_the_shifts(plain: Application) -> None:
    volume, point = drawn(np.array([1.0, -2.0, 1.5]), RADIUS, embolus_mm=EMBOLUS)
    for patch, variant in zip(cut_volume(volume, *point, plain), variants(plain), strict=True):
        px = plain.context * plain.scales[variant.scale] / 64
        shift = plain.shifts[variant.shift][0] * 64
        length = hu(patch[1])
        # The clot lies where the vessel's middle is dark, against the shift of the section.
        dark = np.flatnonzero(length[31:33].mean(axis=0) < (BLOOD + CLOT) / 2)
        assert dark.mean() == pytest.approx(31.5 - shift, abs=1.5)
        assert len(dark) == pytest.approx(2 * EMBOLUS / px, abs=2)
        if variant.shift == 0:
            assert hu(patch[0])[31:33, 31:33].max() < CLOT + 20
            assert hu(patch[0])[32, 32 + round((RADIUS + EMBOLUS) / 2 / px)] > CLOT + 50


def test_five_rotations_show_what_lies_beside_from_five_sides(plain: Application) -> None:
    application = replace(plain, scales=(1.0,), shifts=((0.0, 0.0),), patches=5)
    volume, point = drawn(np.array([1.0, 0.0, 0.0]), 2.0)
    x, y, z = point
    voxels = volume.voxels.copy()
    voxels[round(z) - 2 : round(z) + 3, round(y) - 1 : round(y) + 2, round(x) + 4 : round(x) + 6] = 1000
    patches = cut_volume(replace(volume, voxels=voxels), *point, application)
    row, column = np.mgrid[:64, :64] - 31.5
    angles = []
    for patch in patches:
        spot = np.where(np.hypot(row, column) > 14, np.maximum(hu(patch[0]) - 400, 0), 0)
        angles.append(math.degrees(math.atan2((row * spot).sum(), (column * spot).sum())))
    turns = np.diff(angles) % 360
    assert np.allclose(turns, turns[0], atol=4)
    assert min(abs(turns[0] - 72), abs(turns[0] - 288)) < 4


def test_augmented_patches_vary_within_the_range_and_repeat_with_the_seed(plain: Application) -> None:
    volume, point = drawn(np.array([0.4, 1.0, 0.0]), RADIUS, embolus_mm=EMBOLUS)
    widths, shifts = [], []
    for seed in range(40):
        patch = augment_volume(volume, *point, plain, np.random.default_rng(seed))
        assert patch.shape == (3, 64, 64)
        assert patch.dtype == np.float32
        dark = np.flatnonzero(hu(patch[1])[31:33].mean(axis=0) < (BLOOD + CLOT) / 2)
        widths.append(2 * RADIUS * 64 / (hu(patch[1]) > MIDDLE)[:, :6].sum(axis=0).mean())
        shifts.append((dark.mean() - 31.5) / 64)
    assert 9.5 < min(widths) < 11
    assert 18 < max(widths) < 20.8
    assert -0.22 < min(shifts) < -0.1
    assert 0.1 < max(shifts) < 0.22
    again = augment_volume(volume, *point, plain, np.random.default_rng(39))
    assert np.array_equal(patch, again)


def test_images_and_volumes_are_not_mixed_up() -> None:
    volume, point = drawn(np.array([1.0, 0.0, 0.0]), 2.0)
    with pytest.raises(ValueError, match="lung-nodule cuts its patches from images: use cut"):
        cut_volume(volume, *point, load("lung-nodule"))
    application = load("pulmonary-embolism")
    with pytest.raises(ValueError, match="pulmonary-embolism cuts its patches from volumes: use cut_volume"):
        cut(prepare(np.zeros((40, 40)), application), 20, 20, application, spacing_mm=1.0)
