import numpy as np
import pytest
from numpy.typing import NDArray

from overread_learn.patches import Volume
from overread_learn.patches.vessel import across, along, vessel
from patches.thorax_vessel import BLOOD, LUNG, drawn

BRIGHT = 100.0
WIDTH, SIZE = 20.0, 64
PX = WIDTH / SIZE
MIDDLE = (BLOOD + LUNG) / 2

DIRECTIONS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -2, 1.5), (-0.3, 1, 2)]


def degrees_between(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Between lines: an axis has no sign."""
    return float(np.degrees(np.arccos(np.clip(abs(one @ two) / np.linalg.norm(two), 0, 1))))


def disc(radius_px: float) -> NDArray[np.bool_]:
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.asarray(np.hypot(row, column) <= radius_px)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("radius", "embolus"), [(1.5, 0.0), (3.0, 0.0), (3.0, 2.0), (5.0, 3.0)])
def test_the_axis_is_the_vessels_also_around_an_embolus(
    direction: tuple[float, float, float], radius: float, embolus: float
) -> None:
    axis = np.array(direction, dtype=float)
    volume, point = drawn(axis, radius, embolus_mm=embolus)
    found = vessel(volume, volume.position(*point), 10.0, BRIGHT)
    assert degrees_between(found.axis, axis) < 2


def test_the_frame_is_right_handed_and_of_unit_vectors() -> None:
    volume, point = drawn(np.array([1.0, -2.0, 1.5]), 3.0)
    found = vessel(volume, volume.position(*point), 10.0, BRIGHT).turned(0.7)
    frame = np.stack([found.axis, found.side, found.normal])
    assert np.allclose(frame @ frame.T, np.eye(3))
    assert np.linalg.det(frame) == pytest.approx(1)
    assert np.allclose(found.turned(-0.7).turned(0.7).side, found.side)
    assert np.allclose(found.moved(3).centre - found.centre, 3 * found.axis)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_across_is_a_disc_of_the_vessels_radius_and_along_a_band(
    direction: tuple[float, float, float], radius: float
) -> None:
    volume, point = drawn(np.array(direction, dtype=float), radius)
    found = vessel(volume, volume.position(*point), 10.0, BRIGHT)
    for angle in (0.0, 1.1, 2.5):
        bright = across(volume, found.turned(angle), WIDTH, SIZE) > MIDDLE
        assert bright[disc(radius / PX - 1.5)].all()
        assert not bright[~disc(radius / PX + 1.5)].any()
        band = along(volume, found.turned(angle), WIDTH, SIZE) > MIDDLE
        row = np.abs(np.arange(SIZE) - (SIZE - 1) / 2)
        # The axis is right within two degrees: one pixel at the section's end.
        assert band[row < radius / PX - 2].all()
        assert not band[row > radius / PX + 2].any()
        # Half a patch pixel is a fifth of a voxel.
        assert np.sqrt(bright.sum() / np.pi) == pytest.approx(radius / PX, abs=0.5)
        assert band.sum(axis=0).mean() / 2 == pytest.approx(radius / PX, abs=0.5)


def test_sections_are_centred_between_the_pixels() -> None:
    volume, point = drawn(np.array([1.0, -2.0, 1.5]), 4.0)
    found = vessel(volume, volume.position(*point), 10.0, BRIGHT)
    row, column = np.nonzero(across(volume, found, WIDTH, SIZE) > MIDDLE)
    assert (row.mean(), column.mean()) == pytest.approx((31.5, 31.5), abs=0.2)
    row, _ = np.nonzero(along(volume, found, WIDTH, SIZE) > MIDDLE)
    assert row.mean() == pytest.approx(31.5, abs=0.2)


def test_a_section_is_as_wide_as_it_says() -> None:
    volume, point = drawn(np.array([0.0, 1.0, 1.0]), 3.0)
    found = vessel(volume, volume.position(*point), 10.0, BRIGHT)
    areas = [(across(volume, found, width, SIZE) > MIDDLE).sum() * (width / SIZE) ** 2 for width in (10.0, 15.0, 20.0)]
    assert areas == pytest.approx([np.pi * 9] * 3, rel=0.04)


def test_a_vessel_beside_does_not_count() -> None:
    volume, point = drawn(np.array([0.0, 0.0, 1.0]), 2.0)
    beside, _ = drawn(np.array([0.0, 1.0, 0.0]), 2.0)
    voxels = volume.voxels.copy()
    # Ten voxels of .8 mm further up, and running the other way.
    voxels[10:] = np.maximum(voxels[10:], beside.voxels[:-10])
    both = Volume(voxels, volume.spacing_mm)
    assert (voxels > BRIGHT).sum() > 1.5 * (volume.voxels > BRIGHT).sum()
    found = vessel(both, both.position(*point), 10.0, BRIGHT)
    assert degrees_between(found.axis, np.array([0.0, 0.0, 1.0])) < 2


def test_a_vessel_wider_than_the_ball_needs_a_larger_one() -> None:
    axis = np.array([1.0, 0.0, 1.0])
    volume, point = drawn(axis, 8.0)
    assert degrees_between(vessel(volume, volume.position(*point), 8.0, BRIGHT).axis, axis) < 3


@pytest.mark.parametrize("value", [LUNG, BLOOD])
def test_where_there_is_no_line_the_axis_is_z(value: float) -> None:
    volume = Volume(np.full((30, 30, 30), value), (1.0, 1.0, 1.0))
    assert vessel(volume, volume.position(15, 15, 15), 5.0, BRIGHT).axis.tolist() == [1, 0, 0]
