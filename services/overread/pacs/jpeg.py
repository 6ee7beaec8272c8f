"""The frame header of a JPEG bitstream: what it really is, whatever the data set around it says."""

from __future__ import annotations

import struct
from typing import NamedTuple

from overread.core.errors import Undecodable

_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81 table B.1), and SOF55 of JPEG-LS (ITU-T T.87)."""
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
"""Markers without a length."""


class Header(NamedTuple):
    """SOF of one frame."""

    process: int
    """n of SOFn: 0 baseline, 1 extended, 2 progressive, 3 lossless."""
    precision: int
    rows: int
    columns: int
    components: tuple[int, ...]
    """Component identifiers."""
    subsampling: tuple[int, int]
    """Horizontal and vertical sampling factor of the first component, against the others'."""
    jfif: bool
    """An APP0 JFIF segment: three components are Y, Cb, Cr."""
    adobe: int | None
    """The transform of an Adobe APP14 segment: 0 as it is, 1 YCbCr, 2 YCCK."""

    @property
    def rgb(self) -> bool:
        """True where three components hold R, G, B."""
        if self.adobe is not None:
            return self.adobe == 0
        return not self.jfif and bytes(self.components) in {b"RGB", b"rgb"}


def header(content: bytes) -> Header:
    """Read up to the start of frame (ITU-T T.81 annex B).

    Raises:
        Undecodable: the bytes are no JPEG, or end before its frame header.
    """
    if content[:2] != b"\xff\xd8":
        raise Undecodable("not a JPEG bitstream: it does not begin with SOI")
    at, jfif, adobe = 2, False, None
    try:
        while True:
            if content[at] != 0xFF:
                raise Undecodable("a JPEG bitstream without a frame header")
            marker = content[at + 1]
            if marker == 0xFF:  # fill byte
                at += 1
                continue
            if marker in _BARE:
                at += 2
                continue
            (length,) = struct.unpack_from(">H", content, at + 2)
            segment = content[at + 4 : at + 2 + length]
            if marker in _FRAMES:
                return _frame(marker, segment, jfif=jfif, adobe=adobe)
            jfif = jfif or (marker == 0xE0 and segment.startswith(b"JFIF\0"))
            if marker == 0xEE and segment.startswith(b"Adobe"):
                adobe = segment[11]
            at += 2 + length
    except (IndexError, struct.error) as error:
        raise Undecodable("a JPEG bitstream that ends before its frame header") from error


def _frame(marker: int, segment: bytes, *, jfif: bool, adobe: int | None) -> Header:
    precision, rows, columns, count = struct.unpack_from(">BHHB", segment)
    components = [segment[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    sampling = [(part[1] >> 4, part[1] & 15) for part in components]
    least = (min(s[0] for s in sampling), min(s[1] for s in sampling)) if sampling else (0, 0)
    if 0 in least:
        raise Undecodable("a JPEG frame header without components or with a sampling factor of 0")
    return Header(
        process=marker - 0xC0,
        precision=precision,
        rows=rows,
        columns=columns,
        components=tuple(part[0] for part in components),
        subsampling=(sampling[0][0] // least[0], sampling[0][1] // least[1]),
        jfif=jfif,
        adobe=adobe,
    )
