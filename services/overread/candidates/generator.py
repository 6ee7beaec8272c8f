"""The interface of a candidate generator, and how one is found by name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, NamedTuple, Protocol, cast

from numpy.typing import NDArray

from overread.core.errors import Misconfigured

GROUP = "overread.generators"


class Spot(NamedTuple):
    """A suspicious location."""

    slice: int
    """0-based index into the volume; 0 for a single image."""
    x: float
    """Column of the centre, in pixel centres."""
    y: float
    """Row of the centre."""
    radius_px: float
    score: float
    """Higher is more suspicious."""


class Generator(Protocol):
    """A detector that a study without a CAD report gets its candidates from.

    A class with a constructor that takes no arguments, registered as an entry point of the group `overread.generators`.
    Name and version are part of every candidate's identity: the same study gives the same candidates as long as both
    stay.
    """

    @property
    def name(self) -> str:
        """The detector's name."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever its candidates do."""
        ...

    def find(self, pixels: NDArray[Any], *, spacing_mm: float | None, gap_mm: float | None) -> list[Spot]:
        """Return the suspicious locations, most suspicious first.

        Args:
            pixels: (S, H, W) modality values of a stack; else one image, (H, W) modality values or (H, W, 3) uint8 RGB.
            spacing_mm: of the pixels in the plane, where known.
            gap_mm: between the centres of neighbouring slices of a stack.

        Raises:
            Undecodable: these pixels are not for this detector; the series is remembered with the reason.
        """
        ...


def load(name: str) -> Generator:
    """Return the generator of this name.

    Raises:
        Misconfigured: nothing of that name is installed, or it can't be imported.
    """
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise Misconfigured(
            f"candidates.generator: {name!r} is not installed; installed are: {known}. "
            f"Install the package that has the entry point {name!r} in the group {GROUP}."
        )
    try:
        generator = installed[name].load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise Misconfigured(f"candidates.generator: {name!r} can't be loaded: {error}") from error
    missing = [part for part in ("name", "version", "find") if not hasattr(generator, part)]
    if missing:
        raise Misconfigured(f"candidates.generator: {name!r} has no {', '.join(missing)}; it is no generator")
    return cast("Generator", generator)
