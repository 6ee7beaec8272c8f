"""Draws a synthetic photograph of an eye's background, with small round lesions and with what is taken for them.

A lesion is a small round dark dot with a clear edge. Its likenesses share its size and its darkness and differ in one
thing each: a vessel runs through, a blot is long, pigment has a soft edge, dust has a bright rim, and grain is the
film's own. The differences are small and the dots may be faint, so no simple rule sorts all of them. Nothing here
resembles a patient closely enough to train anything for one.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LIKENESSES", "SIDE", "Spot", "draw_eye"]

SIDE = 512
"""Of the photograph, in pixels."""
LIKENESSES = {"vessel": 0.38, "blot": 0.2, "grain": 0.14, "pigment": 0.16, "dust": 0.12}
"""What is taken for a lesion, and the share of each."""

_MIDDLE = SIDE / 2
_FIELD = 250.0
"""Radius of the lit disc."""
_REACH = 200.0
"""Radius of the disc that spots lie in: their surroundings are lit too."""
_APART = 28.0
"""Least distance of two spots, where there is room."""
_HALF = 20
"""Half the side of the square that a spot is drawn on."""

_Plane = NDArray[np.floating]


class Spot(NamedTuple):
    """Where something was drawn, in pixels from the first one's centre, about a pixel off as a detector's marks are."""

    x: int
    y: int


class _Tip(NamedTuple):
    """Where a vessel grows on."""

    place: NDArray[np.float64]
    heading: float
    width: float
    """In pixels."""


class _Vessels(NamedTuple):
    density: _Plane
    points: NDArray[np.float64]
    """(n, 2), x and y of places on them."""


def draw_eye(lesions: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Image.Image, list[Spot]]:
    """Draw a photograph with a lesion where ``lesions`` (n,) says so and one of its likenesses elsewhere.

    Returns the picture, 512 x 512 in a palette of 256 tones (which keeps files small), and the spots in that order.
    """
    vessels = _vessels(rng)
    film = _film(rng)
    density = vessels.density + film
    anywhere = _MIDDLE + _REACH * _in_disc(rng, 3000)
    reachable = vessels.points[np.hypot(*(vessels.points - _MIDDLE).T) < _REACH]
    grains = np.argwhere(film > np.quantile(film, 0.985))[:, ::-1].astype(np.float64)
    grains = grains[np.hypot(*(grains - _MIDDLE).T) < _REACH]
    places = {"vessel": reachable, "grain": grains}
    taken = np.zeros((0, 2))
    spots = []
    for lesion in lesions:
        kind = "lesion" if lesion else rng.choice(list(LIKENESSES), p=list(LIKENESSES.values()))
        place = _free(rng, places.get(kind, anywhere), taken)
        if kind not in places:
            _put(density, place, _spot(kind, rng))
        taken = np.vstack([taken, place])
        x, y = np.rint(place + rng.normal(0, 0.8, 2)).astype(int)
        spots.append(Spot(int(x), int(y)))
    return _photograph(density, rng), spots


def _free(rng: np.random.Generator, places: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose one of ``places`` (n, 2) that is apart from those taken, or else the farthest from them."""
    if not len(taken):
        chosen: NDArray[np.float64] = places[rng.integers(len(places))]
        return chosen
    distance = np.hypot(*(places[:, None] - taken).T).min(axis=0)
    apart = np.flatnonzero(distance >= _APART)
    chosen = places[rng.choice(apart) if len(apart) else distance.argmax()]
    return chosen  # noqa: RET504 - it carries its type


def _spot(kind: str, rng: np.random.Generator) -> _Plane:
    """Draw a lesion, a blot, pigment or dust: optical density on a small square."""
    depth = rng.uniform(0.16, 0.38)
    radius = rng.uniform(2.6, 4.6)
    angle = rng.uniform(0, np.pi)
    if kind == "lesion":
        return depth * _dot(radius, rng.uniform(0.5, 1.1), rng.uniform(1.0, 1.25), angle)
    if kind == "pigment":
        return depth * _dot(radius, rng.uniform(1.9, 3.0), rng.uniform(1.0, 1.25), angle)
    if kind == "dust":
        rim = _dot(radius + 3.0, 0.8, 1.0, 0.0) - _dot(radius + 0.5, 0.8, 1.0, 0.0)
        return depth * (_dot(radius, 0.8, 1.0, angle) - rng.uniform(0.3, 0.8) * rim)
    return depth * _dot(radius * rng.uniform(0.8, 1.2), rng.uniform(0.5, 1.1), rng.uniform(1.7, 3.2), angle)


def _dot(radius: float, softness: float, stretch: float, angle: float) -> _Plane:
    """Draw an ellipse of density 1 whose edge falls over ``softness`` pixels; ``stretch`` times longer than wide."""
    v, u = np.mgrid[-_HALF : _HALF + 1, -_HALF : _HALF + 1].astype(np.float32)
    along = np.cos(angle) * u + np.sin(angle) * v
    across = np.cos(angle) * v - np.sin(angle) * u
    distance = np.hypot(along / np.sqrt(stretch), across * np.sqrt(stretch))
    dot: _Plane = 1 / (1 + np.exp((distance - radius) / softness))
    return dot


def _put(density: _Plane, place: NDArray[np.float64], spot: _Plane) -> None:
    x, y = np.rint(place).astype(int)
    density[y - _HALF : y + _HALF + 1, x - _HALF : x + _HALF + 1] += spot


def _vessels(rng: np.random.Generator) -> _Vessels:
    """Grow vessels from the optic disc, which lies to one side."""
    density: _Plane = np.zeros((SIDE, SIDE), np.float32)
    disc = np.array([_MIDDLE + rng.choice([-1, 1]) * 130.0, _MIDDLE + rng.uniform(-30, 30)])
    trunks = int(rng.integers(6, 9))
    turns = np.linspace(0, 2 * np.pi, trunks, endpoint=False) + rng.uniform(-0.3, 0.3, trunks)
    growing = [_Tip(disc, float(turn), float(rng.uniform(4, 7))) for turn in turns]
    points = []
    while growing:
        path, width, forks = _grow(growing.pop(), rng)
        growing += forks
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        corners = np.rint(16 * path).astype(np.int32)  # in sixteenths of a pixel, which is what a shift of 4 says
        cv2.polylines(drawn, [corners], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA, shift=4)
        own = min(0.24, 0.05 + 0.035 * width) / 255 * drawn.astype(np.float32)
        # Where two vessels cross, one lies over the other: a little darker than either, not twice as dark.
        density = np.maximum(density, own) + 0.4 * np.minimum(density, own)
        points.append(path[1:])
    return _Vessels(cv2.GaussianBlur(density, (0, 0), 0.9), np.concatenate(points))


def _grow(tip: _Tip, rng: np.random.Generator) -> tuple[NDArray[np.float64], int, list[_Tip]]:
    """Let a vessel wander until it is thin or leaves the field; returns its path (n, 2), width and forks."""
    place, heading, width = tip
    path, forks = [place], []
    while width > 1.2 and np.hypot(*(place - _MIDDLE)) < _FIELD:
        heading += float(rng.normal(0, 0.16))
        place = place + 9.0 * np.array([np.cos(heading), np.sin(heading)])
        path.append(place)
        width *= 0.985
        if rng.random() < 0.07:
            forks.append(_Tip(place, heading + float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)), 0.7 * width))
            width *= 0.85
    return np.array(path), max(1, round(width)), forks


def _film(rng: np.random.Generator) -> _Plane:
    """Return the tissue's own texture as density: clouds, and grains of about a lesion's size."""
    clouds = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), np.float32), (0, 0), 14)
    grains = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), np.float32), (0, 0), 3)
    film: _Plane = 0.05 * clouds / clouds.std() + rng.uniform(0.01, 0.025) * grains / grains.std()
    return film


def _photograph(density: _Plane, rng: np.random.Generator) -> Image.Image:
    """Light it, blur it as an eye's optics do, and expose it in the patient's own tint."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    radius = np.hypot(x - _MIDDLE, y - _MIDDLE) / _FIELD
    lit = rng.uniform(0.75, 0.9) * (1 - 0.35 * radius**2) * np.exp(-density)
    seen: _Plane = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), rng.uniform(0.6, 1.2))
    seen += rng.uniform(0.006, 0.012) * rng.standard_normal((SIDE, SIDE), np.float32)
    seen[radius > 1] = 0
    picture = Image.fromarray(np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8))
    picture.putpalette(_tones(rng))
    return picture


def _tones(rng: np.random.Generator) -> bytes:
    """Return 256 RGB tones from black over red-brown to yellow."""
    level = np.linspace(0, 1, 256)
    red, green, blue = level**0.6, rng.uniform(0.6, 0.8) * level, rng.uniform(0.2, 0.4) * level**1.3
    return np.rint(255 * np.stack([red, green, blue], axis=1)).astype(np.uint8).tobytes()


def _in_disc(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return points (count, 2) spread evenly over the unit disc."""
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
