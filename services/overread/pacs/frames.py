"""Where a header says a thing: at the top, or, in enhanced objects, for each frame (PS3.3 C.7.6.16)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from overread.core.errors import Undecodable

_ODD = (AttributeError, BytesLengthException, LookupError, NotImplementedError, TypeError, ValueError)


def number(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """Return an integer attribute; empty counts as absent.

    Raises:
        Undecodable: it is absent and there is no default, or it is no integer.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            if default is None:
                raise Undecodable(f"{keyword} is missing")
            return default
        return int(value)
    except _ODD as error:
        raise Undecodable(f"{keyword} is no number") from error


def group(dataset: Dataset, frame: int, sequence: str, keyword: str) -> Dataset | None:
    """Return the functional group item that holds `keyword` for a frame: its own, else the shared one, else None."""
    try:
        for holder in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
            items = dataset.get(holder) or ()
            place = frame if holder.startswith("Per") else 0
            if place < len(items):
                macro = items[place].get(sequence)
                if macro and keyword in macro[0]:
                    return macro[0]  # type: ignore[no-any-return]
    except _ODD as error:
        raise Undecodable(f"the functional groups can't be read ({type(error).__name__})") from error
    return None


class Plane(NamedTuple):
    """Where a frame lies in the patient's space (PS3.3 C.7.6.2.1.1); all in mm."""

    origin: NDArray[np.float64]
    """(3,) centre of the first pixel."""
    across: NDArray[np.float64]
    """(3,) unit vector along a row, the direction in which x grows."""
    down: NDArray[np.float64]
    """(3,) unit vector along a column."""
    spacing: tuple[float, float]
    """Between rows, between columns."""
    frame_of_reference: str

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit normal."""
        return np.cross(self.across, self.down)

    @property
    def height(self) -> float:
        """The origin's distance from the plane through 0 (mm): what slices are ordered by."""
        return float(self.normal @ self.origin)

    def locate(self, point: NDArray[np.float64]) -> tuple[float, float, float]:
        """Return x, y (pixel centres) of a point's projection and the point's signed distance from the plane (mm)."""
        offset = point - self.origin
        return (
            float(self.across @ offset) / self.spacing[1],
            float(self.down @ offset) / self.spacing[0],
            float(self.normal @ offset),
        )


def plane(dataset: Dataset, frame: int = 0) -> Plane | None:
    """Return the frame's plane, or None where the header gives none that makes sense."""
    try:
        position = _numbers(dataset, frame, "PlanePositionSequence", "ImagePositionPatient", 3)
        orientation = _numbers(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        spacing = _numbers(dataset, frame, "PixelMeasuresSequence", "PixelSpacing", 2)
        reference = str(dataset.get("FrameOfReferenceUID") or "")
    except _ODD:  # geometry is a help, not a condition: the image itself may be fine
        return None
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        return None
    across, down = orientation[:3], orientation[3:]
    lengths = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if not all(math.isclose(length, 1, abs_tol=0.01) for length in lengths) or abs(float(across @ down)) > 0.01:
        return None
    return Plane(position, across / lengths[0], down / lengths[1], (float(spacing[0]), float(spacing[1])), reference)


def _numbers(dataset: Dataset, frame: int, sequence: str, keyword: str, count: int) -> NDArray[np.float64] | None:
    value: Any = (group(dataset, frame, sequence, keyword) or dataset).get(keyword)
    if value is None or len(value) != count:
        return None
    numbers = np.array([float(part) for part in value])
    return numbers if np.isfinite(numbers).all() else None
