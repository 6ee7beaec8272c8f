"""Where a candidate's square lies, and how its grey levels reach a patch."""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.patches.prepare import Prepared
from overread_learn.patches.window import WHITE

__all__ = ["draw", "normalise", "place"]

WIDEST = 1 << 14
"""Source pixels of a context, by the largest scale, at most: a spacing a thousand times too small would ask for all the
memory."""

# Patches are too small to share between threads, and callers thread over candidates themselves.
cv2.setNumThreads(1)


def place(
    prepared: Prepared, x: float | None, y: float | None, application: Application, spacing_mm: float | None
) -> tuple[float, float, float]:
    """Return the candidate's centre (x, y) and the side of its unscaled square, in prepared pixels.

    ``x``, ``y`` count source pixels from the centre of the first one; both None mean the image's centre. Raises
    ValueError on a point outside the image, where the context is in millimetres and ``spacing_mm`` (mm per source
    pixel) is missing (unless the application says its ``context_px``) or not positive, on a square that the largest
    scale makes wider than `WIDEST`, and on applications of volumes.
    """
    height, width = (
        side / prepared.scale - beyond for side, beyond in zip(prepared.pixels.shape, prepared.padding, strict=False)
    )
    if x is None and y is None:
        x, y = (width - 1) / 2, (height - 1) / 2
    if x is None or y is None:
        raise ValueError(f"a point needs both x and y, or neither for the whole image; got ({x}, {y})")
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):  # half a pixel around the centres
        raise ValueError(f"point ({x}, {y}) lies outside the image of {width:.0f} x {height:.0f} pixels")
    side = _side(application, spacing_mm, min(width, height))
    widest = side * max(application.scales)
    if widest > WIDEST:
        raise ValueError(
            f"application {application.name}: a context of {application.context:g} {application.context_unit}, by the "
            f"largest of scales, is {widest:.0f} pixels wide, more than {WIDEST} (pixel spacing in mm: {spacing_mm})"
        )
    # Pixel centres are at whole numbers, so a change of scale goes through the pixel's corner.
    return (x + 0.5) * prepared.scale - 0.5, (y + 0.5) * prepared.scale - 0.5, side * prepared.scale


def _side(application: Application, spacing_mm: float | None, shorter: float) -> float:
    """Return the side of the unscaled square in source pixels; ``shorter`` is the image's shorter side in these."""
    if application.geometry != "plane":
        raise ValueError(f"application {application.name} cuts its patches from volumes: use cut_volume")
    if application.context_unit == "image":
        return application.context * shorter
    if application.context_unit == "px":
        return application.context
    if spacing_mm is None:
        if application.context_px is None:
            raise ValueError(
                f"application {application.name}: its context is in mm, so the pixel spacing is needed; "
                "for images without one, give the application a context_px"
            )
        return application.context_px
    if not 0 < spacing_mm < math.inf:
        raise ValueError(f"pixel spacing must be a positive number of mm, got {spacing_mm}")
    return application.context / spacing_mm


def draw(
    prepared: Prepared, centre: tuple[float, float], step: float, size: int, angle: float = 0.0
) -> NDArray[np.float32]:
    """Sample a square of ``size`` x ``size`` points, ``step`` prepared pixels apart, turned by ``angle`` radians.

    Bilinear, reflected at the image's border; returns (size, size, 3) on 0..255. Where points lie further apart than
    the pixels, each is the mean of several: bilinear sampling alone would alias.
    """
    fine = max(1, round(step))
    count, step = size * fine, step / fine
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    middle = (count - 1) / 2
    # Only the part of the image that the square can reach, so that a uint8 photograph is not converted as a whole.
    reach = middle * (abs(cos) + abs(sin)) + 2
    height, width = prepared.pixels.shape[:2]
    left, top = max(0, math.floor(centre[0] - reach)), max(0, math.floor(centre[1] - reach))
    right, bottom = min(width, math.ceil(centre[0] + reach) + 1), min(height, math.ceil(centre[1] + reach) + 1)
    window = np.ascontiguousarray(prepared.pixels[top:bottom, left:right], dtype=np.float32)
    x, y = centre[0] - left, centre[1] - top
    matrix = np.array(
        [[cos, -sin, x - middle * (cos - sin)], [sin, cos, y - middle * (sin + cos)]],
    )
    drawn = cv2.warpAffine(
        window,
        matrix,
        (count, count),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if fine > 1:
        drawn = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(drawn, dtype=np.float32)


def normalise(drawn: NDArray[np.float32], application: Application) -> NDArray[np.float32]:
    """Turn (h, w, 3) on 0..255 into (3, h, w) with the application's mean and standard deviation (of 0..1) removed."""
    gain, offset = _gain_and_offset(application.mean, application.std)
    # The copy comes first and the arithmetic in place: five times faster than over the interleaved channels.
    planes = np.array(drawn.transpose(2, 0, 1), order="C")
    planes *= gain
    planes -= offset
    return planes


@lru_cache(maxsize=16)
def _gain_and_offset(
    mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return 1 / (255 std) and mean / std, (3, 1, 1) each."""
    deviation = np.array(std)[:, None, None]
    return (1 / (WHITE * deviation)).astype(np.float32), (np.array(mean)[:, None, None] / deviation).astype(np.float32)
