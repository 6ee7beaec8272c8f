"""Pixels by name: series manifests and decoded slices from the blob store, with the last ones kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydicom.dataset import Dataset

from overread.core.errors import Undecodable
from overread.core.series import SeriesManifest, Slice
from overread.pacs import pixels
from overread.store.blobs import Blobs


class _Decoded(NamedTuple):
    pixels: NDArray[Any]
    window: tuple[float, float]


class Slices:
    """Decoded slices; thread-safe. `cache_mb` bounds the pixels kept (MiB)."""

    manifests = 256
    """Manifests kept."""

    def __init__(self, blobs: Blobs, cache_mb: int = 512) -> None:
        self._blobs, self._room, self._lock = blobs, cache_mb << 20, threading.Lock()
        self._held = 0
        self._decoded: OrderedDict[tuple[str, int], _Decoded] = OrderedDict()
        self._manifests: OrderedDict[str, SeriesManifest] = OrderedDict()
        self._last: tuple[str, Dataset] | None = None

    def manifest(self, key: str) -> SeriesManifest:
        """Return a series manifest by its blob key.

        Raises:
            FileNotFoundError: nothing stands under the key (purged, or never there).
            Undecodable: what stands there is no manifest.
        """
        with self._lock:
            if key in self._manifests:
                self._manifests.move_to_end(key)
                return self._manifests[key]
        try:
            found = SeriesManifest.model_validate_json(self._blobs.get(key))
        except ValidationError as error:
            raise Undecodable(f"blob {key[:12]} is no series manifest") from error
        with self._lock:
            self._manifests[key] = found
            while len(self._manifests) > self.manifests:
                self._manifests.popitem(last=False)
        return found

    def pixels(self, slice: Slice) -> NDArray[Any]:  # noqa: A002 - the noun of core/series.py
        """Return (H, W) int16 or float32 modality values, or (H, W, 3) uint8 RGB; read-only, shared.

        Raises:
            FileNotFoundError: the instance was purged.
            Undecodable: its pixels can't be read.
        """
        return self._get(slice).pixels

    def window(self, slice: Slice) -> tuple[float, float]:  # noqa: A002
        """Return centre and width of the default window, in the units of `pixels`; errors as there."""
        return self._get(slice).window

    def image(self, manifest: SeriesManifest, key: int) -> NDArray[Any]:
        """Return what the model sees at slice `key`.

        Of a stack (H, W, 3) float32: the slice below, the key slice, the slice above. Else the slice itself: (H, W)
        grey or (H, W, 3) uint8 RGB. Errors as in `pixels`.
        """
        if not manifest.stack:
            return self.pixels(manifest.slices[key])
        planes = [self.pixels(part) for part in manifest.channels(key)]
        if any(plane.shape != (manifest.rows, manifest.columns) for plane in planes):
            raise Undecodable("the slices of a stack differ in size")
        return np.stack(planes, axis=-1).astype(np.float32)

    def forget(self, blob: str) -> None:
        """Drop what is kept of a purged instance or manifest."""
        with self._lock:
            self._manifests.pop(blob, None)
            if self._last is not None and self._last[0] == blob:
                self._last = None
            for name in [name for name in self._decoded if name[0] == blob]:
                self._held -= self._decoded.pop(name).pixels.nbytes

    def _get(self, part: Slice) -> _Decoded:
        name = (part.blob, part.frame)
        with self._lock:
            if name in self._decoded:
                self._decoded.move_to_end(name)
                return self._decoded[name]
        dataset = self._dataset(part.blob)
        values = pixels.decode(dataset, part.frame)
        values.flags.writeable = False
        entry = _Decoded(values, pixels.window(dataset, values, part.frame))
        with self._lock:
            if name not in self._decoded:
                self._decoded[name] = entry
                self._held += values.nbytes
            while self._held > self._room and len(self._decoded) > 1:
                self._held -= self._decoded.popitem(last=False)[1].pixels.nbytes
        return entry

    def _dataset(self, blob: str) -> Dataset:
        """Parse a blob; the last one is kept, since the frames of an instance are asked for one after the other."""
        with self._lock:
            if self._last is not None and self._last[0] == blob:
                return self._last[1]
        dataset = pixels.read(self._blobs.get(blob))
        with self._lock:
            self._last = (blob, dataset) if pixels.frames(dataset) > 1 else self._last
        return dataset
