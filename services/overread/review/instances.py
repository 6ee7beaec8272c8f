"""Where an instance stands: for clients that know images by instance, as DICOM does, and not by series and slice."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from overread.core.errors import Undecodable
from overread.review.verdicts import Manifests


class Instances:
    """An index over the manifests that candidates name, built when somebody first asks and extended as series come.

    It stands in memory: manifests are immutable and cheap to read again, and a table of every slice would make the
    database many times larger for a question that few clients ask.
    """

    def __init__(self, slices: Manifests) -> None:
        self._slices, self._lock = slices, threading.Lock()
        self._read: set[str] = set()
        self._places: dict[tuple[str, int], list[tuple[str, int]]] = {}

    def find(self, instance: str, frame: int, series: Iterable[str]) -> list[tuple[str, int]]:
        """Return (manifest key, slice) wherever this frame stands in one of the series; the caller says which count."""
        named = set(series)
        with self._lock:
            for key in sorted(named - self._read):
                self._enter(key)
            return [place for place in self._places.get((instance, frame), []) if place[0] in named]

    def _enter(self, key: str) -> None:
        try:
            manifest = self._slices.manifest(key)
        except (FileNotFoundError, Undecodable):
            return  # purged, or about to be; if it comes back it is read then
        self._read.add(key)
        for number, part in enumerate(manifest.slices):
            self._places.setdefault((part.instance, part.frame), []).append((key, number))
