from typing import Any

import numpy as np
import pytest

from overread_learn.patches import Volume

RAMP = np.add.outer(np.add.outer(np.arange(5) * 100, np.arange(6) * 10), np.arange(7)).astype(np.int16)


def test_positions_and_values_between_the_voxels() -> None:
    volume = Volume(RAMP, (2.0, 0.5, 0.25))
    assert volume.position(3, 2, 1).tolist() == [2.0, 1.0, 0.75]
    assert volume.sample(volume.position(3, 2, 1)[None]) == [123]
    assert volume.sample(np.array([[3.0, 1.25, 1.0], [2.0, 1.0, 0.8]])) == pytest.approx([179, 123.2])


def test_the_border_is_mirrored_as_images_are() -> None:
    volume = Volume(RAMP, (1.0, 1.0, 1.0))
    x = np.arange(-9, 12)
    line = volume.sample(np.stack([np.ones(21), np.ones(21), x], axis=-1))
    assert line.tolist() == np.pad(RAMP[1, 1], (9, 5), mode="reflect").tolist()


@pytest.mark.parametrize(
    ("voxels", "spacing", "complaint"),
    [
        (np.zeros((4, 4)), (1, 1, 1), r"\(Z, Y, X\)"),
        (np.zeros((0, 4, 4)), (1, 1, 1), "not empty"),
        (np.zeros((4, 4, 4), bool), (1, 1, 1), "bool"),
        (np.zeros((4, 4, 4)), (1, 0, 1), "three positive"),
        (np.zeros((4, 4, 4)), (1, 1), "three positive"),
    ],
)
def test_what_is_no_volume(voxels: Any, spacing: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Volume(voxels, spacing)


@pytest.mark.parametrize("point", [(-0.6, 1, 1), (1, 6, 1), (1, 1, 4.6), (np.nan, 1, 1)])
def test_points_outside(point: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="outside the volume of 7 x 6 x 5 voxels"):
        Volume(RAMP, (1.0, 1.0, 1.0)).position(*point)
