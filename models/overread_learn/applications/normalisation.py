"""The three ways in which an image's grey levels become 0..255 before patches are cut."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias

__all__ = ["KINDS", "Background", "Normalisation", "Range", "Window", "normalisation"]


@dataclass(frozen=True)
class Window:
    """Clip to ``low..high`` in the image's own units (HU for CT) and stretch to 0..255."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty window."""
        if not self.low < self.high:
            raise ValueError(f"normalisation window: low {self.low} is not below high {self.high}")


@dataclass(frozen=True)
class Background:
    """Shrink by ``downscale``; then ``gain`` x (image - its Gaussian blur) + 128, clipped to 0..255.

    ``sigma`` is the blur's, in shrunk pixels. The image must arrive on the 8-bit scale.
    """

    downscale: int
    sigma: float
    gain: float

    def __post_init__(self) -> None:
        """Refuse a factor that is no whole number from 1, and a blur or a gain that is not positive."""
        if not isinstance(self.downscale, int) or self.downscale < 1 or not self.sigma > 0 or not self.gain > 0:
            raise ValueError(
                f"normalisation background: needs a whole downscale >= 1, sigma > 0 and gain > 0, got {self}"
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


def normalisation(table: Mapping[str, Any]) -> Normalisation:
    """Read the table ``{kind = "window" | "background" | "range", ...}``.

    Raises ValueError on an unknown kind, on a missing key and on an unknown one.
    """
    kind = str(table.get("kind"))
    if kind not in KINDS:
        raise ValueError(f"normalisation: unknown kind {kind!r}; known are {', '.join(KINDS)}")
    shape = KINDS[kind]
    given = {key: value for key, value in table.items() if key != "kind"}
    known = {field.name: field.default is MISSING for field in fields(shape)}
    unknown = sorted(given.keys() - known.keys())
    missing = sorted(key for key, required in known.items() if required and key not in given)
    if unknown or missing:
        raise ValueError(f"normalisation {kind}: unknown keys {unknown}, missing keys {missing}")
    return shape(**given)
