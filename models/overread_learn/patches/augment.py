"""One random patch of a candidate, for training."""

import math

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.patches.prepare import Prepared
from overread_learn.patches.square import draw, normalise, place

__all__ = ["augment"]


def augment(  # a point, and where it lies
    prepared: Prepared,
    x: float,
    y: float,
    application: Application,
    rng: np.random.Generator,
    spacing_mm: float | None = None,
) -> NDArray[np.float32]:
    """Draw one patch, (3, s, s) float32: turned, mirrored or not, scaled and shifted within the application's range.

    ``x``, ``y``, ``spacing_mm`` and the errors are those of `overread_learn.patches.cut.cut`. The scale is uniform in
    its logarithm between the smallest and the largest of ``scales``; each shift lies within the largest of ``shifts``.
    """
    centre_x, centre_y, side = place(prepared, x, y, application, spacing_mm)
    side *= math.exp(rng.uniform(math.log(min(application.scales)), math.log(max(application.scales))))
    furthest = np.abs(np.asarray(application.shifts)).max(axis=0)
    right, down = rng.uniform(-1, 1, size=2) * furthest * side
    drawn = draw(
        prepared,
        (centre_x + right, centre_y + down),
        side / application.input_px,
        application.input_px,
        angle=rng.uniform(-math.pi, math.pi),
    )
    if rng.random() < 0.5:  # a fair coin
        drawn = drawn[:, ::-1]
    return normalise(drawn, application)
