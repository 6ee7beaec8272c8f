"""Normalise a whole image once, before any patch is cut from it."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application, Background, Range, Window
from overread_learn.applications.normalisation import NARROWEST
from overread_learn.patches.window import WHITE, refuse_misfit

__all__ = ["Prepared", "prepare"]

MIDDLE = 128.0
CHANNELS = 3


class Prepared(NamedTuple):
    """An image that patches can be cut from."""

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    """(h, w, 3), grey levels 0..255 in either dtype."""
    scale: float
    """Prepared pixels per source pixel."""
    padding: tuple[int, int] = (0, 0)
    """Source rows and columns that the last prepared ones reach beyond the image."""


def prepare(image: NDArray[Any], application: Application) -> Prepared:
    """Bring an image, (H, W) or (H, W, 3) of any integer or float dtype, to 0..255 as the application asks.

    A grey image fills all three channels. A photograph comes as RGB; slices as (below, key, above). An image of dtype
    uint8 is taken as it is where the window spans 0..255 or more: it holds no HU, so somebody has windowed it before.

    Raises ValueError on another shape or dtype, on values that are not finite, on values outside 0..255 where
    background subtraction needs the 8-bit scale, and on those in other units than the window's (`refuse_misfit`).
    """
    if image.ndim not in {2, CHANNELS} or (image.ndim == CHANNELS and image.shape[2] != CHANNELS) or not image.size:
        raise ValueError(f"an image must be (H, W) or (H, W, 3) and not empty, got {image.shape}")
    if image.dtype.kind not in "uif":
        raise ValueError(f"an image must hold integers or floats, got {image.dtype}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("an image holds values that are not finite")
    match application.normalisation:
        case Window(low, high) if image.dtype == np.uint8 and low <= 0 and high >= WHITE:
            return Prepared(np.array(_three(image), order="C"), 1.0)
        case Window(low, high) as window:
            refuse_misfit(image, window)
            return Prepared(_three(_stretch(image, low, high - low)), 1.0)
        case Range(low, high):
            bottom, top = np.percentile(image, [low, high])
            # An image of one value has no range: it becomes black rather than a division by zero.
            return Prepared(_three(_stretch(image, bottom, max(top - bottom, NARROWEST))), 1.0)
        case Background() as background:
            height, width = image.shape[:2]
            padding = (-height % background.downscale, -width % background.downscale)
            return Prepared(_three(_foreground(image, background, padding)), 1 / background.downscale, padding)


def _stretch(image: NDArray[Any], low: float, span: float) -> NDArray[np.float32]:
    # In float64: the window of a 32-bit integer image may span more than float32's 24 bits.
    stretched = (image.astype(np.float64) - low) * (WHITE / span)
    return np.clip(stretched, 0, WHITE).astype(np.float32)


def _foreground(image: NDArray[Any], background: Background, padding: tuple[int, int]) -> NDArray[np.uint8]:
    least, most = image.min(), image.max()
    of_one = image.dtype.kind == "f" and least < most <= 1
    if image.dtype != np.uint8 and (least < 0 or most > WHITE or of_one):
        raise ValueError(
            f"background subtraction needs grey levels 0..255, got {least}..{most}: "
            "bring the image to eight bits by its stored depth first"
        )
    # OpenCV wants plain rows; an RGB view of a BGR image runs backwards.
    levels = np.ascontiguousarray(image, dtype=np.uint8 if image.dtype == np.uint8 else np.float32)
    factor = background.downscale
    # Whole blocks only, so that the scale is exactly 1 / downscale and candidates do not drift across the image.
    padded = cv2.copyMakeBorder(levels, 0, padding[0], 0, padding[1], cv2.BORDER_REPLICATE)
    size = (padded.shape[1] // factor, padded.shape[0] // factor)
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), background.sigma)
    # One pass: gain * small - gain * blurred + 128, rounded and clipped.
    lifted = cv2.addWeighted(small.astype(np.float32), background.gain, blurred, -background.gain, MIDDLE)
    return np.asarray(np.clip(np.rint(lifted), 0, WHITE), dtype=np.uint8)


def _three(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim == CHANNELS:
        return pixels
    return np.repeat(pixels[:, :, None], CHANNELS, axis=2)
