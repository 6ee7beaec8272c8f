"""One random patch of a candidate, for training."""

import math

import numpy as np
from numpy.typing import NDArray

from overread_learn.applications import Application
from overread_learn.applications.application import SYMMETRIES
from overread_learn.patches.cut import symmetric
from overread_learn.patches.prepare import Prepared
from overread_learn.patches.square import draw, normalise, place
from overread_learn.patches.window import WHITE

__all__ = ["augment"]


def augment(  # a point, and where it lies
    prepared: Prepared,
    x: float | None,
    y: float | None,
    application: Application,
    rng: np.random.Generator,
    spacing_mm: float | None = None,
) -> NDArray[np.float32]:
    """Draw one patch, (3, s, s) float32: turned, mirrored or not, scaled and shifted within the application's range.

    ``x``, ``y``, ``spacing_mm`` and the errors are those of `overread_learn.patches.cut.cut`. The scale is uniform in
    its logarithm between the smallest and the largest of ``scales``; each shift lies within the largest of ``shifts``.
    Where only some symmetries are allowed, one of them is drawn and nothing turns. Colours vary by ``colour_jitter``.
    """
    centre_x, centre_y, side = place(prepared, x, y, application, spacing_mm)
    side *= math.exp(rng.uniform(math.log(min(application.scales)), math.log(max(application.scales))))
    furthest = np.abs(np.asarray(application.shifts)).max(axis=0)
    right, down = rng.uniform(-1, 1, size=2) * furthest * side
    any_way = len(application.symmetries) == SYMMETRIES
    drawn = draw(
        prepared,
        (centre_x + right, centre_y + down),
        side / application.input_px,
        application.input_px,
        angle=rng.uniform(-math.pi, math.pi) if any_way else 0.0,
    )
    # Where it may turn by any angle, a fair coin mirrors it or not.
    symmetry = int(rng.random() < 0.5) if any_way else int(rng.choice(application.symmetries))
    if application.colour_jitter:
        drawn = _stained(drawn, np.exp(rng.uniform(-1, 1, size=3) * application.colour_jitter))
    return np.ascontiguousarray(symmetric(normalise(drawn, application), symmetry))


def _stained(drawn: NDArray[np.float32], factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Multiply each channel's optical density, -log(level / white), by its factor; white stays white (Beer-Lambert)."""
    stained: NDArray[np.float32] = WHITE * (drawn / np.float32(WHITE)) ** factors.astype(np.float32)
    return stained
