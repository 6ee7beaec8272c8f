"""Whether images are still what they were: at a glance by size and times, and by their contents where these differ."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Fingerprint", "contents_of", "fingerprint", "renewed"]


class Fingerprint(NamedTuple):
    """Of one file."""

    size: int
    modified_ns: int
    changed_ns: int
    """When contents, name or rights last changed. Unlike the time above, no program sets it."""
    sha256: str
    """Of the contents."""


def fingerprint(file: Path) -> Fingerprint:
    """Read a file whole. Raises OSError."""
    before = _glance(file)
    with file.open("rb") as opened:
        return Fingerprint(*before, hashlib.file_digest(opened, "sha256").hexdigest())


def renewed(kept: Mapping[str, Fingerprint], files: Mapping[str, Path]) -> dict[str, Fingerprint] | None:
    """Return today's fingerprints of the files whose contents are what they were; None where those of any are not.

    Only files that another size or another time tells apart are read. What was written twice within one tick of the
    file system's clock (milliseconds), to the same size, is not seen. Raises OSError.
    """
    found: dict[str, Fingerprint] = {}
    for name, file in files.items():
        if name not in kept:
            return None
        now = kept[name] if _glance(file) == kept[name][:3] else fingerprint(file)
        if now.sha256 != kept[name].sha256:
            return None
        found[name] = now
    return found


def contents_of(fingerprints: Mapping[str, Fingerprint]) -> str:
    """Return one SHA-256 over the names and contents of several files, in whatever order they come."""
    lines = sorted(f"{one.sha256} {name}\n" for name, one in fingerprints.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _glance(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
