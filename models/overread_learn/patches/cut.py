"""The fixed set of patches by which a candidate is scored."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.patches.prepare import Prepared
from overread_learn.patches.square import draw, normalise, place
from overread_learn.patches.variants import variants

__all__ = ["cut", "patches_each", "symmetric"]


class _Placed(NamedTuple):
    right: int
    """Displacement of the square to the right, in patch pixels."""
    down: int
    symmetry: int


def cut(
    prepared: Prepared,
    x: float | None,
    y: float | None,
    application: Application,
    spacing_mm: float | None = None,
) -> NDArray[np.float32]:
    """Cut the application's m patches around a candidate; (m, 3, s, s) float32, mean and std removed.

    ``x``, ``y`` are source pixel centres, both None for the image's centre (the candidate is the whole image).
    ``spacing_mm`` is the source's mm per pixel: contexts in mm need it, or else the application's ``context_px``. The
    first patch is centred, unscaled and upright; the others walk through scales, shifts and the allowed symmetries
    together, always the same way. Shifts are whole patch pixels, so that one interpolation a scale serves them all.
    What lies outside the image is its reflection, again and again where the image is smaller than the square.

    Raises ValueError on a point outside the image, a missing spacing, or an application that cuts from volumes.
    """
    centre_x, centre_y, side = place(prepared, x, y, application, spacing_mm)
    size = application.input_px
    patches = np.empty((application.patches, 3, size, size), dtype=np.float32)
    for scale, margin, members in _plan(application):
        canvas = draw(prepared, (centre_x, centre_y), side * scale / size, size + 2 * margin)
        planes = normalise(canvas, application)
        for index, (right, down, symmetry) in members:
            top, left = margin + down, margin + right
            patches[index] = symmetric(planes[:, top : top + size, left : left + size], symmetry)
    return patches


def patches_each(patches: int, candidates: int, most: int) -> int:
    """Return how many of each candidate's patches to cut, so that they are ``most`` in all; at least one."""
    return max(1, min(patches, most // max(candidates, 1)))


def symmetric(planes: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    """View (3, s, s) in one of the square's eight symmetries: bit 1 mirrors x, bit 2 mirrors y, bit 4 transposes."""
    if symmetry & 1:
        planes = planes[:, :, ::-1]
    if symmetry & 2:
        planes = planes[:, ::-1]
    return planes.transpose(0, 2, 1) if symmetry & 4 else planes


@lru_cache(maxsize=16)
def _plan(application: Application) -> list[tuple[float, int, list[tuple[int, _Placed]]]]:
    """Group the variants by scale: (scale, margin in patch pixels, [(index of the patch, where it lies)])."""
    groups: dict[int, list[tuple[int, _Placed]]] = {}
    for index, (scale, shift, pose) in enumerate(variants(application)):
        right, down = (round(part * application.input_px) for part in application.shifts[shift])
        groups.setdefault(scale, []).append((index, _Placed(right, down, application.symmetries[pose])))
    return [
        (application.scales[scale], max(max(abs(placed.right), abs(placed.down)) for _, placed in members), members)
        for scale, members in groups.items()
    ]
