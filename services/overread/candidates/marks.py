"""From what a report or a generator says to places in a study's series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from overread.candidates.generator import Generator, Spot
from overread.candidates.series import Frame, Series
from overread.core.events import Source
from overread.core.pseudonyms import Pseudonyms
from overread.pacs.slices import Slices
from overread.pacs.sr import Region

OUTSIDE = "a candidate lies outside its image"
NOT_READ = "a report marks an image that can't be read"
NO_FRAME = "a report marks a frame that its image has not"
GONE = "its bytes are gone"
WAITING = "a report marks an image that has not come"
NO_REGIONS = "a report without regions (TID 1500 measurement groups with coordinates)"
REASONS = frozenset({OUTSIDE, NOT_READ, NO_FRAME, GONE, NO_REGIONS})


class Mark(NamedTuple):
    """A candidate with its place."""

    series: Series
    at: int
    """0-based slice in it."""
    x: float
    y: float
    radius_px: float | None
    score: float | None
    source: Source
    producer: str
    identity: tuple[object, ...]
    """What its pseudonym is made of, after study and source."""

    @property
    def frame(self) -> Frame:
        """The slice it was found on."""
        return self.series.frames[self.at]


class Resolved(NamedTuple):
    """What became of a report's regions."""

    marks: list[Mark]
    problems: list[str]
    waiting: bool
    """Some regions are on images that have not come: look again at the next settling."""


def resolve(
    report_uid: str,
    regions: Iterable[Region],
    series: list[Series],
    places: Mapping[tuple[str, int], tuple[Series, int]],
    known: frozenset[str],
    pseudonyms: Pseudonyms,
) -> Resolved:
    """Find the slice of each region of one report.

    Args:
        report_uid: SOP Instance UID of the report.
        regions: what it marks.
        series: the study's.
        places: where each (instance, frame) stands in them.
        known: all instances of the study, readable or not.
        pseudonyms: the site's.
    """
    marks: list[Mark] = []
    problems: list[str] = []
    waiting = False
    for region in regions:
        place: tuple[Series, int, float, float] | None = None
        if region.sop_uid is not None:
            instance = pseudonyms.instance(region.sop_uid)
            if (instance, region.frame) in places:
                one, index = places[instance, region.frame]
                place = (one, index, region.x, region.y) if one.inside(region.x, region.y) else None
            elif instance not in known:
                waiting = True
                continue
            else:
                problems.append(NO_FRAME if (instance, 0) in places else NOT_READ)
                continue
        else:
            there = [one for one in series if _shares_space(one, region)]
            if not there:
                waiting = True
                continue
            near = [(*found, one) for one in there if (found := one.nearest(region)) is not None]
            if near:
                _, index, x, y, one = min(near, key=lambda found: found[0])
                place = (one, index, x, y)
        if place is None:
            problems.append(OUTSIDE)
            continue
        marks.append(_mark(report_uid, region, *place))
    return Resolved(marks, problems, waiting)


def _shares_space(series: Series, region: Region) -> bool:
    plane = series.frames[0].plane
    return plane is not None and plane.frame_of_reference == region.frame_of_reference


def _mark(report_uid: str, region: Region, series: Series, index: int, x: float, y: float) -> Mark:
    radius = region.radius_px
    if radius is None and region.radius_mm is not None and series.head.spacing_mm:
        radius = region.radius_mm / series.head.spacing_mm
    producer = f"{region.algorithm} {region.version}".strip()
    identity = (report_uid, region.tracking_uid)
    return Mark(series, index, x, y, radius, region.score, Source.SR, producer, identity)


def search(generator: Generator, series: Series, slices: Slices, earlier: Iterable[Any]) -> Resolved:
    """Run the generator over one series.

    Args:
        generator: the detector.
        series: a stack is searched as a volume, anything else image by image.
        slices: where the pixels are.
        earlier: rows of `candidates_found` that a generator found in this series when it had fewer slices. A spot that
            lies on one of them is the same candidate; it keeps its place, its manifest and its name.

    Raises:
        Undecodable: the pixels can't be read, or are not for this detector.
        FileNotFoundError: they are gone.
    """
    spots: list[Spot] = []
    if series.stack:
        volume = np.stack([slices.pixels(frame.slice) for frame in series.frames])
        spots = generator.find(volume, spacing_mm=series.head.spacing_mm, gap_mm=series.gap_mm)
    else:
        for index, frame in enumerate(series.frames):
            pixels = slices.pixels(frame.slice)
            found = generator.find(pixels, spacing_mm=frame.image.spacing_mm, gap_mm=None)
            spots += [spot._replace(slice=index) for spot in found]
    standing = {(frame.image.instance, frame.frame): index for index, frame in enumerate(series.frames)}
    taken = [
        Spot(standing[row.instance, row.frame], row.x, row.y, row.radius_px or 0.0, 0.0)
        for row in earlier
        if (row.instance, row.frame) in standing
    ]
    marks: list[Mark] = []
    problems: list[str] = []
    producer = f"{generator.name} {generator.version}"
    for spot in spots:
        if not (0 <= spot.slice < len(series.frames) and series.inside(spot.x, spot.y)):
            problems.append(OUTSIDE)
        elif not any(_same(spot, other, stack=series.stack) for other in taken):
            frame = series.frames[spot.slice]
            place = f"{frame.frame}:{spot.x:.1f}:{spot.y:.1f}"
            identity = (generator.name, generator.version, frame.image.sop_uid, place)
            score, radius = float(spot.score), float(spot.radius_px)
            x, y = float(spot.x), float(spot.y)
            marks.append(Mark(series, spot.slice, x, y, radius, score, Source.GENERATOR, producer, identity))
    return Resolved(marks, problems, waiting=False)


def _same(spot: Spot, other: Spot, *, stack: bool) -> bool:
    """Whether two spots are one lesion: in each other in the plane, and within two slices of a stack."""
    reach = max(spot.radius_px, other.radius_px, 1.0)
    deep = abs(spot.slice - other.slice)
    return deep <= (2 if stack else 0) and (spot.x - other.x) ** 2 + (spot.y - other.y) ** 2 <= reach**2
