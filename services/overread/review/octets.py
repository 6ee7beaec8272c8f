"""A slice as bytes for the browser."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

INT16 = np.iinfo(np.int16)


def encode(pixels: NDArray[Any], window: tuple[float, float]) -> tuple[bytes, dict[str, str]]:
    """Return the bytes and what a reader of them needs to know.

    Args:
        pixels: (H, W) int16 or float32 modality values, or (H, W, 3) uint8 RGB.
        window: centre and width, in modality values.

    Returns:
        RGB bytes or int16 little-endian, and headers. A modality value is `stored * X-Slope + X-Intercept`; these are 1
        and 0 but for values that int16 can't hold as they are (fractions, or beyond its range).
    """
    slope, intercept = 1.0, 0.0
    if pixels.ndim == 3:
        octets, samples = pixels.astype(np.uint8, copy=False).tobytes(), 3
    else:
        stored, samples = pixels, 1
        if pixels.dtype != np.int16:
            low, high = float(pixels.min()), float(pixels.max())
            fits = low >= INT16.min and high <= INT16.max
            if not (fits and np.array_equal(pixels, np.rint(pixels))):
                slope = (high - low) / (INT16.max - INT16.min) or 1.0
                intercept = low - INT16.min * slope
            stored = np.rint((pixels.astype(np.float64) - intercept) / slope).clip(INT16.min, INT16.max)
        octets = stored.astype("<i2", copy=False).tobytes()
    centre, width = window
    return octets, {
        "X-Rows": str(pixels.shape[0]),
        "X-Columns": str(pixels.shape[1]),
        "X-Samples": str(samples),
        "X-Window-Center": f"{centre:g}",
        "X-Window-Width": f"{width:g}",
        "X-Slope": repr(slope),
        "X-Intercept": repr(intercept),
    }
