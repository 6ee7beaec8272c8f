"""Blobs: bytes under their own SHA-256. Pixels live here and nowhere else.

`put` returns when the bytes would survive a power cut. A blob is written under a draft name and renamed, so a reader
sees all of it or nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from overread.core.errors import StoreUnavailable


class Blobs:
    """A content-addressed store on any fsspec URL (a folder, `s3://bucket/prefix`).

    Args:
        url: where; a bare path is a folder.
        reserve: bytes that must stay free on a local disk; below it `put` refuses.
    """

    def __init__(self, url: str, *, reserve: int = 0) -> None:
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._local = isinstance(self._files, LocalFileSystem)
        self._reserve = reserve
        self._files.makedirs(self._root, exist_ok=True)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key[:2]}/{key}"

    def put(self, content: bytes) -> str:
        """Store and return the key (64 hex digits). Storing the same bytes again costs a look-up.

        Raises:
            StoreUnavailable: no room is left, or the store does not answer; nothing is half-written.
        """
        key = hashlib.sha256(content).hexdigest()
        path = self._path(key)
        draft = f"{self._root}/draft-{uuid4().hex}"
        try:
            if self._files.exists(path):
                return key
            if self._local and shutil.disk_usage(self._root).free < self._reserve + len(content):
                raise StoreUnavailable(
                    f"blob store: less than {self._reserve >> 20} MiB would stay free; make room, or lower "
                    "blobs_reserve_mb"
                )
            self._files.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 - no local path
            with self._files.open(draft, "wb") as file:
                file.write(content)
                if self._local:
                    file.flush()
                    os.fsync(file.fileno())
            self._files.mv(draft, path)
            if self._local:
                _sync_folder(os.path.dirname(path))  # noqa: PTH120
                _sync_folder(self._root)  # the folder may be new itself
        except OSError as error:
            if self._files.exists(draft):
                self._files.rm(draft)
            raise StoreUnavailable(f"blob store: {error.strerror or type(error).__name__}") from error
        return key

    def get(self, key: str) -> bytes:
        """Return the bytes.

        Raises:
            FileNotFoundError: nothing stands under this key (purged, or never there).
        """
        return bytes(self._files.cat_file(self._path(key)))

    def delete(self, key: str) -> None:
        """Forget; a key that is not there is no error."""
        if self._files.exists(self._path(key)):
            self._files.rm(self._path(key))


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
