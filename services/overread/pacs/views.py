"""What a model sees of a place: the prepared image, shared by scoring, training and evidence."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from overread.core.errors import InvalidEvent
from overread.core.events import Place
from overread.pacs.slices import Slices
from overread_learn.applications import Application
from overread_learn.patches import Prepared, neighbourhood, prepare


class View(NamedTuple):
    """A prepared image (or a piece of one) and where the candidate lies in it, in source pixels of that piece."""

    prepared: Prepared
    x: float
    y: float
    spacing_mm: float | None


class Views:
    """Prepared images by place; the last ones are kept, since a study's candidates come together.

    Thread-safe. `cache_mb` bounds the prepared pixels kept.
    """

    def __init__(self, slices: Slices, application: Application, cache_mb: int = 256) -> None:
        self._slices, self.application = slices, application
        self._room, self._lock = cache_mb << 20, threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[Prepared, float | None, tuple[int, int]]] = OrderedDict()

    def at(self, place: Place) -> View:
        """Return the whole prepared image around a place.

        Raises:
            InvalidEvent: the place lies outside its image.
            FileNotFoundError: the pixels were purged.
            Undecodable: they can't be read.
        """
        prepared, spacing, (rows, columns) = self._prepared(place.series, place.slice)
        if not (-0.5 <= place.x < columns - 0.5 and -0.5 <= place.y < rows - 0.5):
            raise InvalidEvent(f"({place.x:.1f}, {place.y:.1f}) lies outside an image of {columns} x {rows} pixels")
        return View(prepared, place.x, place.y, spacing)

    def around(self, place: Place) -> View:
        """Return a copy of the neighbourhood only: small enough to keep for every label of a round.

        It reaches as far as an augmented patch can (the diagonal, with shifts and scales); where the image ends
        the piece ends, so that the border is reflected at the same line.
        """
        view = self.at(place)
        piece, x, y = neighbourhood(view.prepared, view.x, view.y, self.application, view.spacing_mm)
        return View(piece, x, y, view.spacing_mm)

    def _prepared(self, series: str, key: int) -> tuple[Prepared, float | None, tuple[int, int]]:
        with self._lock:
            if (series, key) in self._kept:
                self._kept.move_to_end((series, key))
                return self._kept[series, key]
        manifest = self._slices.manifest(series)
        if not 0 <= key < len(manifest.slices):
            raise InvalidEvent(f"slice {key} of a series that has {len(manifest.slices)}")
        image = self._slices.image(manifest, key)
        entry = (prepare(image, self.application), manifest.spacing_mm, (manifest.rows, manifest.columns))
        with self._lock:
            self._kept[series, key] = entry
            while len(self._kept) > 1 and sum(kept[0].pixels.nbytes for kept in self._kept.values()) > self._room:
                self._kept.popitem(last=False)
        return entry
