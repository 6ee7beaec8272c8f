"""The routes that show: a series, its slices' pixels, and where an instance stands.

Only what a candidate names is served: the blob store holds more than that.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, Response
from numpy.typing import NDArray

from overread.core.series import SeriesManifest, Slice
from overread.review import schemas, views
from overread.review.instances import Instances
from overread.review.octets import encode
from overread.review.problems import Problem
from overread.store.engine import Store


class Pixels(Protocol):
    """What the routes ask of `pacs.slices.Slices`."""

    def manifest(self, key: str) -> SeriesManifest:
        """Return a series manifest; FileNotFoundError where it is gone."""
        ...

    def pixels(self, slice: Slice) -> NDArray[Any]:  # noqa: A002 - the noun of core/series.py
        """Return (H, W) grey or (H, W, 3) uint8 RGB; FileNotFoundError, Undecodable."""
        ...

    def window(self, slice: Slice) -> tuple[float, float]:  # noqa: A002
        """Return centre and width in the units of `pixels`."""
        ...


class _Images:
    """Looks before it opens."""

    def __init__(self, store: Store, slices: Pixels) -> None:
        self._store, self._slices = store, slices
        self._instances = Instances(slices)

    def series(self, key: str) -> SeriesManifest:
        with self._store.reading() as tx:
            if views.find_study_of(tx, key) is None:
                raise Problem(404, "unknown-series", "no candidate stands in such a series (not arrived, or purged)")
        try:
            return self._slices.manifest(key)
        except FileNotFoundError as error:
            raise Problem(410, "purged", "the series is not stored here any more") from error

    def slice(self, part: Slice) -> tuple[NDArray[Any], tuple[float, float]]:
        try:
            return self._slices.pixels(part), self._slices.window(part)
        except FileNotFoundError as error:
            raise Problem(410, "purged", "the image is not stored here any more") from error

    def place(self, instance: str, frame: int) -> schemas.InstancePlace:
        with self._store.reading() as tx:
            named = views.find_series(tx)
        for key, number in self._instances.find(instance, frame, named):
            with self._store.reading() as tx:
                study = views.find_study_of(tx, key)
            if study is not None:
                return schemas.InstancePlace(series=key, slice=number, study=study)
        raise Problem(404, "unknown-instance", "this instance stands in no series that has a candidate")


def add_images(app: FastAPI, store: Store, slices: Pixels) -> None:
    """Add the routes to the app."""
    images = _Images(store, slices)

    @app.get("/api/v1/series/{manifest}")
    def series(manifest: str) -> schemas.Series:
        """Return how to show a series, and which instance each slice is."""
        found = images.series(manifest)
        samples = 3 if images.slice(found.slices[0])[0].ndim == 3 else 1
        return schemas.Series(
            modality=found.modality,
            rows=found.rows,
            columns=found.columns,
            slices=len(found.slices),
            samples=samples,
            spacing_mm=found.spacing_mm,
            stack=found.stack,
            instances=[schemas.Instance(instance=part.instance, frame=part.frame) for part in found.slices],
        )

    @app.get("/api/v1/series/{manifest}/slices/{number}", response_class=Response)
    def pixels(manifest: str, number: int) -> Response:
        """Return one slice's pixels: int16 little-endian, or RGB bytes; X-headers say the rest."""
        found = images.series(manifest)
        if not 0 <= number < len(found.slices):
            raise Problem(404, "unknown-slice", f"the series has the slices 0 to {len(found.slices) - 1}")
        octets, headers = encode(*images.slice(found.slices[number]))
        # A manifest's slice never changes; `private`, and short enough that a purge is not outlived for long.
        headers["Cache-Control"] = "private, max-age=3600, immutable"
        return Response(octets, headers=headers, media_type="application/octet-stream")

    @app.get("/api/v1/instances/{instance}/place")
    def place(instance: str, frame: Annotated[int, Query(ge=0)] = 0) -> schemas.InstancePlace:
        """Return where an instance stands."""
        return images.place(instance, frame)
