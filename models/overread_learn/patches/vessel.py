"""The axis of a contrast-filled vessel, and sections across and along it.

Tajbakhsh, Gotway and Liang (MICCAI 2015) align a candidate's image with its vessel, so that emboli look alike whichever
way their vessel runs. How the axis is found here is our own choice: the principal axis of the bright voxels around.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from overread_learn.patches.volume import Volume

__all__ = ["Vessel", "across", "along", "vessel"]

CLEAR = 2.0
"""From this ratio of variances on, the first principal axis is that of a vessel rather than of a lump."""
FEWEST = 10
"""Fewer bright voxels than this show no direction."""


class Vessel(NamedTuple):
    """A right-handed frame of unit vectors, (z, y, x) each, at a point of a vessel."""

    centre: NDArray[np.float64]
    """In mm, (z, y, x)."""
    axis: NDArray[np.float64]
    """Along the vessel."""
    side: NDArray[np.float64]
    normal: NDArray[np.float64]

    def moved(self, distance_mm: float) -> "Vessel":
        """Return the frame further along the axis."""
        return self._replace(centre=self.centre + distance_mm * self.axis)

    def turned(self, angle: float) -> "Vessel":
        """Return the frame turned about the axis by ``angle`` radians."""
        cos, sin = np.cos(angle), np.sin(angle)
        return self._replace(side=cos * self.side + sin * self.normal, normal=cos * self.normal - sin * self.side)


def vessel(volume: Volume, centre: NDArray[np.float64], radius_mm: float, bright: float) -> Vessel:
    """Find the vessel around ``centre`` (mm, (z, y, x)) from the voxels of ``bright`` or more in the volume's units.

    They are weighted by a Gaussian of half of ``radius_mm``, within that radius; bright things that stay beyond half of
    it, such as a neighbouring vessel, do not count. An embolus at the centre may be dark: its vessel's blood around it,
    before and behind it gives the same axis. Where they form no line, as in a vessel wider than the ball, the radius is
    doubled once; where that does not help either, the axis is z.
    """
    for radius in (radius_mm, 2 * radius_mm):
        axis = _principal(volume, centre, radius, bright)
        if axis is not None:
            return _frame(centre, axis)
    return _frame(centre, np.array([1.0, 0.0, 0.0]))


def across(volume: Volume, vessel: Vessel, width_mm: float, size: int) -> NDArray[np.float32]:
    """Draw the section across the vessel, (size, size), ``width_mm`` wide: rows follow ``side``, columns ``normal``."""
    return _section(volume, vessel.centre, vessel.side, vessel.normal, width_mm, size)


def along(volume: Volume, vessel: Vessel, width_mm: float, size: int) -> NDArray[np.float32]:
    """Draw the section along the vessel, (size, size), ``width_mm`` wide: rows follow ``side``, columns the axis."""
    return _section(volume, vessel.centre, vessel.side, vessel.axis, width_mm, size)


def _section(
    volume: Volume,
    centre: NDArray[np.float64],
    down: NDArray[np.float64],
    right: NDArray[np.float64],
    width_mm: float,
    size: int,
) -> NDArray[np.float32]:
    steps = (np.arange(size) - (size - 1) / 2) * (width_mm / size)
    return volume.sample(centre + steps[:, None, None] * down + steps[None, :, None] * right)


def _principal(
    volume: Volume, centre: NDArray[np.float64], radius_mm: float, bright: float
) -> NDArray[np.float64] | None:
    """Return the first principal axis of the bright voxels around, or None where they have no clear one."""
    spacing = np.asarray(volume.spacing_mm)
    first = np.maximum(np.ceil((centre - radius_mm) / spacing), 0).astype(int)
    last = np.minimum(np.floor((centre + radius_mm) / spacing), np.array(volume.voxels.shape) - 1).astype(int)
    box = volume.voxels[tuple(slice(low, high + 1) for low, high in zip(first, last, strict=True))]
    offsets = np.moveaxis(np.indices(box.shape), 0, -1) * spacing + (first * spacing - centre)
    distance = np.linalg.norm(offsets, axis=-1)
    things, _ = ndimage.label((box >= bright) & (distance <= radius_mm), structure=np.ones((3, 3, 3)))
    near = np.unique(things[(things > 0) & (distance <= radius_mm / 2)])
    chosen = np.isin(things, near)
    points = offsets[chosen]
    if not len(near) or len(points) < FEWEST:
        return None
    weights = np.exp(-2 * (distance[chosen] / radius_mm) ** 2)
    variances, axes = np.linalg.eigh(np.cov(points, rowvar=False, aweights=weights))
    return axes[:, 2] if variances[2] >= CLEAR * variances[1] else None


def _frame(centre: NDArray[np.float64], axis: NDArray[np.float64]) -> Vessel:
    """Complete an axis to a frame, always the same one: the axis points to where its largest part is positive."""
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    # The direction that the axis has least of: the vector product with it can't vanish.
    other = np.eye(3)[np.abs(axis).argmin()]
    side = np.cross(other, axis)
    side /= np.linalg.norm(side)
    return Vessel(centre, axis, side, np.cross(axis, side))
