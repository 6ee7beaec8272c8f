"""A CT volume, and its values anywhere between the voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

__all__ = ["Volume"]


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume that sections can be drawn from. Positions in it are in mm, (z, y, x), from the first voxel's centre.

    Raises ValueError on voxels of another shape or dtype or that are not finite, and on a spacing that is not positive.
    """

    voxels: NDArray[Any]
    """(z, y, x), any integer or float dtype, in the image's own units (HU for CT); kept as SciPy can sample them."""
    spacing_mm: tuple[float, float, float]
    """Distance of neighbouring voxels along z, y and x."""

    def __post_init__(self) -> None:
        """Refuse what would only fail, or mislead, when it is sampled."""
        if self.voxels.ndim != 3 or not self.voxels.size:  # z, y, x
            raise ValueError(f"a volume must be (Z, Y, X) and not empty, got {self.voxels.shape}")
        if self.voxels.dtype.kind not in "uif":
            raise ValueError(f"a volume must hold integers or floats, got {self.voxels.dtype}")
        if self.voxels.dtype.kind == "f":
            if not np.isfinite(self.voxels).all():
                raise ValueError("a volume holds values that are not finite")
            if self.voxels.dtype.itemsize not in {4, 8}:  # SciPy samples neither half floats nor long ones
                object.__setattr__(self, "voxels", self.voxels.astype(np.float32))
        if len(self.spacing_mm) != 3 or not all(0 < step < np.inf for step in self.spacing_mm):
            raise ValueError(
                f"a volume's spacing must be three positive numbers of mm (z, y, x), got {self.spacing_mm}"
            )

    def position(self, x: float, y: float, z: float) -> NDArray[np.float64]:
        """Return the place of a point given in voxels (whole numbers are centres), in mm (z, y, x).

        Raises ValueError on a point outside the volume.
        """
        depth, height, width = self.voxels.shape
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5 and -0.5 <= z <= depth - 0.5):
            raise ValueError(f"point ({x}, {y}, {z}) lies outside the volume of {width} x {height} x {depth} voxels")
        return np.array([z, y, x]) * self.spacing_mm

    def sample(self, positions: NDArray[np.float64]) -> NDArray[np.float32]:
        """Interpolate linearly at positions (..., 3) in mm; returns (...). Beyond its border the volume is mirrored."""
        places = np.moveaxis(positions / self.spacing_mm, -1, 0)
        sampled = map_coordinates(self.voxels, places, output=np.float32, order=1, mode="mirror")
        return np.asarray(sampled, dtype=np.float32)
