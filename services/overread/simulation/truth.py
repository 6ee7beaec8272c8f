"""truth.csv: what stands where, by the pseudonyms that the house uses."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms

Json = dict[str, Any]

COLUMNS = ("study_uid", "sop_uid", "frame", "x", "y", "radius_px", "label")


class Row(NamedTuple):
    """What the truth says of one spot on one frame."""

    instance: str
    frame: int
    x: float
    y: float
    radius: float
    label: int
    lesion: str

    def distance(self, place: Json) -> float:
        """Return how far the place is from the centre; infinite beyond the radius (pixels)."""
        apart = math.hypot(self.x - place["x"], self.y - place["y"])
        return apart if apart <= self.radius else math.inf


class Section(NamedTuple):
    """A row in its series."""

    series: str
    slice: int
    row: Row

    def holds(self, place: Json) -> bool:
        """Whether the place lies in it."""
        return (place["series"], place["slice"]) == self[:2] and self.row.distance(place) < math.inf


def load(truth: Path, pseudonyms: Pseudonyms) -> dict[str, list[Row]]:
    """Return each study's rows, by pseudonym.

    Raises:
        Misconfigured: the file can't be read, or lacks a column.
    """
    known: dict[str, list[Row]] = defaultdict(list)
    try:
        with truth.open(newline="") as file:
            lines = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
            if missing:
                raise Misconfigured(f"{truth}: no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
            for line in lines:
                place = (float(line["x"]), float(line["y"]), float(line["radius_px"]))
                instance, frame = pseudonyms.instance(line["sop_uid"]), int(line["frame"] or 0)
                row = Row(instance, frame, *place, int(line["label"]), line.get("lesion") or "")
                known[pseudonyms.study(line["study_uid"])].append(row)
    except OSError as error:
        raise Misconfigured(f"{truth}: {error.strerror}") from error
    except (csv.Error, TypeError, ValueError) as error:  # what stands in the file is not repeated: it may be anything
        raise Misconfigured(f"{truth}: not a CSV of {', '.join(COLUMNS)} ({type(error).__name__})") from error
    return dict(known)


def sections(rows: list[Row], series: str, instances: list[Json]) -> list[Section]:
    """Return what the truth says of one series, whose slices stand in `instances` in their order."""
    slices = {(part["instance"], part["frame"]): number for number, part in enumerate(instances)}
    return [
        Section(series, slices[row.instance, row.frame], row) for row in rows if (row.instance, row.frame) in slices
    ]


def nearest(here: list[Section], place: Json) -> Row | None:
    """Return the row that a candidate at this place means: the nearest of those whose radius holds it."""
    held = [part.row for part in here if part.holds(place)]
    return min(held, key=lambda row: row.distance(place), default=None)


def group(sections: list[Section]) -> list[list[Section]]:
    """Join cross-sections to lesions: by the `lesion` column, or where they overlap on neighbouring slices."""
    lesions: list[list[Section]] = []
    for section in sorted(sections):
        joined = [lesion for lesion in lesions if any(_touch(section, other) for other in lesion)]
        rest = [lesion for lesion in lesions if lesion not in joined]
        lesions = [*rest, [section, *(part for lesion in joined for part in lesion)]]
    return lesions


def _touch(one: Section, other: Section) -> bool:
    a, b = one.row, other.row
    if a.lesion or b.lesion:
        return a.lesion == b.lesion
    return abs(one.slice - other.slice) == 1 and math.hypot(a.x - b.x, a.y - b.y) <= max(a.radius, b.radius)
