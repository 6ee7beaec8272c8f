"""Free-response ROC: the share of the lesions found, against the false alarms an image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.roc import OneClass, checked

__all__ = ["CPM_RATES", "Froc", "cpm", "froc_curve"]

CPM_RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""False alarms an image at which the competition performance metric reads the sensitivity."""


class Froc(NamedTuple):
    """One point for each distinct score, from the strictest threshold to the laxest, and one before the first."""

    false_alarms: NDArray[np.float64]
    """An image (or a patient: whatever ``images`` counts)."""
    sensitivity: NDArray[np.float64]
    """Rises from 0 to the share of the lesions that were candidates at all."""
    thresholds: NDArray[np.float64]
    """Falling; a candidate is marked from this score on. The first is infinite: nothing is marked."""


def froc_curve(
    labels: ArrayLike, scores: ArrayLike, *, images: int, missed: int = 0, lesions: ArrayLike | None = None
) -> Froc:
    """Return the empirical FROC curve of candidates.

    ``labels`` (n,) are 1 where a candidate hits a lesion, else 0; ``scores`` (n,) are finite. ``images`` counts all
    that were looked at, those without a candidate too, ``missed`` the lesions that no candidate hits: no threshold
    finds them. ``lesions`` (n,) names the lesion that a candidate hits, any value where it hits none: a lesion is found
    from the largest score of its candidates on, and its other candidates are neither hits nor false alarms. Without
    ``lesions`` each hit is a lesion of its own.

    Raises OneClass where there is no lesion, ValueError on other labels, lengths, values or counts.
    """
    positive, values = checked(labels, scores)
    if images < 1 or missed < 0:
        raise ValueError(f"FROC needs images >= 1 and missed >= 0, got {images} and {missed}")
    names = np.arange(len(positive)) if lesions is None else np.asarray(lesions)
    if names.shape != positive.shape:
        raise ValueError(f"{len(positive)} candidates came with {names.size} names of lesions")
    found = _largest(names[positive], values[positive])
    total = len(found) + missed
    if not total:
        raise OneClass(f"there is no lesion in {images} images")
    alarms = values[~positive]
    thresholds = np.unique(np.concatenate([found, alarms]))[::-1]
    return Froc(
        false_alarms=np.concatenate([[0], _at_least(alarms, thresholds) / images]),
        sensitivity=np.concatenate([[0], _at_least(found, thresholds) / total]),
        thresholds=np.concatenate([[np.inf], thresholds]),
    )


def cpm(curve: Froc) -> float:
    """Return the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false alarms an image (Niemeijer et al., TMI 2011).

    Between two points the curve is a straight line, after its last point it stays level, as in the LUNA16 challenge.
    """
    return float(np.mean(np.interp(CPM_RATES, curve.false_alarms, curve.sensitivity)))


def _largest(names: NDArray[np.generic], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each name's largest value."""
    known, owner = np.unique(names, return_inverse=True)
    largest = np.full(len(known), -np.inf)
    np.maximum.at(largest, owner, values)
    return largest


def _at_least(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Count the values from each threshold on."""
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")
