"""What a CAD's structured report marks: the regions of TID 1500 measurement groups (PS3.16), in pixel centres.

The tree is walked as plain data sets: reports in the field break rules that a strict reader insists on. What can't be
understood is refused as a whole, for half a report would look like a complete one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from overread.core.errors import Undecodable
from overread.pacs.pixels import guarded

MAX_DEPTH = 32
MAX_ITEMS = 200_000

HALF = 0.5
"""SCOORD counts from the corner of the first pixel, whose centre is (0.5, 0.5) there (PS3.3 C.18.6.1), ours (0, 0)."""

_GROUP = "125007"  # Measurement Group
_REGION = "111030"  # Image Region
_TRACKING_ID, _TRACKING_UID = "112039", "112040"
_ALGORITHM, _VERSION = "111001", "111003"
_CERTAINTY = "111012"  # Certainty of Finding
_DEVICE = "121013"  # Device Observer Name


class Region(NamedTuple):
    """One marked location."""

    tracking_uid: str
    """Tracking Unique Identifier; where the group has none its tracking identifier, else its ordinal in the report."""
    tracking_id: str
    sop_uid: str | None
    """The image it was marked on; None for a region in the patient's space."""
    frame: int
    """0-based."""
    x: float
    y: float
    """Centre in pixel centres of that image; NaN for a region in the patient's space."""
    point_mm: tuple[float, float, float] | None
    """Centre in the patient's space (mm), for SCOORD3D."""
    frame_of_reference: str | None
    radius_px: float | None
    """Of a circle of the region's area; None for a point."""
    radius_mm: float | None
    """The same for SCOORD3D."""
    score: float | None
    """A numeric called a score, else the certainty of finding, in the report's own units."""
    algorithm: str
    version: str


def regions(dataset: Dataset) -> list[Region]:
    """Return the regions of every measurement group (TID 1410 and 1411 in TID 1500), in the report's order.

    Groups without a region are skipped; a report without any gives an empty list.

    Raises:
        Undecodable: no content tree, nested or long beyond reason, or an item that contradicts itself.
    """
    with guarded("the report's content tree can't be read"):
        if not dataset.get("ContentSequence"):
            raise Undecodable("the report has no content tree")
        budget = iter(range(MAX_ITEMS))
        groups: list[Dataset] = []
        outside: list[Dataset] = []
        for item in _below(dataset, budget, into_groups=False):
            (groups if _is_group(item) else outside).append(item)
        about = _Algorithm.find(outside) or _Algorithm.of_equipment(dataset)
        found = (_region(dataset, group, place, about, budget) for place, group in enumerate(groups))
        return [region for region in found if region is not None]


class _Algorithm(NamedTuple):
    name: str
    version: str

    @classmethod
    def find(cls, items: list[Dataset]) -> _Algorithm | None:
        """TID 4019, else the device observer's name."""
        name = _text(items, _ALGORITHM) or _text(items, _DEVICE)
        return cls(name, _text(items, _VERSION) or "") if name else None

    @classmethod
    def of_equipment(cls, dataset: Dataset) -> _Algorithm:
        name = str(dataset.get("ManufacturerModelName") or dataset.get("Manufacturer") or "unnamed CAD")
        version = dataset.get("SoftwareVersions") or ""
        return cls(name, str(version if isinstance(version, str) else version[0]))


def _below(parent: Dataset, budget: Iterator[int], *, into_groups: bool, depth: int = 0) -> Iterator[Dataset]:
    """Walk all content items below one, depth first."""
    if depth > MAX_DEPTH:
        raise Undecodable(f"a report nested deeper than {MAX_DEPTH} levels")
    for item in parent.get("ContentSequence") or ():
        if next(budget, None) is None:
            raise Undecodable(f"a report of more than {MAX_ITEMS} items")
        yield item
        if into_groups or not _is_group(item):
            yield from _below(item, budget, into_groups=into_groups, depth=depth + 1)


def _is_group(item: Dataset) -> bool:
    return item.get("ValueType") == "CONTAINER" and _code(item) == _GROUP


def _code(item: Dataset) -> str:
    concept = item.get("ConceptNameCodeSequence")
    return str(concept[0].get("CodeValue") or "") if concept else ""


def _text(items: list[Dataset], code: str) -> str | None:
    for item in items:
        if _code(item) == code:
            value = item.get("TextValue") or item.get("UID")
            if value:
                return str(value)
    return None


def _region(root: Dataset, group: Dataset, place: int, about: _Algorithm, budget: Iterator[int]) -> Region | None:
    items = list(_below(group, budget, into_groups=True))
    shapes = [item for item in items if item.get("ValueType") in {"SCOORD", "SCOORD3D"}]
    if not shapes:
        return None
    shape = next((item for item in shapes if _code(item) == _REGION), shapes[0])
    flat = shape.ValueType == "SCOORD"
    centre, radius = _outline(shape, 2 if flat else 3)
    algorithm = _Algorithm.find(items) or about
    tracking_id = _text(items, _TRACKING_ID) or ""
    sop_uid, frame = _image(root, shape) if flat else (None, 0)
    return Region(
        tracking_uid=_text(items, _TRACKING_UID) or tracking_id or str(place),
        tracking_id=tracking_id,
        sop_uid=sop_uid,
        frame=frame,
        x=float(centre[0]) - HALF if flat else math.nan,
        y=float(centre[1]) - HALF if flat else math.nan,
        point_mm=None if flat else (float(centre[0]), float(centre[1]), float(centre[2])),
        frame_of_reference=None if flat else str(shape.ReferencedFrameOfReferenceUID),
        radius_px=radius if flat else None,
        radius_mm=None if flat else radius,
        score=_score(items),
        algorithm=algorithm.name,
        version=algorithm.version,
    )


def _outline(shape: Dataset, axes: int) -> tuple[NDArray[np.float64], float | None]:
    """Return centre and radius of a graphic (PS3.3 C.18.6.1.2, C.18.9.1.2), in its own units."""
    kind = str(shape.GraphicType)
    points = np.array([float(value) for value in shape.GraphicData]).reshape(-1, axes)
    least = {"POINT": 1, "MULTIPOINT": 1, "CIRCLE": 2, "ELLIPSE": 4, "ELLIPSOID": 6, "POLYLINE": 1, "POLYGON": 3}
    if kind not in least or len(points) < least[kind] or not np.isfinite(points).all():
        raise Undecodable(f"a region of type {kind[:16]!r} with {len(points)} usable points")
    if kind == "CIRCLE":
        return points[0], float(np.linalg.norm(points[1] - points[0]))
    if kind in {"ELLIPSE", "ELLIPSOID"}:
        ends = points[: least[kind]].reshape(-1, 2, axes)  # the two ends of each axis
        semi = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) / 2
        return points[:2].mean(axis=0), float(np.prod(semi) ** (1 / len(semi)))
    if kind in {"POLYLINE", "POLYGON"}:
        return _polygon(points)
    return points.mean(axis=0), None


def _polygon(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float | None]:
    """Centroid of the enclosed area, and the radius of a circle of that area; a line has its middle and no radius."""
    about = points - points[0]  # far from the origin the products lose their digits
    following = np.roll(about, -1, axis=0)
    if points.shape[1] == 2:
        parts = (about[:, 0] * following[:, 1] - about[:, 1] * following[:, 0]) / 2
    else:
        crossed = np.cross(about, following) / 2
        total = crossed.sum(axis=0)
        parts = crossed @ (total / (np.linalg.norm(total) or 1.0))
    area = float(parts.sum())
    if abs(area) < 1e-6:
        return points.mean(axis=0), None
    centre = points[0] + (parts[:, None] * (about + following) / 3).sum(axis=0) / area
    return centre, math.sqrt(abs(area) / math.pi)


def _image(root: Dataset, shape: Dataset) -> tuple[str, int]:
    """Return SOP instance UID and 0-based frame of the image that a region was selected from."""
    for child in shape.get("ContentSequence") or ():
        item = _referenced(root, child)
        if item.get("ValueType") == "IMAGE":
            reference = item.ReferencedSOPSequence[0]
            numbers = reference.get("ReferencedFrameNumber")
            first = 1 if numbers is None else int(numbers if isinstance(numbers, (int, str)) else numbers[0])
            return str(reference.ReferencedSOPInstanceUID), first - 1
    raise Undecodable("a region that was selected from no image")


def _referenced(root: Dataset, item: Dataset) -> Dataset:
    """Follow a relationship by reference (PS3.3 C.17.3.2.5): 1-based places on the way down from the root, itself 1."""
    path: Any = item.get("ReferencedContentItemIdentifier")
    if path is None:
        return item
    for place in list(path)[1:]:
        root = root.ContentSequence[int(place) - 1]
    return root


def _score(items: list[Dataset]) -> float | None:
    certainty = None
    for item in items:
        if item.get("ValueType") != "NUM" or not item.get("MeasuredValueSequence"):
            continue
        measured = item.MeasuredValueSequence[0]
        exact = measured.get("FloatingPointValue")  # a double; the decimal string has 16 characters at most
        value = float(measured.NumericValue if exact is None else exact)
        if not math.isfinite(value):
            raise Undecodable("a score that is no finite number")
        if "score" in str(item.ConceptNameCodeSequence[0].get("CodeMeaning") or "").lower():
            return value
        if _code(item) == _CERTAINTY:
            certainty = value
    return certainty
