"""Reads the images of a candidate set with the depth that they are stored in, or refuses them by name."""

import math
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from overread_learn.experiment.candidate_set import NotACandidateSet

__all__ = ["MOST_PIXELS", "read_image", "refuse_turned"]

MOST_PIXELS = 1 << 28
"""Of one image: in RGB 805 MB. A file of a few bytes may claim to be larger than any memory."""

_GREY = {"L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow's modes that hold what the file holds; bits (``1``) become L, all others RGB of 8 bits."""
_DEEP = re.compile(r";(12|16|32)")
"""In the name of how a file stores a pixel: more bits a channel than RGB has in Pillow."""
_SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 339, 1, 2
"""A TIFF's tag, and its values; Pillow reads 32 bits as signed and 8 bits as unsigned, whatever it says."""
_PREVIEWS = "MPO"
"""Pillow's name for a phone's JPEG with further images behind the first: previews and depths of the same scene."""
_ORIENTATION, _UPRIGHT = 274, 1
"""EXIF's tag of how a viewer turns or mirrors what is stored, and its value for "as it is"."""
_alone = threading.Lock()


def read_image(file: Path) -> NDArray[Any]:
    """Read an image: (H, W) or (H, W, 3).

    ``.npy`` holds any number. Of what Pillow reads, grey keeps its depth and its sign (a PGM of another depth than 8
    or 16 bits is stretched to 16); colour and palettes come as RGB of 8 bits, without transparency. JPEG 2000 and AVIF
    in colour of more than 8 bits lose the rest unseen, for Pillow does not say how deep they are.

    Raises NotACandidateSet, which names the file, where it can't be read, has more than `MOST_PIXELS`, holds several
    images (pages, frames), is to be turned (`refuse_turned`), or has colour (or grey with transparency) of more than 8
    bits a channel.
    """
    with _named(file):
        return _array(file) if file.suffix == ".npy" else _picture(file)


def refuse_turned(file: Path) -> None:
    """Refuse a picture whose EXIF (or XMP) asks a viewer to turn or mirror it.

    Whoever wrote its candidates down saw it turned or as it is stored, which nobody can tell from the numbers.

    Raises NotACandidateSet, which names the file and says how to mend it, and where the file can't be read.
    """
    with _named(file), _opened(file) as image:
        _upright(file, image)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turn what Pillow and NumPy raise on odd files into NotACandidateSet."""
    try:
        yield
    except NotACandidateSet:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise NotACandidateSet(f"{file}: not an image that can be read ({type(error).__name__})") from error
    except ValueError as error:
        raise NotACandidateSet(f"{file}: not an image that can be read ({error})") from error


def _array(file: Path) -> NDArray[Any]:
    mapped = np.lib.format.open_memmap(file, mode="r")
    _limit(file, math.prod(mapped.shape[:2]))
    return np.array(mapped)


def _picture(file: Path) -> NDArray[Any]:
    with _opened(file) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != _PREVIEWS:
            raise NotACandidateSet(f"{file}: {frames} images in one file, of which the first would be read; part them")
        if image.mode not in _GREY and _deeper(image):
            raise NotACandidateSet(
                f"{file}: more than 8 bits a channel, of which 8 would be left; bring it to 8 bits, or give it as .npy"
            )
        _upright(file, image)  # reads all of a PNG, after which nobody knows how deep it is
        kept = image.mode if image.mode in _GREY else "L" if image.mode == "1" else "RGB"
        pixels = np.asarray(image if image.mode == kept else image.convert(kept))
        return _as_stored(pixels, image)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    with _pillows_limit_off():
        image = Image.open(file)  # reads the header alone
    with image:
        _limit(file, image.width * image.height)
        yield image


def _upright(file: Path, image: Image.Image) -> None:
    try:
        orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
    except (SyntaxError, ValueError, struct.error) as error:
        raise NotACandidateSet(f"{file}: its EXIF can't be read, which may turn it; save it without") from error
    if orientation != _UPRIGHT:
        raise NotACandidateSet(
            f"{file}: EXIF orientation {orientation}: viewers turn or mirror it, and whether x and y are of the turned "
            "or of the stored image nobody can tell. Where they were read in a viewer, turn the pixels "
            "(ImageMagick: mogrify -auto-orient); where from the stored pixels, remove the tag "
            "(exiftool -Orientation=, and the same in XMP)"
        )


def _limit(file: Path, pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise NotACandidateSet(f"{file}: more than {MOST_PIXELS / 1e6:.0f} million pixels")


@contextmanager
def _pillows_limit_off() -> Iterator[None]:
    """Leave the limit to us: Pillow warns at 89 million pixels, and raises what is no ValueError at 179."""
    with _alone:  # Pillow's is one for the whole process
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = theirs


def _deeper(image: Image.Image) -> bool:
    """Return whether the file stores more bits a channel than Pillow's mode holds, as far as its plug-in says."""
    for tile in getattr(image, "tile", ()):
        stored = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(part, str) and _DEEP.search(part) for part in stored):
            return True
        if tile[0].startswith("ppm") and any(isinstance(part, int) and part > 255 for part in stored):
            return True
    return False


def _as_stored(pixels: NDArray[Any], image: Image.Image) -> NDArray[Any]:
    """Return pixels in the machine's byte order, and with the sign that a TIFF says they have."""
    tags = getattr(image, "tag_v2", None)
    signed = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] if tags is not None else None
    if image.mode == "I" and signed == _UNSIGNED:
        return pixels.view(np.uint32)
    if image.mode == "L" and signed == _SIGNED:
        return pixels.view(np.int8)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
