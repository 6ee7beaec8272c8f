"""The built-in generator: a multi-scale Laplacian of Gaussian, for bright spots in grey and dark spots in colour.

It is a first pass and means to be: it finds round things, and most round things are vessels. What is a lesion the model
learns from the readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.candidates.generator import Spot

STEP = 1.5
"""Ratio of neighbouring scales."""
EDGE = 4.0
"""Largest ratio of the two principal curvatures: above it the spot is an edge or a tube that lies in the plane."""
ENDS = 0.7
"""Part of the response above and below that is taken off the score."""
THROUGH = 4.0


@dataclass(frozen=True)
class LaplacianOfGaussian:
    """Blobs by scale-normalised Laplacian, approximated by differences of Gaussians.

    A sphere of radius r answers most at sigma = r / sqrt(2) in its middle slice. A blob is reported once: at its best
    scale and slice. Its score is the response there in units of the image's own noise, and only scores above `least`
    are reported, at most `most` a series.
    """

    radii_mm: tuple[float, float] = (2.0, 9.0)
    """Smallest and largest radius where the spacing is known."""
    radii_px: tuple[float, float] = (2.5, 12.0)
    """The same where it is not."""
    dark_in_colour: bool = True
    """In colour look for dark spots of the green channel (microaneurysms); in grey always for bright ones."""
    least: float = 15.0
    most: int = 24

    name: str = "overread-log"
    version: str = "1"

    def find(self, pixels: NDArray[Any], *, spacing_mm: float | None, gap_mm: float | None) -> list[Spot]:
        """Return blobs, strongest first; arguments as in `Generator.find`."""
        colour = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
        if colour:
            volume = pixels[None, :, :, 1].astype(np.float32) * (-1 if self.dark_in_colour else 1)
        else:
            volume = np.asarray(pixels if pixels.ndim == 3 else pixels[None], dtype=np.float32)
        small, large = (radius / spacing_mm for radius in self.radii_mm) if spacing_mm else self.radii_px
        count = max(int(np.ceil(np.log(large / small) / np.log(STEP))), 1) + 1
        sigmas = [max(small, 1.0) / np.sqrt(2) * STEP**scale for scale in range(count)]
        responses = np.stack([_respond(plane, sigmas) for plane in volume])
        noise = _noise(responses)
        reach = spacing_mm / gap_mm if gap_mm and spacing_mm else 0.5
        spots = []
        for z, scale, y, x in _peaks(responses, self.least * noise):
            if _round(responses[z, scale], y, x):
                right, down = _refine(responses[z, scale], y, x)
                radius = float(sigmas[scale] * np.sqrt(2))
                deep = max(round(1.3 * radius * reach), 1)
                score = _ends(responses[:, scale, y, x], z, deep) / noise
                if score >= self.least:
                    spots.append(Spot(int(z), right, down, radius, score))
        spots.sort(key=lambda spot: (-spot.score, spot.slice, spot.y, spot.x))
        return _apart(spots, reach, self.most)


def _respond(plane: NDArray[np.float32], sigmas: list[float]) -> NDArray[np.float32]:
    """(scales, H, W): scale-normalised negative Laplacian, sigma² ∇²G ≈ (G(k sigma) - G(sigma)) / (k - 1)."""
    ratio = 1.26
    edges = [(sigma / np.sqrt(ratio), sigma * np.sqrt(ratio)) for sigma in sigmas]
    blurred = [[cv2.GaussianBlur(plane, (0, 0), width, borderType=cv2.BORDER_REFLECT) for width in e] for e in edges]
    return np.stack([(fine - coarse) / np.float32(ratio - 1) for fine, coarse in blurred])


def _noise(responses: NDArray[np.float32]) -> float:
    """Robust standard deviation of the finest scale's response over all slices."""
    sample = responses[:, 0, ::3, ::3]
    return max(float(np.median(np.abs(sample - np.median(sample)))) * 1.4826, 1e-6)


def _peaks(responses: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """(n, 4) of slice, scale, y, x: maxima among 3 x 3 pixels, neighbouring scales and neighbouring slices."""
    square = np.ones((3, 3), np.uint8)
    widest = np.empty_like(responses)
    for z, planes in enumerate(responses):
        for scale, plane in enumerate(planes):
            widest[z, scale] = cv2.dilate(plane, square)
    for axis in (0, 1):
        own = widest.copy()
        ahead, behind = [slice(None)] * 4, [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        np.maximum(own[tuple(behind)], widest[tuple(ahead)], out=own[tuple(behind)])
        np.maximum(own[tuple(ahead)], widest[tuple(behind)], out=own[tuple(ahead)])
        widest = own
    found = (responses >= widest) & (responses > threshold)
    found[..., [0, -1], :] = False
    found[..., [0, -1]] = False
    return np.argwhere(found)


def _round(response: NDArray[np.float32], y: int, x: int) -> bool:
    """Whether the response falls off alike in all directions (Lowe 2004, 4.1)."""
    patch = response[y - 1 : y + 2, x - 1 : x + 2].astype(np.float64)
    across = patch[1, 0] - 2 * patch[1, 1] + patch[1, 2]
    down = patch[0, 1] - 2 * patch[1, 1] + patch[2, 1]
    mixed = (patch[0, 0] - patch[0, 2] - patch[2, 0] + patch[2, 2]) / 4
    determinant = across * down - mixed * mixed
    return bool(determinant > 0 and (across + down) ** 2 * EDGE < determinant * (EDGE + 1) ** 2)


def _ends(column: NDArray[np.float32], z: int, deep: int) -> float:
    """Return the response at slice z less part of what is left above and below: a sphere ends, a tube goes on."""
    beside = [max(float(column[at]), 0.0) for at in (z - deep, z + deep) if 0 <= at < len(column)]
    return float(column[z]) - (ENDS * sum(beside) / len(beside) if beside else 0.0)


def _refine(response: NDArray[np.float32], y: int, x: int) -> tuple[float, float]:
    """Return x and y of the parabola's top, within half a pixel."""

    def top(before: float, middle: float, after: float) -> float:
        bend = before - 2 * middle + after
        return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0

    row, column = response[y, x - 1 : x + 2].astype(np.float64), response[y - 1 : y + 2, x].astype(np.float64)
    return round(float(x + top(*row)), 2), round(float(y + top(*column)), 2)


def _apart(spots: list[Spot], reach: float, most: int) -> list[Spot]:
    """Keep the strongest of spots that lie in each other; `reach` is a pixel's size in slices.

    Along the stack they have to lie farther apart: a tube that runs through it is one spot, not one every few slices.
    """
    kept: list[Spot] = []
    for spot in spots:
        if len(kept) == most:
            break
        for other in kept:
            radius = max(spot.radius_px, other.radius_px)
            deep = abs(spot.slice - other.slice) / reach / THROUGH
            if (spot.x - other.x) ** 2 + (spot.y - other.y) ** 2 + deep**2 < (1.25 * radius) ** 2:
                break
        else:
            kept.append(spot)
    return kept
