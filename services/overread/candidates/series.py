"""Images of a study in their order: which frame lies where, and the manifests that name them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from overread.core.series import SeriesManifest, Slice
from overread.pacs import pixels
from overread.pacs.frames import Plane, number, plane
from overread.pacs.sr import Region

STACKED = frozenset({"CT", "MR"})
LEAST_STACK = 3
PARALLEL = 0.999
"""Least cosine between the normals of a stack's slices: 2.6 degrees."""
APART_MM = 0.01
"""Slices closer than this lie on each other: several phases in one series, no stack."""


class Image(NamedTuple):
    """What a header says of an instance, without its pixels."""

    instance: str
    sop_uid: str
    series: str
    site: str
    modality: str
    blob: str
    rows: int
    columns: int
    samples: int
    spacing_mm: float | None
    number: int
    localizer: bool
    """A scout: shown, never searched."""
    planes: tuple[Plane | None, ...]
    """One for each frame."""

    @classmethod
    def of(cls, row: Any, dataset: Dataset) -> Image:
        """Read the header of one row of `candidates_instances`.

        Raises:
            Undecodable: it is no image, or claims what can't be.
        """
        frames = pixels.frames(dataset)
        with pixels.guarded("the image header can't be read"):
            kind = dataset.get("ImageType") or ()
            localizer = "LOCALIZER" in ([kind] if isinstance(kind, str) else list(kind))
            uid = str(dataset.SOPInstanceUID)
        return cls(
            instance=row.instance,
            sop_uid=uid,
            series=row.series,
            site=row.site,
            modality=row.modality,
            blob=row.blob,
            rows=number(dataset, "Rows"),
            columns=number(dataset, "Columns"),
            samples=3
            if dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
            else number(dataset, "SamplesPerPixel", 1),
            spacing_mm=pixels.spacing_mm(dataset),
            number=number(dataset, "InstanceNumber", 0),
            localizer=localizer,
            planes=tuple(plane(dataset, frame) for frame in range(frames)),
        )


class Frame(NamedTuple):
    """One slice of a series."""

    image: Image
    frame: int

    @property
    def plane(self) -> Plane | None:
        """Where it lies."""
        return self.image.planes[self.frame]

    @property
    def slice(self) -> Slice:
        """Its entry in a manifest."""
        return Slice(instance=self.image.instance, blob=self.image.blob, frame=self.frame)


class Series(NamedTuple):
    """Frames of one series and one size, in display order."""

    frames: tuple[Frame, ...]
    stack: bool
    gap_mm: float | None
    """Median distance of neighbouring slices of a stack."""

    @property
    def head(self) -> Image:
        """The first image, which speaks for all."""
        return self.frames[0].image

    @property
    def manifest(self) -> SeriesManifest:
        """What is stored."""
        head = self.head
        return SeriesManifest(
            series=head.series,
            modality=head.modality,
            rows=head.rows,
            columns=head.columns,
            spacing_mm=head.spacing_mm,
            stack=self.stack,
            slices=tuple(frame.slice for frame in self.frames),
        )

    def inside(self, x: float, y: float) -> bool:
        """Whether a point lies in the image; a pixel reaches half a pixel around its centre."""
        return -0.5 <= x < self.head.columns - 0.5 and -0.5 <= y < self.head.rows - 0.5

    def nearest(self, region: Region) -> tuple[float, int, float, float] | None:
        """Return distance (mm), slice, x and y of the slice that a region in space lies in, or None if in none.

        A slice reaches half the gap to its neighbours, and half a millimetre more for rounding.
        """
        found: list[tuple[float, int, float, float]] = []
        for index, frame in enumerate(self.frames):
            if frame.plane is not None and frame.plane.frame_of_reference == region.frame_of_reference:
                x, y, distance = frame.plane.locate(np.array(region.point_mm))
                found.append((abs(distance), index, x, y))
        best = min(found, default=None)
        if best is None or best[0] > (self.gap_mm or 5.0) / 2 + 0.5 or not self.inside(best[2], best[3]):
            return None
        return best


def arrange(images: Iterable[Image]) -> list[Series]:
    """Group by series and size, put into order, and say which are stacks.

    Order: by position along the common normal where all frames have one (PS3.3 C.7.6.2.1.1), else by instance number.
    The same images give the same series, whatever the order in which they arrived.
    """
    groups: dict[tuple[str, int, int, int], list[Frame]] = {}
    for image in sorted(images, key=lambda image: (image.number, image.instance)):
        key = (image.series, image.rows, image.columns, image.samples)
        groups.setdefault(key, []).extend(Frame(image, index) for index in range(len(image.planes)))
    return [_ordered(groups[key]) for key in sorted(groups)]


def _ordered(frames: list[Frame]) -> Series:
    planes = [frame.plane for frame in frames]
    normals = [place.normal for place in planes if place is not None]
    if len(normals) < len(frames) or any(_cosine(normals[0], normal) < PARALLEL for normal in normals):
        return Series(tuple(frames), stack=False, gap_mm=None)
    # One normal for all: each slice's own, a thousandth off, would tilt the order.
    heights = np.array([float(normals[0] @ place.origin) for place in planes if place is not None])
    order = np.argsort(heights, kind="stable")
    gaps = [float(above - below) for below, above in pairwise(heights[order])]
    head = frames[0].image
    stack = (
        head.modality in STACKED
        and head.samples == 1
        and not head.localizer
        and len(frames) >= LEAST_STACK
        and min(gaps) > APART_MM
    )
    gap = float(np.median(gaps)) if stack else math.nan
    return Series(tuple(frames[place] for place in order), stack, None if math.isnan(gap) else gap)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other)


def places(series: Iterable[Series]) -> dict[tuple[str, int], tuple[Series, int]]:
    """(instance, frame) → where it stands."""

    def each() -> Iterator[tuple[tuple[str, int], tuple[Series, int]]]:
        for one in series:
            for index, frame in enumerate(one.frames):
                yield (frame.image.instance, frame.frame), (one, index)

    return dict(each())
