"""A straight contrast-filled vessel in a CT volume, with known axis and radius."""

import numpy as np
from numpy.typing import NDArray

from overread_learn.patches import Volume

LUNG, CLOT, BLOOD = -800.0, 40.0, 300.0


def drawn(
    axis: NDArray[np.float64],
    radius_mm: float,
    *,
    spacing_mm: tuple[float, float, float] = (0.8, 0.7, 0.7),
    shape: tuple[int, int, int] = (55, 60, 62),
    embolus_mm: float = 0.0,
) -> tuple[Volume, tuple[float, float, float]]:
    """Draw a vessel along ``axis`` (z, y, x) through a point between the voxels; returns the volume and it (x, y, z).

    An embolus is a sphere of that radius at the point. Edges are as soft as a voxel.
    """
    z, y, x = (side / 2 - 0.8 for side in shape)
    offsets = (np.moveaxis(np.indices(shape), 0, -1) - (z, y, x)) * spacing_mm
    unit = axis / np.linalg.norm(axis)
    distance = np.linalg.norm(offsets - (offsets @ unit)[..., None] * unit, axis=-1)
    soft = max(spacing_mm)
    voxels = LUNG + (BLOOD - LUNG) * np.clip(0.5 + (radius_mm - distance) / soft, 0, 1)
    if embolus_mm:
        inside = np.clip(0.5 + (embolus_mm - np.linalg.norm(offsets, axis=-1)) / soft, 0, 1)
        voxels += (CLOT - voxels) * inside
    return Volume(np.rint(voxels).astype(np.int16), spacing_mm), (x, y, z)
