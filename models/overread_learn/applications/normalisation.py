"""The three ways in which an image's grey levels become 0..255 before patches are cut."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias

from overread_learn.applications.values import number, table, whole

__all__ = ["KINDS", "NARROWEST", "Background", "Normalisation", "Range", "Window", "normalisation"]

LARGEST_VALUE = 2.0**32
"""An image stores 32 bits a pixel at most."""
NARROWEST = 1e-20
"""Grey levels that lie closer are one: what stretches them to 0..255 must be far from what float32 holds."""

LARGEST_DOWNSCALE = 64
"""Of a photograph of 4096 pixels it leaves 64; an image that is smaller than one block is padded to it."""
SMALLEST_SIGMA, LARGEST_SIGMA = 0.25, 1000.0
"""Shrunk pixels. A narrower blur is the pixel itself, so that nothing is left of the image; a wider one is the mean of
the largest photograph, at a cost that grows with it."""
LARGEST_GAIN = 255.0
"""With it, a difference of one level is white or black already."""


@dataclass(frozen=True)
class Window:
    """Clip to ``low..high`` in the image's own units (HU for CT) and stretch to 0..255.

    Raises ValueError on an empty window, and on one of values that no image has.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse a window that shows nothing."""
        if not self.low < self.high:
            raise ValueError(f"normalisation window: low {self.low} is not below high {self.high}")
        if max(-self.low, self.high) > LARGEST_VALUE or self.high - self.low < NARROWEST:
            raise ValueError(
                f"normalisation window: needs values within {LARGEST_VALUE:.0f} of 0, {NARROWEST} apart or more, "
                f"got {self.low} and {self.high}"
            )


@dataclass(frozen=True)
class Background:
    """Shrink by ``downscale``; then ``gain`` x (image - its Gaussian blur) + 128, clipped to 0..255.

    ``sigma`` is the blur's, in shrunk pixels. The image must arrive on the 8-bit scale. Raises ValueError on values
    beyond the limits of this module, which say why.
    """

    downscale: int
    sigma: float
    gain: float

    def __post_init__(self) -> None:
        """Refuse what would only fail, or show nothing, once an image is there."""
        counts = isinstance(self.downscale, int) and not isinstance(self.downscale, bool)
        if (
            not (counts and 1 <= self.downscale <= LARGEST_DOWNSCALE)
            or not SMALLEST_SIGMA <= self.sigma <= LARGEST_SIGMA
            or not 0 < self.gain <= LARGEST_GAIN
        ):
            raise ValueError(
                f"normalisation background: needs a whole downscale from 1 to {LARGEST_DOWNSCALE}, a sigma from "
                f"{SMALLEST_SIGMA:g} to {LARGEST_SIGMA:g} and a gain above 0, at most {LARGEST_GAIN:g}, got {self}"
            )


@dataclass(frozen=True)
class Range:
    """Stretch the percentiles ``low..high`` of each image to 0..255."""

    low: float = 0.5
    high: float = 99.5

    def __post_init__(self) -> None:
        """Refuse percentiles that are none, or that are out of order."""
        if not 0 <= self.low < self.high <= 100:  # per cent
            raise ValueError(
                f"normalisation range: needs percentiles 0 <= low < high <= 100, got {self.low} and {self.high}"
            )


Normalisation: TypeAlias = Window | Background | Range

KINDS: Mapping[str, type[Window | Background | Range]] = {"window": Window, "background": Background, "range": Range}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "low": number,
    "high": number,
    "downscale": whole,
    "sigma": number,
    "gain": number,
}


def normalisation(given: Any) -> Normalisation:
    """Read the table ``{kind = "window" | "background" | "range", ...}``.

    Raises ValueError on an unknown kind, on a missing key, on an unknown one and on impossible values, TypeError on
    what is no table and on values of another type.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"a table only, got {given!r}")
    kind = str(given.get("kind"))
    if kind not in KINDS:
        raise ValueError(f"normalisation: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    shape = KINDS[kind]
    values = {key: value for key, value in given.items() if key != "kind"}
    known = {field.name: field.default is MISSING for field in fields(shape)}
    unknown = sorted(values.keys() - known.keys())
    missing = sorted(key for key, required in known.items() if required and key not in values)
    if unknown or missing:
        raise ValueError(f"normalisation {kind}: unknown keys {unknown}, missing keys {missing}")
    return shape(**table(values, _READERS))
