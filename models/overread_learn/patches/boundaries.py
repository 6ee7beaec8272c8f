"""From the classes of patches to the two boundaries of a carotid wall, and its thickness."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Boundaries", "boundaries"]

BACKGROUND, LUMEN_INTIMA, MEDIA_ADVENTITIA = range(3)
"""The classes of the application ``carotid-imt``, in its order."""

STEP = 2
"""Rows by which a boundary may rise or fall from one column to the next."""
NEAR = 2
"""Rows on either side of the path whose probabilities place it between the rows."""
FLOOR = 1e-6
"""A probability of 0 costs as much as this one: a wrong patch must not break a whole path."""


class Boundaries(NamedTuple):
    """One boundary row a column, counted from the centre of the first row, with fractions; (columns,) each."""

    lumen_intima: NDArray[np.float64]
    media_adventitia: NDArray[np.float64]
    thickness_mm: NDArray[np.float64]
    """Of the intima-media complex, down the column: a wall that slopes is thinner by the cosine of its slope."""


def boundaries(probabilities: NDArray[np.floating], spacing_mm: float, smoothness: float = 0.25) -> Boundaries:
    """Find the boundaries of the far wall from the classes of its pixels.

    ``probabilities`` is (rows, columns, 3): background, lumen-intima and media-adventitia, for a patch around each
    pixel of a region of interest. Each boundary is the path from left to right that has the least sum of -log p and of
    ``smoothness`` times the squared rise; the media-adventitia path lies below the lumen-intima path. Then each row
    moves to the mean of the probabilities nearby, the lower one as far as the upper one at most: no thickness is
    negative. ``spacing_mm`` is mm a row.

    Raises ValueError on another shape, fewer than two rows, values that are not finite, a spacing that is not positive,
    a negative smoothness.
    """
    if probabilities.ndim != 3 or probabilities.shape[2] != 3 or probabilities.shape[0] < 2 or not probabilities.size:
        raise ValueError(f"probabilities must be (rows >= 2, columns, 3), got {probabilities.shape}")
    if not np.isfinite(probabilities).all():  # a path through one would lead anywhere
        raise ValueError("probabilities hold values that are not finite")
    if not 0 < spacing_mm < np.inf or not 0 <= smoothness < np.inf:
        raise ValueError(f"needs spacing_mm > 0 and smoothness >= 0, got {spacing_mm} and {smoothness}")
    intima, adventitia = (
        np.asarray(probabilities[..., one], dtype=np.float64) for one in (LUMEN_INTIMA, MEDIA_ADVENTITIA)
    )
    rows = np.arange(len(intima))[:, None]
    # The last row is left for what lies below.
    upper = _path(np.where(rows < len(rows) - 1, _cost(intima), np.inf), smoothness)
    lower = _path(np.where(rows > upper, _cost(adventitia), np.inf), smoothness)
    lumen_intima = _between(intima, upper)
    media_adventitia = np.maximum(_between(adventitia, lower), lumen_intima)
    return Boundaries(lumen_intima, media_adventitia, (media_adventitia - lumen_intima) * spacing_mm)


def _cost(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    cost: NDArray[np.float64] = -np.log(np.maximum(probability, FLOOR))
    return cost


def _path(cost: NDArray[np.float64], smoothness: float) -> NDArray[np.intp]:
    """Return the cheapest row of each column, (columns,), by dynamic programming over (rows, columns)."""
    rows, columns = cost.shape
    moves = np.arange(-STEP, STEP + 1)
    came = np.zeros((rows, columns), dtype=np.intp)
    total = cost[:, 0]
    for column in range(1, columns):
        padded = np.pad(total, STEP, constant_values=np.inf)
        # options[i, r]: arriving at row r from row r + moves[i]
        options = np.stack([padded[STEP + move : STEP + move + rows] + smoothness * move**2 for move in moves])
        best = options.argmin(axis=0)
        came[:, column] = np.arange(rows) + moves[best]
        total = options[best, np.arange(rows)] + cost[:, column]
    path = np.empty(columns, dtype=np.intp)
    path[-1] = total.argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[path[column], column]
    return path


def _between(probability: NDArray[np.float64], path: NDArray[np.intp]) -> NDArray[np.float64]:
    """Move each row of the path to the mean of the probabilities near it."""
    rows, columns = probability.shape
    moved = path.astype(np.float64)
    # Twice: where the path has cut a corner, the first mean is nearer, but sees more of one flank than of the other.
    for _ in range(2):
        near = np.rint(moved).astype(np.intp) + np.arange(-NEAR, NEAR + 1)[:, None]
        inside = (near >= 0) & (near < rows)
        weights = np.where(inside, probability[np.clip(near, 0, rows - 1), np.arange(columns)] + FLOOR, 0)
        moved = (near * weights).sum(axis=0) / weights.sum(axis=0)
    return moved
