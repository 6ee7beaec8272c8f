"""The piece of an image that a candidate's patches can reach, small enough to keep for every label of a round."""

import math

import numpy as np

from overread_learn.applications import Application
from overread_learn.patches.prepare import Prepared
from overread_learn.patches.square import place

__all__ = ["neighbourhood"]

MARGIN = 4
"""Prepared pixels beyond the furthest corner: interpolation and the averaging of wide squares look a little further."""


def neighbourhood(
    prepared: Prepared, x: float | None, y: float | None, application: Application, spacing_mm: float | None = None
) -> tuple[Prepared, float, float]:
    """Copy what `cut` and `augment` may see of a candidate; returns the piece and the point (x, y) in its own pixels.

    Both give the same patches from the piece as from the image: it reaches as far as an augmented patch can (half the
    diagonal, with shifts, of the largest scale), and ends where the image ends, so that the border is reflected at the
    same line. Contexts that are shares of the image need all of it: there the image itself comes back, shared and not
    copied. Arguments and errors are those of `overread_learn.patches.cut.cut`.
    """
    centre_x, centre_y, side = place(prepared, x, y, application, spacing_mm)
    if application.context_unit == "image":
        return prepared, *_source(centre_x, centre_y, prepared.scale)
    furthest = math.sqrt(0.5) + float(np.abs(application.shifts).max())  # of the square's side
    reach = math.ceil(side * max(application.scales) * furthest) + MARGIN
    column, row = round(centre_x), round(centre_y)
    left, top = max(column - reach, 0), max(row - reach, 0)
    pixels = prepared.pixels[top : row + reach + 1, left : column + reach + 1].copy()
    # A whole number of prepared pixels is cut off, so that the point keeps its place between the pixels.
    return Prepared(pixels, prepared.scale), *_source(centre_x - left, centre_y - top, prepared.scale)


def _source(x: float, y: float, scale: float) -> tuple[float, float]:
    """Turn prepared pixels into source pixels; both count from a pixel's centre."""
    return (x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5
